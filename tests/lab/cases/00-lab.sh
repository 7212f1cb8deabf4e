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

case_lab_pi_reaches_builder_as_both_users() {
	must_on pi ssh builder id -un
	expect_equal "$output" builder
	must_on pi ssh plain@builder id -un
	expect_equal "$output" plain
	must_on pi ssh builder nix-store --version
	# Only one of them is trusted by the Nix there.
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
	# And nothing else: neither mounts' namespaces for root nor what a login may do.
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

# The way `nixos-rebuild --build-host` goes: evaluate here, build there, fetch the result.
build_on_builder() {
	must_on pi nix-instantiate '<nixpkgs/nixos>' -A config.system.build.toplevel
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

	# And the whole of it once: profile, activation in a unit of its own, what it leaves behind.
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

case_lab_emulation_can_be_switched_off() {
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
