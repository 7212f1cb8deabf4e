# Edit this configuration file to define what should be installed on your system.
{ config, lib, pkgs, ... }:

{
  imports = [ ./hardware-configuration.nix ];

  networking.hostName = "@host@";

  environment.etc."motd".text = "Welcome to ${config.networking.hostName}.\n";

  environment.systemPackages = [
    (pkgs.writeProgram "cow" ''echo moo'')
  ];

  system.stateVersion = "25.05";
}
