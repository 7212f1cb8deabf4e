{ config, lib, pkgs, ... }:
let
  inherit (config.system) configurationRevision;
  version = config.system.nixos.label;
  json = builtins.toJSON ({ nixosVersion = version; }
    // lib.optionalAttrs (configurationRevision != null) { inherit configurationRevision; });
  # A test of what was not said: `@` is in no revision, as in the real one.
  revision = if configurationRevision == null then "@unknown@" else configurationRevision;
in
{
  options.environment.systemPackages = lib.mkOption { default = [ ]; type = lib.types.listOf lib.types.package; };
  options.system.path = lib.mkOption { };

  config.environment.systemPackages = [
    pkgs.hello
    (pkgs.writeProgram "nixos-version" ''
      case ''${1-} in
      --configuration-revision)
        case '${revision}' in *@*)
          echo "$0: configuration revision is unknown" >&2
          exit 1
          ;;
        esac
        echo '${revision}'
        ;;
      --json) echo '${json}' ;;
      *) echo '${version} (Miniature)' ;;
      esac
    '')
  ];
  config.system.path = pkgs.buildEnv "system-path" config.environment.systemPackages;
}
