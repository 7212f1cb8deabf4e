# shellcheck shell=bash
# Where a classic configuration lies, and what lies where the builder has its own. See classic.sh.

# shellcheck source=/dev/null
. "$LAB/classic.sh"

# Nothing of the builder is seen, and everything of the Pi is.
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
# Nix (2.26) keeps the names of links on the way to a file that it imports. It resolves a link at the end, to a file or
# to a directory; and it resolves everything that it finds on its search path (<nixos-config>).
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

# home-manager and `nixos-rebuild edit` make such links: the entry itself is a link, one link leads to another, and
# links are absolute.
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

# Other things lie there that nobody reads: a link to a result, a hidden file, the git directory.
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

# The checkout has a git directory, from which the lib of nixpkgs itself reads which commit it is at, and a part that is
# a link out of it.
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

# This is what has been built for the Pi, with its dependencies: its own running system, and a derivation.
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

# --- what both machines have ----------------------------------------------------------------------
# The evaluator's own programs and libraries read some of these files: then the run may be refused, but the evaluation
# never gets the builder's files.
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

# What the user names is never passed over for another file, wherever it lies: neither for the next one in the search
# path, nor for the builder's file at the same place.
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
	# The builder's directories have another content, and more in them.
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
	# If nothing has changed, nothing is sent. The configuration is named by a link, and by NIX_PATH; the builder has none.
	anew=--no-eval-cache expect_same_derivation -I nixos-config=/usr/local/src/conf/configuration.nix
	expect_contains "$errors" "has the configuration's files already"
	expect_same_derivation NIXOS_CONFIG=/srv/conf/configuration.nix
	expect_seen 'of /usr/local/src/conftext'
	must_on builder rm -r /usr/conf
	expect_same_derivation "NIX_PATH=nixos-config=/usr/conf/configuration.nix:nixpkgs=/nix/var/nix/profiles/per-user/root/channels/nixos"
	expect_seen 'of /usr/conftext'
	must_sh_on builder 'rm -r /dev/shm/conf /usr/local/src/conf'

	# If nothing is here, the next entry counts, although the builder has something.
	must_sh_on builder 'mkdir -p /usr/src/nixpkgs/nixos && echo "throw \"of the builder\"" >/usr/src/nixpkgs/nixos/default.nix'
	expect_same_derivation "NIX_PATH=nixpkgs=/usr/src/nixpkgs:nixpkgs=/nix/var/nix/profiles/per-user/root/channels/nixos:nixos-config=/etc/nixos/configuration.nix"
	expect_seen 'passed over'
	must_on builder rm -r /usr/src/nixpkgs

	# The configuration names files there, too, by a path and by a string; and one that does not exist.
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

# Links below /run are no secrets, but the files there are.
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
	# The run is refused before the builder is asked anything.
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
