# shellcheck shell=bash
# The verbs and flags that are not of the main job: generations, roll-backs, specialisations, virtual machines, images,
# channels, and what is opened for a person.

change_configuration() { # MOTD
	must_on pi sed -i "s/text = .*/text = \"$1\\\\n\";/" /etc/nixos/configuration.nix
}

# must_rebuild ARGUMENT... : evaluates on the builder; sets $result.
must_rebuild() {
	on pi rebuild --eval-on builder "$@"
	expect_status 0
	result=$output
}

# Makes generations 1 (as installed), 2 and 3, of which 2 is the current one.
three_generations() {
	fresh
	first=$(profile_of pi)
	change_configuration "second"
	must_rebuild boot
	second=$result
	change_configuration "third"
	must_rebuild boot
	third=$result
	must_on pi nix-env -p /nix/var/nix/profiles/system --switch-generation 2
	must_sh_on pi 'rm -f /var/log/activation'
	forget_calls pi
}

# nixos-rebuild takes generation 3 for `test` and `build`: the highest other one.
case_rollback_is_to_the_previous_generation() {
	three_generations
	local verb
	for verb in test build dry-activate; do
		on pi rebuild "$verb" --rollback
		expect_status 0
		expect_equal "$output" "$first"
		expect_equal "$(profile_of pi)" "$second"
	done
	expect_equal "$(lab on pi readlink /root/result </dev/null)" "$first"
	expect_equal "$(system_of pi)" "$first"

	on pi rebuild switch --rollback
	expect_status 0
	expect_equal "$output" "$first"
	expect_equal "$(profile_of pi)" "$first"
	expect_contains "$(file_on pi /var/log/activation)" "== switch $first/bin/switch-to-configuration"
	# For this, nothing was evaluated or fetched (nix#12724).
	expect_no_evaluation pi
	expect_contains "$(calls_of pi)" "nix-env --rollback -p /nix/var/nix/profiles/system"

	on pi rebuild boot --rollback
	expect_failure
	expect_contains "$errors" "no generation before"
	expect_equal "$(profile_of pi)" "$first"
	expect_different "$third" "$first"
}

case_rollback_of_another_profile() {
	fresh
	change_configuration "one"
	must_rebuild boot -p my-trial
	local one=$result
	change_configuration "two"
	must_rebuild boot -p my-trial
	on pi rebuild boot --rollback -p my-trial
	expect_status 0
	expect_equal "$output" "$one"
	expect_equal "$(lab on pi readlink -f /nix/var/nix/profiles/system-profiles/my-trial </dev/null)" "$one"
	# At a name with a hyphen, nixos-rebuild ends with an error of Python's.
	on pi rebuild list-generations -p my-trial
	expect_status 0
	expect_matches "$output" '2  .*False'
	expect_matches "$output" '1  .*True'
}

case_list_generations() {
	three_generations
	on pi rebuild list-generations
	expect_status 0
	expect_matches "$output" \
		'^Generation  Build-date           NixOS version +Kernel +Configuration Revision  Specialisation  Current'
	expect_matches "$output" '3 +20[0-9-]{8} [0-9:]{8}  25.05[^ ]* +6.6.0 +Unknown +\[\] +False'
	expect_matches "$output" '2 .*True'
	expect_equal "$(wc -l <"$CASE/output")" 4
	expect_no_evaluation pi
	expect_equal "$(calls_of pi)" ""

	# A generation whose system is gone is no reason to leave out the others.
	must_sh_on pi 'ln -s /nix/store/00000000000000000000000000000000-gone /nix/var/nix/profiles/system-9-link'
	on pi rebuild list-generations --json
	expect_status 0
	expect_equal "$(printf %s "$output" | python3 -c 'import json, sys
for g in json.load(sys.stdin): print(*g.keys(), g["generation"], g["current"], g["nixosVersion"][:5])' | sed 's/.*current //')" \
		"9 False Unkno
3 False 25.05
2 True 25.05
1 False 25.05"
}

with_specialisations() {
	fresh
	must_sh_on pi 'sed -i "s|imports = .|specialisation.quiet.configuration.environment.etc.quiet.text = \"shh\";\n  &|" \
		/etc/nixos/configuration.nix'
}

case_specialisations() {
	with_specialisations
	local before
	before=$(profile_of pi)
	# nixos-rebuild says so only after it has changed the profile.
	on pi rebuild switch --eval-on builder -c loud
	expect_failure
	expect_contains "$errors" "loud"
	expect_contains "$errors" "quiet"
	expect_equal "$(profile_of pi)" "$before"
	on pi rebuild boot --eval-on builder -c quiet
	expect_status 2
	expect_equal "$(profile_of pi)" "$before"

	must_rebuild switch -c quiet
	expect_equal "$(profile_of pi)" "$result"
	expect_contains "$(system_of pi)" "$(lab on pi readlink -f "$result/specialisation/quiet" </dev/null)"
	expect_equal "$(file_on pi /etc/quiet)" shh
	# And back.
	on pi rebuild switch --store-path "$result"
	expect_status 0
	expect_equal "$(system_of pi)" "$result"
	must_rebuild test --specialisation quiet
	expect_different "$(system_of pi)" "$result"
}

case_a_store_path() {
	fresh
	change_configuration "made before"
	must_rebuild build
	forget_calls pi
	# A link to it works, too.
	on pi rebuild switch --store-path ./result --build-host builder
	expect_status 0
	expect_equal "$output" "$result"
	expect_equal "$(profile_of pi)" "$result"
	expect_no_evaluation pi
	local path
	for path in /etc /nix/store/00000000000000000000000000000000-gone /nonexistent; do
		on pi rebuild switch --store-path "$path"
		expect_failure
		expect_contains "$errors" "--store-path $path"
	done
	on pi rebuild switch --store-path ./result --rollback
	expect_status 2
	# This is no NixOS system (nixpkgs#144811).
	on pi rebuild boot --store-path "$(lab on pi readlink -f "$result/sw" </dev/null)"
	expect_failure
	expect_contains "$errors" "nixos-version"
	expect_equal "$(profile_of pi)" "$result"
}

case_diff() {
	fresh
	must_on pi sed -i 's/"cow"/"duck"/' /etc/nixos/configuration.nix
	must_rebuild build --diff
	expect_contains "$errors" "<<< /run/current-system"
	expect_contains "$errors" ">>> $result"
	expect_contains "$errors" $'\nadded:\n  duck'
	must_sh_on pi 'rm /run/current-system'
	must_rebuild test --diff
	expect_contains "$errors" "/run/current-system"
	expect_equal "$(system_of pi)" "$result"
}

case_a_virtual_machine() {
	fresh
	with_specialisations
	local plain
	must_rebuild build-vm
	expect_matches "$result" '^/nix/store/.*-nixos-vm/bin/run-pi-vm$'
	expect_contains "$errors" "The virtual machine can be started by running"
	plain=$(lab on pi readlink /root/result </dev/null)
	expect_contains "$result" "$plain"
	must_on pi "$result"
	must_rebuild build-vm-with-bootloader
	expect_different "$(lab on pi readlink /root/result </dev/null)" "$plain"
	# nixpkgs#558909
	must_rebuild build-vm -c quiet
	expect_different "$(lab on pi readlink /root/result </dev/null)" "$plain"
	expect_equal "$(profile_of pi)" "$(system_of pi)"
	# On this machine it is the same.
	on pi rebuild build-vm -c quiet
	expect_status 0
	expect_equal "$output" "$result"
}

case_an_image() {
	fresh
	forget_calls pi
	on pi rebuild build-image --eval-on builder
	expect_status 2
	expect_contains "$errors" "iso-image"
	expect_contains "$errors" "raw"
	on pi rebuild build-image --eval-on builder --image-variant iso
	expect_status 2
	expect_contains "$errors" "there is no image 'iso'"
	must_rebuild build-image --image-variant iso-image
	expect_matches "$result" '^/nix/store/.*/iso/nixos.iso$'
	expect_file pi "$result"
	expect_contains "$errors" "The disk image can be found in"
	expect_no_evaluation pi
	# On this machine it is the same. nixos-rebuild does not pass -I on to these evaluations.
	on pi env NIX_PATH= rebuild build-image --image-variant iso-image \
		-I nixpkgs=/nix/var/nix/profiles/per-user/root/channels/nixos -I nixos-config=/etc/nixos/configuration.nix
	expect_status 0
	expect_equal "$output" "$result"
}

# The repl of Nix 2.8 accepts neither an expression nor --file.
case_repl_of_an_old_nix() {
	need_hosts oldpi
	fresh oldpi
	status=0
	output=$(lab on oldpi timeout 60 rebuild repl 2>"$CASE/errors" <<<'config.networking.hostName') || status=$?
	errors=$(cat "$CASE/errors")
	expect_status 0
	expect_contains "$output" '"oldpi"'
}

# A channel of files, as nix-channel takes it.
make_channel() { # DIRECTORY NAME VERSION
	must_sh_on pi "mkdir -p '$1' && cd '$1' && rm -rf tree && mkdir -p 'tree/$2-$3'
		cp -r /nix/var/nix/profiles/per-user/root/channels/nixos/. 'tree/$2-$3/'
		chmod -R u+w tree && echo '$3' >'tree/$2-$3/lab-version'
		tar -C tree -cJf nixexprs.tar.xz '$2-$3'"
}

channel_generation() { lab on pi readlink /nix/var/nix/profiles/per-user/root/channels </dev/null; }

case_upgrade() {
	fresh
	make_channel /srv/nixos nixos 25.11
	make_channel /srv/other other 1
	must_sh_on pi 'echo "file:///srv/nixos nixos" >/root/.nix-channels'
	local before channels=/nix/var/nix/profiles/per-user/root/channels
	before=$(channel_generation)
	# The Pi may build nothing, and Nix counts the unpacking of a channel as a build. What Nix has fetched counts as new
	# for an hour.
	local settings=$'max-jobs = 2\ntarball-ttl = 0'
	on pi env NIX_CONFIG="$settings" rebuild boot --eval-on builder --upgrade
	expect_status 0
	expect_file pi $channels/nixos/lab-version
	# The channels are updated once: nixos-rebuild does it again after its re-exec, which it has for switch, boot and test.
	expect_equal "$(channel_generation)" "channels-$(($(printf %s "$before" | tr -dc 0-9) + 1))-link"

	must_sh_on pi 'echo "file:///srv/other other" >>/root/.nix-channels'
	must_on pi env NIX_CONFIG="$settings" nix-channel --update
	make_channel /srv/other other 2
	on pi env NIX_CONFIG="$settings" rebuild dry-build --eval-on builder --upgrade
	expect_status 0
	expect_file_contains pi $channels/other/lab-version 1
	on pi env NIX_CONFIG="$settings" rebuild dry-build --eval-on builder --upgrade-all
	expect_status 0
	expect_file_contains pi $channels/other/lab-version 2

	# For a flake there is nothing to update: the run says so first, and does not do it.
	before=$(channel_generation)
	must_sh_on pi 'mkdir /srv/flake && echo "{ outputs = _: { }; }" >/srv/flake/flake.nix'
	on pi rebuild dry-build --flake /srv/flake --upgrade
	expect_failure
	expect_contains "$errors" "nix flake update --flake /srv/flake"
	expect_equal "$(channel_generation)" "$before"
}

case_edit() {
	fresh
	on pi env EDITOR='head -n 1' rebuild edit
	expect_status 0
	expect_contains "$output" "# Edit this configuration file"
	must_sh_on pi 'mkdir /srv/conf && echo "# another" >/srv/conf/default.nix && echo "# by name" >/srv/named.nix'
	on pi env NIXOS_CONFIG=/srv/conf EDITOR="grep ''" rebuild edit
	expect_equal "$output" "# another"
	on pi env EDITOR=cat rebuild edit -I nixos-config=/srv/named.nix --eval-on builder
	expect_equal "$output" "# by name"
	on pi env EDITOR=cat NIXOS_CONFIG=/nonexistent rebuild edit
	expect_failure
	expect_contains "$errors" "there is no /nonexistent"
	# nixos-rebuild leaves this to nix edit, which does not find the place of any NixOS configuration.
	must_sh_on pi 'mkdir /srv/flake && echo "{ outputs = _: { }; } # a flake" >/srv/flake/flake.nix'
	on pi env EDITOR=cat rebuild edit --flake /srv/flake
	expect_contains "$output" "# a flake"
	on pi env EDITOR=false rebuild edit
	expect_status 1
	expect_equal "$(calls_of pi)" ""
}

in_repl() { # FLAG... : what it says to the questions on stdin
	status=0
	output=$(lab on pi timeout 60 rebuild repl "$@" 2>"$CASE/errors") || status=$?
	errors=$(cat "$CASE/errors")
}

case_repl() {
	fresh
	in_repl <<<'config.networking.hostName'
	expect_status 0
	expect_contains "$output" '"pi"'
	must_sh_on pi 'echo "{ lab.pi = import <nixpkgs/nixos> { }; }" >/srv/hosts.nix'
	in_repl --file /srv/hosts.nix --attr lab.pi <<<'config.networking.hostName'
	expect_contains "$output" '"pi"'

	local channel
	channel=$(lab on pi readlink -f /nix/var/nix/profiles/per-user/root/channels/nixos </dev/null)
	must_sh_on pi "mkdir /srv/flake && cp /etc/nixos/*.nix /srv/flake/ && cat >/srv/flake/flake.nix <<'END'
		{ inputs.nixpkgs.url = \"path:$channel\"; outputs = { self, nixpkgs }: {
		  nixosConfigurations.pi = nixpkgs.lib.nixosSystem { system = \"aarch64-linux\"; modules = [ ./configuration.nix ]; };
		}; }
END"
	in_repl --flake /srv/flake <<<'config.networking.hostName + builtins.concatStringsSep "," (builtins.attrNames inputs)'
	expect_status 0
	expect_contains "$output" '"pinixpkgs"'
}

case_help_and_mistakes() {
	fresh pi
	on pi rebuild
	expect_status 0
	expect_contains "$output" "--eval-host"
	on pi rebuild help
	expect_status 0
	on pi rebuild switch --taget-host x
	expect_status 2
	expect_contains "$errors" "--target-host"
	on pi rebuild swtich
	expect_status 2
	expect_contains "$errors" "switch"
	on pi rebuild --flake switch
	expect_status 2
	expect_contains "$errors" "this is a verb"
	on pi rebuild dry-build --fast --use-remote-sudo --no-build-nix --no-ssh-tty
	expect_status 0
	expect_contains "$errors" "warning: --fast is an old name"
}

# --- with a third machine -------------------------------------------------------------------------
# nixos-rebuild looks for the specialisation on the machine that it runs on, when it has changed the profile of the
# target already.
case_a_specialisation_of_a_third_machine() {
	need_hosts target
	fresh pi builder target
	must_sh_on pi 'sed -i "s|imports = .|specialisation.quiet.configuration.environment.etc.quiet.text = \"shh\";\n  &|" \
		/etc/nixos/configuration.nix'
	local before
	before=$(profile_of target)
	on pi rebuild switch --build-on builder --target-host target -c loud
	expect_failure
	expect_contains "$errors" "quiet"
	expect_equal "$(profile_of target)" "$before"
	on pi rebuild switch --build-on builder --target-host target -c quiet
	expect_status 0
	expect_equal "$(profile_of target)" "$output"
	expect_equal "$(file_on target /etc/quiet)" shh
	expect_no_file pi "$output"
}

# nixos-rebuild wants the profile on the machine that it runs on.
case_rollback_of_a_third_machine() {
	need_hosts target
	fresh pi builder target
	local first second
	first=$(profile_of target)
	change_configuration "second"
	on pi rebuild switch --eval-on builder --target-host target
	expect_status 0
	second=$output
	expect_equal "$(profile_of target)" "$second"
	must_sh_on pi 'rm -r /nix/var/nix/profiles/system*'
	on pi rebuild test --rollback --target-host target
	expect_status 0
	expect_equal "$output" "$first"
	expect_equal "$(profile_of target)" "$second"
	expect_equal "$(system_of target)" "$first"
	on pi rebuild switch --rollback --target-host target
	expect_status 0
	expect_equal "$(profile_of target)" "$first"
}

# nixos-rebuild really builds there.
case_dry_build_there_builds_nothing() {
	fresh
	change_configuration "imagined there"
	on pi rebuild dry-build --build-on builder
	expect_status 0
	expect_equal "$output" ""
	expect_contains "$errors" "etc-motd.drv"
	sh_on builder 'ls -d /nix/store/*-etc-motd'
	expect_failure
}

# Another program collects garbage between the build and the new generation (nixpkgs#118804).
case_what_was_made_is_held_until_it_is_a_generation() {
	fresh
	must_sh_on pi 'cat >/usr/bin/nix-env <<"END"
#!/bin/sh
nix-collect-garbage >/var/log/collected 2>&1
exec /usr/lib/nix-real/nix-env "$@"
END
		chmod 755 /usr/bin/nix-env'
	local where
	for where in "--eval-on builder" "--build-on builder" "-j 2" "--eval-on builder --build-on= -j 2"; do
		change_configuration "held: $where"
		must_sh_on pi 'rm -f /var/log/collected'
		# shellcheck disable=SC2086 # words
		on pi rebuild boot $where
		expect_status 0
		expect_file_contains pi /var/log/collected "store paths deleted"
		expect_equal "$(profile_of pi)" "$output"
		must_on pi nix-store --verify-path "$output"
	done
}
