# shellcheck shell=bash
# Files and directories of a classic configuration: one case for each way to name one. See classic.sh.

# shellcheck source=/dev/null
. "$LAB/classic.sh"

# --- files, and the ways in which they are named --------------------------------------------------
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

# A pipe is a name, and nothing that could be read to its end.
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
			  # To Nix 2.26, a link that leads nowhere exists, unless a slash follows it.
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

# Each file is known only when the one before it has been read: so there are as many questions as files, and the right
# answer at the end.
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

# If the Pi does not have a file either, it is an error on both machines. The error names the path of the Pi, and comes
# soon.
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

# The directory is mounted into the view as it is kept (view.sh), and changed in its place (mirror.sh).
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
	# This evaluation has what the first one has found out.
	expect_same_derivation
	must_sh_on builder ': >/tmp/before'
	local anew=--no-eval-cache
	expect_same_derivation
	expect_contains "$errors" "builder has the configuration's files already"
	# No link was made to any file: that would change its ctime.
	local kept='find /home/builder/.cache/rebuild/pi*/mirrors -path "*/a ?b/data/*"'
	sh_on builder "$kept -type f -cnewer /tmp/before | wc -l"
	expect_equal "$output" 0
	local change
	for change in "echo '\"another\"' >module.nix; rm file-8; chmod +x file-11" \
		'rm file-9; mkdir file-9; echo in >file-9/it; ln -sfn few file-10'; do
		after <<<"cd 'a *b/data'; $change"
		expect_another_derivation
	done
	# Every file is kept once.
	sh_on pi 'find "/etc/nixos/a *b/data" -mindepth 1 | wc -l'
	local names=$output
	sh_on builder "$kept | wc -l"
	expect_equal "$output" "$names"
	# After an error, none of it is sent anew.
	after <<<'cp configuration.nix /srv/good.nix; echo "{ ... }: throw \"no\"" >configuration.nix; echo 12 >"a *b/data/file-12"'
	on pi rebuild dry-build --eval-on builder
	expect_failure
	after <<<'cp /srv/good.nix configuration.nix; echo more >"a *b/data/file-13"'
	expect_another_derivation
	[[ ! "$errors" =~ sent\ [0-9]{3} ]] || fail "much was sent anew: $errors"
	# Two runs start at once from the same mirror; then the file is there by its name only.
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

# Of a mode, Nix keeps only whether the owner may execute the file. Root on the Pi can read files that nobody has a
# right to read.
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
