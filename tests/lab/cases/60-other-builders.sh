# shellcheck shell=bash
# Builders that are not as one wishes them: another Nix, no namespaces, no daemon, other programs, other people's. The
# derivation is the client's own, or there is a clear word.

# shellcheck source=/dev/null
. "$LAB/derivations.sh"

# given [CLIENT] <<SCRIPT : an empty /etc/nixos on the client ($client from now on; else pi), in which SCRIPT is run. SCRIPT
# has a command `reads`, that reads an expression and writes a configuration with its value (as JSON) in /etc/seen.
given() {
	client=${1:-pi}
	{
		cat <<-'END'
			rm -rf /etc/nixos
			mkdir /etc/nixos
			cd /etc/nixos
			reads() {
				printf '{ config, lib, pkgs, ... }: {\n  environment.etc.seen.text = builtins.toJSON (\n%s\n  );\n}\n' "$(cat)" >configuration.nix
			}
		END
		cat
	} >"$CASE/script"
	prepare "$client"
}

# expect_same_derivation BUILDER [FLAG...] : checks that it is the one that the client's own Nix makes, $own.
expect_same_derivation() {
	evaluates_to_something "$@"
	own_derivation "${@:2}"
	expect_own_derivation_there "${1#*@}"
}
evaluates_to_something() { # BUILDER [FLAG...]
	forget_calls "$client"
	must lab on "$client" env -C /etc/nixos timeout 180 rebuild dry-build --eval-on "$1" -v "${@:2}"
	there=$(sed -n 's/^derivation: //p' "$CASE/errors" | tail -n 1)
	expect_no_evaluation "$client"
}
own_derivation() { # [FLAG...]
	if [ "${1-}" = --flake ]; then
		own=$(lab on "$client" env -C /etc/nixos nix --extra-experimental-features 'nix-command flakes' \
			eval --raw "${2%%#*}#nixosConfigurations.${2#*#}.config.system.build.toplevel.drvPath" "${@:3}" 2>"$CASE/own" </dev/null)
	else
		own=$(lab on "$client" env -C /etc/nixos \
			nix-instantiate '<nixpkgs/nixos>' -A config.system.build.toplevel "$@" 2>"$CASE/own" </dev/null)
	fi || fail "the own evaluation of $client failed: $(cat "$CASE/own")"
}

# --- programs that are not there ------------------------------------------------------------------
case_other_builders_without_pivot_root() {
	need_hosts newbuilder
	fresh pi newbuilder
	must_sh_on newbuilder 'rm -f /usr/bin/pivot_root /usr/sbin/pivot_root; ! command -v pivot_root'
	given <<-'END'
		echo '[ (builtins.readDir ./.) (builtins.pathExists "/srv/none") (builtins.readDir "/srv") ]' | reads
	END
	expect_same_derivation newbuilder
}

# --- where nobody may make user namespaces --------------------------------------------------------
# There is enough for the view to matter: files that strings name (shut at first), files of root alone, and missing
# files.
given_for_the_view() {
	given "$@" <<-'END'
		rm -rf /srv/view
		mkdir -p /srv/view/deep parts
		echo "read by a string" >/srv/view/deep/text
		echo '"of root alone"' >parts/private.nix
		chmod 600 parts/private.nix
		chmod 700 parts
		reads <<-'NIX'
			[ (builtins.readFile ("/srv/view" + "/deep/text")) (import ./parts/private.nix) (builtins.getEnv "HOME")
			  (builtins.pathExists ("/srv/view" + "/deep/none")) (builtins.pathExists ("/srv/view" + "/none")) "${./parts}"
			  (builtins.readDir ("/srv" + "/view")) ]
		NIX
	END
}
expect_the_view_is_right() { # BUILDER
	expect_same_derivation "$1"
	expect_seen "read by a string" "of root alone" '"/root",false,false,'
	# The run leaves no trouble behind there.
	sh_on "${1#*@}" 'ls -d /var/tmp/rebuild.* /dev/shm/rebuild.* /home/*/.cache/rebuild/*/run.* /root/.cache/rebuild/*/run.*'
	expect_equal "$output" ""
}

case_other_builders_refuse_namespaces_to_root() {
	fresh
	must_sh_on builder 'cp -R /home/builder/.ssh /root/ && chown -R root: /root/.ssh'
	refuse_namespaces builder
	given_for_the_view
	expect_the_view_is_right root@builder
	expect_lacks "$errors" "user namespaces"
}

case_other_builders_refuse_namespaces_but_have_sudo() {
	fresh
	must_sh_on builder 'echo "builder ALL=(ALL:ALL) NOPASSWD: ALL" >/etc/sudoers.d/builder'
	refuse_namespaces builder
	given_for_the_view
	expect_same_derivation builder
	expect_contains "$errors" "builder does not let its users make user namespaces: evaluating there by sudo"
	# The run repeats, now that the builder has everything; and another one takes its place.
	expect_the_view_is_right builder
	must_sh_on pi 'echo other >/srv/view/deep/text'
	expect_same_derivation builder
	expect_seen other
}

# An evaluation that runs as the child of another process is ended, too.
case_other_builders_sudo_and_an_interrupt() {
	fresh
	must_sh_on builder 'echo "builder ALL=(ALL:ALL) NOPASSWD: ALL" >/etc/sudoers.d/builder'
	refuse_namespaces builder
	must_sh_on pi 'sed -i "s/system.stateVersion/lab.evalCost = { work = 60; }; &/" /etc/nixos/configuration.nix'
	start lab on pi -- rebuild dry-build --eval-on builder
	expect_within 30 lab on builder -- pgrep -x nix-instantiate
	interrupt
	finish 15
	expect_status 130
	expect_within 5 is_quiet builder
}
is_quiet() {
	! lab on "$1" -- pgrep -x "nix-instantiate|sudo" &&
		! lab on "$1" -- sh -c 'ls -d /var/tmp/rebuild.* /dev/shm/rebuild.* /home/*/.cache/rebuild/*/run.*'
}

case_other_builders_refuse_namespaces_and_only_build() {
	fresh
	refuse_namespaces builder
	forget_calls pi
	must_on pi rebuild switch --eval-on builder
	expect_contains "$errors" "warning: builder does not let its users make user namespaces"
	expect_contains "$errors" "so this machine evaluates, and builder only builds"
	expect_contains "$errors" "sysctl kernel.unprivileged_userns_clone=1"
	expect_contains "$(calls_of pi)" "nix-instantiate <nixpkgs/nixos>"
	expect_equal "$output" "$(profile_of pi)"
	expect_equal "$output" "$(system_of pi)"
	# The exit code is that of the command that failed.
	must_sh_on pi 'sed -i "s/system.stateVersion/lab.failBuild = true; &/" /etc/nixos/configuration.nix'
	on pi rebuild switch --eval-on builder
	local code=$status
	expect_contains "$errors" "the build on builder failed"
	on pi rebuild switch --build-on builder
	expect_status "$code"
}

# --- Nix of one user alone ------------------------------------------------------------------------
case_other_builders_with_nix_of_one_user() {
	need_hosts solo
	fresh pi solo
	given_for_the_view
	expect_the_view_is_right solo
	given_for_the_view
	after_made_from
	evaluates_to_something solo
	expect_contains "$(seen_in solo "$there")" "made on solo: aarch64"
	must_sh_on solo '! pgrep nix-daemon'
	on pi rebuild dry-build --eval-on plain@solo
	expect_status 1
	expect_contains "$errors" "error: the user of plain@solo may not use the Nix there"
	expect_contains "$errors" "ssh plain@solo NIX_REMOTE=daemon nix-store"
}
# Something is built during the evaluation.
after_made_from() {
	write_on "$client" /etc/nixos/configuration.nix <<-'END'
		{ pkgs, ... }: {
		  environment.etc.seen.text = builtins.readFile "${pkgs.run "made-for-others" { from = ./parts; } ''
		    echo "made on solo: $(uname -m)" >"$out"
		  ''}";
		}
	END
}

case_other_builders_with_nix_of_one_user_switch() {
	need_hosts solo
	fresh pi solo
	must_on pi rebuild switch --eval-on solo
	expect_equal "$output" "$(profile_of pi)"
	expect_equal "$output" "$(system_of pi)"
	must_sh_on solo '! pgrep nix-daemon && ! ls -d /var/tmp/rebuild.* /dev/shm/rebuild.* 2>&-'
}

# --- Nix that does not say when it may not look ---------------------------------------------------
given_what_is_only_asked_about() {
	given "$@" <<-'END'
		rm -rf /srv/asked /var/lib/asked
		mkdir -p "/srv/asked/deep/it's a \"name\"" /var/lib/asked
		touch /srv/asked/deep/there "/srv/asked/deep/it's a \"name\"/ä"
		ln -s /var/lib/asked /srv/asked/link
		touch /var/lib/asked/led-to
		cat >configuration.nix <<-'NIX'
			{ lib, ... }:
			let
			  there = parts: builtins.pathExists (lib.concatStringsSep "/" ([ "/srv" "asked" ] ++ parts));
			in {
			  imports = if there [ "deep" "there" ] then [ ./one.nix ] else [ ];
			  environment.etc.seen.text = builtins.toJSON [
			    (map there [ [ "deep" "none" ] [ "deep" "it's a \"name\"" "ä" ] [ "link" "led-to" ] [ "none" ] [ "none" "none" ] ])
			    (builtins.tryEval (there [ "deep" "late" ]))
			  ];
			}
		NIX
		echo '{ environment.etc.one.text = "one"; }' >one.nix
	END
}

case_other_builders_with_an_old_nix_are_traced() {
	need_hosts oldbuilder
	fresh pi oldbuilder
	given_what_is_only_asked_about
	expect_same_derivation oldbuilder
	expect_seen '[[false,true,true,false,false],{"success":true,"value":false}]'
	expect_lacks "$errors" "warning: Nix"
	must_sh_on pi 'touch /srv/asked/deep/late'
	expect_same_derivation oldbuilder
	expect_seen '"value":true'
	must_sh_on pi 'rm /srv/asked/deep/there'
	expect_same_derivation oldbuilder
	# If something may not be known there, there is no silent answer, but an error that names it.
	must_sh_on pi 'mkdir -p -m 700 /root/.ssh && touch /root/.ssh/id_x
		echo "{ environment.etc.seen.text = toString (builtins.pathExists (\"/root/.ssh\" + \"/id_x\")); }" >/etc/nixos/configuration.nix'
	forget_calls pi
	on pi rebuild dry-build --eval-on oldbuilder -v
	[ "$status" = 0 ] || expect_contains "$errors" "/root/.ssh/id_x"
	there=$(sed -n 's/^derivation: //p' "$CASE/errors" | tail -n 1)
	own_derivation
	[ -z "$there" ] || expect_equal "$there" "$own"
}

case_other_builders_with_an_old_nix_and_no_strace() {
	need_hosts oldbuilder
	fresh pi oldbuilder
	must_on oldbuilder rm /usr/bin/strace
	given <<-'END'
		echo '"as it is"' | reads
	END
	expect_same_derivation oldbuilder
	expect_contains "$errors" "warning: Nix 2.8.0 on oldbuilder does not notice when it asks for a file that was not sent"
	expect_contains "$errors" "install strace there"
}

case_other_builders_with_an_old_nix_and_an_interrupt() {
	need_hosts oldbuilder
	fresh pi oldbuilder
	must_sh_on pi 'sed -i "s/system.stateVersion/lab.evalCost = { work = 60; }; &/" /etc/nixos/configuration.nix'
	start lab on pi -- rebuild dry-build --eval-on oldbuilder
	expect_within 30 lab on oldbuilder -- pgrep -x nix-instantiate
	interrupt
	finish 15
	expect_status 130
	expect_within 5 is_quiet oldbuilder
}

# --- builders that are not ours -------------------------------------------------------------------
# For this user, the Nix there does no more than for everybody.
case_other_builders_and_a_user_without_rights() {
	fresh
	must lab nixconf builder 'extra-platforms = aarch64-linux'
	must_sh_on pi 'mkdir -p /srv/mine && echo mine >/srv/mine/text
		sed -i "s|system.stateVersion|environment.etc.seen.text = builtins.readFile (\"/srv\" + \"/mine/text\"); &|" /etc/nixos/configuration.nix'
	must_on pi rebuild switch --eval-on plain@builder
	expect_equal "$output" "$(profile_of pi)"
	expect_equal "$output" "$(system_of pi)"
	expect_equal "$(file_on pi /run/current-system/etc/seen)" mine
	client=pi
	evaluates_to_something plain@builder
	own_derivation
	expect_equal "$there" "$own"
	# The daemon lets only other users in; its socket exists all the same.
	must lab nixconf builder 'allowed-users = builder'
	on pi rebuild dry-build --eval-on plain@builder
	expect_status 1
	expect_contains "$errors" "the user of plain@builder may not use the Nix there"
	expect_contains "$errors" "nix.settings.allowed-users"
	# The remedy works, with a group.
	must lab nixconf builder 'allowed-users = builder @plain'
	must_on pi rebuild dry-build --eval-on plain@builder
}

# These login shells do not know the language of sh, or print something.
case_other_builders_with_other_shells() {
	fresh
	must_sh_on builder 'mkdir -p /home/fishy/.config/fish
		echo "echo welcome to the builder; set -x NIX_PATH nixpkgs=/nowhere" >/home/fishy/.config/fish/config.fish
		printf "echo welcome to the builder\nsetenv NIX_PATH nixpkgs=/nowhere\n" >/home/cshy/.tcshrc
		chown -R fishy: /home/fishy; chown -R cshy: /home/cshy'
	local user
	for user in fishy cshy; do
		given_for_the_view
		expect_the_view_is_right "$user@builder"
		expect_lacks "$errors$output" "welcome to the builder"
		must_on pi rebuild build --eval-on "$user@builder"
	done
}

# Nothing that the builder has for itself is seen, by whatever name it is asked for.
case_other_builders_own_things_do_not_leak() {
	fresh
	must_sh_on builder 'mkdir -p /etc/nix /home/builder/.config/nixpkgs /home/builder/.config/nix /srv/of-the-builder
		echo "{ allowUnfree = throw \"the own config.nix of the builder\"; }" >/home/builder/.config/nixpkgs/config.nix
		echo "restrict-eval = true" >/home/builder/.config/nix/nix.conf
		echo "export NIXPKGS_CONFIG=/srv/of-the-builder NIX_CONFIG=\"restrict-eval = true\" COLOUR=red" >>/home/builder/.bashrc
		sed -i "1i export COLOUR=red NIX_CONFIG=\"restrict-eval = true\"" /home/builder/.bashrc
		touch /etc/nixos/of-the-builder /etc/of-the-builder'
	given <<-'END'
		mkdir -p /root/.config/nixpkgs
		echo '{ of = "the Pi"; }' >/root/.config/nixpkgs/config.nix
		reads <<-'NIX'
			let there = map builtins.pathExists; in [
			  (there [ "/etc/nixos/of-the-builder" "/etc/of-the-builder" "/srv/of-the-builder" "/srv/builders-nixpkgs" "/home/builder" ])
			  (there [ /home/builder/.bashrc ("/var" + "/tmp/x") "/etc/nixos/configuration.nix" ])
			  (map (x: x.prefix) builtins.nixPath) (toString <nixpkgs>) (toString <nixos-config>)
			  (builtins.getEnv "COLOUR") (builtins.getEnv "NIXPKGS_CONFIG") (builtins.getEnv "NIX_PATH") builtins.currentSystem
			  (import (builtins.getEnv "HOME" + "/.config/nixpkgs/config.nix")) (builtins.readDir /etc/nixos)
			]
		NIX
	END
	expect_same_derivation builder
	expect_seen "[[false,false,false,false,false],[false,false,true]," '"of":"the Pi"' aarch64-linux
}

# as_nixos HOST : makes it look like NixOS: nothing in /bin and /usr/bin but sh and env, the programs in the store, /etc
# full of links into the store. This holds for users who come by ssh; the daemons do not notice.
# shellcheck disable=SC2016 # expanded there
as_nixos() { # HOST
	must_sh_on "$1" '
		cd /root
		mkdir -p nix/bin system-path/bin etc/ssl/certs nixos-system-builder
		cp -a /usr/bin/nix* nix/bin/
		cp -a /usr/bin/. system-path/bin/
		cp -an /usr/sbin/. system-path/bin/ || :
		(cd system-path/bin && rm -rf nix* python* perl* fish* git-shell scalar bash-static sshd)
		nix=$(nix-store --add nix)
		for program in "$nix"/bin/*; do ln -s "$program" system-path/bin/; done
		ln -s "$(nix-store --add system-path)" nixos-system-builder/sw
		cp -L /etc/ssl/certs/ca-certificates.crt etc/ssl/certs/
		mv /etc/nsswitch.conf etc/
		ln -s "$(nix-store --add etc)" nixos-system-builder/etc
		ln -sfn "$(nix-store --add nixos-system-builder)" /run/current-system
		ln -sfn "$(readlink -f /run/current-system/etc)" /etc/static
		ln -s static/nsswitch.conf /etc/nsswitch.conf
		ln -sf /etc/static/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
		for user in builder plain; do usermod --shell /run/current-system/sw/bin/bash $user; done
		echo "PATH=/run/wrappers/bin:/nix/var/nix/profiles/default/bin:/run/current-system/sw/bin" >>/etc/environment
		sw=$(readlink -f /run/current-system/sw)
		mkdir -p /etc/systemd/system/ssh.service.d
		printf "%s\n" "[Service]" "TemporaryFileSystem=/usr/bin /usr/sbin" \
			"BindReadOnlyPaths=$sw/bin/dash:/usr/bin/sh $sw/bin/env:/usr/bin/env /usr/sbin/sshd /usr/sbin/unix_chkpwd" \
			>/etc/systemd/system/ssh.service.d/lab-nixos.conf
		systemctl daemon-reload
		systemctl restart ssh.service'
	must_on pi ssh "$1" 'type sed; echo /bin/*; echo /usr/sbin/*'
	expect_contains "$output" /run/current-system/sw/bin/sed
	expect_contains "$output" "/bin/env /bin/sh"
	expect_contains "$output" "/usr/sbin/sshd /usr/sbin/unix_chkpwd"
}

case_other_builders_that_are_nixos() {
	fresh
	as_nixos builder
	given_for_the_view
	expect_the_view_is_right builder
	must lab reset pi
	lab install "$REBUILD_PROGRAM"
	must_on pi rebuild switch --eval-on builder
	expect_equal "$output" "$(profile_of pi)"
	# The Pi does not have this, though the builder does.
	given <<-'END'
		reads <<-'NIX'
			[ (builtins.pathExists "/etc/static/nsswitch.conf") (builtins.pathExists "/srv/static") ]
		NIX
	END
	expect_same_derivation builder
}

# --- Nix of another version than the client's -----------------------------------------------------
# Old or new, on either side: one configuration with a dozen traits, and a flake, clean and changed.
given_many_traits() { # CLIENT
	must_sh_on "$1" 'rm -rf /srv/mixed /root/mixed /srv/channel && mkdir -p /srv/mixed /root/mixed /srv/channel/second/deep
		echo "deep of the second" >/srv/channel/second/deep/text
		echo "{ environment.etc.second.text = builtins.readFile ./deep/text; environment.etc.second-itself.source = ./deep; }" \
			>/srv/channel/second/default.nix
		tar -C /srv/channel -czf /srv/channel/second.tar.gz second
		# The old Nix has a stand-in that does not know its own name.
		ln -sf /bin/false /usr/lib/nix-real/build-remote 2>/dev/null || :
		[ -e /nix/var/nix/profiles/per-user/root/channels/second ] || {
			export NIX_CONFIG="max-jobs = 1"
			nix-channel --add file:///srv/channel/second.tar.gz second
			nix-channel --update second
		}' </dev/null
	given "$1" <<-'END'
		mkdir -p "mods/sub dir" site/drop parts
		echo '{ imports = [ ../../srv/mixed/b.nix ]; environment.etc.a.text = builtins.readFile ./parts/text; }' >a.nix
		echo '{ imports = [ ./c ]; environment.etc.b.text = toString ./.; }' >/srv/mixed/b.nix
		mkdir /srv/mixed/c
		echo '{ environment.etc.c.text = import (/. + "srv/mixed/by-a-string.nix"); }' >/srv/mixed/c/default.nix
		echo '"by a string"' >/srv/mixed/by-a-string.nix
		echo text >parts/text
		echo '{ environment.etc.one.text = "one"; }' >mods/one.nix
		echo '{ environment.etc.two.source = ./file; }' >"mods/sub dir/default.nix"
		echo file >"mods/sub dir/file"
		echo page >site/index.html
		echo dropped >site/drop/me
		echo '{ environment.etc.odd.text = builtins.readFile (./. + "/ä b"); }' >"x y.nix"
		echo odd >"ä b"
		echo "it's" >"it's"
		echo '"private"' >/root/mixed/private.nix
		chmod 600 /root/mixed/private.nix
		ln -s /srv/mixed link
		cat >configuration.nix <<-'NIX'
			{ lib, pkgs, ... }: {
			  imports = [ ./a.nix (./. + "/x y.nix") <second> ]
			    ++ map (n: ./mods + "/${n}") (builtins.attrNames (builtins.readDir ./mods));
			  environment.etc.site.source = builtins.filterSource (path: _: baseNameOf path != "drop") ./site;
			  environment.etc.whole.source = ./site;
			  environment.etc.named.source = builtins.path { path = ./parts; name = "named"; filter = _: type: type != "symlink"; };
			  environment.etc.linked.source = ./link;
			  environment.etc.seen.text = builtins.toJSON [
			    (import /root/mixed/private.nix) (builtins.getEnv "HOME") (builtins.getEnv "LANG") builtins.currentSystem
			    (map builtins.pathExists [ ("/srv" + "/mixed/none") ("/srv" + "/mixed/c/default.nix") "/srv/none/none" "/home/builder" ])
			    (builtins.readFile (./. + "/it's")) (toString ./.) (builtins.readDir /srv/mixed)
			    (builtins.hashFile "sha256" ./parts/text) (builtins.readFile ./link/by-a-string.nix)
			    (builtins.toFile "made" (toString ./parts)) (builtins.unsafeGetAttrPos "a" { a = 1; })
			    (import (pkgs.run "made-for-mixed" { from = ./parts; } "echo \"\\\"made: $(uname -m)\\\"\" >\"$out\""))
			  ];
			}
		NIX
	END
}

# expect_same_of_mixed CLIENT BUILDER
expect_same_of_mixed() {
	local change
	need_hosts "$1" "$2"
	fresh "$1" "$2"
	given_many_traits "$1"
	evaluates_to_something "$2"
	# The client cannot build what is built during the evaluation.
	must_sh_on "$1" "nix-copy-closure --from $2 \$(ssh $2 'ls -d /nix/store/*-made-for-mixed')"
	own_derivation
	[ "$there" = "$own" ] || fail "expected: $own: $(seen_in "$1" "$own")
    saw: $there: $(seen_in "$2" "$there")"
	expect_seen '["private","/root","C.UTF-8","aarch64-linux",[false,true,false,false],' 'made: aarch64'
	# It is evaluated a second time, with what is there and what has changed.
	must_sh_on "$1" 'echo changed >/etc/nixos/site/index.html; touch /srv/mixed/none'
	expect_same_derivation "$2"
	expect_seen '[true,true,false,false]'
}

# expect_same_of_mixed_flakes CLIENT BUILDER
expect_same_of_mixed_flakes() {
	given "$1" <<-'END'
		export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@lab GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@lab
		mkdir parts
		echo '"a part"' >parts/default.nix
		cat >flake.nix <<-NIX
			{
			  inputs.nixpkgs.url = "path:$(readlink -f /nix/var/nix/profiles/per-user/root/channels/nixos)";
			  outputs = { self, nixpkgs }: {
			    nixosConfigurations.pi = nixpkgs.lib.nixosSystem {
			      system = "aarch64-linux";
			      modules = [ { environment.etc.seen.text = builtins.toJSON [
			        (import ./parts) (self.rev or "none") self.lastModified (toString ./.) (builtins.readDir self)
			        (builtins.pathExists ./untracked) nixpkgs.narHash nixpkgs.lastModified
			      ]; environment.etc.parts.source = ./parts; } ];
			    };
			  };
			}
		NIX
		git init -q -b main
		git add .
		nix --extra-experimental-features 'nix-command flakes' flake lock
		git add .
		git commit -qm first --date=2024-03-02T01:00:00Z
		touch untracked
	END
	# Clean.
	expect_same_derivation "$2" --flake .#pi
	expect_lacks "$errors" Aborted
	expect_seen '["a part","' ',false,'
	must_sh_on "$1" 'echo "\"another part\"" >/etc/nixos/parts/default.nix'
	expect_same_derivation "$2" --flake .#pi
	expect_seen '["another part","'
}

case_other_builders_with_an_older_nix() {
	expect_same_of_mixed pi oldbuilder
}
case_other_builders_with_a_newer_nix() {
	expect_same_of_mixed pi newbuilder
	expect_same_of_mixed_flakes pi newbuilder
}
case_other_builders_of_an_old_client() {
	expect_same_of_mixed oldpi newbuilder
	expect_same_of_mixed_flakes oldpi newbuilder
}
case_other_builders_of_a_new_client() {
	expect_same_of_mixed newpi oldbuilder
	expect_same_of_mixed_flakes newpi oldbuilder
}

# An older Nix may know less of flakes: then the run names that.
case_other_builders_with_an_older_nix_and_a_flake() {
	need_hosts oldbuilder
	fresh pi oldbuilder
	expect_same_of_mixed_flakes pi oldbuilder
	must_sh_on pi 'sed -i "s/(import .\/parts)/(builtins.readFileType .\/parts)/" /etc/nixos/flake.nix'
	on pi env -C /etc/nixos rebuild dry-build --eval-on oldbuilder --flake .#pi
	expect_failure
	expect_contains "$errors" "attribute 'readFileType' missing"
	expect_contains "$errors" "oldbuilder has Nix 2.8.0, this machine 2.26"
	expect_contains "$errors" "--build-on"
}
