# shellcheck shell=bash
# What a configuration does on the client, it does through the builder.

# shellcheck source=/dev/null
. "$LAB/derivations.sh"

# expect_same_derivation BUILDER [FLAG...] : checks that it is the one that the client's own Nix makes.
expect_same_derivation() {
	local builder=$1
	shift
	must lab on pi env -C /etc/nixos timeout 300 rebuild dry-build --eval-on "$builder" -v "$@"
	note_derivation
	own=$(lab on pi nix-instantiate '<nixpkgs/nixos>' -A config.system.build.toplevel "$@" 2>"$CASE/own" </dev/null) ||
		fail "the own evaluation failed: $(cat "$CASE/own")"
	expect_own_derivation_there "${builder#*@}"
}

# given : makes an /etc/nixos/configuration.nix in which the value of the expression on stdin becomes /etc/seen.
given() {
	{
		printf '{ config, lib, pkgs, ... }: {\n  environment.etc.seen.text = builtins.toJSON (\n%s\n  );\n}\n' "$(cat)"
	} | write_on pi /etc/nixos/configuration.nix
}

# that_gives_up_connections : writes a chain of derivations. Each builtins.path of the client's channel makes Nix give
# up its connection to the daemon, and with it what it has written so far.
that_gives_up_connections() {
	given <<-'END'
		let
		  of_the_channel = name: builtins.path { inherit name; path = <nixpkgs> + "/lib"; };
		  after = former: name: pkgs.run name { inherit former; from = of_the_channel name; } "echo >$out";
		in
		toString (builtins.foldl' after (pkgs.writeText "first" "1") (map (n: "link-${toString n}") (lib.genList (n: n) 6)))
	END
}

# Whatever is added to the store starts a collection, as on a disk that is nearly full.
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

# pure_flake : makes /srv/pure, a flake that is committed and locked: a chain of derivations, each with sources from the
# channel and from the flake. It is pure, because it contains whatever it has to know of this machine.
pure_flake() {
	cat >"$CASE/script" <<-'END'
		rm -rf /srv/pure
		mkdir -p /srv/pure/own
		cd /srv/pure
		echo 1 >own/file
		cat >flake.nix <<-NIX
			{
			  inputs.nixpkgs.url = "path:$(readlink -f /nix/var/nix/profiles/per-user/root/channels/nixos)";
			  outputs = { self, nixpkgs }: {
			    nixosConfigurations.pi = nixpkgs.lib.nixosSystem { system = "aarch64-linux"; modules = [
			      ({ pkgs, lib, ... }: { environment.etc.seen.text = let
			        of = tree: name: builtins.path { inherit name; path = tree; };
			        after = former: name: pkgs.run name {
			          inherit former;
			          channels = of "\${nixpkgs}/lib" "lib-\${name}";
			          own = of ./own "own-\${name}";
			          written = builtins.toFile "text-\${name}" "\${name}";
			        } "echo >\$out";
			      in toString (builtins.foldl' after (pkgs.writeText "first" "1") (map (n: "link-\${toString n}") (lib.genList (n: n) 6))); })
			    ]; };
			  };
			}
		NIX
		git init -q && git add .
		nix --extra-experimental-features 'nix-command flakes' flake lock
		git add . && git -c user.name=x -c user.email=x@x commit -qm x
		nix --extra-experimental-features 'nix-command flakes' eval --raw \
			.#nixosConfigurations.pi.config.system.build.toplevel.drvPath >/srv/own
	END
	prepare
	own=$(file_on pi /srv/own)
}

# collects_before_building HOST : collects garbage at the moment when an evaluation has ended and its derivation is
# about to be built. What is gone then is listed in /tmp/gone.
collects_before_building() {
	must_sh_on "$1" 'cd /usr/local/bin
		for name in nix nix-build nix-daemon nix-instantiate; do ln -s "$(command -v $name)" .; done
		real=$(command -v nix-store)
		cat >nix-store <<-END
			#!/bin/sh
			case " \$* " in *" --realise "*)
				$real --gc >/dev/null 2>&1
				for word; do case \$word in *.drv) [ -e "\$word" ] || echo "\$word" >>/tmp/gone ;; esac; done
				: >/tmp/collected ;;
			esac
			exec $real "\$@"
		END
		chmod 755 nix-store'
}

# A pure flake asks no question at which Nix would give up its connection. What it has written is kept, as in a plain
# evaluation there, and so is the derivation afterwards.
case_traits_garbage_is_collected_while_a_pure_flake_is_evaluated() {
	local host garbage
	need_hosts newbuilder oldbuilder
	fresh pi builder newbuilder oldbuilder
	pure_flake
	for host in builder newbuilder oldbuilder; do
		must_sh_on "$host" 'printf "min-free = 100000000000000\nmax-free = 100000000000000\n" >>/etc/nix/nix.conf
			systemctl restart nix-daemon.service; echo garbage >/tmp/garbage; nix-store --add /tmp/garbage'
		garbage=$output
		collects_before_building "$host"
		must lab on pi env -C /srv/pure timeout 300 rebuild dry-build --eval-on "$host" -v --flake .#pi
		note_derivation
		expect_own_derivation_there "$host"
		expect_no_file "$host" "$garbage"
		expect_file "$host" /tmp/collected
		expect_no_file "$host" /tmp/gone
		expect_contains "$errors" "derivations will be built"
	done
}

# Another program collects garbage again and again. The evaluation also builds something for itself.
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

# These are downloads that are pinned by a hash, which this machine has, and which the builder can fetch from nowhere:
# unpacked ones under the names that Nix, npins and niv give them, and files; with hashes of all kinds, in Nix files and
# in JSON.
case_traits_pinned_downloads_are_here() {
	fresh
	{
		cat <<-'END'
			cd /etc/nixos
			mkdir -p /srv/pins
			# pinned NAME TEXT : puts it into the store under this name, and its hash into $hash.
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

# The configuration may ask whether a secret exists, if it has the names of everything that lies beside the secret.
case_traits_whether_a_secret_is_there() {
	fresh
	must_sh_on pi 'mkdir -p -m 751 /run/secrets.d/2/db /etc/wireguard; ln -s /run/secrets.d/2 /run/secrets
		cd /run/secrets; echo hidden-content | tee wifi db/password >/etc/wireguard/wg0.conf; chmod 700 /etc/wireguard
		touch /run/secrets.d/age-keys.txt; mkdir /run/agenix; echo hidden-content >/run/agenix/not-named-anywhere'
	given <<-'END'
		let there = map builtins.pathExists; in [
		  (there [ "/run/secrets" "/run/secrets/wifi" "/run/secrets/db/password" "/run/secrets/none" "/run/none/x" ])
		  (there (map (name: "/etc/wireguard/" + name) [ "wg0.conf" "wg1.conf" ]))
		  (there [ "/run/agenix" ])
		]
	END
	expect_same_derivation builder
	expect_seen '[true,true,true,false,false]' '[true,false]' '[true]'
	must_sh_on builder '! grep -rqF hidden-content ~builder/.cache/rebuild /dev/shm; ! find ~builder/.cache/rebuild | grep -q not-named'
	# The content of a secret, and names that nobody has said, stay here. The command runs in a directory that is not sent:
	# no shell of the run complains about that.
	must lab on pi env -C /run/secrets.d timeout 300 rebuild dry-build --eval-on builder
	expect_lacks "$errors" "can't cd"
	given <<<'[ "db" (builtins.readFile "/run/secrets/wifi") ]'
	on pi rebuild dry-build --eval-on builder
	expect_failure
	expect_contains "$errors" "/run/secrets.d/2/wifi never leaves this machine"
	given <<<'builtins.pathExists "/run/agenix/other"'
	on pi rebuild dry-build --eval-on builder
	expect_failure
	expect_contains "$errors" "/run/agenix never leaves this machine"
}

# The user may read what they name, what a tracked link of a flake leads to, and an input that is a single file. All of
# it is private.
case_traits_what_the_user_names() {
	fresh
	cat >"$CASE/script" <<-'END'
		mkdir -p /root/ov /root/cfg /root/ext/deep /srv/flake
		chmod 700 /root /root/ov /root/cfg /root/ext
		echo '"overlays"' >/root/ov/x.nix
		echo '"config"' >/root/cfg/config.nix
		echo '"linked"' >/root/ext/deep/x.nix
		echo '"one file"' >/root/one.nix
		chmod 600 /root/ov/* /root/cfg/* /root/ext/deep/* /root/one.nix
		cd /srv/flake
		ln -s /root/ext ext
		ln -s /root/ext/deep/x.nix one-link.nix
		cat >flake.nix <<-NIX
			{
			  inputs.one = { url = "path:/root/one.nix"; flake = false; };
			  inputs.nixpkgs.url = "path:$(readlink -f /nix/var/nix/profiles/per-user/root/channels/nixos)";
			  outputs = { self, nixpkgs, one }: {
			    nixosConfigurations.pi = nixpkgs.lib.nixosSystem { system = "aarch64-linux"; modules = [
			      { environment.etc.seen.text = builtins.toJSON [ (import ./ext/deep/x.nix) (import ./one-link.nix) (builtins.readFile one) ]; }
			    ]; };
			  };
			}
		NIX
		git init -q && git add . && git -c user.name=x -c user.email=x@x commit -qm x
	END
	prepare
	must lab on pi env -C /srv/flake rebuild dry-build --eval-on builder -v --impure --flake /srv/flake#pi
	note_derivation
	own=$(lab on pi nix --extra-experimental-features 'nix-command flakes' eval --impure --raw \
		/srv/flake#nixosConfigurations.pi.config.system.build.toplevel.drvPath 2>"$CASE/own" </dev/null)
	expect_own_derivation_there builder
	expect_seen 'linked' 'one file'
	given <<<'[ (import <nixpkgs-overlays/x.nix>) (import (builtins.getEnv "NIXPKGS_CONFIG")) ]'
	must lab on pi env NIXPKGS_CONFIG=/root/cfg/config.nix rebuild dry-build --eval-on builder -v -I nixpkgs-overlays=/root/ov
	note_derivation
	own=$(lab on pi env NIXPKGS_CONFIG=/root/cfg/config.nix nix-instantiate '<nixpkgs/nixos>' -A config.system.build.toplevel \
		-I nixpkgs-overlays=/root/ov 2>"$CASE/own" </dev/null)
	expect_own_derivation_there builder
	expect_seen 'overlays' 'config'
}
