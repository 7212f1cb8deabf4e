# As many of NixOS's options as the two modules set, without any effect: so the modules can be evaluated with a library
# alone.
#
# `hasTools` says whether there is system.tools (NixOS 24.11).
hasTools:
{ lib, ... }:
let
  inherit (lib) mkOption types;
  option = type: default: mkOption { inherit type default; };
  list = option (types.listOf types.anything) [ ];
  set = option (types.attrsOf types.anything) { };
  text = option types.lines "";
in
{
  options = {
    assertions = list;
    warnings = list;
    boot.binfmt.emulatedSystems = option (types.listOf types.str) [ ];
    environment.systemPackages = option (types.listOf types.package) [ ];
    environment.etc = set;
    environment.pathsToLink = option (types.listOf types.str) [ ];
    nix.settings = set;
    programs.ssh.extraConfig = text;
    programs.ssh.knownHosts = set;
    security.allowUserNamespaces = option types.bool true;
    services.openssh = {
      enable = option types.bool false;
      openFirewall = option types.bool true;
      settings = set;
      extraConfig = text;
    };
    systemd.services = set;
    users.users = set;
    users.groups = set;
    system = {
      autoUpgrade.enable = option types.bool false;
      build = option (types.attrsOf types.package) { };
    }
    // lib.optionalAttrs hasTools {
      tools.nixos-rebuild.enable = option types.bool true;
    };
  };
}
