#!/bin/sh
# Plain local evaluation on the Pi. (Building is not for it: its Nix may not.)
set -eu

nix-instantiate '<nixpkgs/nixos>' --attr config.system.build.toplevel --add-root "$PWD/derivation"
