{ config, lib, pkgs, ... }:
{
  options.boot = {
    kernelVersion = lib.mkOption { default = "6.6.0"; type = lib.types.str; };
    kernelPackages = lib.mkOption { };
    kernelModules = lib.mkOption { default = [ ]; type = lib.types.listOf lib.types.str; };
    kernelParams = lib.mkOption { default = [ ]; type = lib.types.listOf lib.types.str; };
    loader = lib.mkOption { default = { }; type = lib.types.attrs; };
    initrd = lib.mkOption { default = { }; type = lib.types.attrs; };
  };
  options.fileSystems = lib.mkOption { default = { }; type = lib.types.attrs; };
  options.swapDevices = lib.mkOption { default = [ ]; };
  options.hardware = lib.mkOption { default = { }; type = lib.types.attrs; };

  options.system.build.initialRamdisk = lib.mkOption { };

  config.boot.kernelPackages = lib.mkDefault { kernel = pkgs.linux config.boot.kernelVersion; };
  config.system.build.initialRamdisk = pkgs.run "initrd-linux-${config.boot.kernelVersion}"
    {
      inherit (config.boot.kernelPackages) kernel;
      settings = builtins.toJSON config.boot.initrd;
    } ''
    mkdir "$out"
    echo "$kernel $settings" > "$out/initrd"
  '';
}
