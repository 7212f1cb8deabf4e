# What the flake offers. `path` is the path of a copy whose lock file names a nixpkgs that is at hand.
{
  path,
}:

let
  flake = builtins.getFlake "path:${path}";
in
{
  packages = builtins.mapAttrs (_: packages: packages.default.drvPath) flake.packages;
  checks = builtins.mapAttrs (_: checks: builtins.attrNames checks) flake.checks;
  options = builtins.mapAttrs (_: checks: checks.options.drvPath) flake.checks;
  devShells = builtins.mapAttrs (_: shells: builtins.attrNames shells) flake.devShells;
  modules = builtins.mapAttrs (
    _: module: if builtins.pathExists module then toString module else throw "there is no ${toString module}"
  ) flake.nixosModules;
  overlay = (flake.overlays.default { callPackage = file: _: toString file; } { }).rebuild;
}
