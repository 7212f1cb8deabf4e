# environment.etc.NAME.{text,source,enable}: one derivation for each text, one directory of links.
{ config, lib, pkgs, ... }:
let
  files = lib.filterAttrs (_: file: file.enable or true) config.environment.etc;
  flat = name: lib.replaceStrings [ "/" ] [ "-" ] name;
  source = name: file: file.source or (pkgs.writeText "etc-${flat name}" file.text);
in
{
  options.environment.etc = lib.mkOption { default = { }; type = lib.types.attrs; };
  options.networking.hostName = lib.mkOption { default = "nixos"; type = lib.types.str; };
  options.time.timeZone = lib.mkOption { default = null; };
  options.users.users = lib.mkOption { default = { }; type = lib.types.attrs; };
  options.services = lib.mkOption { default = { }; type = lib.types.attrs; };
  options.system.build.etc = lib.mkOption { };

  config.environment.etc.hostname.text = lib.mkDefault "${config.networking.hostName}\n";
  config.system.build.etc = pkgs.run "etc"
    {
      targets = builtins.attrNames files;
      sources = lib.mapAttrsToList source files;
    } ''
    mkdir -p "$out/etc"
    set -- $sources
    for target in $targets; do
      case $target in */*) mkdir -p "$out/etc/''${target%/*}" ;; esac
      ln -s "$1" "$out/etc/$target"
      shift
    done
  '';
}
