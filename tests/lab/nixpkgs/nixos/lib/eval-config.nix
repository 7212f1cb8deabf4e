# From modules to a configuration; as in NixOS, `nixpkgs.hostPlatform` wins over `system`.
{ system ? builtins.currentSystem, modules, specialArgs ? { } }:

let
  lib = import ../../lib;
  eval = lib.evalModules {
    modules = [{ _file = toString ./eval-config.nix; nixpkgs.system = lib.mkDefault system; }] ++ extra ++ modules;
    specialArgs = {
      inherit lib pkgs;
      modulesPath = toString ../modules;
    } // specialArgs // { again = { inherit system specialArgs modules; evalConfig = import ./eval-config.nix; }; };
  };
  extra = [
    ../modules/nixpkgs.nix
    ../modules/etc.nix
    ../modules/programs.nix
    ../modules/kernel.nix
    ../modules/lab.nix
    ../modules/version.nix
    ../modules/toplevel.nix
    ../modules/images.nix
    ../modules/specialisation.nix
  ];
  pkgs = import ../.. {
    system =
      if eval.config.nixpkgs.hostPlatform != null
      then eval.config.nixpkgs.hostPlatform
      else eval.config.nixpkgs.system;
    inherit (eval.config.nixpkgs) config overlays;
  };
in
{ inherit pkgs; inherit (eval) config options; }
