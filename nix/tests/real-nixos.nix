# Evaluates the two modules in real NixOS, given a tree of nixpkgs: what they result in there, and the derivations of
# everything that the flake offers. tests/nix-files.sh evaluates this; nothing is built.
#
# If nixpkgs is a small copy, stand-ins take the place of what it lacks.
{
  nixpkgs,
}:

let
  lib = import (nixpkgs + "/lib");
  exists = path: builtins.pathExists (nixpkgs + path);

  # A small copy lacks the Haskell packages first, and with them the checker of shell scripts.
  overlays =
    lib.optional
      (
        builtins.stringLength (
          builtins.readFile (nixpkgs + "/pkgs/development/haskell-modules/hackage-packages.nix")
        ) < 1000
      )
      (
        final: prev:
        lib.genAttrs [ "shellcheck" "shellcheck-minimal" ] (
          _: final.hello // { compiler.bootstrapAvailable = false; }
        )
      )
    ++ map argumentsOf (
      lib.filter exists [
        "/pkgs/by-name/qe/qemu/package.nix"
        "/nixos/lib/test-driver/default.nix"
      ]
    );
  # Arguments without which a package cannot be made.
  argumentsOf =
    file: final: prev:
    let
      arguments = lib.functionArgs (import (nixpkgs + file));
      missing = lib.filterAttrs (name: hasDefault: !hasDefault && !(prev ? ${name})) arguments;
    in
    builtins.mapAttrs (_: _: final.hello) missing;

  moduleList = builtins.readFile (nixpkgs + "/nixos/modules/module-list.nix");
  isListed = module: lib.hasInfix "\n  ./${module}\n" moduleList;
  # A module that others rely on: the module itself, or only its option if the module is missing.
  needed =
    module: option:
    if isListed module then
      { }
    else if exists "/nixos/modules/${module}" then
      nixpkgs + "/nixos/modules/${module}"
    else
      {
        options = lib.setAttrByPath option (
          lib.mkOption {
            type = lib.types.anything;
            default = { };
          }
        );
      };
  standIns = {
    imports = [
      (needed "virtualisation/hyperv-guest.nix" [ "virtualisation" "hypervGuest" ])
      (needed "services/networking/connman.nix" [ "services" "connman" ])
      (needed "virtualisation/qemu-guest-agent.nix" [ "services" "qemuGuest" ])
      (needed "tasks/filesystems/overlayfs.nix" [ "virtualisation" "overlayfs" ])
    ];
    config.documentation.nixos.enable = false;
  };

  nixos =
    system: configuration:
    import (nixpkgs + "/nixos/lib/eval-config.nix") {
      inherit system;
      modules = [
        ../../module.nix
        standIns
        configuration
        {
          nixpkgs = { inherit overlays; };
          boot.loader.grub.enable = false;
          fileSystems."/" = {
            device = "/dev/disk/by-label/NIXOS";
            fsType = "ext4";
          };
          system.stateVersion = lib.trivial.release;
        }
      ];
    };

  key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDPQXmEVMVLmeFRyafKMVWgPDkv8/uRBTwmcEDatZzMD";
  client = nixos "aarch64-linux" {
    programs.rebuild = {
      enable = true;
      evalHost = "builder";
      sshKey = "/root/.ssh/id_builder";
      sshPort = 2222;
      hostKey = key;
      replaceNixosRebuild = true;
      settings.verifyEval = true;
    };
  };
  builder = nixos "x86_64-linux" {
    services.rebuild-builder = {
      enable = true;
      authorizedKeys = [ "${key} root@pi" ];
      emulatedSystems = [
        "aarch64-linux"
        "x86_64-linux"
      ];
      clients.other = {
        authorizedKeys = [ "${key} root@other" ];
        maxCacheSize = "5G";
      };
      trusted = true;
      maxCacheSize = "20G";
      minFree = "5G";
      maxFree = "20G";
    };
  };

  failed =
    evaluated: map (a: a.message) (lib.filter (a: !a.assertion) evaluated.config.assertions) ++ evaluated.config.warnings;
  etc = client.config.environment.etc;
  programs = map lib.getName client.config.environment.systemPackages;
  there = builder.config;

  tests = {
    "the client has no failed assertion and no warning" = failed client == [ ];
    "the builder has no failed assertion and no warning" = failed builder == [ ];
    "the settings" = builtins.fromJSON etc."rebuild.json".text == {
      evalHost = "builder";
      verifyEval = true;
    };
    "ssh's configuration begins with the builder" =
      lib.hasPrefix "Host builder\n  Port 2222\n" etc."ssh/ssh_config".text
      && lib.hasInfix "\nHost *\n" etc."ssh/ssh_config".text;
    "the builder is a known host" = lib.hasInfix "builder ${key}\n" etc."ssh/ssh_known_hosts".text;
    "nixos-rebuild is this program's, and NixOS's own is left out where that can be" =
      builtins.elem "rebuild-as-nixos-rebuild" programs
      && !(
        client.options ? system.tools.nixos-rebuild
        && lib.any (name: builtins.elem name programs) [
          "nixos-rebuild"
          "nixos-rebuild-ng"
        ]
      );
    "the key is the user's" = builtins.elem "restrict,pty,port-forwarding ${key} root@pi" there.users.users.rebuild-builder.openssh.authorizedKeys.keys;
    "the user is a system user with a home" =
      there.users.users.rebuild-builder.isSystemUser && there.users.users.rebuild-builder.createHome;
    "sshd is open, and lets the user forward" =
      builtins.elem 22 there.networking.firewall.allowedTCPPorts
      && lib.hasInfix "Match User rebuild-builder,rebuild-other\n" there.services.openssh.extraConfig;
    "Nix knows the client's CPU, and the kernel has its emulator" =
      builtins.elem "aarch64-linux" there.nix.settings.extra-platforms
      && builtins.attrNames there.boot.binfmt.registrations == [ "aarch64-linux" ];
    "Nix's bounds, and its trusted users" =
      there.nix.settings.min-free == "5G"
      && there.nix.settings.max-free == "20G"
      && lib.unique there.nix.settings.trusted-users == [
        "root"
        "rebuild-builder"
      ];
    "a client has a user, a home and a bound of its own" =
      there.users.users.rebuild-other.openssh.authorizedKeys.keys == [ "restrict,pty,port-forwarding ${key} root@other" ]
      && there.users.users.rebuild-other.group == "rebuild-other"
      && there.users.users.rebuild-other.homeMode or "700" == "700"
      && lib.hasInfix "/var/lib/rebuild-other/.cache/rebuild 5G" there.systemd.units."rebuild-other-cache.service".text
      && there.systemd.units ? "rebuild-other-cache.timer";
    "a timer for the cache" =
      lib.hasInfix "OnCalendar=daily" there.systemd.units."rebuild-builder-cache.timer".text
      && lib.hasInfix "User=rebuild-builder" there.systemd.units."rebuild-builder-cache.service".text;
  };

  pkgs = import nixpkgs {
    inherit overlays;
    system = "x86_64-linux";
  };
in
{
  result = {
    passed = builtins.length (lib.filter (x: x) (builtins.attrValues tests));
    failures = builtins.attrNames (lib.filterAttrs (_: passed: !passed) tests);
  };

  # This is for instantiating it.
  package = import ../.. { inherit pkgs; };
  client = client.config.system.build.toplevel;
  builder = builder.config.system.build.toplevel;
  vm = (import ../vm-test { inherit pkgs; }).extend {
    modules = [ { defaults = standIns; } ];
  };
}
