#!/bin/sh
# The builder alone: what evaluating and building the same configuration costs where everything is at hand. Run there by
# the ssh user, in the directory in which bench.sh has put the Pi's /etc/nixos and its channel.
set -eu

NIX_PATH=nixpkgs=$PWD/nixpkgs:nixos-config=$PWD/etc-nixos/configuration.nix
export NIX_PATH
nix-instantiate '<nixpkgs/nixos>' --attr config.system.build.toplevel --add-root "$PWD/derivation" \
	--option eval-system aarch64-linux >/dev/null
[ "${1-}" != evaluate ] || exit 0
derivation=$(readlink derivation)
nix-store --realise "$derivation" --add-root "$PWD/result" --option extra-extra-platforms aarch64-linux >/dev/null
readlink result
