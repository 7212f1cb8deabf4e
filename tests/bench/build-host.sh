#!/bin/sh
# What `nixos-rebuild build --build-host builder` runs, command by command: evaluation here, building there, with one
# shared ssh connection. Without nixos-rebuild's own Python, and without its look for <nixos-system>.
set -eu

directory=$(mktemp -d /tmp/nixos-rebuild.XXXXXXXX)
options="-o ControlMaster=auto -o ControlPath=$directory/ssh-%C -o ControlPersist=60"
NIX_SSHOPTS=$options
export NIX_SSHOPTS
leave() {
	for socket in "$directory"/ssh-*; do
		[ ! -S "$socket" ] || ssh -o ControlPath="$socket" -O exit dummyhost 2>/dev/null
	done
	rm -rf "$directory"
}
trap leave EXIT

# there WORDS... : the words need no quoting.
there() {
	# shellcheck disable=SC2086,SC2029 # several options; expanded here
	ssh $options builder -- "/bin/sh -c 'exec /usr/bin/env -i PATH=\"\${PATH-}\" \"\$@\"' sh $*"
}

nix-instantiate '<nixpkgs/nixos>' --attr config.system.build.toplevel --add-root "$directory/derivation" >/dev/null
derivation=$(readlink "$directory/derivation")
nix-copy-closure --to builder "$derivation"
remote=$(there mktemp -d -t nixos-rebuild.XXXXX)
there nix-store --realise "$derivation" --add-root "$remote/result" --option extra-extra-platforms aarch64-linux >/dev/null
result=$(there readlink -f "$remote/result")
there rm -rf "$remote"
nix-copy-closure --from builder "$result"
echo "$result"
