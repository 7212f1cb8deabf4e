# Tests what the two modules make of their options: { passed = NUMBER; failures = [ TEXT... ]; }
#
# It works with nixpkgs' library of any release, or with the miniature's in tests/lab. Nothing is built.
{
  lib,
}:

let
  package = name: {
    inherit name;
    type = "derivation";
    outPath = "/nix/store/00000000000000000000000000000000-${name}";
  };
  rebuild = package "rebuild";

  pkgs = {
    callPackage = _: _: rebuild;
    runCommand =
      name: _: script:
      package name // { inherit script; };
    stdenv.hostPlatform.system = "x86_64-linux";
  }
  // lib.listToAttrs (
    map (name: lib.nameValuePair name (package name)) [
      "coreutils"
      "findutils"
      "gawk"
      "gitMinimal"
      "util-linux"
    ]
  );

  with' =
    { hasTools ? true }:
    configuration:
    (lib.evalModules {
      modules = [
        (import ./nixos-options.nix hasTools)
        ../../module.nix
        configuration
      ];
      specialArgs = { inherit pkgs lib; };
    }).config;
  evaluated = with' { };

  client = settings: evaluated { programs.rebuild = { enable = true; } // settings; };
  builder = settings: evaluated { services.rebuild-builder = { enable = true; } // settings; };

  failed = config: map (a: a.message) (lib.filter (a: !a.assertion) config.assertions);
  json = config: builtins.fromJSON config.environment.etc."rebuild.json".text;
  names = packages: map (p: p.name) packages;
  # The words of an error are the library's; only the fact that it is an error is tested.
  isRefused = value: !(builtins.tryEval (builtins.deepSeq value true)).success;
  contains = part: text: builtins.length (builtins.split part text) > 1;
  holds = condition: {
    expected = true;
    actual = condition;
  };

  key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDPQXmEVMVLmeFRyafKMVWgPDkv8/uRBTwmcEDatZzMD";

  full = client {
    evalHost = "builder";
    sshKey = "/root/.ssh/id_builder";
    sshHostName = "192.0.2.7";
    sshPort = 2222;
    sshUser = "rebuild-builder";
    hostKey = key;
  };

  tests = {
    "modules that are not enabled set nothing" =
      let
        config = evaluated { };
      in
      {
        actual = {
          inherit (config) assertions warnings users;
          inherit (config.environment) etc systemPackages;
          inherit (config.programs.ssh) extraConfig knownHosts;
          sshd = config.services.openssh.enable;
          services = config.systemd.services;
        };
        expected = {
          assertions = [ ];
          warnings = [ ];
          users = {
            users = { };
            groups = { };
          };
          etc = { };
          systemPackages = [ ];
          extraConfig = "";
          knownHosts = { };
          sshd = false;
          services = { };
        };
      };

    "only what is set is written" = {
      actual = json (client {
        evalHost = "builder";
      });
      expected.evalHost = "builder";
    };

    "several hosts are a list, and the ssh entry is for the first" =
      let
        config = client {
          evalHost = [
            "desktop"
            "laptop"
          ];
          sshUser = "me";
          settings.wake = "wakeonlan x";
          settings.wakeTimeout = 90;
        };
      in
      {
        actual = {
          json = json config;
          entry = config.programs.ssh.extraConfig;
        };
        expected = {
          json = {
            evalHost = [
              "desktop"
              "laptop"
            ];
            wake = "wakeonlan x";
            wakeTimeout = 90;
          };
          entry = "Host desktop\n  User me\nHost *";
        };
      };

    "without settings there is no file" = {
      actual = (client { }).environment.etc;
      expected = { };
    };

    "every setting is written by its name" = {
      actual = json (client {
        buildHost = "strong";
        settings = {
          evalHost = "builder";
          fallback = "local";
          wake = "wakeonlan x";
          wakeTimeout = 90;
          reconnectTimeout = 0;
          unattendedTimeout = 604800;
          releaseSite = "";
          lend = false;
          verifyEval = true;
          elevate = "sudo";
          ask = true;
          diff = false;
          rollbackOnFailure = true;
          confirm = 90;
          confirmBy = "";
          useSubstitutes = true;
          flake = "/etc/nixos#pi";
          log = false;
        };
      });
      expected = {
        evalHost = "builder";
        buildHost = "strong";
        fallback = "local";
        wake = "wakeonlan x";
        wakeTimeout = 90;
        reconnectTimeout = 0;
        unattendedTimeout = 604800;
        releaseSite = "";
        lend = false;
        verifyEval = true;
        elevate = "sudo";
        ask = true;
        diff = false;
        rollbackOnFailure = true;
        confirm = 90;
        confirmBy = "";
        useSubstitutes = true;
        flake = "/etc/nixos#pi";
        log = false;
      };
    };

    "an unknown setting is refused" = holds (
      isRefused (json (client { settings.evlHost = "builder"; }))
    );

    "a setting of another type is refused" = holds (
      isRefused (json (client { settings.lend = "no"; }))
    );

    "a word that a setting does not know is refused" = holds (
      isRefused (json (client { settings.fallback = "remote"; }))
    );

    "an address with a password is refused" = holds (
      isRefused (json (client { settings.releaseSite = "https://me:secret@mirror.lan"; }))
    );

    "a key that is a path would end in the store and is refused" = holds (
      isRefused (client {
        evalHost = "builder";
        sshKey = ./options.nix;
      }).programs.ssh.extraConfig
    );

    "the whole entry for ssh, and its end" = {
      actual = full.programs.ssh.extraConfig;
      expected = ''
        Host builder
          HostName 192.0.2.7
          Port 2222
          User rebuild-builder
          HostKeyAlias builder
        Match originalhost builder localuser root
          IdentityFile "/root/.ssh/id_builder"
          IdentitiesOnly yes
        Host *'';
    };

    "a key that is not root's is every user's" = {
      actual =
        (client {
          evalHost = "builder";
          sshKey = "~/.ssh/id_builder";
        }).programs.ssh.extraConfig;
      expected = ''
        Host builder
          IdentityFile "~/.ssh/id_builder"
        Match originalhost builder localuser root
          IdentitiesOnly yes
        Host *'';
    };

    "users who become root cannot use root's key" = {
      actual = map builtins.length [
        (client {
          evalHost = "builder";
          sshKey = "/root/.ssh/id_builder";
          settings.elevate = "sudo";
        }).warnings
        full.warnings
      ];
      expected = [
        1
        0
      ];
    };

    "the host's key is known by the host's name" = {
      actual = full.programs.ssh.knownHosts;
      expected.rebuild-builder = {
        hostNames = [ "builder" ];
        publicKey = key;
      };
    };

    "what is right has no failed assertion" = {
      actual = failed full;
      expected = [ ];
    };

    "an entry comes before what is said of all hosts" = {
      actual =
        (evaluated {
          programs.rebuild = {
            enable = true;
            evalHost = "builder";
            sshPort = 22;
          };
          programs.ssh.extraConfig = "User me";
        }).programs.ssh.extraConfig;
      expected = "Host builder\n  Port 22\nHost *\nUser me";
    };

    "the entry is the builder's where this machine evaluates" = {
      actual =
        (client {
          buildHost = "strong";
          sshUser = "me";
        }).programs.ssh.extraConfig;
      expected = "Host strong\n  User me\nHost *";
    };

    "without anything for ssh there is no entry" = {
      actual = (client { evalHost = "me@builder"; }).programs.ssh.extraConfig;
      expected = "";
    };

    "a key without a host is told" =
      let
        config = client { sshKey = "/root/.ssh/id"; };
        messages = failed config;
      in
      holds (
        builtins.length messages == 1
        && contains "sshKey would have no host.*Set programs.rebuild.evalHost" (builtins.head messages)
        && config.programs.ssh.extraConfig == ""
      );

    "a user in two places is told" =
      let
        messages = failed (client {
          evalHost = "me@builder";
          sshUser = "you";
        });
      in
      holds (
        builtins.length messages == 1 && contains "\"me@builder\" is more than a host" (builtins.head messages)
      );

    "a key in the store is told" = holds (
      contains "every user can read it" (
        builtins.concatStringsSep "" (
          failed (client {
            evalHost = "builder";
            sshKey = "${builtins.storeDir}/x";
          })
        )
      )
    );

    "nixos-rebuild stays what it is" =
      let
        config = client { };
      in
      {
        actual = [
          (names config.environment.systemPackages)
          config.system.tools.nixos-rebuild.enable
        ];
        expected = [
          [ "rebuild" ]
          true
        ];
      };

    "nixos-rebuild is this program" =
      let
        config = client { replaceNixosRebuild = true; };
        replacement = builtins.head (
          lib.filter (p: p.name == "rebuild-as-nixos-rebuild") config.environment.systemPackages
        );
      in
      holds (
        !config.system.tools.nixos-rebuild.enable
        && replacement.meta.priority < 0
        && contains "ln -s ${rebuild}/bin/rebuild .out/bin/nixos-rebuild\n" replacement.script
      );

    "NixOS's own timer starts this program" =
      let
        # NixOS defines it in the same way, with its own program.
        upgrades =
          configuration:
          (evaluated {
            imports = [ configuration ];
            system.build.nixos-rebuild = package "nixos-rebuild";
            programs.rebuild.enable = true;
          }).system.build.nixos-rebuild.name;
      in
      {
        actual = map upgrades [
          { programs.rebuild.replaceNixosRebuild = true; }
          { }
          {
            programs.rebuild.replaceNixosRebuild = true;
            system.build.nixos-rebuild = lib.mkForce (package "mine");
          }
        ];
        expected = [
          "rebuild-as-nixos-rebuild"
          "nixos-rebuild"
          "mine"
        ];
      };

    "NixOS's own timer finds ssh" =
      let
        services =
          settings:
          (evaluated {
            system.autoUpgrade.enable = true;
            programs.rebuild = { enable = true; } // settings;
          }).systemd.services;
      in
      {
        actual = map services [
          { replaceNixosRebuild = true; }
          { }
        ];
        expected = [
          { nixos-upgrade.path = [ "/run/current-system/sw" ]; }
          { }
        ];
      };

    "nixos-rebuild is this program where NixOS cannot leave out its own" = {
      actual = names (
        (with' { hasTools = false; }) {
          programs.rebuild = {
            enable = true;
            replaceNixosRebuild = true;
          };
        }
      ).environment.systemPackages;
      expected = [
        "rebuild"
        "rebuild-as-nixos-rebuild"
      ];
    };

    "whoever wants both gets both" = holds (
      (evaluated {
        programs.rebuild = {
          enable = true;
          replaceNixosRebuild = true;
        };
        system.tools.nixos-rebuild.enable = true;
      }).system.tools.nixos-rebuild.enable
    );

    "a builder" =
      let
        config = builder {
          authorizedKeys = [
            key
            "from=\"192.0.2.*\" ${key}"
          ];
          emulatedSystems = [
            "aarch64-linux"
            "x86_64-linux"
          ];
          minFree = "5G";
          maxFree = "20G";
        };
      in
      {
        actual = {
          user = config.users.users.rebuild-builder;
          inherit (config.users) groups;
          binfmt = config.boot.binfmt.emulatedSystems;
          nix = config.nix.settings;
          sshd = config.services.openssh;
          services = config.systemd.services;
          packages = names config.environment.systemPackages;
          failed = failed config;
          inherit (config) warnings;
        };
        expected = {
          user = {
            isSystemUser = true;
            group = "rebuild-builder";
            description = "Evaluates and builds for clients of rebuild";
            home = "/var/lib/rebuild-builder";
            createHome = true;
            shell = "/bin/sh";
            openssh.authorizedKeys.keys = [
              "restrict,pty,port-forwarding ${key}"
              "restrict,pty,port-forwarding,from=\"192.0.2.*\" ${key}"
            ];
          };
          groups.rebuild-builder = { };
          # A machine needs no emulator for its own system.
          binfmt = [ "aarch64-linux" ];
          nix = {
            min-free = "5G";
            max-free = "20G";
          };
          sshd = {
            enable = true;
            openFirewall = true;
            settings = { };
            extraConfig = ''
              Match User rebuild-builder
                DisableForwarding no
                AllowStreamLocalForwarding yes
                AllowTcpForwarding remote
                ClientAliveInterval 15
                ClientAliveCountMax 4
              Match All
            '';
          };
          services = { };
          packages = [ "gitMinimal" ];
          failed = [ ];
          warnings = [ ];
        };
      };

    "another user is not made, and keeps its forwarding" =
      let
        config = builder {
          user = "me";
          restrictKeys = false;
          authorizedKeys = [ key ];
        };
      in
      {
        actual = {
          inherit (config.users) users groups;
          inherit (config.services.openssh) extraConfig;
        };
        expected = {
          users.me.openssh.authorizedKeys.keys = [ key ];
          groups = { };
          # The owner of sshd's own settings decides about them.
          extraConfig = "";
        };
      };

    "a trusted user does not take root's place" = {
      actual =
        (builder {
          trusted = true;
          authorizedKeys = [ key ];
        }).nix.settings;
      expected.trusted-users = [
        "root"
        "rebuild-builder"
      ];
    };

    "a bound for the cache is kept by a service of its user" =
      let
        service =
          (builder {
            maxCacheSize = "20G";
            authorizedKeys = [ key ];
          }).systemd.services.rebuild-builder-cache;
      in
      {
        actual = {
          inherit (service) startAt;
          inherit (service.serviceConfig) Type User;
          command = contains "^/bin/sh /.*forget-cache.sh /var/lib/rebuild-builder/.cache/rebuild 20G$" service.serviceConfig.ExecStart;
        };
        expected = {
          startAt = "daily";
          Type = "oneshot";
          User = "rebuild-builder";
          command = true;
        };
      };

    "clients that have users of their own" =
      let
        config = builder {
          clients.pi.authorizedKeys = [ key ];
          clients.phone_2 = {
            authorizedKeys = [ "from=\"192.0.2.*\" ${key}" ];
            maxCacheSize = "5G";
            trusted = true;
          };
          maxCacheSize = "20G";
        };
        inherit (config.users) users;
      in
      {
        actual = {
          users = builtins.attrNames users;
          inherit (config.users) groups;
          pi = users.rebuild-pi;
          keys = users.rebuild-phone_2.openssh.authorizedKeys.keys;
          nix = config.nix.settings;
          sshd = config.services.openssh.extraConfig;
          caches = map (name: {
            inherit name;
            user = config.systemd.services.${name}.serviceConfig.User;
            command = builtins.head (
              builtins.match ".*forget-cache.sh (.*)" config.systemd.services.${name}.serviceConfig.ExecStart
            );
          }) (builtins.attrNames config.systemd.services);
          login = config.services.rebuild-builder.clients.pi.user;
          failed = failed config;
          inherit (config) warnings;
        };
        # Nobody needs a user for all of them.
        expected = {
          users = [
            "rebuild-phone_2"
            "rebuild-pi"
          ];
          groups = {
            rebuild-phone_2 = { };
            rebuild-pi = { };
          };
          pi = {
            isSystemUser = true;
            group = "rebuild-pi";
            description = "Evaluates and builds for clients of rebuild";
            home = "/var/lib/rebuild-pi";
            createHome = true;
            shell = "/bin/sh";
            openssh.authorizedKeys.keys = [ "restrict,pty,port-forwarding ${key}" ];
          };
          keys = [ "restrict,pty,port-forwarding,from=\"192.0.2.*\" ${key}" ];
          nix.trusted-users = [
            "root"
            "rebuild-phone_2"
          ];
          sshd = ''
            Match User rebuild-phone_2,rebuild-pi
              DisableForwarding no
              AllowStreamLocalForwarding yes
              AllowTcpForwarding remote
              ClientAliveInterval 15
              ClientAliveCountMax 4
            Match All
          '';
          caches = [
            {
              name = "rebuild-phone_2-cache";
              user = "rebuild-phone_2";
              command = "/var/lib/rebuild-phone_2/.cache/rebuild 5G";
            }
            {
              name = "rebuild-pi-cache";
              user = "rebuild-pi";
              command = "/var/lib/rebuild-pi/.cache/rebuild 20G";
            }
          ];
          login = "rebuild-pi";
          failed = [ ];
          warnings = [ ];
        };
      };

    "some clients share a user, and others have their own" =
      let
        config = builder {
          authorizedKeys = [ key ];
          clients.pi = {
            authorizedKeys = [ "${key} root@pi" ];
            maxCacheSize = "1G";
          };
        };
      in
      {
        actual = {
          users = builtins.attrNames config.users.users;
          services = builtins.attrNames config.systemd.services;
          trusted = config.nix.settings;
          sshd = contains "Match User rebuild-builder,rebuild-pi\n" config.services.openssh.extraConfig;
          warnings = config.warnings ++ failed config;
        };
        expected = {
          users = [
            "rebuild-builder"
            "rebuild-pi"
          ];
          services = [ "rebuild-pi-cache" ];
          trusted = { };
          sshd = true;
          warnings = [ ];
        };
      };

    "another user for all, and clients beside it" =
      let
        config = builder {
          user = "me";
          authorizedKeys = [ key ];
          clients.pi.authorizedKeys = [ key ];
        };
      in
      {
        actual = {
          made = builtins.attrNames config.users.groups;
          me = config.users.users.me;
          sshd = contains "Match User rebuild-pi\n" config.services.openssh.extraConfig;
        };
        expected = {
          made = [ "rebuild-pi" ];
          me.openssh.authorizedKeys.keys = [ "restrict,pty,port-forwarding ${key}" ];
          sshd = true;
        };
      };

    "a client's name is refused if no user of its own can have it" = {
      actual = map (
        name:
        builtins.length (
          failed (builder {
            user = "rebuild-all";
            clients.${name}.authorizedKeys = [ key ];
          })
        )
      ) [
        "a23456789-123456789-123"
        "a23456789-123456789-1234"
        "builder"
        "all"
        "Pi"
        "-x"
        "a,b"
        "a b"
        ""
      ];
      expected = [
        0
        1
        1
        1
        1
        1
        1
        1
        1
      ];
    };

    "whoever has no key is told, and what is for nobody" =
      let
        config = evaluated {
          services.rebuild-builder = {
            enable = true;
            trusted = true;
            clients.pi = { };
            clients.phone.authorizedKeys = [ key ];
          };
          services.openssh.settings.AllowUsers = [ "me" ];
          nix.settings.allowed-users = [ "@rebuild-pi" ];
        };
      in
      {
        actual = {
          failed = map (contains "set clients.NAME.trusted") (failed config);
          told = map (part: builtins.any (contains part) config.warnings) [
            "can log in as \"rebuild-pi\"\\."
            "AllowUsers in. Add \"rebuild-phone\", \"rebuild-pi\" there"
            "allowed-users in. Add \"rebuild-phone\" there"
          ];
        };
        expected = {
          failed = [ true ];
          told = [
            true
            true
            true
          ];
        };
      };

    "a size without a unit is refused" = holds (
      isRefused (builder { maxCacheSize = "20"; }).systemd.services
      && isRefused (builder { clients.pi.maxCacheSize = "20"; }).systemd.services
      && isRefused (builder { clients.pi.maxSize = "20G"; }).systemd.services
    );

    "an upper limit alone is told" = {
      actual = failed (builder { maxFree = "20G"; });
      expected = [ "services.rebuild-builder.maxFree has no meaning without minFree: set both." ];
    };

    "a builder that nobody can log in to is told" =
      let
        warnings =
          (evaluated {
            services.rebuild-builder.enable = true;
            services.openssh.settings.AllowUsers = [ "me" ];
            security.allowUserNamespaces = false;
            nix.settings.allowed-users = [ "@wheel" ];
          }).warnings;
      in
      {
        actual = map (part: builtins.any (contains part) warnings) [
          "no client can log in"
          "AllowUsers in. Add \"rebuild-builder\" there"
          "allowed-users in. Add \"rebuild-builder\" there"
          "can then only build"
        ];
        expected = [
          true
          true
          true
          true
        ];
      };

    "a user whom sshd lets in is no warning" = {
      actual =
        (evaluated {
          services.rebuild-builder = {
            enable = true;
            authorizedKeys = [ key ];
          };
          services.openssh.settings.AllowUsers = [ "rebuild-builder" ];
          nix.settings.allowed-users = [ "@rebuild-builder" ];
        }).warnings;
      expected = [ ];
    };
  };

  isFailed = name: tests.${name}.actual != tests.${name}.expected;
  show = builtins.toJSON;
in
{
  passed = builtins.length (lib.filter (name: !isFailed name) (builtins.attrNames tests));
  failures = map (
    name: "${name}\n  expected ${show tests.${name}.expected}\n  but saw  ${show tests.${name}.actual}"
  ) (lib.filter isFailed (builtins.attrNames tests));
}
