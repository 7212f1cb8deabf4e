# shellcheck shell=bash
# What a configuration does on the client, it does through the builder.

# shellcheck source=/dev/null
. "$LAB/derivations.sh"

# expect_same_derivation BUILDER [FLAG...] : as the client's own Nix makes.
expect_same_derivation() {
	local builder=$1
	shift
	must lab on pi env -C /etc/nixos timeout 300 rebuild dry-build --eval-on "$builder" -v "$@"
	note_derivation
	own=$(lab on pi nix-instantiate '<nixpkgs/nixos>' -A config.system.build.toplevel "$@" 2>"$CASE/own" </dev/null) ||
		fail "the own evaluation failed: $(cat "$CASE/own")"
	expect_own_derivation_there "${builder#*@}"
}

# given : /etc/nixos/configuration.nix, of which the expression on stdin becomes /etc/seen.
given() {
	{
		printf '{ config, lib, pkgs, ... }: {\n  environment.etc.seen.text = builtins.toJSON (\n%s\n  );\n}\n' "$(cat)"
	} | write_on pi /etc/nixos/configuration.nix
}

# that_gives_up_connections : a chain of derivations. Each builtins.path of the client's channel makes Nix give up its connection to the
# daemon, and with it what it has written so far.
that_gives_up_connections() {
	given <<-'END'
		let
		  of_the_channel = name: builtins.path { inherit name; path = <nixpkgs> + "/lib"; };
		  after = former: name: pkgs.run name { inherit former; from = of_the_channel name; } "echo >$out";
		in
		toString (builtins.foldl' after (pkgs.writeText "first" "1") (map (n: "link-${toString n}") (lib.genList (n: n) 6)))
	END
}

# Whatever is added starts a collection, as where the disk is nearly full.
case_traits_garbage_is_collected_meanwhile() {
	local host
	need_hosts newbuilder oldbuilder
	fresh pi builder newbuilder oldbuilder
	that_gives_up_connections
	for host in builder newbuilder oldbuilder; do
		must_sh_on "$host" 'printf "min-free = 100000000000000\nmax-free = 100000000000000\n" >>/etc/nix/nix.conf
			systemctl restart nix-daemon.service'
		expect_same_derivation "$host"
	done
	expect_contains "$errors" "collected garbage"
}

# Somebody else's, again and again; and what an evaluation builds for itself.
case_traits_somebody_collects_garbage() {
	fresh
	given <<-'END'
		let
		  source = name: builtins.path { inherit name; path = <nixpkgs> + "/lib"; };
		  made = name: from: pkgs.run name { inherit from; } "echo \"[ \\\"$from\\\" ]\" >$out";
		  steps = former: name: pkgs.run name { inherit former; from = source name; made = toString (import (made "made-${name}" (source name))); } "echo >$out";
		in
		toString (builtins.foldl' steps (pkgs.writeText "first" "1") [ "a" "b" "c" "d" ])
	END
	start lab on builder -u plain -- sh -c 'while [ ! -e /tmp/enough ]; do nix-store --gc >/dev/null 2>&1; done'
	run lab on pi env -C /etc/nixos timeout 300 rebuild dry-build --eval-on builder -v
	lab on builder touch /tmp/enough </dev/null
	expect_status 0
	finish
}

# Downloads that are pinned by a hash, which this machine has, and the builder can fetch from nowhere: unpacked ones, under the name
# that Nix gives them, that npins gives, that niv gives, and files; with hashes of all kinds, in Nix files and in JSON.
case_traits_pinned_downloads_are_here() {
	fresh
	{
		cat <<-'END'
			cd /etc/nixos
			mkdir -p /srv/pins
			# pinned NAME TEXT : in the store under this name; its hash in $hash.
			pinned() {
				mkdir "/srv/pins/$1"
				echo "$2" >"/srv/pins/$1/default.nix"
				nix-store --add-fixed --recursive sha256 "/srv/pins/$1" >/dev/null
				hash=$(nix-hash --type sha256 --base32 "/srv/pins/$1")
			}
			pinned source '"plain"'
			plain=$(nix-hash --type sha256 --to-sri "$hash" 2>/dev/null || nix --extra-experimental-features nix-command hash to-sri --type sha256 "$hash")
			pinned nixos-hardware-src '"niv"'
			mkdir nix
			echo "{ \"nixos-hardware\": { \"url\": \"https://nowhere.invalid/h.tar.gz\", \"sha256\": \"$hash\" } }" >nix/sources.json
			cat >nix/sources.nix <<-'NIX'
				let all = builtins.fromJSON (builtins.readFile ./sources.json); in
				builtins.mapAttrs (name: it: builtins.fetchTarball { inherit (it) url sha256; name = name + "-src"; }) all
			NIX
			pinned given '"given"'
			given=$(nix-hash --type sha256 --to-base16 "$hash")
			echo '"a file"' >/srv/pins/file.nix
			nix-store --add-fixed sha256 /srv/pins/file.nix >/dev/null
			file=$(nix-hash --flat --type sha256 --base32 /srv/pins/file.nix)
			cat >configuration.nix <<-NIX
				{ ... }: {
				  environment.etc.seen.text = builtins.toJSON [
				    (import (fetchTarball { url = "https://nowhere.invalid/p.tar.gz"; sha256 = "$plain"; }))
				    (import (import ./nix/sources.nix).nixos-hardware)
				    (import (fetchTarball { name = "given"; url = "https://nowhere.invalid/g.tar.gz"; sha256 = "$given"; }))
				    (import (builtins.fetchurl { url = "https://nowhere.invalid/x/file.nix"; sha256 = "$file"; }))
				  ];
				}
			NIX
		END
	} >"$CASE/script"
	prepare
	expect_same_derivation plain@builder
	expect_seen 'plain' 'niv' 'given' 'a file'
}
