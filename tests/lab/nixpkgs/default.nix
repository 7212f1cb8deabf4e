# `import <nixpkgs> { }`
{ system ? builtins.currentSystem, config ? { }, overlays ? [ ], ... }:

let
  lib = import ./lib;

  base = import ./pkgs { inherit system lib; };

  # Overlays as in nixpkgs: `final: prev: { … }`.
  pkgs = lib.foldl' (prev: overlay: prev // overlay pkgs prev) base overlays;
in
pkgs // { inherit lib system config; path = ./.; }
