{ config, lib, ... }:
{
  options.system = {
    stateVersion = lib.mkOption { default = lib.trivial.release; type = lib.types.str; };
    nixos.label = lib.mkOption { type = lib.types.str; };
    nixos.tags = lib.mkOption { default = [ ]; type = lib.types.listOf lib.types.str; };
    configurationRevision = lib.mkOption { default = null; };
    # As nixos-rebuild passes them for a configuration that is a git checkout.
    nixos.versionSuffix = lib.mkOption { default = lib.trivial.versionSuffix; type = lib.types.str; };
    nixos.revision = lib.mkOption { default = null; };
  };
  config.system.nixos.label = lib.mkDefault (lib.concatStringsSep "-"
    (config.system.nixos.tags ++ [ (lib.trivial.release + config.system.nixos.versionSuffix) ]));
}
