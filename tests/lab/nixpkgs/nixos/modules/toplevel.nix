# config.system.build.toplevel: the directory that is "the system", laid out as in NixOS.
{ config, lib, pkgs, ... }:
let
  specialisations = config.system.build.specialisations;
in
{
  options.system.build.toplevel = lib.mkOption { };
  options.system.extraSystemBuilderCmds = lib.mkOption { default = ""; type = lib.types.lines; };
  options.assertions = lib.mkOption { default = [ ]; };

  config.system.build.toplevel =
    let failed = builtins.filter (a: !a.assertion) config.assertions; in
    if failed != [ ] then
      throw "\nFailed assertions:\n${lib.concatMapStringsSep "\n" (a: "- ${a.message}") failed}"
    else
      pkgs.run "nixos-system-${config.networking.hostName}-${config.system.nixos.label}"
        {
          inherit (config.system.build) etc;
          initrd = config.system.build.initialRamdisk;
          inherit (config.system) path;
          inherit (config.system.nixos) label;
          inherit (config.boot.kernelPackages) kernel;
          inherit (config.lab) parts;
          kernelParams = config.boot.kernelParams;
          specialisationNames = builtins.attrNames specialisations;
          specialisationPaths = builtins.attrValues specialisations;
          switch = builtins.readFile ./switch-to-configuration.sh;
          passAsFile = [ "switch" ];
        } ''
        mkdir -p "$out/bin" "$out/specialisation"
        printf %s "$label" > "$out/nixos-version"
        printf %s "$system" > "$out/system"
        printf %s "$kernelParams" > "$out/kernel-params"
        ln -s "$etc/etc" "$out/etc"
        ln -s "$path" "$out/sw"
        ln -s "$kernel" "$out/kernel-modules"
        ln -s "$kernel/Image" "$out/kernel"
        ln -s "$initrd/initrd" "$out/initrd"
        printf '#!%s sh\n' "$builder" > "$out/init"
        chmod 755 "$out/init"

        if [ -n "$parts" ]; then
          mkdir "$out/lab"
          for part in $parts; do ln -s "$part" "$out/lab/"; done
        fi

        set -- $specialisationPaths
        for name in $specialisationNames; do
          ln -s "$1" "$out/specialisation/$name"
          shift
        done

        { echo "#!$builder sh"; sed -e "s|@out@|$out|g" -e "s|@busybox@|$builder|g" "$switchPath"; } \
          > "$out/bin/switch-to-configuration"
        chmod 755 "$out/bin/switch-to-configuration"
      '';
}
