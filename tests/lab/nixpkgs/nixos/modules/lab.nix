# Knobs for tests: failures, slowness, size and expensive evaluation, each as much as is asked for.
{ config, lib, pkgs, ... }:
let
  cfg = config.lab;
  salted = attributes: attributes // { inherit (cfg) salt; };

  # About one second for each unit of work; `memory` megabytes are held until the end of it.
  evalCost = { work ? 0, memory ? 0 }:
    let
      # 32 bytes for an element: its pointer in the list and the value that it points to.
      ballast = builtins.genList (i: i + 1000) (memory * 1000000 / 32);
      held = builtins.foldl' (a: b: a + b) 0 ballast;
      hash = lib.foldl' (a: i: builtins.hashString "sha256" a) cfg.salt (builtins.genList (i: i) (work * 700000));
    in
    "${toString held} ${hash} ${toString (builtins.length ballast)}";
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
