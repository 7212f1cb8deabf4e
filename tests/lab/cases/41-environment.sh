# shellcheck shell=bash
# The same derivation, whatever the evaluation reads that is no file: variables, the home, Nix's settings. Or a refusal that
# names it.

# shellcheck source=/dev/null
. "$LAB/classic.sh"

# expect_refused TEXT... [-- NAME=VALUE... FLAG...] : checks that there is no result, and that each TEXT is said.
expect_refused() {
	local texts=() text
	while [ $# -gt 0 ] && [ "$1" != -- ]; do
		texts+=("$1")
		shift
	done
	[ $# = 0 ] || shift
	local environment=() flags=()
	take_words "$@"
	run lab on pi env -C "${directory:-/etc/nixos}" "${environment[@]}" \
		timeout 40 rebuild dry-build --eval-on "${builder:-builder}" -v "${flags[@]}"
	note_derivation
	expect_failure
	for text in "${texts[@]}"; do expect_contains "$errors" "$text"; done
}

# --- variables ------------------------------------------------------------------------------------
# These are: a module of a channel, one that the evaluation itself has written to the store, one without .nix, and one
# by scopedImport. No literal of the configuration leads there, or none that was read beforehand.
case_environment_of_files_that_nobody_read_beforehand() {
	given <<-'END'
		mkdir parts
		echo 'builtins.getEnv "OF_A_PART"' >parts/plain
		echo 'builtins.getEnv "OF_A_SCOPE"' >parts/scoped
		reads <<-'NIX'
			[ (import (builtins.toFile "module.nix" "builtins.getEnv \"OF_THE_STORE\""))
			  (import (./parts + "/${"plain"}")) (builtins.scopedImport { } (./parts + "/sco${"ped"}")) ]
		NIX
	END
	expect_same_derivation OF_A_PART=1 OF_A_SCOPE=2 OF_THE_STORE=3
	expect_seen '["3","1","2"]'
	expect_another_derivation OF_A_PART=1 OF_A_SCOPE=2 OF_THE_STORE=4
	# It is as before, but none of the variables is set.
	expect_another_derivation
}

case_environment_of_a_module_in_the_store() {
	given <<-'END'
		mkdir -p /srv/module
		echo '{ environment.etc.seen.text = "${builtins.getEnv "COLOUR"} ${builtins.getEnv "THE_TOKEN"}"; }' >/srv/module/default.nix
		printf '{ imports = [ %s ]; }\n' "$(nix-store --add /srv/module)" >configuration.nix
	END
	expect_same_derivation COLOUR=red
	expect_seen red
	expect_another_derivation COLOUR=blue
	expect_refused "the configuration asks for the environment variable THE_TOKEN" "--send-env THE_TOKEN" -- THE_TOKEN=hunter2
	expect_lacks "$errors" hunter2
	evaluate THE_TOKEN=hunter2 REBUILD_UNUSED=1
	run lab on pi env -C /etc/nixos THE_TOKEN=hunter2 rebuild dry-build --eval-on builder -v --send-env THE_TOKEN
	note_derivation
	expect_own_derivation_there builder
}

# evaluate also passes the flags to the Pi's own Nix, which does not know this one.
case_environment_names_that_are_computed() {
	given <<-'END'
		echo '{ "names": [ "FROM_JSON" ] }' >names.json
		reads <<-'NIX'
			let get = name: builtins.getEnv name; in
			[ (get ("TMP" + "DIR")) (get (builtins.concatStringsSep "_" [ "PASTED" "NAME" ])) (get "PASSED_ON") ]
			++ map get (builtins.fromJSON (builtins.readFile ./names.json)).names
		NIX
	END
	expect_same_derivation PASTED_NAME=1 PASSED_ON=2 FROM_JSON=3
	expect_seen '["","1","2","3"]'
	expect_another_derivation PASTED_NAME=1 PASSED_ON=2 FROM_JSON=3 TMPDIR=/var/tmp
	expect_seen '["/var/tmp","1","2","3"]'
	# This is a secret that none of the user's Nix files names itself.
	after <<<'sed -i "s/FROM_JSON/FROM_KEY/" names.json'
	expect_refused configuration.nix FROM_KEY "--send-env FROM_KEY" -- FROM_KEY=hunter2
	after <<<'sed -i "s/\"TMP\" + \"DIR\"/\"NIX_\" + \"REMOTE\"/" configuration.nix'
	expect_refused NIX_REMOTE "cannot be the same on another machine"
}

case_environment_of_the_evaluator() {
	given <<-'END'
		reads <<-'NIX'
			map builtins.getEnv [ "TMPDIR" "XDG_RUNTIME_DIR" "SHELL" ]
		NIX
	END
	expect_same_derivation
	expect_another_derivation TMPDIR=/srv XDG_RUNTIME_DIR=/run/user/0 SHELL=/bin/none
	expect_seen '["/srv","/run/user/0","/bin/none"]'
	local name
	for name in NIX_REMOTE NIX_CONF_DIR NIX_SSL_CERT_FILE; do
		given <<<"echo 'import (builtins.toFile \"x\" \"{ environment.etc.seen.text = builtins.getEnv \\\"$name\\\"; }\")' >configuration.nix"
		expect_refused "asks for the environment variable $name"
	done
}

# The log of every Nix names the files, but the oldest leaves links in the names.
case_environment_with_other_versions_of_nix() {
	need_hosts oldbuilder newbuilder
	given <<-'END'
		mkdir -p /srv/module
		echo '{ environment.etc.seen.text = "${builtins.getEnv "COLOUR"} ${builtins.getEnv "THE_TOKEN"} ${builtins.getEnv ("TMP" + "DIR")}"; }' >/srv/module/default.nix
		printf '{ imports = [ %s ]; }\n' "$(nix-store --add /srv/module)" >configuration.nix
		echo '"of root"' >/root/mine.nix
	END
	local builder
	for builder in oldbuilder newbuilder; do
		expect_same_derivation COLOUR=red TMPDIR=/srv
		expect_seen "red  /srv"
		expect_refused "THE_TOKEN" "--send-env THE_TOKEN" -- THE_TOKEN=hunter2
	done
	after <<<'echo "{ environment.etc.seen.text = toString ~/x; }" >configuration.nix'
	for builder in oldbuilder newbuilder; do
		expect_refused "names a file by ~, which is /root" -- HOME=/home/admin
		evaluate -u HOME
		expect_status 0
		expect_own_derivation_there "$builder"
	done
}

# If users may make no namespaces, sudo makes the view, and the files in it still belong to the user.
case_environment_where_sudo_makes_the_view() {
	given <<-'END'
		echo '"of root"' >/root/mine.nix
		echo '[ (import ~/mine.nix) (import (builtins.toFile "x" "builtins.getEnv \"COLOUR\"")) ]' | reads
	END
	refuse_namespaces builder
	must_sh_on builder 'echo "builder ALL=(ALL:ALL) NOPASSWD: ALL" >/etc/sudoers.d/builder'
	expect_same_derivation COLOUR=red
	expect_seen '["of root","red"]'
	evaluate -u HOME
	expect_status 0
	expect_own_derivation_there builder
	fresh builder
}

# --- the home -------------------------------------------------------------------------------------
# NixOS/nix#6676: HOME counts only if it is the user's.
case_environment_of_another_users_home() {
	given <<-'END'
		echo '"of root"' >/root/mine.nix
		echo '"of admin"' >/home/admin/mine.nix
		mkdir -p /home/admin/.config/nix /root/.config/nix
		echo 'extra-experimental-features = pipe-operators' >/home/admin/.config/nix/nix.conf
		chown -R admin: /home/admin
		echo '[ (builtins.getEnv "HOME") (builtins.pathExists "/home/admin/mine.nix") ]' | reads
	END
	expect_same_derivation HOME=/home/admin
	expect_seen '["/home/admin",true]'
	after <<<'echo "[ (import ~/mine.nix) ]" | reads'
	expect_refused /etc/nixos/configuration.nix "names a file by ~, which is /root" "HOME=/root" -- HOME=/home/admin
	# nix.conf is root's, and does not enable such an operator.
	after <<<'echo "[ (\"x\" |> builtins.stringLength) ]" | reads'
	expect_refused "pipe-operators" -- HOME=/home/admin
	must_sh_on pi 'rm -r /home/admin/.config'
}

case_environment_without_a_home() {
	given <<-'END'
		echo '"of root"' >/root/mine.nix
		echo '[ (builtins.getEnv "HOME") (import ~/mine.nix) (toString ~/x) ]' | reads
	END
	evaluate -u HOME
	expect_status 0
	expect_own_derivation_there builder
	expect_seen '["","of root","/root/x"]'
	after <<<'echo "[ (builtins.getEnv \"HOME\") (toString ~/x) ]" | reads'
	expect_same_derivation HOME=
	expect_seen '["","/x"]'
	expect_same_derivation HOME=/not/there
	expect_seen '["/not/there","/not/there/x"]'
}

# --- settings -------------------------------------------------------------------------------------
case_environment_settings_that_add_to_the_search_path() {
	given <<-'END'
		mkdir -p /srv/added
		echo '"added"' >/srv/added/x.nix
		echo '[ (builtins.tryEval (import <added/x.nix>)) ]' | reads
	END
	local nixpkgs=nixpkgs=/nix/var/nix/profiles/per-user/root/channels/nixos configuration=nixos-config=/etc/nixos/configuration.nix
	evaluate -u NIX_PATH NIX_CONFIG="extra-nix-path = $nixpkgs $configuration added=/srv/added"
	expect_status 0
	expect_own_derivation_there builder
	expect_seen '"value":"added"'
	evaluate -u NIX_PATH --option extra-nix-path "$nixpkgs $configuration added=/srv/added"
	expect_status 0
	expect_own_derivation_there builder
	expect_seen '"value":"added"'
}

case_environment_settings_that_refuse_an_evaluation() {
	given <<<'echo "[ (builtins.warn \"no\" 1) (builtins.fetchurl \"file:///etc/hostname\") ]" | reads'
	expect_same_derivation
	must_sh_on pi '! NIX_CONFIG="abort-on-warn = true" nix-instantiate "<nixpkgs/nixos>" -A config.system.build.toplevel'
	expect_refused "abort-on-warn" -- NIX_CONFIG="abort-on-warn = true"
	expect_refused "restricted mode" -- NIX_CONFIG="restrict-eval = true"
	expect_same_derivation NIX_CONFIG="restrict-eval = true" -I all=/
	expect_refused "allow-unsafe-native-code-during-evaluation = true" "--eval-on ''" -- \
		NIX_CONFIG="allow-unsafe-native-code-during-evaluation = true"
	expect_refused "plugin-files = /x.so" -- --option plugin-files /x.so
	# If a Nix does not know a setting that decides here, it must not evaluate.
	need_hosts oldbuilder
	builder=oldbuilder expect_refused "does not know the setting abort-on-warn" -- NIX_CONFIG="abort-on-warn = true"
}

# src/nix_settings/table.rs decides about every setting that Nix lists, in all versions of the lab.
case_environment_settings_every_one_of_nix_is_decided() {
	need_hosts oldbuilder newbuilder
	local host words name
	words=$(grep -o '"[a-z0-9-]*"' "$LAB/../../src/nix_settings/table.rs" | tr -d '"')
	for host in oldbuilder builder newbuilder; do
		must lab on "$host" sh -c 'nix --extra-experimental-features nix-command config show --json 2>/dev/null ||
			nix --extra-experimental-features nix-command show-config --json'
		printf '%s' "$output" | python3 -c 'import json, sys
for name, setting in json.load(sys.stdin).items(): print(name, *setting.get("aliases", []), sep="\n")' >"$CASE/names"
		[ "$(wc -l <"$CASE/names")" -gt 50 ] || fail "$host lists no settings"
		while IFS= read -r name; do
			grep -qxF -- "$name" <<<"$words" || fail "Nix of $host has a setting that nobody has decided about: $name"
		done <"$CASE/names"
	done
}

# This is about flakes: what is dirty, what a name means, and which settings of a flake are trusted.
case_environment_of_flakes() {
	# shellcheck source=/dev/null
	. "$LAB/cases/51-flakes-there.sh"
	given <<-'END'
		clean_flake <<<'"seen"'
		mkdir -p /srv/xdg-of-flakes/config/nix
		printf '{"version":2,"flakes":[{"from":{"type":"indirect","id":"mine"},"to":{"type":"path","path":"/srv/config"}}]}' \
			>/srv/xdg-of-flakes/config/nix/registry.json
	END
	expect_same_derivation XDG_CONFIG_HOME=/srv/xdg-of-flakes/config NIX_CONFIG="experimental-features = flakes
flake-registry =" --flake mine
	# Now the same registry is the one of root, and HOME is another user's.
	must_sh_on pi 'mkdir -p /root/.config/nix; cp /srv/xdg-of-flakes/config/nix/registry.json /root/.config/nix/
		chmod 755 /home/admin; mkdir -p /home/admin/.config/nix; echo "{ \"version\": 2, \"flakes\": [] }" >/home/admin/.config/nix/registry.json'
	expect_same_derivation HOME=/home/admin NIX_CONFIG="experimental-features = flakes
flake-registry =" --flake mine
	must_sh_on pi 'rm -r /root/.config/nix/registry.json /home/admin/.config'
	expect_same_derivation NIX_CONFIG="allow-dirty = false" --flake .
	after <<<'echo "# changed" >>flake.nix'
	expect_same_derivation --flake .
	expect_same_failure "is dirty" NIX_CONFIG="allow-dirty = false" --flake .
	expect_same_failure "is dirty" --flake . --option allow-dirty false
	expect_same_derivation NIX_CONFIG="warn-dirty = false" --flake .
	expect_lacks "$errors" "is dirty"
}

# --- XDG ------------------------------------------------------------------------------------------
case_environment_directories_of_xdg() {
	given <<-'END'
		mkdir -p /srv/xdg/state/nix/defexpr /srv/xdg/config/nix /srv/empty
		ln -sfn /nix/var/nix/profiles/per-user/root/channels /srv/xdg/state/nix/defexpr/channels
		echo 'extra-experimental-features = pipe-operators' >/srv/xdg/config/nix/nix.conf
		echo '[ ("x" |> builtins.stringLength) (builtins.getEnv "XDG_CONFIG_HOME") ]' | reads
	END
	expect_same_derivation XDG_CONFIG_HOME=/srv/xdg/config
	expect_seen '[1,"/srv/xdg/config"]'
	after <<<'echo "[ (toString <nixos/nixos/default.nix>) ]" | reads'
	evaluate -u NIX_PATH XDG_STATE_HOME=/srv/xdg/state NIXOS_CONFIG=/etc/nixos/configuration.nix \
		NIX_CONFIG="use-xdg-base-directories = true" -I nixpkgs=/nix/var/nix/profiles/per-user/root/channels/nixos
	expect_status 0
	expect_own_derivation_there builder
	# For this program's own files, an empty or relative value counts as unset.
	local value
	for value in "" relative; do
		must_on pi env -C /srv/empty XDG_CACHE_HOME="$value" NIXOS_CONFIG=/etc/nixos/configuration.nix rebuild dry-build --eval-on builder
		expect_no_file pi /srv/empty/rebuild
		expect_no_file pi /srv/empty/relative/rebuild
	done
}
