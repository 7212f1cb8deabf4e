# The strong machine: a user that the clients log in to, emulators for their CPUs, and limits for what is kept.
#
# It needs nothing of the program, and no experimental feature of Nix: a client brings everything.
{
  config,
  lib,
  pkgs,
  ...
}:

let
  inherit (lib)
    mkIf
    mkMerge
    mkOption
    types
    ;

  cfg = config.services.rebuild-builder;
  user = config.users.users.${cfg.user};
  ownUser = "rebuild-builder";

  # Forwarding is allowed, because the result goes to the client through a socket that ssh brings to this machine. The
  # pty is for people who log in to look around.
  restrictions = "restrict,pty,port-forwarding";
  # A key may be preceded by options of its own.
  restricted =
    key:
    if builtins.match "(ssh|ecdsa|sk)-.*" key != null then
      "${restrictions} ${key}"
    else
      "${restrictions},${key}";

  # A size as Nix and numfmt write it: 1024 is 1K.
  size = types.strMatching "[1-9][0-9]*[KMGT]";

  # If AllowUsers is null, every user may log in.
  openssh = config.services.openssh.settings;
  # The daemon's settings are read as Nix's daemon reads them. A trusted user is let in as well.
  mayUseNix =
    let
      settings = config.nix.settings or { };
      user = config.users.users.${cfg.user} or { };
      groups = [ (user.group or "") ] ++ (user.extraGroups or [ ]);
      takesIn = word: word == "*" || word == cfg.user || builtins.elem word (map (group: "@${group}") groups);
    in
    cfg.trusted || builtins.any takesIn ((settings.allowed-users or [ "*" ]) ++ (settings.trusted-users or [ ]));

  mayLogIn = openssh.AllowUsers or null == null || builtins.elem cfg.user openssh.AllowUsers;
in
{
  options.services.rebuild-builder = {
    enable = lib.mkEnableOption "what `rebuild --eval-on` needs on the machine that evaluates and builds";

    user = mkOption {
      type = types.strMatching "[a-z_][a-z0-9_-]*";
      default = ownUser;
      description = ''
        The user that clients log in as. One of another name than `rebuild-builder` is not made here: it must be one of the
        configuration's `users.users`, and sshd must let it forward sockets, which is its default.
      '';
    };

    authorizedKeys = mkOption {
      type = types.listOf (types.strMatching "[^\n]*[^[:space:]]");
      default = [ ];
      example = [ "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDPQXmEVMVLmeFRyafKMVWgPDkv8/uRBTwmcEDatZzMD root@pi" ];
      description = ''
        The public keys of the clients' root, lines as in `authorized_keys`.

        All of them log in as the same user, so each client must trust the others: one of them could take the socket that
        another lends, or change the files that are kept for it, which is as much as root on that other client. A client
        that is not to be trusted so far needs a user of its own: this module makes only one, so add that user to
        `users.users` by hand, with the client's key.
      '';
    };

    restrictKeys = mkOption {
      type = types.bool;
      default = true;
      description = ''
        Whether these keys are for nothing but commands, a terminal, and what is forwarded to here: no X11, no agent, and,
        for the user that is made here, no connections from here on. The commands cannot be restricted, because they are
        what the clients send.
      '';
    };

    trusted = mkOption {
      type = types.bool;
      default = false;
      description = ''
        Whether the user is a trusted user of Nix. It is not needed for the usual run: what is evaluated is only read, and
        what is built is built by this machine. It is for clients whose CPU Nix here does not know of (`emulatedSystems`
        is the better way), and for store paths that only the client has and that nobody has signed.

        A trusted user can put any content under any name into this machine's store, which is as much as root.
      '';
    };

    emulatedSystems = mkOption {
      type = types.listOf types.str;
      default = [ ];
      example = [ "aarch64-linux" ];
      description = ''
        The clients' systems. Those that are not this machine's own are emulated: `boot.binfmt.emulatedSystems`, which
        also tells Nix.
      '';
    };

    openFirewall = mkOption {
      type = types.bool;
      default = true;
      description = "Whether sshd's ports are open: `services.openssh.openFirewall`, unless that is set.";
    };

    maxCacheSize = mkOption {
      type = types.nullOr size;
      default = null;
      example = "20G";
      description = ''
        How much the clients' files may take here between runs, of all clients together: their configurations and package
        collections, and Nix's downloads for them. Looked at once a day; what was used longest ago goes first, and is sent
        again when it is needed. Without it there are the program's own bounds, for each client about 12 GiB.

        It is not about the store: for that there are `minFree`, `maxFree` and `nix.gc`.
      '';
    };

    minFree = mkOption {
      type = types.nullOr size;
      default = null;
      example = "5G";
      description = "Nix collects garbage during a build when less than this is free: `nix.settings.min-free`.";
    };

    maxFree = mkOption {
      type = types.nullOr size;
      default = null;
      example = "20G";
      description = "... and stops when this much is free: `nix.settings.max-free`.";
    };
  };

  config = mkIf cfg.enable (mkMerge [
    {
      assertions = [
        {
          assertion = cfg.maxFree == null || cfg.minFree != null;
          message = "services.rebuild-builder.maxFree has no meaning without minFree: set both.";
        }
      ];
      warnings =
        lib.optional (cfg.authorizedKeys == [ ] && cfg.user == ownUser) ''
          services.rebuild-builder: no client can log in. Put the public key of its root into services.rebuild-builder.authorizedKeys.
        ''
        ++ lib.optional (!mayLogIn) ''
          services.rebuild-builder: sshd lets only the users of services.openssh.settings.AllowUsers in. Add "${cfg.user}" there.
        ''
        ++ lib.optional (!mayUseNix) ''
          services.rebuild-builder: Nix's daemon lets only nix.settings.allowed-users in. Add "${cfg.user}" there.
        ''
        ++ lib.optional (!(config.security.allowUserNamespaces or true)) ''
          services.rebuild-builder: security.allowUserNamespaces is off. This machine can then only build; clients evaluate for themselves.
        '';

      services.openssh = {
        enable = true;
        openFirewall = lib.mkDefault cfg.openFirewall;
      };

      users.users.${cfg.user}.openssh.authorizedKeys.keys =
        if cfg.restrictKeys then map restricted cfg.authorizedKeys else cfg.authorizedKeys;

      boot.binfmt.emulatedSystems = builtins.filter (
        system: system != pkgs.stdenv.hostPlatform.system
      ) cfg.emulatedSystems;

      # Nix needs git for flakes and for inputs in git. Any other git of this machine takes precedence.
      environment.systemPackages = [ (lib.lowPrio pkgs.gitMinimal) ];
    }

    (mkIf (cfg.user == ownUser) {
      # This holds even if the rest of the configuration forbids it to everybody. sshd does not bring a socket to this
      # machine unless it would also bring a TCP port; "remote" opens no way into this machine's network. A client that
      # is silent for a minute counts as gone, and what it had begun here ends: otherwise sshd waits for hours. The last
      # line ends the block.
      services.openssh.extraConfig = ''
        Match User ${ownUser}
          DisableForwarding no
          AllowStreamLocalForwarding yes
          AllowTcpForwarding ${if cfg.restrictKeys then "remote" else "yes"}
          ClientAliveInterval 15
          ClientAliveCountMax 4
        Match All
      '';

      users.users.${ownUser} = {
        isSystemUser = true;
        group = ownUser;
        description = "Evaluates and builds for clients of rebuild";
        home = "/var/lib/${ownUser}";
        createHome = true;
        # ssh runs commands by this login shell.
        shell = "/bin/sh";
      };
      users.groups.${ownUser} = { };
    })

    (mkIf cfg.trusted {
      # Root is named here because a definition would otherwise remove root in some releases.
      nix.settings.trusted-users = [
        "root"
        cfg.user
      ];
    })

    (mkIf (cfg.minFree != null) { nix.settings.min-free = cfg.minFree; })
    (mkIf (cfg.maxFree != null) { nix.settings.max-free = cfg.maxFree; })

    (mkIf (cfg.maxCacheSize != null) {
      systemd.services.rebuild-builder-cache = {
        description = "Forget what clients of rebuild have not used for long";
        startAt = "daily";
        path = [
          pkgs.gawk
          pkgs.util-linux
        ];
        serviceConfig = {
          Type = "oneshot";
          User = cfg.user;
          ExecStart = "/bin/sh ${./forget-cache.sh} ${user.home}/.cache/rebuild ${cfg.maxCacheSize}";
        };
      };
    })
  ]);
}
