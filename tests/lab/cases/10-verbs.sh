# shellcheck shell=bash
# The main job: each verb, typed on the Pi, evaluated and built on the builder. Each case sees what the
# verb does to the profile, the running system, the activation and ./result, and that nothing was
# evaluated on the Pi.

# Changes the configuration, so that there is something new to build. $1: the text of /etc/motd.
change_configuration() {
	must_on pi sed -i "s/text = .*/text = \"$1\\\\n\";/" /etc/nixos/configuration.nix
}

# Checks that it is what the Pi's own Nix makes of the same configuration.
expect_own_derivation() { # DERIVATION-OR-RESULT
	local own
	own=$(lab on pi nix-instantiate '<nixpkgs/nixos>' -A config.system.build.toplevel 2>/dev/null </dev/null)
	expect_equal "$1" "$own"
}

derivation_of() { # RESULT : as the builder knows it
	lab on builder nix-store --query --deriver "$1" </dev/null
}

# rebuild VERB... : runs it as root on the Pi, with the evaluation on the builder; sets $result to what it printed,
# $messages to what it said.
rebuild() {
	before_profile=$(profile_of pi)
	before_system=$(system_of pi)
	forget_calls pi
	on pi rebuild --eval-on builder "$@"
	result=$output
	messages=$errors
}

must_rebuild() {
	rebuild "$@"
	expect_status 0
	expect_matches "$result" '^/nix/store/[a-z0-9]{32}-nixos-system-pi-[^[:space:]]*$'
	expect_no_evaluation pi
	expect_nothing_left
}

# Checks that nothing of a run stays but the builder's cache.
expect_nothing_left() {
	local host
	for host in pi builder; do
		sh_on "$host" 'find /tmp /var/tmp -name "rebuild*"
			pgrep -l -x "rebuild|nix-store|nix-instantiate|nix-build|nix|unshare|tar|dd"'
		expect_equal "$output" ""
	done
}

expect_activated() { # ACTION
	expect_contains "$(file_on pi /var/log/activation)" "== $1 $result/bin/switch-to-configuration"
	expect_contains "$(file_on pi /var/log/activation)" \
		"cgroup 0::/system.slice/nixos-rebuild-switch-to-configuration.service"
}

expect_unchanged() {
	expect_equal "$(profile_of pi)" "$before_profile"
	expect_equal "$(system_of pi)" "$before_system"
}

case_switch() {
	fresh
	change_configuration "switched"
	must_rebuild switch
	expect_equal "$(profile_of pi)" "$result"
	expect_equal "$(system_of pi)" "$result"
	expect_activated switch
	expect_contains "$(file_on pi /var/log/activation)" "env NIXOS_INSTALL_BOOTLOADER=0"
	expect_equal "$(file_on pi /etc/motd)" switched
	expect_equal "$(file_on pi /boot/loader-entry)" "$result"
	expect_no_file pi /root/result
	must_on pi hello
	expect_equal "$output" "hello from aarch64"
	expect_own_derivation "$(derivation_of "$result")"
	# This is the only Nix command of the Pi.
	expect_equal "$(calls_of pi | grep -v '^nix-instantiate')" \
		"nix-env -p /nix/var/nix/profiles/system --set $result"

	# It runs once more, with nothing changed.
	must_rebuild switch
	expect_equal "$result" "$(system_of pi)"
}

case_switch_survives_a_reboot() {
	fresh
	change_configuration "for good"
	must_rebuild switch
	must lab cut pi
	must lab start pi
	expect_equal "$(system_of pi)" "$result"
	must_on pi nix-store --verify-path "$result"
}

case_boot() {
	fresh
	change_configuration "booted"
	must_rebuild boot --install-bootloader
	expect_equal "$(profile_of pi)" "$result"
	expect_equal "$(system_of pi)" "$before_system"
	expect_activated boot
	expect_contains "$(file_on pi /var/log/activation)" "env NIXOS_INSTALL_BOOTLOADER=1"
	expect_equal "$(file_on pi /boot/loader-entry)" "$result"
}

case_test() {
	fresh
	change_configuration "tested"
	must_rebuild test
	expect_equal "$(profile_of pi)" "$before_profile"
	expect_equal "$(system_of pi)" "$result"
	expect_activated test
	expect_equal "$(calls_of pi)" ""
}

case_build() {
	fresh
	change_configuration "built"
	must_rebuild build
	expect_unchanged
	expect_no_file pi /var/log/activation
	expect_equal "$(lab on pi readlink /root/result </dev/null)" "$result"
	# The link keeps it from being collected.
	must_on pi nix-collect-garbage
	must_on pi nix-store --verify-path "$result"
	expect_own_derivation "$(derivation_of "$result")"
}

case_dry_build() {
	fresh
	change_configuration "imagined"
	rebuild dry-build
	expect_status 0
	expect_equal "$output" ""
	expect_contains "$errors" "will be built"
	expect_contains "$errors" "etc-motd.drv"
	expect_unchanged
	expect_no_evaluation pi
	expect_nothing_left
	sh_on builder 'ls -d /nix/store/*-etc-motd'
	expect_failure
}

case_dry_activate() {
	fresh
	change_configuration "rehearsed"
	must_rebuild dry-activate
	expect_unchanged
	expect_activated dry-activate
	expect_equal "$(calls_of pi)" ""
}

case_profile_name() {
	fresh
	change_configuration "elsewhere"
	must_rebuild boot --profile-name trial
	expect_equal "$(profile_of pi)" "$before_profile"
	expect_equal "$(lab on pi readlink -f /nix/var/nix/profiles/system-profiles/trial </dev/null)" "$result"
}

case_as_an_alias_of_nixos_rebuild() {
	fresh
	lab install "$REBUILD_PROGRAM" nixos-rebuild
	change_configuration "by its old name"
	before_profile=$(profile_of pi)
	on pi nixos-rebuild switch --eval-host builder --no-reexec
	expect_status 0
	expect_equal "$(profile_of pi)" "$output"
}

case_the_exit_code_of_the_activation_is_ours() {
	fresh
	change_configuration "half"
	must_sh_on pi 'echo 4 >/etc/activation-exit-code'
	rebuild switch
	expect_status 4
}

# This is nixos-rebuild's --build-host: the Pi evaluates, the builder builds; and the result link, which nixos-rebuild
# forgets, is made.
case_build_host_alone() {
	fresh
	change_configuration "built there"
	forget_calls pi
	on pi rebuild build --build-on builder
	expect_status 0
	result=$output
	expect_equal "$(lab on pi readlink /root/result </dev/null)" "$result"
	expect_contains "$(calls_of pi)" "nix-instantiate <nixpkgs/nixos> --attr config.system.build.toplevel"
	expect_lacks "$(calls_of pi)" "nix-copy-closure --from"
	expect_own_derivation "$(derivation_of "$result")"
	expect_nothing_left
}

case_local() {
	fresh
	# There is nothing to build: it is the Pi's own system, and the Pi may build nothing.
	on pi rebuild build
	expect_status 0
	expect_equal "$output" "$(system_of pi)"
	expect_equal "$(lab on pi readlink /root/result </dev/null)" "$output"
	on pi rebuild switch --eval-on ''
	expect_status 0
	expect_equal "$output" "$(system_of pi)"
}

# The Nix on the builder does not trust this user; the daemon there knows the CPU.
case_untrusted_user() {
	fresh
	must lab nixconf builder 'extra-platforms = aarch64-linux'
	change_configuration "not trusted"
	forget_calls pi
	on pi rebuild switch --eval-on plain@builder
	expect_status 0
	expect_equal "$(profile_of pi)" "$output"
	expect_no_evaluation pi
	expect_own_derivation "$(derivation_of "$output")"
}

# If sshd forwards nothing, the result is fetched by Nix's own means.
case_without_forwarding() {
	fresh
	must_sh_on builder 'echo "DisableForwarding yes" >/etc/ssh/sshd_config.d/forward.conf
		systemctl reload ssh'
	change_configuration "fetched"
	forget_calls pi
	on pi rebuild switch --eval-on builder
	expect_status 0
	expect_equal "$(profile_of pi)" "$output"
	expect_contains "$(calls_of pi)" "--from ssh://builder --to unix://"
	expect_no_evaluation pi
}

case_no_lend() {
	fresh
	change_configuration "not lent"
	forget_calls pi
	on pi rebuild switch --eval-on builder --no-lend
	expect_status 0
	expect_contains "$(calls_of pi)" "--from ssh://builder --to unix://"
}

case_with_specialisations_and_an_odd_place() {
	fresh
	must_sh_on pi 'mkdir -p "/srv/my config/hosts" && cd "/srv/my config" && mv /etc/nixos/* . && rmdir /etc/nixos &&
		ln -s "/srv/my config" /etc/nixos
		echo "{ specialisation.quiet.configuration.environment.etc.quiet.text = builtins.readFile (./. + \"/pi text\"); }" \
			>hosts/quiet.nix
		echo "shh" >"hosts/pi text"
		sed -i "s|imports = .|&./hosts/quiet.nix |" configuration.nix'
	must_rebuild build
	expect_equal "$(file_on pi "$result/specialisation/quiet/etc/quiet")" shh
	expect_own_derivation "$(derivation_of "$result")"
}

# The evaluation reads what a derivation gives: the emulated CPU builds it, and the view shows it at once.
case_import_from_derivation() {
	fresh
	write_on pi /etc/nixos/imported.nix <<-'END'
		{ pkgs, ... }:
		let
		  made = pkgs.writeProgram "made" ''echo "$(uname -m)" made this'';
		  copied = builtins.filterSource (path: type: true) ./texts;
		in {
		  environment.etc.imported.text = builtins.readFile "${made}/bin/made" + builtins.readFile "${copied}/one"
		    + toString (builtins.pathExists "${copied}/two") + builtins.concatStringsSep " " (builtins.attrNames (builtins.readDir ./texts));
		}
	END
	must_sh_on pi 'mkdir /etc/nixos/texts; echo text >/etc/nixos/texts/one; touch "/etc/nixos/texts/odd name"
		sed -i "s|imports = .|& ./imported.nix |" /etc/nixos/configuration.nix'
	must_rebuild build
	expect_contains "$(file_on pi "$result/etc/imported")" "made this"
	expect_contains "$(file_on pi "$result/etc/imported")" "odd name one"
	# The Pi itself may build nothing: for the comparison, it gets what was made on the way.
	# shellcheck disable=SC2016 # the Pi's shell's
	must_sh_on pi 'nix-copy-closure --from builder $(ssh builder "ls -d /nix/store/*-made")'
	expect_own_derivation "$(derivation_of "$result")"
}

# A file that no literal names is missed on the builder, and sent then.
case_a_path_that_is_a_string() {
	fresh
	must_sh_on pi 'echo "named by a string" >/etc/some-text
		sed -i "s|text = .*|text = builtins.readFile \"/etc/some-text\";|" /etc/nixos/configuration.nix'
	must_rebuild switch
	expect_contains "$messages" "sending /etc/some-text"
	expect_equal "$(file_on pi /etc/motd)" "named by a string"
	expect_own_derivation "$(derivation_of "$result")"
}

# The builder's daemon has been seen to reset a connection: if it does not say what it lacks, that does not count as a
# yes. The next connection, by which it is seen whether the daemon lets anybody in, is answered.
case_no_answer_about_store_paths() {
	fresh
	write_on builder /usr/local/bin/nix-store <<-'END'
		#!/bin/sh
		case "$*" in *-none*) ;; *--check-validity*) exit 1 ;; esac
		exec /usr/bin/nix-store "$@"
	END
	must_sh_on builder 'chmod 755 /usr/local/bin/nix-store
		cd /usr/local/bin && for program in /usr/bin/nix /usr/bin/nix-*; do [ -e "${program##*/}" ] || ln -s "$program" .; done'
	must_rebuild build
	expect_own_derivation "$(derivation_of "$result")"
}
