#!/bin/bash
# A strong x86-64 machine that is not NixOS. Called by prepare.sh with HOST and ROOT.
set -euo pipefail

cat >"$ROOT/etc/nix/nix.conf" <<'END'
# The sandbox needs mounts which the lab's machines may not make.
sandbox = false
# A seccomp filter for one CPU cannot be installed by a program that is emulated for another.
filter-syscalls = false
substituters =
trusted-users = root builder fishy cshy
END

# A configuration and a nixpkgs of its own, which nobody asked for: if one of them is ever seen in a
# result, something leaked.
mkdir -p "$ROOT/etc/nixos" "$ROOT/srv/builders-nixpkgs/nixos"
cat >"$ROOT/etc/nixos/configuration.nix" <<'END'
{ networking.hostName = "the-builders-own-configuration"; }
END
echo 'throw "the nixpkgs of the builder itself was evaluated"' |
	tee "$ROOT/srv/builders-nixpkgs/default.nix" >"$ROOT/srv/builders-nixpkgs/nixos/default.nix"
echo 'NIX_PATH=nixpkgs=/srv/builders-nixpkgs:nixos-config=/etc/nixos/configuration.nix' >"$ROOT/etc/environment"
