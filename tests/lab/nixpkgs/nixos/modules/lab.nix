# Knobs for tests: failures, slowness, size and expensive evaluation, each as much as is asked for.
{ config, lib, pkgs, ... }:
let
  cfg = config.lab;
  salted = attributes: attributes // { inherit (cfg) salt; };

  # About one second for each unit of work; `memory` megabytes are held until the end of it.
  evalCost = { work ? 0, memory ? 0 }:
    let
      double = text: times: if times == 0 then text else double (text + text) (times - 1);
      megabyte = double "0123456789abcdef" 16;
      ballast = builtins.genList (i: megabyte + toString i) memory;
      size = _: builtins.foldl' (sum: text: sum + builtins.stringLength text) 0 ballast;
      # A second at a time: one list of all of them would be gigabytes.
      hash = builtins.foldl' (text: _: second text) cfg.salt (builtins.genList (i: i) work);
      second = text: builtins.foldl' (text: _: builtins.hashString "sha256" text) text (builtins.genList (i: i) 600000);
    in
    # Asked for before the work and after it, so that the list has to live as long as that.
    "${toString (size 1)} ${hash} ${toString (size 2)}\n";
in
{
  options.lab = {
    # Changes every derivation below, so that what was built once can be built again.
    salt = lib.mkOption { default = ""; type = lib.types.str; };
    failBuild = lib.mkOption { default = false; type = lib.types.bool; };
    slowBuild = lib.mkOption { default = 0; type = lib.types.int; };
    bulkMegabytes = lib.mkOption { default = 0; type = lib.types.int; };
    evalCost = lib.mkOption { default = { }; type = lib.types.attrs; };
    parts = lib.mkOption { default = [ ]; };
  };

  config.lab.parts =
    lib.optional cfg.failBuild (pkgs.run "fails-on-purpose" (salted { }) ''
      for line in one two three; do echo "log line $line of the build that fails"; done
      echo "lab: this build fails on purpose" >&2
      exit 1
    '')
    ++ lib.optional (cfg.slowBuild > 0) (pkgs.run "slow-build" (salted { seconds = cfg.slowBuild; }) ''
      for second in $(seq "$seconds"); do echo "working, second $second of $seconds"; sleep 1; done
      echo slept > "$out"
    '')
    ++ lib.optional (cfg.bulkMegabytes > 0) (pkgs.run "bulk" (salted { megabytes = cfg.bulkMegabytes; }) ''
      dd if=/dev/urandom of="$out" bs=1048576 count="$megabytes" 2> /dev/null
    '')
    ++ lib.optional (cfg.evalCost != { }) (pkgs.writeText "evaluation-cost" (evalCost cfg.evalCost));
}
