# The program for people without flakes: `nix-build`, or in a configuration
#
#   (import /path/to/rebuild { inherit pkgs; })
{
  pkgs ? import <nixpkgs> { },
}:

pkgs.callPackage ./package.nix { }
