# Two virtual machines with the two modules: the builder evaluates and builds the client's own system, for real and
# without a network. `nix build .#checks.x86_64-linux.vm`
{ pkgs }:

pkgs.testers.runNixOSTest (
  { hostPkgs, lib, ... }:
  let
    keys = import (pkgs.path + "/nixos/tests/ssh-keys.nix") hostPkgs;

    repository = lib.fileset.toSource {
      root = ../..;
      fileset = lib.fileset.unions [
        ../../Cargo.lock
        ../../Cargo.toml
        ../../completions
        ../../man
        ../../module.nix
        ../../nix
        ../../package.nix
        ../../src
      ];
    };
  in
  {
    name = "rebuild";

    nodes.client.imports = [
      ../../module.nix
      ./client.nix
    ];

    nodes.builder =
      { nodes, ... }:
      {
        imports = [ ../../module.nix ];

        services.rebuild-builder = {
          enable = true;
          authorizedKeys = [ keys.snakeOilPublicKey ];
          maxCacheSize = "4G";
        };

        # This is a key that the client's configuration can name.
        services.openssh.hostKeys = [
          {
            type = "ed25519";
            path = "/etc/ssh/host_key";
          }
        ];
        environment.etc."ssh/host_key" = {
          source = keys.snakeOilEd25519PrivateKey;
          mode = "0600";
        };

        nix.settings = {
          substituters = lib.mkForce [ ];
          hashed-mirrors = null;
          connect-timeout = 1;
        };

        virtualisation = {
          cores = 2;
          diskSize = 8192;
          memorySize = 4096;
          writableStore = true;
          # Everything that the client's system is built from is here, so that a similar system can be built on this
          # machine.
          additionalPaths = [
            (hostPkgs.closureInfo { rootPaths = [ nodes.client.system.build.toplevel.drvPath ]; })
          ];
        };
      };

    testScript =
      { nodes, ... }:
      let
        network = hostPkgs.writeText "network.json" (builtins.toJSON nodes.client.system.build.networkConfig);
        etcNixos = hostPkgs.runCommand "etc-nixos" { } ''
          mkdir $out
          cp ${./configuration.nix} $out/configuration.nix
          cp ${./client.nix} $out/client.nix
          cp ${network} $out/network.json
          cp -r ${repository} $out/rebuild
        '';
      in
      ''
        start_all()
        builder.wait_for_unit("sshd.service")
        builder.wait_for_open_port(22)
        client.wait_for_unit("multi-user.target")
        client.succeed("install -Dm 600 ${keys.snakeOilPrivateKey} /root/.ssh/id_builder")
        client.succeed("cp -rT ${etcNixos} /etc/nixos && chmod -R u+w /etc/nixos")

        def path_of(machine, link):
            return machine.succeed(f"readlink -f {link}").strip()

        def switch(command, greeting):
            client.succeed(f"echo '{greeting}' > /tmp/expected")
            result = client.succeed(f"{command} 2>/dev/console").strip()
            assert result.startswith("/nix/store/"), result
            assert path_of(client, "/run/current-system") == result
            assert path_of(client, "/nix/var/nix/profiles/system") == result
            client.succeed("cmp /tmp/expected /etc/greeting")
            # The result is kept on the builder for the next time.
            assert result in builder.succeed("readlink /var/lib/rebuild-builder/.cache/rebuild/*/results/*/result").split()

        with subtest("The first connection asks nothing"):
            user = client.succeed("ssh -o BatchMode=yes builder id -un").strip()
            assert user == "rebuild-builder", user

        with subtest("rebuild switch, with nothing but the settings"):
            client.fail("test -e /etc/greeting")
            switch("rebuild switch", "evaluated elsewhere")

        with subtest("nixos-rebuild is the same program"):
            client.succeed("sed -i 's/evaluated elsewhere/and once more/' /etc/nixos/configuration.nix")
            switch("nixos-rebuild switch", "and once more")

        with subtest("Nothing was evaluated or built on the client"):
            client.fail("cat /var/log/evaluated-here >&2")

        with subtest("The cache is looked through by its user"):
            builder.succeed("systemctl start rebuild-builder-cache.service")
      '';
  }
)
