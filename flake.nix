{
  description = "nixos-rebuild for small machines: evaluate and build on a stronger host, switch here";

  # There is no flake.lock yet: `nix flake lock` makes one, where there is a network.
  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";

  outputs =
    { self, nixpkgs }:
    let
      inherit (nixpkgs) lib;
      systems = [
        "aarch64-linux"
        "armv7l-linux"
        "riscv64-linux"
        "x86_64-linux"
      ];
      forAllSystems = make: lib.genAttrs systems (system: make nixpkgs.legacyPackages.${system});
      packageOf = pkgs: self.packages.${pkgs.stdenv.hostPlatform.system}.default;
    in
    {
      packages = forAllSystems (pkgs: {
        default = pkgs.callPackage ./package.nix { };
      });

      overlays.default = final: prev: {
        rebuild = final.callPackage ./package.nix { };
      };

      # Paths, so that a module that is imported twice is one. The package is made with the system's own nixpkgs.
      nixosModules = {
        client = ./nix/client.nix;
        builder = ./nix/builder.nix;
        default = ./module.nix;
      };

      checks = forAllSystems (
        pkgs:
        let
          options = import ./nix/tests/options.nix { inherit lib; };
        in
        {
          package = packageOf pkgs;

          options =
            if options.failures == [ ] then
              pkgs.runCommand "options" { } "echo ${toString options.passed} tests passed > $out"
            else
              throw (lib.concatStringsSep "\n\n" options.failures);
        }
        # Where there are virtual machines.
        // lib.optionalAttrs (pkgs.stdenv.hostPlatform.isx86_64 || pkgs.stdenv.hostPlatform.isAarch64) {
          vm = import ./nix/vm-test { inherit pkgs; };
        }
      );

      formatter = forAllSystems (pkgs: pkgs.nixfmt);

      devShells = forAllSystems (pkgs: {
        default = pkgs.mkShell {
          inputsFrom = [ (packageOf pkgs) ];
          packages = with pkgs; [
            cargo-deny
            clippy
            nixfmt
            rustfmt
            shellcheck
          ];
        };
      });
    };
}
