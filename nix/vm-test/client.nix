# The client of the VM test: what the machine is before it has switched and after.
{
  config,
  lib,
  pkgs,
  ...
}:

let
  keys = import (pkgs.path + "/nixos/tests/ssh-keys.nix") pkgs;

  # Anything that evaluates or builds on this machine leaves a mark, and fails.
  forbidden =
    name:
    lib.hiPrio (
      pkgs.writeShellScriptBin name ''
        echo "${name} $*" >> /var/log/evaluated-here
        exit 1
      ''
    );
in
{
  programs.rebuild = {
    enable = true;
    evalHost = "builder";
    sshKey = "/root/.ssh/id_builder";
    sshUser = "rebuild-builder";
    hostKey = lib.removeSuffix " snakeoil" keys.snakeOilEd25519PublicKey;
    replaceNixosRebuild = true;
  };

  environment.systemPackages = map forbidden [
    "nix"
    "nix-build"
    "nix-instantiate"
  ];

  # nixpkgs is in the store, like a channel.
  nix.nixPath = [
    "nixpkgs=${lib.cleanSource pkgs.path}"
    "nixos-config=/etc/nixos/configuration.nix"
  ];
  nix.settings = {
    max-jobs = 0;
    substituters = lib.mkForce [ ];
  };

  documentation.enable = false;
  system.switch.enable = true;
  system.stateVersion = config.system.nixos.release;
}
