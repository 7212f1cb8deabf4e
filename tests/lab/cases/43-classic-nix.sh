# shellcheck shell=bash
# What of Nix a classic configuration depends on: channels, flags, settings, variables, store paths, fetchers. See classic.sh.

# shellcheck source=/dev/null
. "$LAB/classic.sh"

# --- the search path ------------------------------------------------------------------------------
# The second channel is made, and brought in by the Pi's own Nix; $1 is what its module says.
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
	# The same by NIX_PATH; and from another directory, with the configuration named by NIX_PATH.
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
	# NIXOS_CONFIG counts even if <nixos-config> is something else, or nothing; if it is empty, it does not count.
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

# The evaluator needs its own value there. Then the run may be refused, but the evaluator's value never takes the place
# of the Pi's.
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
	# -I and NIX_PATH are given besides; the setting counts where they are not.
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

# The system is made from such a path.
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
