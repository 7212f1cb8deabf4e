#!/bin/bash
# The Nix files: every one parses, the two modules' options come to what they should, and the script that bounds the
# builder's cache does that.
#
#   tests/nix-files.sh            with the miniature's library (tests/lab/nixpkgs)
#   tests/nix-files.sh TREE...    and with the real one of each TREE
#
# A TREE is the files of a nixpkgs. If it has NixOS and not the library alone, the modules are evaluated in real systems,
# and all that the flake offers is instantiated, the VM test included: nothing is built, nothing fetched. That needs a Nix
# as new as the tree wants. A small copy of nixpkgs gets stand-ins for what it lacks (nix/tests/real-nixos.nix).
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."

die() { printf 'nix-files: error: %s\n' "$*" >&2; exit 1; }
say() { printf 'nix-files: %s\n' "$*"; }

# Nothing is built, so that there need be no users for it.
export NIX_CONFIG="${NIX_CONFIG-}
build-users-group ="

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
export XDG_CACHE_HOME=$scratch/cache

# read_result WHAT JSON : of { passed, failures }; a test without tests has failed.
read_result() {
	local passed
	[[ "$2" =~ \"passed\":([0-9]+) ]] || die "$1: no result: $2"
	passed=${BASH_REMATCH[1]}
	[[ "$2" == *'"failures":[]'* ]] || die "$1: $(printf '%b' "$2")"
	[ "$passed" -gt 0 ] || die "$1: no tests"
	say "$1: $passed passed"
}

# evaluate EXPRESSION... : as JSON.
evaluate() { nix-instantiate --eval --strict --json "$@" 2>"$scratch/errors" || { cat "$scratch/errors" >&2; die "$*"; }; }

parse_all() {
	local files
	mapfile -d '' -t files < <(find . \( -name target -o -name .git \) -prune -o -name '*.nix' -print0)
	[ ${#files[@]} -gt 10 ] || die "only ${#files[@]} Nix files here"
	nix-instantiate --parse "${files[@]}" >/dev/null || die "a Nix file does not parse"
	say "${#files[@]} files parse"
}

# library TREE
library() {
	read_result "options, library of $1" \
		"$(evaluate nix/tests/options.nix --arg lib "import $(readlink -f "$1")/lib")"
}

# instantiate ATTRIBUTE... : of real-nixos.nix.
real() { printf '%s\n' nix/tests/real-nixos.nix --arg nixpkgs "$tree"; }
instantiate() {
	local words
	mapfile -t words < <(real)
	nix-instantiate "${words[@]}" -A "$1" --add-root "$scratch/root-$1" >"$scratch/path" 2>"$scratch/errors" || {
		cat "$scratch/errors" >&2
		die "$1 cannot be instantiated"
	}
	say "$1: $(readlink "$scratch/root-$1")"
}

# flake TREE : of a copy that is locked to the tree, for no lock file may be written here.
flake() {
	local copy=$scratch/flake
	rm -rf "$copy"
	mkdir "$copy"
	tar --exclude=./target --exclude=./.git -cf - . | tar -C "$copy" -xf -
	local flakes=(--extra-experimental-features "nix-command flakes" --option substituters "")
	nix flake lock "${flakes[@]}" --offline --override-input nixpkgs "path:$1" "path:$copy" 2>"$scratch/errors" ||
		{ cat "$scratch/errors" >&2; die "the flake cannot be locked to $1"; }
	evaluate "${flakes[@]}" nix/tests/flake.nix --argstr path "$copy" >"$scratch/flake.json"
	say "flake: $(cat "$scratch/flake.json")"
}

say "$(nix-instantiate --version)"
parse_all
library tests/lab/nixpkgs
nix/tests/forget-cache.sh

for tree; do
	tree=$(readlink -f "$tree")
	library "$tree"
	[ -e "$tree/nixos/default.nix" ] || continue
	mapfile -t words < <(real)
	read_result "real NixOS of $tree" "$(evaluate "${words[@]}" -A result)"
	for attribute in package client builder vm; do instantiate $attribute; done
	flake "$tree"
done
