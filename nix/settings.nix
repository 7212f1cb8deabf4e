# The keys of /etc/rebuild.json as options, under the names that they have there; rebuild.json(5) says what each means.
#
# A key that is null is not written, so that the program's own default applies.
{ lib }:

let
  inherit (lib) mkOption types;

  setting =
    type: example: description:
    mkOption {
      type = types.nullOr type;
      default = null;
      inherit example description;
    };
  address = types.strMatching "(https?://[][A-Za-z0-9._~:%+-][][A-Za-z0-9._~/:%+-]*)?";
  hosts = types.either types.str (types.nonEmptyListOf types.str);
in
{
  evalHost = setting hosts "builder" ''
    The machine that evaluates, and that builds too unless `buildHost` names another: `--eval-host`. Of a list, it is the
    first that answers.
  '';

  buildHost = setting hosts "builder" ''
    The machine that builds: `--build-host`. Of a list, it is the first that answers.
  '';

  fallback = setting (types.enum [ "fail" "local" ]) "local" ''
    What to do when the machine that evaluates or builds cannot be reached: fail, or do it here.
  '';

  wake = setting types.str "wakeonlan 52:54:00:12:34:56" ''
    A shell command that is run on this machine, once, when none of those machines answers; the first that wakes is used.
    Everybody can read it in the store: `--wake`.
  '';

  wakeTimeout = setting types.ints.positive 120 ''
    How many seconds a machine may take to wake: `--wake-timeout`.
  '';

  reconnectTimeout = setting types.ints.unsigned 3600 ''
    If the link breaks while the work goes on there: how many seconds to try to connect again, or 0:
    `--reconnect-timeout`.
  '';

  unattendedTimeout = setting (types.ints.between 1 604800) 86400 ''
    How many seconds the work there goes on while nobody follows it: `--unattended-timeout`. They are counted in whole
    minutes.
  '';

  releaseSite = setting address "http://mirror.lan/nixos" ''
    Where the evaluator fetches the release that this machine's channel is, instead of being sent it: `--release-site`. The
    empty string: it is sent.
  '';

  lend = setting types.bool false ''
    Whether the builder may send the result through a socket of this machine's Nix daemon. `false` is `--no-lend`.
  '';

  verifyEval = setting types.bool true ''
    Whether to evaluate here as well and compare: `--verify-eval`.
  '';

  elevate = setting (types.enum [ "none" "sudo" "run0" "doas" ]) "sudo" ''
    How to become root for what changes the system: `--elevate`.
  '';

  ask = setting types.bool true ''
    Whether to ask for confirmation before the system is changed.
  '';

  diff = setting types.bool true ''
    Whether to show what changes between the running system and the new one: `--diff`.
  '';

  rollbackOnFailure = setting types.bool true ''
    Whether the machine that is changed goes back to what it had before if an activation fails:
    `--rollback-on-failure`.
  '';

  confirm = setting types.ints.unsigned 60 ''
    How many seconds a switch or test waits to be confirmed before it goes back by itself, or 0: `--confirm`. Commands
    that change another machine log in anew, and those that change this one see whether `confirmBy` can be reached.
  '';

  confirmBy = setting hosts "router" ''
    The machine that confirms a change of this machine by being reached: `--confirm-by`. Without it, that is the builder;
    with the empty string, a person has to say `rebuild confirm`.
  '';

  useSubstitutes = setting types.bool true ''
    Whether the other machines fetch from their own substituters what they can: `--use-substitutes`.
  '';

  flake = setting types.str "/etc/nixos#pi" ''
    The flake that holds this machine's configuration: `--flake`.
  '';

  log = setting types.bool false ''
    Whether each run keeps a log for bug reports. `false` is `--no-log`.
  '';
}
