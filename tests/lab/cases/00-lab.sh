# shellcheck shell=bash
# The lab itself: whether the machines are what the other cases take them for.

case_lab_boots_systemd() {
	for host in pi builder; do
		must_on "$host" systemctl is-system-running
		expect_equal "$output" running
		must_on "$host" systemd-run --quiet --pipe --wait --collect --service-type=exec --unit=lab-check \
			cat /proc/self/cgroup
		expect_contains "$output" "0::/system.slice/lab-check.service"
	done
}

case_lab_passes_input_output_and_exit_codes() {
	sh_on pi 'echo out; echo err >&2; exit 7'
	expect_status 7
	expect_equal "$output" out
	expect_equal "$errors" err
	expect_equal "$(echo through | lab on builder -u plain cat)" through
	as builder plain sh -c 'id -un; pwd; umask'
	expect_equal "$output" "plain
/home/plain
0022"
}

case_lab_ctrl_c_reaches_the_command() {
	# The command alone decides what happens: this one cleans up and chooses its exit code.
	# shellcheck disable=SC2016
	start lab on pi sh -c 'trap "echo cleaned up; exit 42" INT; echo ready; while :; do sleep 0.1; done'
	expect_within 10 printed ready
	interrupt
	finish 10
	expect_status 42
	expect_contains "$output" "cleaned up"
}

case_lab_reset_forgets_what_was_written() {
	must_on pi touch /etc/something /var/lib/something
	must lab reset pi
	expect_no_file pi /etc/something
	expect_no_file pi /var/lib/something
}

case_lab_power_cut_keeps_what_was_written() {
	must_sh_on pi 'echo kept >/etc/something; sync'
	must lab cut pi
	run lab on pi true
	expect_failure
	must lab start pi
	expect_equal "$(file_on pi /etc/something)" kept
	expect_equal "$(system_of pi)" "$(profile_of pi)"
}

case_lab_cable_can_be_pulled() {
	must lab cable builder out
	run lab on pi ssh -o ConnectTimeout=2 builder true
	expect_status 255
	must lab cable builder in
	expect_within 10 lab on pi ssh -o ConnectTimeout=2 builder true
}

case_lab_reaches_nothing_else() {
	for host in pi builder; do
		must_on "$host" ip route
		expect_lacks "$output" default
		expect_equal "$(printf '%s\n' "$output" | wc -l)" 1
		sh_on "$host" 'exec 3<>/dev/tcp/1.1.1.1/80 || ping -c 1 1.1.1.1'
		expect_failure
		on "$host" getent hosts deb.debian.org
		expect_failure
	done
}

# Real builders do this: a build does not see what it has not named.
case_lab_builders_build_in_a_sandbox() {
	write_on builder /tmp/seen.nix <<-'END'
		derivation {
		  name = "seen";
		  system = "x86_64-linux";
		  builder = "/bin/sh";
		  args = [ "-c" "for file in /etc/ssh /home /var; do [ ! -e $file ] || echo $file; done >$out" ];
		}
	END
	must_on builder nix-build --no-out-link /tmp/seen.nix
	must_on builder cat "$output"
	expect_equal "$output" ""
	must_on builder nix --extra-experimental-features nix-command show-config
	expect_contains "$output" "sandbox = true"
	expect_contains "$output" "sandbox-fallback = false"
}

case_lab_pi_reaches_builder_as_both_users() {
	must_on pi ssh builder id -un
	expect_equal "$output" builder
	must_on pi ssh plain@builder id -un
	expect_equal "$output" plain
	must_on pi ssh builder nix-store --version
	# The Nix there trusts only one of them.
	must_on pi ssh builder nix --extra-experimental-features nix-command store info --store daemon
	expect_contains "$output$errors" "Trusted: 1"
	must_on pi ssh plain@builder nix --extra-experimental-features nix-command store info --store daemon
	expect_contains "$output$errors" "Trusted: 0"
}

case_lab_pi_looks_like_nixos() {
	expect_file pi /etc/NIXOS
	must_on pi nix-instantiate --eval -E 'builtins.currentSystem'
	expect_equal "$output" '"aarch64-linux"'
	must_on pi nix-instantiate --find-file nixpkgs/nixos
	expect_matches "$output" '^/nix/store/[a-z0-9]{32}-nixos-25\.05\.1234\.abcdef0/nixos/nixos$'
	must_on pi readlink -f /nix/var/nix/profiles/per-user/root/channels/nixos
	expect_matches "$output" '^/nix/store/[a-z0-9]{32}-nixos-25\.05\.'
	must_on pi nix-store --verify-path "$(printf '%s' "$output" | cut -d/ -f1-4)"
	must_on pi nixos-version
	expect_equal "$output" "25.05.1234.abcdef0 (Miniature)"
	expect_equal "$(system_of pi)" "$(profile_of pi)"
	expect_contains "$(calls_of pi)" "nix-instantiate --find-file nixpkgs/nixos"
}

case_lab_pi_cannot_build() {
	on pi nix-build --no-out-link -E 'derivation { name = "x"; system = "aarch64-linux"; builder = "/bin/sh"; }'
	expect_failure
	expect_contains "$errors" "either increase '--max-jobs'"
}

case_lab_builder_has_other_files() {
	on builder nix-instantiate '<nixpkgs/nixos>' -A system
	expect_failure
	expect_contains "$errors" "the nixpkgs of the builder itself was evaluated"
}

case_lab_builder_allows_the_view() {
	# shellcheck disable=SC2016
	# An unprivileged user can lay an overlay over the store, in namespaces of his own, and pivot into it.
	as builder builder unshare --user --map-root-user --mount sh -euc '
		mkdir -p /tmp/above /tmp/view
		echo added >/tmp/above/added
		mount -t overlay -o lowerdir=/tmp/above:/nix/store none /tmp/view
		cat /tmp/view/added
		mount --bind /nix/store /tmp/view
		mkdir /tmp/new
		mount -t tmpfs none /tmp/new
		cd /tmp/new
		mkdir old
		PATH=$PATH:/usr/sbin pivot_root . old
		/old/bin/sh -c "echo pivoted" 2>/dev/null || echo pivoted'
	expect_status 0
	expect_equal "$output" "added
pivoted"
	as builder builder strace --seccomp-bpf -f -e trace=openat true
	expect_status 0
	as builder builder cat /proc/sys/fs/binfmt_misc/qemu-aarch64
	expect_contains "$output" enabled
}

case_lab_builder_can_refuse_the_view() {
	must_on pi ssh builder unshare --user true
	refuse_namespaces builder
	on pi ssh builder unshare --user true
	expect_failure
	expect_contains "$errors" "unshare failed: Operation not permitted"
	# Nothing else is refused: neither mount namespaces for root, nor what a login may do.
	must_on pi ssh builder NIX_REMOTE=daemon nix-store --query --hash /nix/store/none '||' true
	must_on builder unshare --mount true
	fresh builder
	must_on pi ssh builder unshare --user true
}

case_lab_builders_users_have_other_shells() {
	# shellcheck disable=SC2016 # the shells there say what they are
	must_on pi ssh fishy@builder 'echo fish $FISH_VERSION'
	expect_matches "$output" '^fish [0-9]'
	# shellcheck disable=SC2016
	must_on pi ssh cshy@builder 'echo tcsh $version'
	expect_contains "$output" "tcsh tcsh "
	for user in fishy cshy; do
		must_on pi ssh "$user@builder" nix --extra-experimental-features nix-command store info --store daemon
		expect_contains "$output$errors" "Trusted: 1"
	done
}

# This is the way of `nixos-rebuild --build-host`: evaluate here, build there, fetch the result.
build_on_builder() { # [ATTRIBUTE]
	must_on pi nix-instantiate '<nixpkgs/nixos>' -A "${1:-config.system.build.toplevel}"
	derivation=$output
	must_on pi nix-copy-closure --to builder "$derivation"
	on pi ssh builder nix-store --realise "$derivation" --option extra-extra-platforms aarch64-linux
}

case_lab_builds_under_emulation() {
	must lab reset
	must_on pi sed -i 's/Welcome to/Greetings from/' /etc/nixos/configuration.nix
	build_on_builder
	expect_status 0
	result=$output
	expect_contains "$errors" "etc-motd.drv"
	must_on pi nix-copy-closure --from builder "$result"
	expect_different "$result" "$(system_of pi)"
	must_on pi "$result/sw/bin/hello"
	expect_equal "$output" "hello from aarch64"

	# Then everything once: the profile, the activation in a unit of its own, and what it leaves behind.
	must_on pi nix-env -p /nix/var/nix/profiles/system --set "$result"
	must_on pi systemd-run -E LOCALE_ARCHIVE -E NIXOS_INSTALL_BOOTLOADER=0 --collect --no-ask-password --pipe --quiet \
		--service-type=exec --unit=lab-activation "$result/bin/switch-to-configuration" switch
	expect_equal "$(system_of pi)" "$result"
	expect_equal "$(file_on pi /etc/motd)" "Greetings from pi."
	expect_equal "$(file_on pi /boot/loader-entry)" "$result"
	activation=$(file_on pi /var/log/activation)
	expect_contains "$activation" "== switch $result/bin/switch-to-configuration"
	expect_contains "$activation" "cgroup 0::/system.slice/lab-activation.service"
	expect_contains "$activation" "env NIXOS_INSTALL_BOOTLOADER=0"
	expect_contains "$activation" "finished switch with 0"
	must lab cut pi
	must lab start pi
	expect_equal "$(system_of pi)" "$result"
}

case_lab_emulation_can_be_switched_off() { # alone
	must lab reset
	must_on pi sed -i 's/Welcome to/Goodbye from/' /etc/nixos/configuration.nix
	must lab emulation off
	build_on_builder
	lab emulation on
	expect_failure
	expect_contains "$errors" "Exec format error"
}

case_lab_miniature_has_its_knobs() {
	must lab reset
	write_on pi /etc/nixos/configuration.nix <<-'END'
		{ config, pkgs, lib, ... }: {
		  imports = [ ./hardware-configuration.nix ];
		  networking.hostName = lib.mkForce "knobs";
		  lab = { salt = "1"; slowBuild = 1; bulkMegabytes = 3; evalCost.memory = 10; };
		  specialisation.quiet.configuration = { config, ... }: {
		    system.nixos.tags = [ "quiet" ];
		    environment.etc."only-quiet".text = config.networking.hostName;
		  };
		  environment.etc."never" = lib.mkIf (config.networking.hostName != "knobs") { text = "x"; };
		}
	END
	build_on_builder
	expect_status 0
	result=$output
	expect_contains "$errors" "working, second 1 of 1"
	must_on pi nix-copy-closure --from builder "$result"
	must_sh_on pi "cat $result/specialisation/quiet/etc/only-quiet; stat -Lc %s $result/lab/*-bulk; ls $result/etc"
	expect_contains "$output" knobs
	expect_contains "$output" 3145728
	expect_lacks "$output" never

	must_on pi sed -i 's/salt = "1"/salt = "2"; failBuild = true/' /etc/nixos/configuration.nix
	build_on_builder
	expect_failure
	expect_contains "$errors" "lab: this build fails on purpose"

	must_on pi sed -i 's/failBuild/failBuidl/' /etc/nixos/configuration.nix
	on pi nix-instantiate '<nixpkgs/nixos>' -A system
	expect_failure
	expect_contains "$errors" "The option \`lab.failBuidl' does not exist"
}

case_lab_users_become_root_each_in_his_way() {
	need_hosts target
	fresh pi target
	local user
	local way to
	# The loop runs on pi itself, and on the target as the ssh of pi reaches it: without a terminal.
	for way in "lab on pi -u" "lab on pi ssh -l"; do
		to=
		[[ "$way" != *ssh* ]] || to=target
		# shellcheck disable=SC2086 # words
		{
			must $way admin $to sudo -n id -u
			expect_equal "$output" 0
			must $way doer $to doas id -u
			expect_equal "$output" 0
			must $way runner $to run0 id -u
			expect_equal "$output" 0
			for user in asker doer runner guest; do
				run $way "$user" $to sudo -n id -u
				expect_contains "$errors" "a password is required"
			done
			for user in admin asker runner guest; do
				run $way "$user" $to doas id -u
				expect_contains "$errors" "Operation not permitted"
			done
			for user in admin asker doer guest; do
				run $way "$user" $to run0 id -u
				expect_contains "$errors" "authentication required"
			done
		}
	done
	# The password comes on stdin, and what follows it is for the command.
	must_sh_on pi "printf '%s\n' \"correct horse 'quoted'\" more | ssh asker@target sudo --stdin --prompt= cat"
	expect_equal "$output" more
	expect_equal "$errors" ""
	sh_on pi "echo wrong | ssh asker@target sudo --stdin --prompt= id -u"
	expect_status 1
	expect_contains "$errors" "incorrect password"
	# Users without rights on this machine can go on all the same; the users who build cannot come back.
	for user in admin asker doer runner guest; do
		as pi "$user" ssh builder id -un
		expect_equal "$output" builder
		as pi "$user" ssh target id -un
		expect_equal "$output" "$user"
		as pi "$user" nix --extra-experimental-features nix-command store info --store daemon
		expect_contains "$output$errors" "Trusted: 0"
		as builder builder ssh -o BatchMode=yes "$user@pi" true
		expect_contains "$errors" "Permission denied"
	done
}

case_lab_sudo_can_be_the_other_one() {
	fresh pi
	must_on pi sudo --version
	expect_contains "$output" "Sudo version 1."
	use_sudo_rs pi
	must_on pi sudo --version
	expect_contains "$output$errors" "sudo-rs 0."
	must lab on pi -u admin sudo -n id -u
	expect_equal "$output" 0
	as pi asker sh -c "echo \"correct horse 'quoted'\" | sudo --stdin --prompt= id -u"
	expect_equal "$output" 0
	# README.md describes what sudo-rs swallows.
	as pi asker sh -c "printf '%s\n' \"correct horse 'quoted'\" more | sudo --stdin --prompt= cat"
	expect_status 0
	expect_equal "$output" ""
	fresh pi
	must_on pi sudo --version
	expect_contains "$output" "Sudo version 1."
}

case_lab_passwords_are_typed_at_terminals() {
	fresh pi
	types "password for asker: " "wrong"
	types "password for asker: " "correct horse 'quoted'"
	on_tty pi asker sudo sh -c 'echo "$1 $(id -u)" && tty' sh "it's root's"
	expect_status 0
	expect_matches "$output" "Sorry, try again.*it's root's 0.*/dev/pts/"
	expect_lacks "$output" "correct horse"
	# For run0, the agent of polkit itself asks, if there is a session of logind.
	types "Password: " "correct horse 'quoted'"
	# shellcheck disable=SC2016 # root's shell expands it
	on_tty pi root ssh -t asker@pi 'run0 sh -c "echo I am \$(id -u)"'
	expect_status 0
	expect_matches "$output" "AUTHENTICATION COMPLETE.*I am 0"
	presses "password for asker: " $'\003'
	on_tty pi asker sudo id -u
	expect_failure
	types ready word
	on_tty pi guest sh -c 'echo ready; read -r word; echo "seen $word"; exit 3'
	expect_status 3
	expect_equal "$output" "ready
word
seen word"
}

case_lab_hosts_can_be_cut_off_from_each_other() {
	need_hosts target
	fresh pi builder target
	cut_between builder target
	on builder ssh -o ConnectTimeout=5 target true
	expect_contains "$errors" "No route to host"
	on target ssh -o ConnectTimeout=5 builder true
	expect_contains "$errors" "No route to host"
	must_on pi ssh builder true
	must_on pi ssh target true
	cut_between builder target silent
	on target ssh -o ConnectTimeout=2 builder true
	expect_contains "$errors" "timed out"
	join_again target builder
	must_on target ssh builder true

	must_on pi ssh admin@target true
	jump_through pi root builder target
	must_on pi ssh admin@target sh -c "'id -un; echo \$SSH_CONNECTION'"
	expect_matches "$output" "admin.10\.77\.0\.2 "
	on pi ssh -o ProxyJump=none admin@target true
	expect_contains "$errors" "No route to host"
	fresh pi
	must_on pi ssh admin@target true
}

case_lab_connections_can_be_dropped() {
	need_hosts target
	fresh pi target
	start lab on pi ssh admin@target 'echo there; sleep 3; echo still here >ended; sleep 60'
	expect_within 10 printed there
	drop_connections target
	finish 5
	expect_status 255
	must_on pi ssh admin@target true
	expect_within 10 lab on target test -e /home/admin/ended
}

case_lab_miniature_has_machines_and_images() {
	fresh
	write_on pi /etc/nixos/configuration.nix <<-'END'
		{ ... }: {
		  imports = [ ./hardware-configuration.nix ];
		  networking.hostName = "box";
		  system.configurationRevision = "0123abc-dirty";
		  specialisation.quiet.configuration.system.nixos.tags = [ "quiet" ];
		}
	END
	local attribute
	for attribute in vm vmWithBootLoader images.raw images.iso-image; do
		build_on_builder "config.system.build.$attribute"
		expect_status 0
		result=$output
		case $attribute in
		images.*)
			must_on pi nix-instantiate --eval --strict --json '<nixpkgs/nixos>' -A "config.system.build.$attribute.passthru.filePath"
			expect_file builder "$result/${output//\"/}"
			;;
		*)
			must_on builder "$result/bin/run-box-vm"
			expect_contains "$output" "would start a virtual machine of /nix/store/"
			;;
		esac
	done
	must_on pi nix-instantiate '<nixpkgs/nixos>' -A config.system.build.vm \
		-A config.specialisation.quiet.configuration.system.build.vm -A config.system.build.vmWithBootLoader
	expect_equal "$(printf '%s\n' "$output" | sort -u | wc -l)" 3
	must_on pi nix-instantiate --eval --strict --json -E \
		'builtins.attrNames (import <nixpkgs/nixos> { }).config.system.build.images'
	expect_equal "$output" '["iso-image","raw"]'

	build_on_builder
	expect_status 0
	result=$output
	must_on builder ls "$result/kernel-modules/lib/modules"
	expect_equal "$output" 6.6.0
	must_on builder "$result/sw/bin/nixos-version" --configuration-revision
	expect_equal "$output" 0123abc-dirty
	must_on builder "$result/sw/bin/nixos-version" --json
	expect_equal "$output" '{"configurationRevision":"0123abc-dirty","nixosVersion":"25.05.1234.abcdef0"}'
	must_on builder "$result/specialisation/quiet/sw/bin/nixos-version"
	expect_equal "$output" "quiet-25.05.1234.abcdef0 (Miniature)"
	on pi nixos-version --configuration-revision
	expect_status 1
	expect_contains "$errors" "configuration revision is unknown"
}

case_lab_activation_dies_when_nobody_listens() {
	need_hosts target
	fresh pi target
	local switch="systemd-run --collect --pipe --quiet --service-type=exec --unit=lab-activation \$(readlink -f /run/current-system)/bin/switch-to-configuration test"
	must_on target sh -c 'echo 3 >/etc/activation-steps'
	must_on pi ssh target "$switch"
	expect_contains "$errors" "step 3 of 3"
	expect_contains "$(file_on target /var/log/activation)" "finished test with 0"

	fresh target
	must_on target sh -c 'echo 8 >/etc/activation-steps'
	start lab on pi ssh target "$switch"
	expect_within 10 printed "step 2 of 8"
	drop_connections target
	finish 5
	expect_status 255
	expect_within 10 activation_noted target "could not write step"
	sh_on target 'systemctl is-active lab-activation.service'
	expect_failure
	activation=$(file_on target /var/log/activation)
	expect_lacks "$activation" "finished"
	expect_lacks "$activation" "step 8 of 8"
}
activation_noted() { file_on "$1" /var/log/activation | grep -qF "$2"; }
