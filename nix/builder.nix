# The strong machine: users that the clients log in to, emulators for their CPUs, and limits for what is kept.
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
  ownUser = "rebuild-builder";

  clients = builtins.attrValues cfg.clients;
  # Clients that have users of their own leave one for all of them without a use.
  isShared = cfg.clients == { } || cfg.authorizedKeys != [ ] || cfg.user != ownUser;
  # Everybody who may come: a name, keys, whether Nix trusts it, a bound for the cache.
  logins =
    lib.optional isShared {
      inherit (cfg)
        user
        authorizedKeys
        trusted
        maxCacheSize
        ;
      cacheService = "rebuild-builder-cache";
    }
    ++ map (client: client // { cacheService = "${client.user}-cache"; }) clients;
  # The users that are made here.
  own = lib.optional (isShared && cfg.user == ownUser) ownUser ++ map (client: client.user) clients;

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
    login:
    let
      settings = config.nix.settings or { };
      user = config.users.users.${login.user} or { };
      groups = [ (user.group or "") ] ++ (user.extraGroups or [ ]);
      takesIn = word: word == "*" || word == login.user || builtins.elem word (map (group: "@${group}") groups);
    in
    login.trusted || builtins.any takesIn ((settings.allowed-users or [ "*" ]) ++ (settings.trusted-users or [ ]));

  mayLogIn = login: openssh.AllowUsers or null == null || builtins.elem login.user openssh.AllowUsers;

  # Other users may have keys elsewhere in the configuration.
  hasKey = login: login.authorizedKeys != [ ] || !builtins.elem login.user own;

  # Returns the users that the condition does not hold for, as words.
  without = condition: map (login: "\"${login.user}\"") (builtins.filter (login: !condition login) logins);
  forAll = text: users: lib.optional (users != [ ]) (text (lib.concatStringsSep ", " users));

  # A user's name has 31 characters at most.
  isName =
    name:
    builtins.match "[a-z0-9][a-z0-9_-]{0,22}" name != null
    && !builtins.elem "rebuild-${name}" [
      ownUser
      cfg.user
    ];

  keys = types.listOf (types.strMatching "[^\n]*[^[:space:]]");
  ofClient =
    { name, ... }:
    {
      options = {
        user = mkOption {
          type = types.str;
          default = "rebuild-${name}";
          readOnly = true;
          description = "The user that this client logs in as: its `sshUser`.";
        };

        authorizedKeys = mkOption {
          type = keys;
          default = [ ];
          example = [ "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDPQXmEVMVLmeFRyafKMVWgPDkv8/uRBTwmcEDatZzMD root@pi" ];
          description = "The public keys of this client, lines as in `authorized_keys`.";
        };

        maxCacheSize = mkOption {
          type = types.nullOr size;
          default = cfg.maxCacheSize;
          defaultText = lib.literalExpression "config.services.rebuild-builder.maxCacheSize";
          example = "20G";
          description = "How much this client's files may take here between runs.";
        };

        trusted = mkOption {
          type = types.bool;
          default = false;
          description = ''
            Whether this client is a trusted user of Nix, as `services.rebuild-builder.trusted` has it. All other clients
            must trust it then, because it can put any content under any name into the store that they share.
          '';
        };
      };
    };
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
      type = keys;
      default = [ ];
      example = [ "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDPQXmEVMVLmeFRyafKMVWgPDkv8/uRBTwmcEDatZzMD root@pi" ];
      description = ''
        The public keys of the clients' root, lines as in `authorized_keys`.

        All of them log in as the same user, so each client must trust the others: one of them could take the socket that
        another lends, or change the files that are kept for it, which is as much as root on that other client. Clients
        that do not trust each other so far belong into `clients`.
      '';
    };

    clients = mkOption {
      type = types.attrsOf (types.submodule ofClient);
      default = { };
      example = lib.literalExpression ''
        {
          pi.authorizedKeys = [ "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDPQXmEVMVLmeFRyafKMVWgPDkv8/uRBTwmcEDatZzMD root@pi" ];
          phone = {
            authorizedKeys = [ "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGc2WqOqyY1Qz3Gqk4wIJ0aYmI5pYkzMZb0Yyq1n0w5d root@phone" ];
            maxCacheSize = "5G";
          };
        }
      '';
      description = ''
        Clients that need not trust each other. Each logs in as a user of its own, `rebuild-NAME` (the client's
        `programs.rebuild.sshUser`), with a home that nobody else may read: a client cannot take another one's socket, and
        neither reads nor changes what is kept for it. One that came as `rebuild-builder` before sends everything once more;
        what was kept for it in /var/lib/rebuild-builder is taken away when others come there, or by hand.

        They still share the store, where everybody reads everything (the files of configurations that were evaluated, what
        was built, logs of builds), and this machine's CPU, memory and disk. A trusted user of Nix is trusted by all.
      '';
    };

    restrictKeys = mkOption {
      type = types.bool;
      default = true;
      description = ''
        Whether all clients' keys are for nothing but commands, a terminal, and what is forwarded to here: no X11, no agent, and,
        for the users that are made here, no connections from here on. The commands cannot be restricted, because they are
        what the clients send.
      '';
    };

    trusted = mkOption {
      type = types.bool;
      default = false;
      description = ''
        Whether the user of `authorizedKeys` is a trusted user of Nix. It is not needed for the usual run: what is evaluated is only read, and
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
        How much the clients' files may take here between runs: their configurations and package collections, and Nix's
        downloads for them. The clients of `authorizedKeys` have this much together, and each of `clients` has it alone,
        unless it says otherwise. Looked at once a day; what was used longest ago goes first, and is sent
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
        {
          assertion = isShared || !cfg.trusted;
          message = "services.rebuild-builder.trusted is for the user of authorizedKeys, which has no key: set clients.NAME.trusted.";
        }
      ]
      ++ map (name: {
        assertion = isName name;
        message = "services.rebuild-builder.clients.\"${name}\": no client can have this name. Take small letters, digits, - and _, 23 at most, and no name that makes rebuild-NAME the user of all others.";
      }) (builtins.attrNames cfg.clients);
      warnings =
        forAll (users: ''
          services.rebuild-builder: no client can log in as ${users}. Put the public key of its root into services.rebuild-builder.authorizedKeys, or into authorizedKeys of services.rebuild-builder.clients.NAME.
        '') (without hasKey)
        ++ forAll (users: ''
          services.rebuild-builder: sshd lets only the users of services.openssh.settings.AllowUsers in. Add ${users} there.
        '') (without mayLogIn)
        ++ forAll (users: ''
          services.rebuild-builder: Nix's daemon lets only nix.settings.allowed-users in. Add ${users} there.
        '') (without mayUseNix)
        ++ lib.optional (!(config.security.allowUserNamespaces or true)) ''
          services.rebuild-builder: security.allowUserNamespaces is off. This machine can then only build; clients evaluate for themselves.
        '';

      services.openssh = {
        enable = true;
        openFirewall = lib.mkDefault cfg.openFirewall;
      };

      users.users = builtins.listToAttrs (
        map (login: {
          name = login.user;
          value.openssh.authorizedKeys.keys =
            if cfg.restrictKeys then map restricted login.authorizedKeys else login.authorizedKeys;
        }) logins
      );

      boot.binfmt.emulatedSystems = builtins.filter (
        system: system != pkgs.stdenv.hostPlatform.system
      ) cfg.emulatedSystems;

      # Nix needs git for flakes and for inputs in git. Any other git of this machine takes precedence.
      environment.systemPackages = [ (lib.lowPrio pkgs.gitMinimal) ];
    }

    (mkIf (own != [ ]) {
      # This holds even if the rest of the configuration forbids it to everybody. sshd does not bring a socket to this
      # machine unless it would also bring a TCP port; "remote" opens no way into this machine's network. A client that
      # is silent for a minute counts as gone, and what it had begun here ends: otherwise sshd waits for hours. The last
      # line ends the block.
      services.openssh.extraConfig = ''
        Match User ${lib.concatStringsSep "," own}
          DisableForwarding no
          AllowStreamLocalForwarding yes
          AllowTcpForwarding ${if cfg.restrictKeys then "remote" else "yes"}
          ClientAliveInterval 15
          ClientAliveCountMax 4
        Match All
      '';

      users.users = lib.genAttrs own (user: {
        isSystemUser = true;
        group = user;
        description = "Evaluates and builds for clients of rebuild";
        # Its mode is 700: nobody else reads what a client has sent.
        home = "/var/lib/${user}";
        createHome = true;
        # ssh runs commands by this login shell.
        shell = "/bin/sh";
      });
      users.groups = lib.genAttrs own (_: { });
    })

    (mkIf (builtins.any (login: login.trusted) logins) {
      # Root is named here because a definition would otherwise remove root in some releases.
      nix.settings.trusted-users = [
        "root"
      ]
      ++ map (login: login.user) (builtins.filter (login: login.trusted) logins);
    })

    (mkIf (cfg.minFree != null) { nix.settings.min-free = cfg.minFree; })
    (mkIf (cfg.maxFree != null) { nix.settings.max-free = cfg.maxFree; })

    {
      systemd.services = builtins.listToAttrs (
        map (login: {
          name = login.cacheService;
          value = {
            description = "Forget what clients of rebuild have not used for long";
            startAt = "daily";
            path = [
              pkgs.gawk
              pkgs.util-linux
            ];
            serviceConfig = {
              Type = "oneshot";
              User = login.user;
              ExecStart = "/bin/sh ${./forget-cache.sh} ${
                config.users.users.${login.user}.home
              }/.cache/rebuild ${login.maxCacheSize}";
            };
          };
        }) (builtins.filter (login: login.maxCacheSize != null) logins)
      );
    }
  ]);
}
