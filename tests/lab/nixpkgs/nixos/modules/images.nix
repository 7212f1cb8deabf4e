# config.system.build.{vm,vmWithBootLoader,images.VARIANT}: what can be built of a configuration besides the system itself.
{ config, lib, pkgs, ... }:
let
  inherit (config.system.build) toplevel;
  inherit (config.networking) hostName;

  vm = name: how: pkgs.run name { inherit toplevel hostName how; } ''
    mkdir -p "$out/bin"
    ln -s "$toplevel" "$out/system"
    { echo "#!$builder sh"; echo "echo would start a virtual machine of $toplevel $how"; } > "$out/bin/run-$hostName-vm"
    chmod 755 "$out/bin/run-$hostName-vm"
  '';

  # As the real one's: filePath is known without building, from the value beside the derivation.
  image = variant: filePath:
    let
      built = pkgs.run "nixos-image-${variant}" { inherit toplevel filePath; } ''
        mkdir -p "$(dirname "$out/$filePath")"
        echo "an image of $toplevel" > "$out/$filePath"
      '';
    in
    built // { inherit filePath; passthru = { inherit filePath; }; };
in
{
  options.system.build = {
    vm = lib.mkOption { };
    vmWithBootLoader = lib.mkOption { };
    images = lib.mkOption { };
  };

  config.system.build = {
    vm = vm "nixos-vm" "from its kernel";
    vmWithBootLoader = vm "nixos-vm-with-boot-loader" "from its disk";
    images = {
      raw = image "raw" "nixos.img";
      iso-image = image "iso" "iso/nixos.iso";
    };
  };
}
