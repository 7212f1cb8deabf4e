# shellcheck shell=bash
# The same derivation: whatever a classic configuration reads, and by whatever name, the evaluation on the builder makes
# of it what the Pi's own Nix makes of it. One case for each trait. Nothing is built: `dry-build -v` says the derivation.
#
# No case counts on what another one has left; all of a run share one pair of hosts, because a run in practice also meets
# a builder that has seen other configurations of the same Pi.

# shellcheck source=/dev/null
. "$LAB/derivations.sh"

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
	last_script=$(cat)
	{
		cat <<-'END'
			cd /etc/nixos
			reads() {
				printf '{ config, lib, pkgs, ... }: {\n  environment.etc.seen.text = builtins.toJSON (\n%s\n  );\n}\n' "$(cat)" >configuration.nix
			}
		END
		printf '%s\n' "$last_script"
	} >"$CASE/script"
	prepare pi sh
}

# take_words [-u NAME] [NAME=VALUE...] [FLAG...] : into the caller's $environment, as words for `env`, and $flags.
take_words() {
	if [ "${1-}" = -u ]; then
		environment+=("--unset=$2")
		shift 2
	fi
	while [[ "${1-}" =~ ^[A-Za-z_]+= ]]; do
		environment+=("$1")
		shift
	done
	flags=("$@")
}

# evaluate [-u NAME] [NAME=VALUE...] [FLAG...] : on the builder first, so that nothing which the Pi's own evaluation leaves
# behind is of help; then on the Pi, with the same environment (less NAME) and flags. $own is what the Pi's Nix says; $there,
# $status and $errors are those of `rebuild`. A case may set $directory (else /etc/nixos), $builder (else builder) and
# $in_between, a command that is run in between.
evaluate() {
	local environment=() flags=()
	take_words "$@"
	set -- "${flags[@]}"
	forget_calls pi
	run lab on pi env -C "${directory:-/etc/nixos}" "${environment[@]}" \
		timeout 120 rebuild dry-build --eval-on "${builder:-builder}" -v "$@"
	expect_no_evaluation pi
	ran="$ran
      and before, on the Pi: $(printf '%s' "$last_script" | tail -n 3)"
	note_derivation
	${in_between:-:}
	own=$(lab on pi env -C "${directory:-/etc/nixos}" "${environment[@]}" \
		nix-instantiate '<nixpkgs/nixos>' -A config.system.build.toplevel "$@" 2>"$CASE/own" </dev/null) ||
		fail "the Pi's own evaluation failed: $(cat "$CASE/own")"
}

# expect_same_derivation [NAME=VALUE...] [FLAG...]
expect_same_derivation() {
	evaluate "$@"
	expect_status 0
	expect_own_derivation_there builder
}

# expect_same_or_refusal TEXT ... : the same on both, or a failure with a message in which TEXT is; never another one.
expect_same_or_refusal() {
	local named=$1
	shift
	evaluate "$@"
	if [ "$status" = 0 ] && [[ "$errors" == *"warning: the configuration names $named"* ]]; then
		return
	elif [ "$status" = 0 ]; then
		expect_equal "$there $(seen_in builder "$there")" "$own $(seen_in pi "$own")"
	else
		expect_contains "$errors" "$named"
		expect_equal "$there" ""
	fi
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
case_classic_fifos() {
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

# Each file is known only when the one before it has been read: as many questions, and the right answer at the end.
case_classic_a_long_chain_of_files() {
	given <<-'END'
		for number in $(seq 30); do
			mkdir -p "/srv/chain/$number"
			echo "import (\"/srv/\" + \"chain/$((number + 1))/next.nix\")" >"/srv/chain/$number/next.nix"
		done
		mkdir /srv/chain/31
		echo '"the end"' >/srv/chain/31/next.nix
		echo '{ environment.etc.seen.text = import "/srv/chain/1/next.nix"; }' >configuration.nix
	END
	expect_same_derivation
	expect_seen "the end"
	after <<<'echo "\"another end\"" >/srv/chain/31/next.nix'
	expect_another_derivation
}

# What the Pi has not either is an error on both, said of the Pi's path, and soon.
case_classic_what_is_missing_on_the_pi_too() {
	local expression
	given <<<'ln -s nowhere dangling; ln -s loop loop'
	while IFS= read -r expression; do
		given_expression "$expression"
		on pi timeout 30 rebuild dry-build --eval-on builder -v
		expect_status 1
		expect_matches "$errors" "error: .*(/missing|/dangling|/nowhere|/loop)"
		on pi nix-instantiate '<nixpkgs/nixos>' -A config.system.build.toplevel
		expect_status 1
	done <<-'END'
		builtins.readFile ./missing
		import "/srv/missing.nix"
		builtins.readFile "/etc/nixos/dangling"
		builtins.toJSON (builtins.readDir "/srv/missing")
		"${./missing}"
		builtins.readFile ./loop
	END
}

# Nothing of the builder is there, and of the Pi all is.
case_classic_the_builders_own_files_are_not_there() {
	given <<-'END'
		reads <<-'NIX'
			map builtins.pathExists [ "/home/builder" "/home/plain" "/home/builder/.cache/rebuild" "/srv/builders-nixpkgs"
			  /srv/builders-nixpkgs/default.nix "/root/of-the-builder" "/etc/nixos/of-the-builder" "/var/tmp/of-the-builder"
			  "/opt/of-the-builder" "/etc/of-the-builder" ]
			++ [ (builtins.readDir "/home") (builtins.readDir /srv) (builtins.readDir "/etc/nixos")
			  (builtins.readDir "/opt") builtins.nixPath (builtins.readFile "/etc/hostname") ]
		NIX
	END
	must_sh_on builder 'mkdir -p /opt; touch /root/of-the-builder /etc/nixos/of-the-builder /var/tmp/of-the-builder \
		/opt/of-the-builder /etc/of-the-builder'
	must_sh_on pi 'mkdir -p /opt'
	expect_same_derivation
	expect_seen 'false,false,false,false,false,false,false,false,false,false,{"admin":"directory","asker":"directory","doer":"directory","guest":"directory","runner":"directory"}' \
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

# --- what is copied into the store ----------------------------------------------------------------
case_classic_directories_as_sources() {
	given <<-'END'
		mkdir -p site/sub site/empty site/.git/objects site/.git/refs/heads
		echo page >site/index.html
		echo 'this is no Nix {' >site/broken.nix
		echo object >site/.git/objects/one
		echo 'ref: refs/heads/main' >site/.git/HEAD
		echo 1234 >site/.git/refs/heads/main
		echo backup >site/index.html~
		ln -s index.html site/link
		ln -s /nowhere site/dangling
		ln -s /etc/hostname site/absolute
		ln -s loop site/loop
		cat >configuration.nix <<-'NIX'
			{ lib, ... }:
			let
			  isNo = endings: path: lib.filter (ending: builtins.match ".*${ending}" path != null) endings == [ ];
			in {
			  environment.etc = {
			    whole.source = ./site;
			    inside.text = "${./site}/index.html ${./site/sub}";
			    named.source = builtins.path { path = ./site; name = "named"; filter = path: _: isNo [ "html" ] path; };
			    filtered.source = builtins.filterSource (path: type: type != "symlink" && isNo [ "[.]git" "~" ] path) ./site;
			    typed.source = builtins.path { path = ./. + "/site"; filter = _: type: type == "directory"; };
			    reading.source = builtins.path {
			      path = ./site;
			      name = "reading";
			      filter = path: type: type == "regular" && builtins.match "obj.*|p.*" (builtins.readFile path) != null;
			    };
			    seen.text = builtins.toJSON [ (toString ./site) ./site/index.html (builtins.filterSource (p: t: t == "directory") ./site) ];
			  };
			}
		NIX
	END
	expect_same_derivation
	expect_seen /etc/nixos/site '-index.html"'
	local change
	for change in 'echo changed >site/.git/objects/one' 'chmod +x site/index.html' 'rmdir site/empty' 'mkdir site/.git/empty' \
		'ln -sfn nowhere site/dangling' 'echo changed >site/index.html~' 'mv site/sub site/bus; mkdir site/sub'; do
		after <<<"$change"
		expect_another_derivation
	done
	local before=$own
	after <<<'touch -d 2001-01-01 site/index.html site; chmod g+x site/broken.nix'
	expect_same_derivation
	expect_equal "$own" "$before"
}

# It is mounted into the view as it is kept (view.sh), and changed where it lies (mirror.sh).
case_classic_a_directory_of_many_files() {
	given <<-'END'
		mkdir -p 'a *b/data/few' && cd 'a *b/data'
		for number in $(seq 1200); do echo "$number" >"file-$number"; done
		echo few >few/one
		echo '"module"' >module.nix
		cat >../../configuration.nix <<-'NIX'
			{ lib, ... }:
			let data = ./. + "/a *b/data"; in {
			  environment.etc.whole.source = data;
			  environment.etc.seen.text = builtins.toJSON (lib.attrNames (builtins.readDir data) ++ [ (import "${toString data}/module.nix") ]);
			}
		NIX
	END
	expect_same_derivation
	# With what the first one has found out.
	expect_same_derivation
	must_sh_on builder ': >/tmp/before'
	expect_same_derivation
	expect_contains "$errors" "builder has the configuration's files already"
	# No link was made to any: that would be another ctime.
	local kept='find /home/builder/.cache/rebuild/pi*/mirrors -path "*/a ?b/data/*"'
	sh_on builder "$kept -type f -cnewer /tmp/before | wc -l"
	expect_equal "$output" 0
	local change
	for change in "echo '\"another\"' >module.nix; rm file-8; chmod +x file-11" \
		'rm file-9; mkdir file-9; echo in >file-9/it; ln -sfn few file-10'; do
		after <<<"cd 'a *b/data'; $change"
		expect_another_derivation
	done
	# All of it is kept once.
	sh_on pi 'find "/etc/nixos/a *b/data" -mindepth 1 | wc -l'
	local names=$output
	sh_on builder "$kept | wc -l"
	expect_equal "$output" "$names"
	# An error makes none of it be sent anew.
	after <<<'cp configuration.nix /srv/good.nix; echo "{ ... }: throw \"no\"" >configuration.nix; echo 12 >"a *b/data/file-12"'
	on pi rebuild dry-build --eval-on builder
	expect_failure
	after <<<'cp /srv/good.nix configuration.nix; echo more >"a *b/data/file-13"'
	expect_another_derivation
	[[ ! "$errors" =~ sent\ [0-9]{3} ]] || fail "much was sent anew: $errors"
	# Two at once, from the same beginning; then it is there by its names only.
	after <<<'echo at once >"a *b/data/file-14"
		rebuild dry-build --eval-on builder -v >/tmp/one 2>&1 & one=$!
		rebuild dry-build --eval-on builder -v >/tmp/two 2>&1; wait $one'
	expect_another_derivation
	sh_on pi 'sed -n "s/^derivation: //p" /tmp/one /tmp/two | uniq -c'
	expect_matches "$output" "^ *2 $own\$"
	after <<<'echo "lib.attrNames (builtins.readDir (./. + \"/a *b/data\"))" | reads'
	expect_another_derivation
}

case_classic_sources_that_only_strings_name() {
	given <<-'END'
		mkdir -p /srv/by-string/sub /srv/by-string/empty site
		echo one >/srv/by-string/one
		echo two >/srv/by-string/sub/two
		echo three >site/three
		cat >configuration.nix <<-'NIX'
			{
			  environment.etc.a.source = builtins.path { path = "/srv/by-" + "string"; name = "a"; };
			  environment.etc.b.source = /. + "etc/nixos/site";
			  environment.etc.c.source = builtins.filterSource (path: _: baseNameOf path != "one") (/srv + "/by-string");
			  environment.etc.d.text = "${/. + "srv/by-string/sub/two"}";
			}
		NIX
	END
	expect_same_derivation
	local change
	for change in 'echo changed >/srv/by-string/one' 'echo changed >/srv/by-string/sub/two' 'mkdir /srv/by-string/sub/empty' \
		'touch site/four'; do
		after <<<"$change"
		expect_another_derivation
	done
}

# With what lies there and is read by nobody: a link to a result, a hidden file, the git directory.
case_classic_the_configuration_in_the_system() {
	given <<-'END'
		mkdir -p .git/objects parts
		echo object >.git/objects/one
		echo hidden >.hidden
		echo '{ }' >parts/default.nix
		echo secret >secret.txt
		chmod 600 secret.txt
		ln -s "$(readlink -f /run/current-system)" result
		cat >configuration.nix <<-'NIX'
			{
			  imports = [ ./parts ];
			  environment.etc.seen.text = builtins.toJSON [ (toString ./.) "${./.}" (toString ./parts/..) "${./parts}" ];
			  environment.etc.nixos.source = ./.;
			}
		NIX
	END
	expect_same_derivation
	expect_seen '"/etc/nixos","/nix/store/' '-nixos"' '-parts"'
	local change
	for change in 'echo changed >.git/objects/one' 'echo changed >.hidden' 'echo changed >secret.txt' 'ln -sfn /nowhere result'; do
		after <<<"$change"
		expect_another_derivation
	done
}

case_classic_odd_names() {
	given <<-'END'
		mkdir odd
		cd odd
		long=$(printf '%0250d' 7)
		mkdir -p "$long/$long"
		for name in 'a space' ' first' 'last ' "$(printf 'new\nline')" "$(printf 'tab\tulator')" -rf --help "it's" '"double"' \
			'back\slash' '\n' '$HOME' '$(touch x)' '*' '[a]' '~' '#' '@rebuild evaluated' a:b a,b a=b 'ünïcödé' '🍓' '...' ..x \
			.hidden '!' '%s' "$long/$long/file" '{' "$(printf 'e\314\201')" "$(printf '\303\251')"; do
			printf 'this is %s' "$name" >"./$name"
		done
		cd ..
		mkdir latin "x y's ünï"
		printf latin >"$(printf 'latin/\351')"
		echo '"odd import"' >"x y's ünï/-f '\$x.nix"
		reads <<-'NIX'
			let names = builtins.filter (name: builtins.stringLength name < 200) (builtins.attrNames (builtins.readDir ./odd)); in [
			  (map (name: builtins.readFile (./odd + "/${name}")) names)
			  (map (name: builtins.readFile ("/etc/nixos/odd/" + name)) names)
			  ./odd
			  (import (./. + "/x y's ünï/-f '$x.nix"))
			  (builtins.path { path = "/etc/nixos/x y's ünï"; name = "plain"; })
			  (builtins.hashString "sha256" (toString (builtins.attrNames (builtins.readDir ./latin))))
			  "${./latin}"
			]
		NIX
	END
	expect_same_derivation
	expect_seen 'this is new\nline' 'this is -rf' "this is it's" 'this is 🍓' 'odd import'
	after <<<'mv "odd/a space" "odd/a  space"'
	expect_another_derivation
	after <<<'echo changed >"odd/it'"'"'s"'
	expect_another_derivation
}

# Of a mode Nix keeps whether the owner may execute; root on the Pi reads what has no mode at all.
case_classic_modes() {
	given <<-'END'
		mkdir modes bin
		for mode in 000 100 111 400 444 500 600 644 654 700 744 755 4755 1644; do
			echo "of mode $mode" >"modes/$mode"
			chmod "$mode" "modes/$mode"
		done
		for mode in 000 300 500 700; do
			mkdir -p "modes/directory-$mode/empty"
			echo "in $mode" >"modes/directory-$mode/file"
			chmod "$mode" "modes/directory-$mode"
		done
		: >modes/nothing
		ln modes/644 modes/hard-link
		truncate -s 100K modes/sparse
		printf 'NUL \0 and \r\n' >modes/binary
		echo 'echo tool' >bin/tool
		chmod 755 bin/tool
		chown admin modes/700 modes/600
		reads <<-'NIX'
			[ ./modes "${./bin/tool}" (builtins.readFile ./modes/000) (builtins.readDir ./modes/directory-000)
			  (builtins.readFile "/etc/nixos/modes/directory-300/file") ]
		NIX
	END
	expect_same_derivation
	expect_seen "of mode 000" '{"empty":"directory","file":"regular"},"in 300'
	local change before
	for change in 'chmod u+x modes/644' 'chmod u-x bin/tool' 'chmod u-x modes/111' 'rmdir modes/directory-000/empty'; do
		after <<<"$change"
		expect_another_derivation
	done
	before=$own
	after <<<'chmod go+x,go-r modes/444; chmod 755 modes/directory-000'
	expect_same_derivation
	expect_equal "$own" "$before"
}

# --- the search path ------------------------------------------------------------------------------
# A second channel, made and brought in by the Pi's own Nix; $1 is what its module says.
case_classic_a_second_channel() {
	given <<-'END'
		mkdir -p /srv/channel/home-manager/nixos /srv/channel/home-manager/modules
		echo '{ imports = [ ../modules/it.nix ]; }' >/srv/channel/home-manager/nixos/default.nix
		echo '{ environment.etc.home.text = builtins.readFile ./it.nix; environment.etc.it.source = ./.; }' >/srv/channel/home-manager/modules/it.nix
		tar -C /srv/channel -czf /srv/channel/home-manager.tar.gz home-manager
		cp /root/.nix-channels /srv/channel/before
		export NIX_CONFIG="max-jobs = 1"
		nix-channel --add file:///srv/channel/home-manager.tar.gz home-manager
		nix-channel --update home-manager
		cat >configuration.nix <<-'NIX'
			{
			  imports = [ <home-manager/nixos> ];
			  environment.etc.seen.text = builtins.toJSON [ (toString <home-manager>) (toString <nixos/nixos>) (builtins.readDir <home-manager/.>)
			    (builtins.readDir /nix/var/nix/profiles/per-user/root/channels) ];
			}
		NIX
	END
	expect_same_derivation
	expect_seen 'home-manager","/nix/store' '{"modules":"directory","nixos":"directory"}'
	after <<-'END'
		echo '{ environment.etc.home.text = "newer"; }' >/srv/channel/home-manager/modules/it.nix
		tar -C /srv/channel -czf /srv/channel/home-manager.tar.gz home-manager
		export NIX_CONFIG="max-jobs = 1"
		nix-channel --update home-manager --option tarball-ttl 0
	END
	expect_another_derivation
	after <<-'END'
		nix-channel --rollback
		nix-channel --rollback
		mv /srv/channel/before /root/.nix-channels
	END
}

case_classic_include_flags() {
	given <<-'END'
		mkdir -p /srv/include/own /srv/include/bare/thing /srv/include/second relative
		echo '"own"' >/srv/include/own/x.nix
		echo '"bare"' >/srv/include/bare/thing/x.nix
		echo '"second"' >/srv/include/second/y.nix
		echo 'import ../../../etc/nixos/relative/value.nix' >/srv/include/second/climbing.nix
		echo '"relative"' >relative/value.nix
		echo '"a file"' >/srv/include/file.nix
		reads <<-'NIX'
			[ (import <own/x.nix>) (import <thing/x.nix>) (import <own/y.nix>) (import <own/climbing.nix>) (import <relative/value.nix>)
			  (import <file>) (builtins.tryEval <absent>).success (builtins.tryEval <own/absent.nix>).success
			  (import (builtins.findFile [ { prefix = "mine"; path = "/srv/include/own"; } ] "mine/x.nix"))
			  (let __nixPath = [ { prefix = ""; path = ./relative; } ]; in import <value.nix>)
			  builtins.nixPath (toString <own>) ]
		NIX
	END
	local flags=(-I own=/srv/include/own -I /srv/include/bare -I own=/srv/include/second -I relative=./relative
		-I file=/srv/include/file.nix -I gone=/srv/include/gone)
	expect_same_derivation "${flags[@]}"
	expect_seen '["own","bare","second","relative","relative","a file",false,false,"own","relative"' '"/srv/include/own"]'
	after <<<'mkdir /srv/include/bare/absent'
	expect_another_derivation "${flags[@]}"
	after <<<'echo "\"first\"" >/srv/include/own/y.nix'
	expect_another_derivation "${flags[@]}"
	expect_seen '"first"'
	# The same by NIX_PATH; and from another directory, with the configuration named by it.
	local path=own=/srv/include/own:/srv/include/bare:relative=relative:file=/srv/include/file.nix
	path=$path:own=/srv/include/second:nixpkgs=/nix/var/nix/profiles/per-user/root/channels/nixos
	expect_another_derivation NIX_PATH="$path:nixos-config=/etc/nixos/configuration.nix"
	expect_same_derivation NIX_PATH="$path" -I nixos-config=configuration.nix
	expect_same_derivation NIX_PATH= -I nixos-config=./configuration.nix "${flags[@]}" \
		-I nixpkgs=/nix/var/nix/profiles/per-user/root/channels/nixos
	# From another directory.
	after <<-'END'
		mkdir -p /srv/include/elsewhere
		mv relative /srv/include/elsewhere/
		sed -i 's|/etc/nixos/|/srv/include/elsewhere/|' /srv/include/second/climbing.nix
		sed -i 's|= ./relative;|= /srv/include/elsewhere/relative;|' configuration.nix
	END
	directory=/srv/include/elsewhere
	expect_another_derivation NIX_PATH="$path" -I nixos-config=../../../etc/nixos/configuration.nix
}

# With a git directory, of which nixpkgs' own lib reads which commit it is, and a part that is a link out of it.
case_classic_a_nixpkgs_checkout() {
	given <<-'END'
		cp -RL /nix/var/nix/profiles/per-user/root/channels/nixos /root/nixpkgs
		chmod -R u+w /root/nixpkgs
		cd /root/nixpkgs
		mkdir -p .git/refs/heads .git/objects
		echo 'ref: refs/heads/main' >.git/HEAD
		echo 0123456789012345678901234567890123456789 >.git/refs/heads/main
		mv lib/modules.nix /root/nixpkgs-modules.nix
		ln -s ../../nixpkgs-modules.nix lib/modules.nix
		cd /etc/nixos
		reads <<-'NIX'
			[ (toString pkgs.path) (toString <nixpkgs>) (builtins.readFile (<nixpkgs> + "/.git/HEAD"))
			  (builtins.readFile (pkgs.path + "/.git/refs/heads/main")) (builtins.pathExists (pkgs.path + "/.git/packed-refs"))
			  (builtins.pathExists <nixpkgs/.version-suffix>) (builtins.hashFile "sha256" <nixpkgs/lib/modules.nix>) ]
		NIX
	END
	expect_same_derivation -I nixpkgs=/root/nixpkgs
	expect_seen '"/root/nixpkgs","/root/nixpkgs","ref: refs/heads/main\n","0123456789' 'false,true,'
	expect_same_derivation NIX_PATH=nixpkgs=/root/nixpkgs:nixos-config=/etc/nixos/configuration.nix
	local change
	for change in 'echo 99 >/root/nixpkgs/.git/refs/heads/main' 'touch /root/nixpkgs/.git/packed-refs' \
		'printf .more >/root/nixpkgs/.version-suffix' 'sed -i "s/default = \"nixos\"/default = \"changed\"/" /root/nixpkgs/nixos/modules/etc.nix' \
		'echo "# more" >>/root/nixpkgs-modules.nix'; do
		after <<<"$change"
		expect_another_derivation -I nixpkgs=/root/nixpkgs
	done
}

case_classic_nixos_config() {
	given <<-'END'
		mkdir -p /srv/named/directory
		echo '{ environment.etc.seen.text = "a file ${toString ./.} ${builtins.getEnv "NIXOS_CONFIG"}"; }' >/srv/named/file.nix
		echo '{ environment.etc.seen.text = "a directory ${toString ./.}"; imports = [ ./part.nix ]; }' >/srv/named/directory/default.nix
		echo '{ environment.etc.part.text = builtins.readFile ../file.nix; }' >/srv/named/directory/part.nix
		ln -s file.nix /srv/named/link.nix
	END
	expect_same_derivation NIXOS_CONFIG=/srv/named/file.nix
	expect_seen "a file /srv/named /srv/named/file.nix"
	expect_another_derivation NIXOS_CONFIG=/srv/named/link.nix
	expect_seen "a file /srv/named /srv/named/link.nix"
	expect_another_derivation NIXOS_CONFIG=/srv/named/directory
	expect_seen "a directory /srv/named/directory"
	expect_same_derivation -I nixos-config=/srv/named/directory
	# It stands even where <nixos-config> is something else, or nothing; empty, it does not count.
	after <<<'echo "{ environment.etc.seen.text = \"the usual\"; }" >configuration.nix'
	expect_same_derivation NIXOS_CONFIG=/srv/named/directory
	expect_same_derivation NIXOS_CONFIG=
	expect_seen "the usual"
}

# --- what is no file ------------------------------------------------------------------------------
case_classic_environment_variables() {
	given <<-'END'
		reads <<-'NIX'
			let computed = name: builtins.getEnv ("COM" + name); in
			map builtins.getEnv [ "HOME" "USER" "LOGNAME" "LANG" "COLOUR" "NIXPKGS_ALLOW_UNFREE" "NIXPKGS_CONFIG" "NIXOS_LABEL" "UNSET" "EMPTY"
			  "ODD" "NIX_PATH" ] ++ [ (computed "PUTED") ]
		NIX
	END
	local odd=$'a\n$(touch /no) `x` \'y\' "z" \\n é'
	local variables=(COLOUR=red COMPUTED=yes NIXPKGS_ALLOW_UNFREE=1 NIXOS_LABEL=label EMPTY= "ODD=$odd")
	expect_same_derivation "${variables[@]}"
	expect_seen '["/root","root","root","C.UTF-8","red","1","","label","","","a\n' '(touch /no)' '"yes"]'
	expect_another_derivation "${variables[@]}" COLOUR=blue
	expect_another_derivation "${variables[@]}" NIXPKGS_CONFIG=/etc/nixpkgs.nix
	expect_another_derivation "${variables[@]}" COMPUTED=no
	expect_another_derivation "${variables[@]}" HOME=/srv
}

# The evaluator needs its own there; then it may refuse, and not give its own for the Pi's.
case_classic_variables_of_the_evaluator() {
	local name variables=(XDG_CACHE_HOME=/var/cache TMPDIR=/var/tmp SSH_CONNECTION=here)
	for name in PATH NIX_CONF_DIR XDG_CACHE_HOME TMPDIR SSH_CONNECTION; do
		given <<<"echo '{ environment.etc.seen.text = builtins.getEnv \"$name\"; }' >configuration.nix"
		expect_same_or_refusal "$name" "${variables[@]}"
	done
}

case_classic_the_home_directory() {
	given <<-'END'
		mkdir -p /srv/home/.config/nixpkgs /root/.config/nixpkgs
		echo '{ environment.etc.tilde.text = "at home"; }' >/root/tilde.nix
		echo '{ environment.etc.tilde.text = "in another home"; }' >/srv/home/tilde.nix
		echo '{ allowUnfree = true; }' >/root/.config/nixpkgs/config.nix
		cat >configuration.nix <<-'NIX'
			let config = builtins.getEnv "HOME" + "/.config/nixpkgs/config.nix"; in {
			  imports = [ ~/tilde.nix ];
			  environment.etc.seen.text = builtins.toJSON [ (toString ~/a) (builtins.pathExists config) (builtins.pathExists ~/absent)
			    (if builtins.pathExists config then import config else { }) ];
			}
		NIX
	END
	expect_same_derivation
	expect_seen '["/root/a",true,false,{"allowUnfree":true}]'
	expect_another_derivation HOME=/srv/home
	expect_seen '["/srv/home/a",false,false,{}]'
	after <<<'echo "{ allowUnfree = false; }" >/srv/home/.config/nixpkgs/config.nix'
	expect_another_derivation HOME=/srv/home
	expect_same_derivation HOME=/srv/home NIXOS_CONFIG=/etc/nixos/configuration.nix
}

case_classic_system_search_path_and_positions() {
	given <<-'END'
		mkdir parts
		echo '{ at = builtins.unsafeGetAttrPos "here" { a = 1; here = 2; }; inherit (__curPos) file line; directory = toString ./.; }' >parts/position.nix
		reads <<-'NIX'
			[ builtins.currentSystem pkgs.system builtins.nixPath builtins.storeDir builtins.nixVersion (toString <nixpkgs>) (toString <nixos-config>)
			  (import ./parts/position.nix) (builtins.unsafeGetAttrPos "system" pkgs) (import "/etc/nixos/parts/position.nix").at.file
			  (builtins.toFile "name" (toString ./.)) ]
		NIX
	END
	expect_same_derivation
	expect_seen '["aarch64-linux","aarch64-linux",' '"file":"/etc/nixos/parts/position.nix"' '/etc/nixos/configuration.nix'
	expect_another_derivation --option system x86_64-linux
	expect_seen '["x86_64-linux","x86_64-linux",'
	expect_another_derivation --option eval-system armv7l-linux
	expect_seen '["armv7l-linux","armv7l-linux",'
	after <<<"sed -i '1a nixpkgs.hostPlatform = \"riscv64-linux\";' configuration.nix"
	expect_another_derivation
	expect_seen '["aarch64-linux","riscv64-linux",'
}

case_classic_settings() {
	given <<-'END'
		mkdir -p /srv/settings
		echo '"by a setting"' >/srv/settings/x.nix
		reads <<-'NIX'
			[ ("piped" |> builtins.stringLength) (builtins.tryEval (import <settings/x.nix>)) ]
		NIX
	END
	local features="extra-experimental-features = pipe-operators"
	expect_same_derivation NIX_CONFIG="$features"
	expect_seen '[5,{"success":false'
	expect_same_derivation --option extra-experimental-features pipe-operators
	# -I and NIX_PATH are there besides; the setting counts where they are not.
	local nixpkgs=nixpkgs=/nix/var/nix/profiles/per-user/root/channels/nixos
	expect_another_derivation -I settings=/srv/settings --option extra-experimental-features pipe-operators
	expect_seen '[5,{"success":true,"value":"by a setting"}]'
	after <<<'mkdir -p /root/.config/nix && echo "experimental-features = pipe-operators" >/root/.config/nix/nix.conf'
	expect_same_derivation -I settings=/srv/settings
	after <<<"echo 'nix-path = $nixpkgs nixos-config=/etc/nixos/configuration.nix settings=/srv/settings' >>/root/.config/nix/nix.conf"
	expect_same_derivation -u NIX_PATH
	expect_seen '"by a setting"'
	after <<<'rm /root/.config/nix/nix.conf'
}

# --- the Pi's store -------------------------------------------------------------------------------
case_classic_store_paths_that_only_the_pi_has() {
	given <<-'END'
		mkdir -p /srv/thing/parts /srv/other
		echo '{ environment.etc.thing.text = builtins.readFile ./text; imports = [ ./parts ]; }' >/srv/thing/module.nix
		echo 'text of the thing' >/srv/thing/text
		echo '{ environment.etc.parts.source = ./.; }' >/srv/thing/parts/default.nix
		echo 'read by a string' >/srv/other/text
		thing=$(nix-store --add /srv/thing)
		other=$(nix-store --add /srv/other)
		ln -s "$thing" link
		cat >configuration.nix <<-NIX
			{
			  imports = [ $thing/module.nix ];
			  environment.etc.seen.text = builtins.toJSON [ (builtins.readFile "$other/text") (builtins.pathExists "$other") (builtins.readDir "$thing")
			    (builtins.pathExists "$other/absent") (builtins.pathExists "${thing}x") (builtins.readFile ./link/text) "$other" ];
			}
		NIX
	END
	expect_same_derivation
	expect_seen '["read by a string\n",true,{"module.nix":"regular","parts":"directory","text":"regular"},false,false,"text of the thing\n","/nix/store/'
}

# As something that the system is made from.
case_classic_store_paths_as_sources() {
	given <<-'END'
		mkdir -p /srv/valid /srv/coerced
		echo valid >/srv/valid/text
		echo coerced >/srv/coerced/text
		valid=$(nix-store --add /srv/valid)
		coerced=$(nix-store --add /srv/coerced)
		cat >configuration.nix <<-NIX
			{
			  environment.etc.a.source = builtins.storePath "$valid";
			  environment.etc.b.source = builtins.storePath $valid/text;
			  environment.etc.c.source = $coerced;
			  environment.etc.d.source = builtins.path { path = "$coerced"; name = "coerced"; };
			  environment.etc.seen.text = builtins.readFile (builtins.storePath "$valid/text") + builtins.toJSON (builtins.getContext "\${$coerced/text}");
			}
		NIX
	END
	expect_same_derivation
	expect_seen valid '-text":{"path":true}'
}

# What has been built for the Pi, with what it needs: its own running system, and a derivation.
case_classic_the_running_system() {
	given <<-'END'
		system=$(readlink -f /run/current-system)
		cat >configuration.nix <<-NIX
			{
			  environment.etc.before.source = builtins.storePath "$system";
			  environment.etc.seen.text = builtins.readFile "$system/nixos-version" + builtins.readFile /nix/var/nix/profiles/system/nixos-version
			    + builtins.readFile $system/etc/motd;
			}
		NIX
	END
	expect_same_derivation
	expect_seen '25.05.1234.abcdef025.05.1234.abcdef0Welcome to pi.'
	given <<<"echo '{ environment.etc.seen.text = builtins.readFile /run/current-system/nixos-version; }' >configuration.nix"
	expect_same_or_refusal /run/current-system
}

# --- fetchers, of addresses on the Pi -------------------------------------------------------------
case_classic_fetch_tarball() {
	given <<-'END'
		mkdir -p /srv/tarballs/source-1/part
		echo 'import ./part' >/srv/tarballs/source-1/default.nix
		echo '"fetched"' >/srv/tarballs/source-1/part/default.nix
		tar -C /srv/tarballs -czf /srv/tarballs/source.tar.gz source-1
		hash=$(nix-hash --type sha256 --base32 /srv/tarballs/source-1)
		reads <<-NIX
			let source = builtins.fetchTarball "file:///srv/tarballs/source.tar.gz"; in [
			  (import source) "\${source}" (import <tarball>)
			  (builtins.fetchTarball { url = "file:///srv/tarballs/source.tar.gz"; sha256 = "$hash"; name = "named"; })
			  (builtins.fetchurl "file:///srv/tarballs/source-1/default.nix")
			]
		NIX
	END
	expect_same_derivation -I tarball=file:///srv/tarballs/source.tar.gz
	expect_seen '["fetched","/nix/store/' '-source","fetched","' '-named' '-default.nix'
	after <<-'END'
		echo '"fetched again"' >/srv/tarballs/source-1/part/default.nix
		tar -C /srv/tarballs -czf /srv/tarballs/source.tar.gz source-1
		sed -i /named/d configuration.nix
	END
	expect_another_derivation -I tarball=file:///srv/tarballs/source.tar.gz --option tarball-ttl 0
	expect_seen '"fetched again"'
}

case_classic_fetch_git() {
	given <<-'END'
		mkdir -p /srv/repository/part
		cd /srv/repository
		commit() { git add . && git -c user.name=me -c user.email=me@pi commit -q -m "$1" --date=2001-01-01T00:00:00Z; }
		git init -q -b main .
		echo 'import ./part' >default.nix
		echo '"committed"' >part/default.nix
		echo tool >tool
		chmod +x tool
		commit first
		git checkout -q -b other
		echo '"on a branch"' >part/default.nix
		commit second
		git checkout -q main
		revision=$(git rev-parse other)
		echo untracked >untracked
		cd /etc/nixos
		git init -q .
		reads <<-NIX
			let
			  here = builtins.fetchGit /srv/repository;
			  facts = source: { inherit (source) rev shortRev revCount lastModified narHash; it = import source; };
			in [
			  (facts here) "\${here}" (facts (builtins.fetchGit { url = "/srv/repository"; ref = "other"; }))
			  (import (builtins.fetchGit { url = "file:///srv/repository"; rev = "$revision"; allRefs = true; }))
			  (builtins.readDir (builtins.fetchGit { url = ./.; name = "configuration"; }))
			]
		NIX
		commit configuration
		echo untracked >untracked.txt
	END
	expect_same_derivation
	expect_seen '"it":"committed"' '"it":"on a branch"' '"revCount":2' '"on a branch",{"configuration.nix":"regular"}]'
	after <<-'END'
		sed -i 's/inherit (source) .*narHash/inherit (source) rev narHash/' configuration.nix
		echo '"changed, not committed"' >/srv/repository/part/default.nix
		echo staged >/srv/repository/staged
		git -C /srv/repository add staged
	END
	expect_another_derivation
	expect_seen '"it":"changed, not committed"' '"rev":"0000000000000000000000000000000000000000"'
	after <<<'echo "staged more" >>/srv/repository/staged'
	expect_another_derivation
}

# --- import from derivation -----------------------------------------------------------------------
# Built by the emulated CPU while evaluating. The Pi may build nothing: to compare, it is given what was made on the way.
case_classic_import_from_derivation() {
	given <<-'END'
		mkdir -p made-from /srv/made-from
		echo '"first"' >made-from/value.nix
		echo 'by a string' >/srv/made-from/text
		cat >configuration.nix <<-'NIX'
			{ pkgs, ... }:
			let
			  strings = /. + "srv/made-from";
			  made = pkgs.run "made-for-classic" { from = ./made-from; inherit strings; } ''
			    mkdir "$out"
			    sed "s/first/$(uname -m), first/" "$from/value.nix" > "$out/default.nix"
			    cp "$strings/text" "$out/text"
			  '';
			in {
			  environment.etc.seen.text = import made + builtins.readFile "${made}/text" + toString (builtins.pathExists "${made}/absent");
			  environment.etc.made.source = made;
			}
		NIX
	END
	in_between=fetch_what_was_made
	expect_same_derivation
	expect_seen "aarch64, first" "by a string"
	after <<<'echo "\"first of all\"" >made-from/value.nix'
	expect_another_derivation
	expect_seen "aarch64, first of all"
}
# shellcheck disable=SC2016 # the Pi's shell's
fetch_what_was_made() {
	lab on pi sh -c 'nix-copy-closure --from builder $(ssh builder "ls -d /nix/store/*-made-for-classic")' </dev/null 2>"$CASE/fetched" || true
}

# --- what is sent, and what is not ----------------------------------------------------------------
# tap : everything that leaves the Pi through ssh is written down as well, in /srv/tap/sent, when $tapped is among the words
# for `evaluate`. (Should the program learn to compress, expect_sent will say so.)
tap() {
	must_sh_on pi 'mkdir -p /srv/tap; : >/srv/tap/sent'
	write_on pi /srv/tap/ssh <<-'END'
		#!/bin/bash
		case " $* " in
		*" -G "* | *" -O "*) exec /usr/bin/ssh "$@" ;;
		*) exec /usr/bin/ssh "$@" < <(exec tee -a /srv/tap/sent) ;;
		esac
	END
	must_on pi chmod 755 /srv/tap/ssh
	tapped=PATH=/srv/tap:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin
}
forget_sent() { must_sh_on pi ': >/srv/tap/sent'; }
sent_bytes() { lab on pi stat -c %s /srv/tap/sent </dev/null; }
expect_sent() { lab on pi grep -qF -- "$1" /srv/tap/sent </dev/null || fail "expected that this was sent: $1"; }

# expect_kept TEXT... : it has not left the Pi, and nothing on the builder has it. What is read here is the builder's
# cache, its temporary files and its store.
expect_kept() {
	local text
	for text; do
		! lab on pi grep -qF -- "$text" /srv/tap/sent </dev/null || fail "expected that this is not sent: $text"
		sh_on builder "grep -rlF -- '$text' /home/builder /var/tmp /tmp /nix/store"
		expect_equal "$output" ""
	done
}

case_classic_what_is_not_read_is_not_sent() {
	given <<-'END'
		mkdir -p /root/.ssh /root/other parts
		echo 'marker-of-unread' >unread.txt
		echo 'marker-of-private' >private.txt
		chmod 600 private.txt
		echo 'marker-of-a-key' >/root/.ssh/id_x
		chmod 600 /root/.ssh/id_x
		echo 'marker-of-another-directory' >/root/other/file
		echo 'marker-of-an-unread-part' >parts/unread.nix
		echo '"marker-of-what-is-read"' >parts/read.nix
		echo 'marker-of-what-a-filter-leaves-out' >parts/left-out
		reads <<-'NIX'
			[ (builtins.readDir ./.) (builtins.readDir "/root/other") (builtins.pathExists (./. + "/private.txt"))
			  (builtins.pathExists "/root/.ssh/id_x") (builtins.readFileType (./. + "/unread.txt")) (import (./parts + "/read.nix"))
			  (builtins.filterSource (path: _: baseNameOf path == "read.nix") ./parts) (toString ./.) ]
		NIX
	END
	tap
	expect_same_derivation "$tapped" SECRET=marker-of-a-variable AWS_SECRET_ACCESS_KEY=marker-of-another-variable
	expect_seen 'true,true,"regular","marker-of-what-is-read"'
	expect_sent marker-of-what-is-read
	expect_kept marker-of-unread marker-of-private marker-of-a-key marker-of-another-directory marker-of-an-unread-part \
		marker-of-what-a-filter-leaves-out marker-of-a-variable marker-of-another-variable
}

# A clear word, and no system that has been made without them.
case_classic_secrets_that_are_read_are_refused() {
	local expression marker=marker-of-a-secret
	given <<-END
		mkdir -p /root/.ssh config/.ssh /root/.gnupg
		grep -q $marker /etc/shadow || echo "$marker:*:1::::::" >>/etc/shadow
		echo $marker | tee /root/.ssh/id_x /root/.netrc /root/.gnupg/key config/.ssh/id_x >/dev/null
		chmod 600 /root/.ssh/id_x /root/.netrc
		ln -sfn /etc/shadow looks-harmless
	END
	tap
	while IFS='|' read -r named expression; do
		given_expression "$expression"
		evaluate "$tapped"
		expect_failure
		expect_contains "$errors" "$named"
		expect_matches "$errors" "never leaves this machine|is never sent|is not sent"
		expect_equal "$there" ""
	done <<-'END'
		/etc/shadow|builtins.hashString "md5" (builtins.readFile /etc/shadow)
		/etc/shadow|builtins.readFile ("/etc/" + "shadow")
		/etc/shadow|builtins.readFile ./looks-harmless
		/root/.ssh/id_x|builtins.readFile (builtins.getEnv "HOME" + "/.ssh/id_x")
		/root/.ssh/id_x|"${/root/.ssh}"
		/root/.netrc|"${~/.netrc}"
		/etc/nixos/config/.ssh/id_x|"${./config}"
	END
	expect_kept $marker
	# That they are there may be known.
	given_expression '(toString (map builtins.pathExists [ "/etc/shadow" /root/.ssh/id_x "/root/.gnupg/key" ./looks-harmless ]))'
	expect_same_or_refusal /etc/shadow
	after <<<'sed -i /marker/d /etc/shadow'
}
# given_expression EXPRESSION : the configuration is that text in /etc/seen, and nothing else.
given_expression() {
	last_script="echo '$1'"
	must_on pi sh -euc "printf '{ environment.etc.seen.text = %s; }\n' \"\$1\" >/etc/nixos/configuration.nix" write "$1"
}

# A file of root's alone, outside of the configuration, and no literal names it.
case_classic_private_files_that_only_strings_name() {
	given <<-'END'
		mkdir -p -m 700 /root/vault
		echo 'text of the vault' >/root/vault/text
		chmod 600 /root/vault/text
		echo '{ environment.etc.seen.text = builtins.readFile ("/root/vault" + "/text"); }' >configuration.nix
	END
	expect_same_or_refusal /root/vault/text
	given_expression 'builtins.toJSON [ (builtins.readDir "/root/vault") (builtins.pathExists "/root/vault/text") ]'
	expect_same_or_refusal /root/vault
	# In /etc/nixos it is the configuration's own.
	after <<-'END'
		echo 'text beside it' >private
		chmod 600 private
	END
	given_expression 'builtins.readFile ("/etc/nixos" + "/private")'
	expect_same_derivation
	expect_seen "text beside it"
}

case_classic_big_files_and_results_beside_it() {
	given <<-'END'
		mkdir images
		truncate -s 300M big.img images/big.img
		ln -s "$(readlink -f /run/current-system)" result
		echo small >images/small
		reads <<-'NIX'
			[ (builtins.readDir ./.) (builtins.pathExists ./big.img) (toString ./.) (builtins.readFileType ./result)
			  (builtins.filterSource (path: _: baseNameOf path != "big.img") ./images) ]
		NIX
	END
	tap
	expect_same_derivation "$tapped"
	expect_seen '"big.img":"regular"' 'true,"/etc/nixos","symlink"'
	[ "$(sent_bytes)" -lt 20000000 ] || fail "expected less to be sent than $(sent_bytes) bytes"
	sh_on builder 'find /home/builder /var/tmp /tmp -size +50M'
	expect_equal "$output" ""
	after <<<'rm -r images big.img'
}

case_classic_a_second_run_sends_nothing() {
	given <<-'END'
		mkdir parts /srv/again
		echo '"marker-of-the-first-part"' >parts/first.nix
		echo '"marker-of-the-second-part"' >parts/second.nix
		echo 'marker-of-a-string' >/srv/again/text
		reads <<-'NIX'
			[ "marker-of-the-configuration" (import ./parts/first.nix) (import ./parts/second.nix) (builtins.readFile "/srv/again/text") ]
		NIX
	END
	tap
	local markers=(marker-of-the-configuration marker-of-the-first-part marker-of-the-second-part marker-of-a-string) marker before
	expect_same_derivation "$tapped"
	for marker in "${markers[@]}"; do expect_sent "$marker"; done
	before=$own
	forget_sent
	expect_same_derivation "$tapped"
	expect_equal "$own" "$before"
	for marker in "${markers[@]}"; do
		! lab on pi grep -qF "$marker" /srv/tap/sent </dev/null || fail "expected that this is not sent again: $marker"
	done
	# The script for the other machine, the names, and no more.
	[ "$(sent_bytes)" -lt 100000 ] || fail "expected less to be sent again than $(sent_bytes) bytes"
	# And of a change, what has changed.
	after <<<'echo "\"marker-of-a-change\"" >parts/first.nix'
	forget_sent
	expect_another_derivation "$tapped"
	expect_sent marker-of-a-change
	! lab on pi grep -qF marker-of-the-second-part /srv/tap/sent </dev/null || fail "expected that only the change is sent"
}

# --- between two runs -----------------------------------------------------------------------------
# Whatever the builder keeps, it never answers with what was.
case_classic_nothing_old_is_seen() {
	given <<-'END'
		mkdir -p thing /srv/old
		echo one >/srv/old/file
		touch -d 2001-01-01T00:00:00Z /srv/old/file
		echo in >thing/inside
		reads <<-'NIX'
			let see = path:
			  if !builtins.pathExists path then "nothing"
			  else if builtins.pathExists (toString path + "/") then builtins.readDir path
			  else builtins.readFile path;
			in map see [ "/srv/old/file" ./thing (./. + "/new") "/srv/old/new" ] ++ [ ./thing ]
		NIX
	END
	expect_same_derivation
	local change
	while IFS= read -r change; do
		after <<<"$change"
		expect_another_derivation
	done <<-'END'
		echo two >/srv/old/file; touch -d 2001-01-01T00:00:00Z /srv/old/file
		echo three >/srv/old/three; touch -d 2001-01-01T00:00:00Z /srv/old/three; mv /srv/old/three /srv/old/file
		rm /srv/old/file
		mkdir /srv/old/file; touch /srv/old/file/one /srv/old/file/two
		rm /srv/old/file/one
		rm -r /srv/old/file; ln -s /etc/hostname /srv/old/file
		ln -sfn /etc/nixos/thing /srv/old/file
		rm -r thing; echo "a file now" >thing
		chmod +x thing
		rm thing; mkdir thing; echo in >thing/inside; mkdir thing/empty
		echo out >new; touch /srv/old/new
		mv new newer; mkdir new
		mv thing new/; mkdir thing
	END
}

# The same names on another Pi, or for another user of this one: whose files they are is not mixed up.
case_classic_another_user() {
	given <<-'END'
		chmod 755 /etc/nixos
		reads <<-'NIX'
			[ (builtins.getEnv "HOME") (builtins.getEnv "USER") (import ~/mine.nix) (builtins.pathExists "/home/admin/only") ]
		NIX
		echo '"of root"' >/root/mine.nix
		echo '"of admin"' >/home/admin/mine.nix
		touch /home/admin/only
		chown admin: /home/admin/mine.nix
		cp -R /root/.ssh /home/admin/
		chown -R admin: /home/admin/.ssh
	END
	expect_same_derivation
	expect_seen '["/root","root","of root",true]'
	must lab on pi -u admin -- env -C /etc/nixos rebuild dry-build --eval-on builder -v
	there=$(sed -n 's/^derivation: //p' "$CASE/errors" | tail -n 1)
	must lab on pi -u admin -- nix-instantiate '<nixpkgs/nixos>' -A config.system.build.toplevel
	expect_equal "$there" "$output"
	own=$output
	expect_seen '["/home/admin","admin","of admin",true]'
}

# --- what both machines have ----------------------------------------------------------------------
# The evaluation's own programs and libraries over there read some of these: then it may refuse; the builder's it never gives.
case_classic_files_that_both_machines_have() {
	given <<-'END'
		mkdir -p /usr/local/share/of-the-pi
		echo 'of the Pi' >/usr/local/share/of-the-pi/text
		printf '10.1.2.3 of-the-pi\n' >>/etc/hosts
		echo 'search of-the-pi' >/etc/resolv.conf
		echo 'NAME=of-the-pi' >/usr/local/os-release
		ln -sfn ../usr/local/os-release /etc/os-release
		ln -sfn /usr/share/zoneinfo/Asia/Tokyo /etc/localtime
	END
	must_sh_on builder 'mkdir -p /usr/local/share/of-the-builder'
	local path expression
	while IFS='|' read -r path expression; do
		given_expression "builtins.hashString \"sha256\" (builtins.toJSON ($expression))"
		expect_same_or_refusal "$path"
	done <<-'END'
		/etc/machine-id|builtins.readFile /etc/machine-id
		/etc/os-release|builtins.readFile "/etc/os-release"
		/etc/passwd|builtins.readFile /etc/passwd
		/etc/group|builtins.readFile "/etc/group"
		/etc/hosts|builtins.readFile "/etc/hosts"
		/etc/resolv.conf|builtins.readFile /etc/resolv.conf
		/etc/nix/nix.conf|builtins.readFile "/etc/nix/nix.conf"
		/usr/local/share/of-the-pi|builtins.readFile "/usr/local/share/of-the-pi/text"
		/usr/local/share/of-the-pi|builtins.readDir "/usr/local/share/of-the-pi"
		/usr/local/share|builtins.readDir /usr/local/share
		/run|map builtins.pathExists [ "/run/sshd.pid" "/run/of-the-builder" "/run/current-system" ]
		/etc|builtins.readDir /etc
	END
}

# What the user names is never passed over for another file, wherever it lies: neither for the next one that the search path
# has, nor for the builder's at the same place.
case_classic_what_is_named_where_the_builder_has_its_own() {
	given <<-'END'
		echo '{ environment.etc.seen.text = "passed over"; }' >configuration.nix
		for place in /dev/shm/conf /usr/local/src/conf /usr/conf; do
			mkdir -p "$place/parts"
			echo "{ imports = [ ./more.nix ]; environment.etc.seen.text = \"of $place\" + builtins.concatStringsSep \"\" (builtins.attrNames (builtins.readDir ./parts)); }" >"$place/configuration.nix"
			echo '{ environment.etc.more.text = builtins.readFile ./parts/text; }' >"$place/more.nix"
			echo text >"$place/parts/text"
		done
		ln -sfn /usr/local/src/conf /srv/conf
	END
	# Of another content, and with more in it.
	must_sh_on builder 'for place in /dev/shm/conf /usr/local/src/conf /usr/conf; do
		mkdir -p "$place/parts"
		echo "{ environment.etc.seen.text = \"of the builder\"; }" >"$place/configuration.nix"
		cp "$place/configuration.nix" "$place/more.nix"
		echo builder | tee "$place/parts/text" >"$place/parts/too-much"
	done'
	expect_same_derivation NIXOS_CONFIG=/dev/shm/conf/configuration.nix
	expect_seen 'of /dev/shm/conftext'
	expect_same_derivation -I nixos-config=/usr/local/src/conf/configuration.nix
	expect_seen 'of /usr/local/src/conftext'
	# Unchanged, nothing is sent. By a link; and by NIX_PATH, without the builder's having any.
	expect_same_derivation -I nixos-config=/usr/local/src/conf/configuration.nix
	expect_contains "$errors" "has the configuration's files already"
	expect_same_derivation NIXOS_CONFIG=/srv/conf/configuration.nix
	expect_seen 'of /usr/local/src/conftext'
	must_on builder rm -r /usr/conf
	expect_same_derivation "NIX_PATH=nixos-config=/usr/conf/configuration.nix:nixpkgs=/nix/var/nix/profiles/per-user/root/channels/nixos"
	expect_seen 'of /usr/conftext'
	must_sh_on builder 'rm -r /dev/shm/conf /usr/local/src/conf'

	# Where there is nothing here, the next entry counts; the builder has something.
	must_sh_on builder 'mkdir -p /usr/src/nixpkgs/nixos && echo "throw \"of the builder\"" >/usr/src/nixpkgs/nixos/default.nix'
	expect_same_derivation "NIX_PATH=nixpkgs=/usr/src/nixpkgs:nixpkgs=/nix/var/nix/profiles/per-user/root/channels/nixos:nixos-config=/etc/nixos/configuration.nix"
	expect_seen 'passed over'
	must_on builder rm -r /usr/src/nixpkgs

	# What the configuration names there, too, by a path and by a string; and what is not there.
	given <<-'END'
		mkdir -p /usr/local/share/of-the-pi
		echo '{ environment.etc.more.text = "of the Pi"; }' >/usr/local/share/of-the-pi/module.nix
		echo 'text of the Pi' >/usr/local/share/of-the-pi/text
		cat >configuration.nix <<-'NIX'
			{ imports = [ /usr/local/share/of-the-pi/module.nix ]
			    ++ (if builtins.pathExists /usr/local/etc/nixos/local.nix then [ /usr/local/etc/nixos/local.nix ] else [ ]);
			  environment.etc.seen.text = builtins.readFile "/usr/local/share/of-the-pi/text"; }
		NIX
	END
	must_sh_on builder 'mkdir -p /usr/local/share/of-the-pi /usr/local/etc/nixos
		echo "text of the builder" >/usr/local/share/of-the-pi/text
		echo "{ environment.etc.more.text = \"of the builder\"; }" | tee /usr/local/share/of-the-pi/module.nix >/usr/local/etc/nixos/local.nix'
	expect_same_derivation
	expect_seen 'text of the Pi'
	must_sh_on builder 'rm -r /usr/local/share/of-the-pi /usr/local/etc/nixos'
}

# Links below /run are no secrets; what lies there is.
case_classic_links_below_run() {
	given <<-'END'
		ln -sfn "$(readlink -f /nix/var/nix/profiles/per-user/root/channels/nixos)" /run/nixpkgs
		echo '[ (builtins.readFile /run/current-system/nixos-version) (map builtins.pathExists [ "/run/nixpkgs" "/run/none" ]) ]' | reads
		mkdir -p /run/secrets
		echo secret >/run/secrets/wifi
	END
	expect_same_derivation NIX_PATH=nixpkgs=/run/nixpkgs:nixos-config=/etc/nixos/configuration.nix
	expect_seen '25.05.1234.abcdef0'
	local place
	must_sh_on pi 'mkdir -p /usr/lib/conf && cp /etc/nixos/configuration.nix /usr/lib/conf/ && cp /etc/nixos/configuration.nix /run/secrets/'
	# Before anything is asked of the builder.
	for place in /usr/lib/conf /run/secrets; do
		on pi env NIXOS_CONFIG=$place/configuration.nix rebuild dry-build --eval-on nobody
		expect_status 1
		expect_contains "$errors" "NIXOS_CONFIG names $place/configuration.nix: "
		expect_contains "$errors" "--eval-on ''"
	done
	on pi env NIX_PATH=nixpkgs=/usr/lib/conf:nixos-config=/etc/nixos/configuration.nix rebuild dry-build --eval-on nobody
	expect_status 1
	expect_contains "$errors" "names /usr/lib/conf: an evaluation elsewhere sees that machine's own there"
	must_sh_on pi 'rm -r /usr/lib/conf /run/secrets /run/nixpkgs'
}

# For whom Nix there does what it does for everybody: what is named by its content may come from anyone, what was built may not.
case_classic_a_user_whom_the_builder_does_not_trust() {
	must lab nixconf builder 'extra-platforms = aarch64-linux'
	given <<-'END'
		mkdir -p site/empty /srv/untrusted
		echo page >site/index.html
		echo 'by a string' >/srv/untrusted/text
		thing=$(nix-store --add /srv/untrusted)
		cat >configuration.nix <<-NIX
			{
			  environment.etc.site.source = ./site;
			  environment.etc.thing.source = builtins.storePath "$thing";
			  environment.etc.seen.text = builtins.readFile "/srv/untrusted/text" + builtins.toJSON (builtins.pathExists "/srv/untrusted");
			}
		NIX
	END
	builder=plain@builder
	expect_same_derivation
	expect_seen "by a string" true
	given_expression "builtins.storePath (builtins.readFile /srv/untrusted/system)"
	after <<<"readlink -f /run/current-system | tr -d '\\n' >/srv/untrusted/system"
	expect_same_or_refusal nixos-system-pi
}

# Where no file says when it was read (noatime), a look tells nothing: then what is missed is sent one by one, and not for long.
case_classic_where_no_access_times_are_kept() {
	given <<-'END'
		mkdir modules site
		for name in a b c d e f g h; do
			echo "{ environment.etc.\"of-$name\".text = \"$name\"; }" >modules/$name.nix
			echo "page $name" >site/$name
		done
		cat >configuration.nix <<-'NIX'
			{ imports = map (name: ./modules + "/${name}") (builtins.attrNames (builtins.readDir ./modules));
			  environment.etc.site.source = ./site; }
		NIX
	END
	must_sh_on builder 'mount --bind /home/builder /home/builder && mount -o remount,bind,noatime /home/builder'
	expect_same_derivation
	must_on builder umount -l /home/builder
}
