# shellcheck shell=bash
# The same derivation: whatever a classic configuration reads, and by whatever name, the evaluation on the builder makes
# of it what the Pi's own Nix makes of it. One case for each trait. Nothing is built: `dry-build -v` says the derivation.
#
# No case counts on what another one has left; all of a run share one pair of hosts, because a run in practice also meets
# a builder that has seen other configurations of the same Pi.

# given <<SCRIPT : a case begins, with an empty /etc/nixos in which SCRIPT is run on the Pi. SCRIPT has a command
# `reads <<EXPRESSION`, that writes a configuration with the value of EXPRESSION (as JSON) in /etc/seen.
given() {
	local script
	script=$(cat)
	if [ ! -e "${CASE%/*}/hosts-of-40-classic" ]; then
		fresh
		: >"${CASE%/*}/hosts-of-40-classic"
	fi
	after <<<"cd / && rm -rf /etc/nixos && mkdir /etc/nixos && cd /etc/nixos
$script"
}

# after <<SCRIPT : a change, made in /etc/nixos on the Pi.
after() {
	{
		cat <<-'END'
			cd /etc/nixos
			reads() {
				printf '{ config, lib, pkgs, ... }: {\n  environment.etc.seen.text = builtins.toJSON (\n%s\n  );\n}\n' "$(cat)" >configuration.nix
			}
		END
		cat
	} >"$CASE/script"
	ran="the case's own script on the Pi"
	lab on pi sh -eu <"$CASE/script" >"$CASE/output" 2>"$CASE/errors" || status=$? fail "the Pi could not be prepared"
}

# evaluate [NAME=VALUE...] [FLAG...] : on the builder first, so that nothing which the Pi's own evaluation leaves behind is
# of help, and then on the Pi, with the same environment and flags, in /etc/nixos. $own is what the Pi's Nix says; $there,
# $status and $errors are those of `rebuild`. $in_between is run in between.
evaluate() {
	local environment=()
	while [[ "${1-}" =~ ^[A-Za-z_]+= ]]; do
		environment+=("$1")
		shift
	done
	forget_calls pi
	run lab on pi env -C "${directory:-/etc/nixos}" "${environment[@]}" timeout 120 rebuild dry-build --eval-on builder -v "$@"
	expect_no_evaluation pi
	sed -i '/^evaluating file/d' "$CASE/errors"
	errors=$(cat "$CASE/errors")
	there=$(sed -n 's/^derivation: //p' "$CASE/errors" | tail -n 1)
	${in_between:-:}
	own=$(lab on pi env -C "${directory:-/etc/nixos}" "${environment[@]}" \
		nix-instantiate '<nixpkgs/nixos>' -A config.system.build.toplevel "$@" 2>"$CASE/own" </dev/null) ||
		fail "the Pi's own evaluation failed: $(cat "$CASE/own")"
}

# expect_same_derivation [NAME=VALUE...] [FLAG...]
expect_same_derivation() {
	evaluate "$@"
	expect_status 0
	[ "$there" = "$own" ] || fail "expected the Pi's own derivation: $own
      where /etc/seen is: $(seen_in pi "$own")
    saw: $there
      where /etc/seen is: $(seen_in builder "$there")"
}

# expect_another_derivation ... : the same on both, and not the one of before: what was changed is read.
expect_another_derivation() {
	local before=$own
	expect_same_derivation "$@"
	expect_different "$own" "$before"
}

# expect_same_or_refusal TEXT ... : the same on both, or a failure with a message in which TEXT is; never another one.
expect_same_or_refusal() {
	local named=$1
	shift
	evaluate "$@"
	if [ "$status" = 0 ]; then
		expect_equal "$there $(seen_in builder "$there")" "$own $(seen_in pi "$own")"
	else
		expect_contains "$errors" "$named"
		expect_equal "$there" ""
	fi
}

# expect_seen TEXT... : so the Pi itself has read it (with expect_same_derivation: so has the builder). No text: anything.
expect_seen() {
	local seen text
	seen=$(seen_in pi "$own")
	for text; do expect_contains "$seen" "$text"; done
}

# shellcheck disable=SC2016 # the host's shell's
seen_in() { # HOST DERIVATION
	lab on "$1" sh -c 'seen=$(nix-store --query --requisites "$1" | grep -e "-etc-seen.drv$") &&
		nix-store --query --binding text "$seen"' seen "$2" 2>&1 </dev/null || true
}

# --- files, and what they are named by ------------------------------------------------------------
case_classic_imports_that_climb_out_of_the_directory() {
	given <<-'END'
		mkdir -p /srv/shared/parts /srv/other deep
		echo '{ imports = [ ../../srv/shared/x.nix ./deep/../y.nix ]; }' >configuration.nix
		echo '{ imports = [ ./parts ../other/../other/z.nix ]; }' >/srv/shared/x.nix
		echo '{ environment.etc.parts.text = import ../value; }' >/srv/shared/parts/default.nix
		echo '"climbed"' >/srv/shared/value
		echo '{ environment.etc.z.text = "${toString ./.}"; }' >/srv/other/z.nix
		echo '{ environment.etc.seen.text = builtins.readFile ../hostname; }' >y.nix
	END
	expect_same_derivation
	expect_seen pi
	after <<<"echo '\"climbed again\"' >/srv/shared/value"
	expect_another_derivation
}

case_classic_absolute_literals_and_files_of_root_alone() {
	given <<-'END'
		mkdir -p -m 700 /root/secrets
		echo '{ environment.etc.wifi.text = "hunter2"; }' >/root/secrets/wifi.nix
		chmod 600 /root/secrets/wifi.nix
		mkdir -m 700 private
		echo '"of root alone"' >private/default.nix
		chmod 600 private/default.nix
		cat >configuration.nix <<-'NIX'
			{
			  imports = [ /root/secrets/wifi.nix ];
			  environment.etc.seen.text = builtins.readFile /etc/hostname + import ./private;
			}
		NIX
	END
	expect_same_derivation
	expect_seen pi "of root alone"
	after <<<"sed -i s/hunter2/hunter3/ /root/secrets/wifi.nix"
	expect_another_derivation
}

case_classic_computed_imports() {
	given <<-'END'
		mkdir hosts modules "modules/sub dir"
		echo '{ environment.etc.host.text = "one"; }' >hosts/pi.nix
		echo '{ environment.etc.spaced.text = "two"; }' >"x y.nix"
		echo '{ environment.etc.first.text = "three"; }' >modules/first.nix
		echo '{ environment.etc.second.source = ./second; }' >"modules/sub dir/default.nix"
		echo four >"modules/sub dir/second"
		cat >configuration.nix <<-'NIX'
			let name = "pi"; in {
			  imports = [ ./hosts/${name}.nix (./. + "/x y.nix") ]
			    ++ map (n: ./modules + "/${n}") (builtins.attrNames (builtins.readDir ./modules));
			  environment.etc.seen.text = toString (builtins.attrNames (builtins.readDir ./modules));
			}
		NIX
	END
	expect_same_derivation
	expect_seen "first.nix sub dir"
	after <<<"echo '{ environment.etc.third.text = \"five\"; }' >modules/third.nix"
	expect_another_derivation
	expect_seen "first.nix sub dir third.nix"
	after <<<"echo six >'modules/sub dir/second'"
	expect_another_derivation
	after <<<"rm modules/third.nix"
	expect_another_derivation
}

case_classic_paths_that_are_strings() {
	given <<-'END'
		mkdir -p /var/lib/strings/dir
		echo '"imported"' >extra.nix
		echo 'read in /etc/nixos' >a.txt
		echo 'read elsewhere' >/var/lib/strings/b.txt
		echo 'listed' >/var/lib/strings/dir/one
		echo '"from a list"' >listed.nix
		echo listed.nix >list
		reads <<-'NIX'
			let name = "a" + ".txt"; in [
			  (import (/. + "etc/nixos/extra.nix"))
			  (builtins.readFile "/etc/nixos/a.txt")
			  (builtins.readFile ("/etc/nixos/" + name))
			  (builtins.readFile (toString ./. + "/../../var/lib/strings/b.txt"))
			  (builtins.readDir "/var/lib/strings")
			  (builtins.readFileType "/var/lib/strings/dir")
			  (builtins.hashFile "sha256" "/var/lib/strings/dir/one")
			  (import ("/etc/nixos/" + lib.fileContents ./list))
			]
		NIX
	END
	expect_same_derivation
	expect_seen imported "read in /etc/nixos" "read elsewhere" '"b.txt":"regular","dir":"directory"' "from a list"
	after <<<"echo changed >>/var/lib/strings/dir/one"
	expect_another_derivation
	after <<<"touch /var/lib/strings/new"
	expect_another_derivation
}

case_classic_directories_that_are_listed() {
	given <<-'END'
		mkdir -p /srv/listed/sub /srv/listed/empty
		touch /srv/listed/file /srv/listed/.hidden unread.txt
		ln -s sub /srv/listed/link
		ln -s nowhere /srv/listed/dangling
		reads <<-'NIX'
			[ (builtins.readDir /srv/listed) (builtins.readDir ./.) (builtins.readDir /srv/listed/empty)
			  (builtins.readDir /srv/listed/link) ]
		NIX
	END
	expect_same_derivation
	expect_seen '{".hidden":"regular","dangling":"symlink","empty":"directory","file":"regular","link":"symlink","sub":"directory"}' \
		'{"configuration.nix":"regular","unread.txt":"regular"}'
	after <<-'END'
		touch /srv/listed/sub/inner
		reads <<-'NIX'
			map (name: builtins.readDir "/srv/listed/${name}") [ "" "empty" "link" ] ++ [ (builtins.readDir "/etc/nixos") ]
		NIX
	END
	expect_another_derivation
	expect_seen '"dangling":"symlink"' '"inner":"regular"' '"unread.txt":"regular"'
	after <<<'touch /srv/listed/empty/no-more'
	expect_another_derivation
	after <<<'rm /srv/listed/empty/no-more'
	expect_another_derivation
}

# It is a name, and nothing that could be read to its end.
case_classic_fifos_and_sockets() {
	given <<-'END'
		mkfifo fifo
		reads <<-'NIX'
			[ (builtins.readDir ./.) (builtins.readFileType ./fifo) (builtins.pathExists "/etc/nixos/fifo") ]
		NIX
	END
	expect_same_derivation
	expect_seen '"fifo":"unknown"' '"unknown",true'
}

case_classic_path_exists() {
	given <<-'END'
		mkdir -p /var/lib/there/dir /home/admin/there /root/there
		touch there.txt /var/lib/there/file /home/admin/there/file /root/there/file
		chmod 700 /root/there
		chmod 600 /root/there/file
		ln -s nowhere dangling
		ln -s /var/lib/there/dir link
		reads <<-'NIX'
			map builtins.pathExists [
			  "/etc/nixos/there.txt" "/var/lib/there/file" "/var/lib/there/dir" "/home/admin/there/file" "/root/there/file"
			  "/etc/nixos/link" "/etc/nixos/link/" "/var/lib/there/dir/" (./. + "/there.txt") /var/lib/there/file
			  # To Nix 2.26 a link that leads nowhere is there, unless a slash follows.
			  "/etc/nixos/dangling"
			] ++ map builtins.pathExists [
			  "/etc/nixos/absent.txt" "/var/lib/absent" "/var/lib/there/absent/deep" "/home/admin/absent" "/root/absent"
			  "/etc/nixos/dangling/" "/etc/nixos/there.txt/" "/var/lib/there/file/below" ./absent.nix (./. + "/absent")
			  /srv/absent
			]
		NIX
	END
	expect_same_derivation
	local all="true,true,true,true,true,true,true,true,true,true,true"
	expect_seen "[$all,${all//true/false}]"
	local path
	for path in /etc/nixos/absent.txt /var/lib/absent /root/absent; do
		after <<<"touch $path"
		expect_another_derivation
		after <<<"rm $path"
	done
}

# Nothing of the builder is there, and of the Pi all is.
case_classic_the_builders_own_files_are_not_there() {
	given <<-'END'
		reads <<-'NIX'
			map builtins.pathExists [ "/home/builder" "/home/plain" "/home/builder/.cache/rebuild" "/srv/builders-nixpkgs"
			  /srv/builders-nixpkgs/default.nix "/root/of-the-builder" "/etc/nixos/of-the-builder" "/var/tmp/of-the-builder"
			  "/opt/of-the-builder" "/etc/of-the-builder" ]
			++ [ (builtins.readDir "/home") (builtins.readDir "/root") (builtins.readDir /srv) (builtins.readDir "/etc/nixos")
			  (builtins.readDir "/opt") builtins.nixPath (builtins.readFile "/etc/hostname") ]
		NIX
	END
	must_sh_on builder 'mkdir -p /opt; touch /root/of-the-builder /etc/nixos/of-the-builder /var/tmp/of-the-builder \
		/opt/of-the-builder /etc/of-the-builder'
	must_sh_on pi 'mkdir -p /opt'
	expect_same_derivation
	expect_seen 'false,false,false,false,false,false,false,false,false,false,{"admin":"directory"}' \
		'{"configuration.nix":"regular"},{}' '"prefix":"nixpkgs"'
}

# --- links ----------------------------------------------------------------------------------------
# Nix (2.26) keeps the names of links on the way to a file that it imports; a link at the end, to a file or to a
# directory, it resolves; and what it finds on its search path (<nixos-config>) it resolves altogether.
case_classic_a_configuration_that_is_a_link_into_a_checkout() {
	given <<-'END'
		rm -rf /root/checkout && mkdir -p /root/checkout/machines/pi /root/checkout/common /root/checkout/real/inside
		cd /root/checkout
		git init -q .
		echo '{ environment.etc.common.text = "${toString ./.} ${import ./value.nix}"; }' >common/common.nix
		echo '"beside the real file"' >common/value.nix
		echo '{ environment.etc.inside.text = builtins.readFile ../other + toString ./.; }' >real/inside/default.nix
		echo '{ environment.etc.again.text = builtins.readFile ../other + toString ./.; }' >real/inside/again.nix
		echo 'beside the real directory' >real/other
		echo 'beside the link' >machines/pi/other
		ln -s ../../common/common.nix machines/pi/common.nix
		ln -s ../../real/inside machines/pi/inside
		ln -s /nowhere machines/pi/dangling.nix
		cat >machines/pi/configuration.nix <<-'NIX'
			{
			  imports = [ ./common.nix ./inside ./inside/again.nix ];
			  environment.etc.seen.text = builtins.toJSON [ (toString ./.) (builtins.readDir ./.) (builtins.pathExists ./dangling.nix)
			    (builtins.readFile ./inside/../other) (builtins.readFile "/etc/nixos/inside/../other")
			    (builtins.readDir ./inside) ];
			}
		NIX
		git add . && git -c user.name=me -c user.email=me@pi commit -q -m first
		rmdir /etc/nixos && ln -s /root/checkout/machines/pi /etc/nixos
	END
	expect_same_derivation
	expect_seen '"/root/checkout/machines/pi",' '"dangling.nix":"symlink"' '"inside":"symlink"' 'beside the link'
	after <<<'echo "beside the link too" >other'
	expect_another_derivation
	after <<<'echo "\"another value\"" >/root/checkout/common/value.nix'
	expect_another_derivation
	after <<-'END'
		mkdir /root/checkout/elsewhere
		mv /root/checkout/machines/pi /root/checkout/elsewhere/
		ln -sfn /root/checkout/elsewhere/pi /etc/nixos
	END
	expect_another_derivation
	expect_seen '"/root/checkout/elsewhere/pi"' 'beside the link too'
}

case_classic_a_linked_directory_named_by_nixos_config() {
	given <<-'END'
		mkdir -p /srv/linked/config/part /srv/linked/common
		echo '{ environment.etc.part.text = builtins.readFile ../text + toString ./.; }' >/srv/linked/config/part/default.nix
		echo '{ environment.etc.common.text = builtins.readFile ./text; }' >/srv/linked/common/common.nix
		echo 'of the directory itself' >/srv/linked/config/text
		echo 'common' >/srv/linked/common/text
		ln -s /srv/linked/common/common.nix /srv/linked/config/common.nix
		cat >/srv/linked/config/default.nix <<-'NIX'
			{
			  imports = [ ./part ./common.nix ];
			  environment.etc.seen.text = toString ./. + builtins.readFile ./text + builtins.readFile ./../beside;
			}
		NIX
		echo 'beside the link' >/etc/nixos/beside
		echo 'beside the directory' >/srv/linked/beside
		ln -s /srv/linked/config link
	END
	expect_same_derivation NIXOS_CONFIG=/etc/nixos/link/default.nix
	expect_seen "/etc/nixos/linkof the directory itself" "beside the link"
	expect_another_derivation NIXOS_CONFIG=/etc/nixos/link
	expect_seen "/srv/linked/configof the directory itself" "beside the directory"
	expect_same_derivation -I nixos-config=/etc/nixos/link
	after <<<'echo other >/srv/linked/common/text'
	expect_another_derivation -I nixos-config=/etc/nixos/link
}

# As home-manager and `nixos-rebuild edit` make them: the entry itself a link, one after another, and absolute.
case_classic_an_entry_file_that_is_a_link() {
	given <<-'END'
		mkdir -p /srv/entry/first /srv/entry/second
		ln -s /srv/entry/first/link.nix configuration.nix
		ln -s ../second/real.nix /srv/entry/first/link.nix
		echo '{ environment.etc.seen.text = toString ./. + builtins.readFile ./text; }' >/srv/entry/second/real.nix
		echo 'of the second' >/srv/entry/second/text
		echo 'of the first' >/srv/entry/first/text
		echo 'of none' >text
	END
	expect_same_derivation
	expect_seen "/srv/entry/secondof the second"
	after <<<'rm configuration.nix && cp /srv/entry/second/real.nix configuration.nix'
	expect_another_derivation
	expect_seen "/etc/nixosof none"
}
