{ config, lib, pkgs, ... }:
{
  options.environment.systemPackages = lib.mkOption { default = [ ]; type = lib.types.listOf lib.types.package; };
  options.system.path = lib.mkOption { };

  config.environment.systemPackages = [
    pkgs.hello
    (pkgs.writeProgram "nixos-version" ''echo "${config.system.nixos.label} (Miniature)"'')
  ];
  config.system.path = pkgs.buildEnv "system-path" config.environment.systemPackages;
}
