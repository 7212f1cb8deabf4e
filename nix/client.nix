# The weak machine: the program, its settings, and the way by which root's ssh reaches the builder.
{
  config,
  lib,
  options,
  pkgs,
  ...
}:

let
  inherit (lib)
    mkDefault
    mkIf
    mkMerge
    mkOption
    types
    ;

  cfg = config.programs.rebuild;
  settings = lib.filterAttrs (_: value: value != null) cfg.settings;

  # The host that the ssh entry is for. If another machine builds, that machine needs an entry of its own.
  hosts = if cfg.settings.evalHost != null then cfg.settings.evalHost else cfg.settings.buildHost;
  # Of a list, it is for the first.
  host = if builtins.isList hosts then builtins.head hosts else hosts;
  isPlainName = host != null && builtins.match "[A-Za-z0-9_.-]+" host != null;

  sshOptions = {
    inherit (cfg)
      sshKey
      sshHostName
      sshPort
      sshUser
      hostKey
      ;
  };
  sshOptionsGiven = builtins.attrNames (lib.filterAttrs (_: value: value != null) sshOptions);
  hasEntry = sshOptionsGiven != [ ] && isPlainName;

  isRootsKey = cfg.sshKey != null && lib.hasPrefix "/root/" cfg.sshKey;
  identity = line "IdentityFile" (if cfg.sshKey == null then null else "\"${cfg.sshKey}\"");

  line = keyword: value: lib.optional (value != null) "  ${keyword} ${toString value}";
  # The entry comes before everything else: ssh takes the first value that it finds, so an entry for one host must come
  # before those for all hosts. The last line makes the text after this entry apply to all hosts again.
  sshEntry = lib.concatStringsSep "\n" (
    [ "Host ${host}" ]
    ++ line "HostName" cfg.sshHostName
    ++ line "Port" cfg.sshPort
    ++ line "User" cfg.sshUser
    ++ lib.optionals (!isRootsKey) identity
    # With this the key is found whatever address or port the host has.
    ++ line "HostKeyAlias" (if cfg.hostKey == null then null else host)
    # This is not for other users: they may not read root's key, and would be left without any key.
    ++ lib.optionals (cfg.sshKey != null) (
      [ "Match originalhost ${host} localuser root" ] ++ lib.optionals isRootsKey identity ++ [ "  IdentitiesOnly yes" ]
    )
    ++ [ "Host *" ]
  );

  # Makes `nixos-rebuild` this program, with its manual and completions. zsh's completion already serves both names.
  asNixosRebuild = pkgs.runCommand "rebuild-as-nixos-rebuild" { } ''
    share=${cfg.package}/share
    mkdir -p $out/bin $out/share/man/man8 $out/share/bash-completion/completions $out/share/fish/vendor_completions.d
    ln -s ${cfg.package}/bin/rebuild $out/bin/nixos-rebuild
    for manual in $share/man/man8/rebuild.8*; do
      ln -s $manual $out/share/man/man8/nixos-''${manual##*/}
    done
    ln -s $share/bash-completion/completions/rebuild.bash $out/share/bash-completion/completions/nixos-rebuild
    echo 'complete -c nixos-rebuild -w rebuild' > $out/share/fish/vendor_completions.d/nixos-rebuild.fish
  '';
in
{
  options.programs.rebuild = {
    enable = lib.mkEnableOption "rebuild, which lets a stronger machine evaluate and build this machine's system";

    package = mkOption {
      type = types.package;
      default = pkgs.callPackage ../package.nix { };
      defaultText = "pkgs.callPackage ./package.nix { }";
      description = "The package of the program.";
    };

    replaceNixosRebuild = mkOption {
      type = types.bool;
      default = false;
      description = ''
        Whether `nixos-rebuild` is this program: the command, and what NixOS itself starts (`system.autoUpgrade`). So its
        timer upgrades through `evalHost`.
      '';
    };

    evalHost = mkOption {
      type = types.nullOr (types.either types.str (types.nonEmptyListOf types.str));
      default = null;
      example = "builder";
      description = ''
        The machine that evaluates and, unless `buildHost` names another, builds. Of a list, it is the first that answers.
        The same as `settings.evalHost`.
      '';
    };

    buildHost = mkOption {
      type = types.nullOr (types.either types.str (types.nonEmptyListOf types.str));
      default = null;
      example = "builder";
      description = "The machine that builds; of a list, the first that answers. The same as `settings.buildHost`.";
    };

    sshKey = mkOption {
      # The type is not `path`: a path that is written as such would be copied to the store, where everybody can read
      # it.
      type = types.nullOr (types.strMatching "[/~][^\"\n]*");
      default = null;
      example = "/root/.ssh/id_ed25519";
      description = ''
        The file of the private key for the connection to `evalHost`, or its first (or to `buildHost`, if that alone is
        set; other machines need an entry of their own in `programs.ssh.extraConfig`). It must be
        there already, outside the store, readable by whoever calls the program and without a passphrase.
      '';
    };

    sshHostName = mkOption {
      type = types.nullOr (types.strMatching "[^[:space:]\"]+");
      default = null;
      example = "192.0.2.7";
      description = "The host's address, if its name is not one that can be resolved.";
    };

    sshPort = mkOption {
      type = types.nullOr types.port;
      default = null;
      example = 2222;
      description = "The port of the host's sshd.";
    };

    sshUser = mkOption {
      type = types.nullOr (types.strMatching "[^[:space:]\"@]+");
      default = null;
      example = "rebuild-builder";
      description = "The user there. `services.rebuild-builder` makes `rebuild-builder`, and `rebuild-NAME` for each of its `clients`.";
    };

    hostKey = mkOption {
      type = types.nullOr (types.strMatching "[a-z0-9@.-]+ [A-Za-z0-9+/=]+( [^\n]*)?");
      default = null;
      example = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDPQXmEVMVLmeFRyafKMVWgPDkv8/uRBTwmcEDatZzMD";
      description = ''
        The host's public key, as in its /etc/ssh/ssh_host_ed25519_key.pub. With it the first connection asks nothing.
      '';
    };

    settings = import ./settings.nix { inherit lib; };
  };

  config = mkIf cfg.enable (mkMerge [
    {
      assertions = [
        {
          assertion = sshOptionsGiven == [ ] || host != null;
          message = ''
            programs.rebuild: ${lib.concatStringsSep ", " sshOptionsGiven} would have no host to be for.
            Set programs.rebuild.evalHost, to the name of the machine that evaluates and builds.
          '';
        }
        {
          assertion = sshOptionsGiven == [ ] || host == null || isPlainName;
          message = ''
            programs.rebuild: "${toString host}" is more than a host's name, so that ${lib.concatStringsSep ", " sshOptionsGiven} cannot be set for it.
            Set the name alone, and beside it programs.rebuild.sshUser, sshPort and sshHostName.
          '';
        }
        {
          assertion = cfg.sshKey == null || !lib.hasPrefix builtins.storeDir cfg.sshKey;
          message = ''
            programs.rebuild.sshKey is in the Nix store, where every user can read it.
            Put the private key elsewhere, and name that file as a string.
          '';
        }
      ];

      warnings = lib.optional (isRootsKey && !(builtins.elem cfg.settings.elevate [ null "none" ])) ''
        programs.rebuild: with settings.elevate users connect as themselves, but only root can read ${cfg.sshKey}. They need a
        key of their own for the host, or write `sudo rebuild`.
      '';

      environment.systemPackages = [ cfg.package ];
      # These are completions for shells that NixOS does not know.
      environment.pathsToLink = [
        "/share/elvish"
        "/share/nushell"
      ];

      programs.rebuild.settings = {
        evalHost = mkIf (cfg.evalHost != null) (mkDefault cfg.evalHost);
        buildHost = mkIf (cfg.buildHost != null) (mkDefault cfg.buildHost);
      };
    }

    (mkIf (settings != { }) {
      environment.etc."rebuild.json".text = builtins.toJSON settings + "\n";
    })

    (mkIf hasEntry {
      programs.ssh.extraConfig = lib.mkBefore sshEntry;
    })

    (mkIf (hasEntry && cfg.hostKey != null) {
      programs.ssh.knownHosts.rebuild-builder = {
        hostNames = [ host ];
        publicKey = cfg.hostKey;
      };
    })

    (mkIf cfg.replaceNixosRebuild (mkMerge [
      {
        # NixOS before 24.11 always brings its own nixos-rebuild; the stronger priority wins in the system's profile.
        environment.systemPackages = [ (lib.hiPrio asNixosRebuild) ];
        # This is what system.autoUpgrade starts. It is stronger than NixOS's own definition, and weaker than a user's
        # mkForce.
        system.build.nixos-rebuild = lib.mkOverride 90 asNixosRebuild;
      }
      (mkIf (config.system.autoUpgrade.enable or false) {
        # That unit has a few programs for NixOS's own: not ssh in every release, and not util-linux.
        systemd.services.nixos-upgrade.path = [ "/run/current-system/sw" ];
      })
      (lib.optionalAttrs (options ? system.tools.nixos-rebuild) {
        system.tools.nixos-rebuild.enable = mkDefault false;
      })
    ]))
  ]);
}
