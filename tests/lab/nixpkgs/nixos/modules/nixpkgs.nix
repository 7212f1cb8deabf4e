{ lib, ... }:
{
  options.nixpkgs = {
    system = lib.mkOption { type = lib.types.str; };
    hostPlatform = lib.mkOption {
      default = null;
      type = lib.types.nullOr (lib.types.anything // { name = "platform"; });
      # Accepts "aarch64-linux" and { system = "aarch64-linux"; }.
      apply = platform: if builtins.isAttrs platform then platform.system else platform;
    };
    config = lib.mkOption { default = { }; type = lib.types.attrs; };
    overlays = lib.mkOption { default = [ ]; };
  };
}
