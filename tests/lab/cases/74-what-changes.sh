# shellcheck shell=bash
# What will change: --diff as each Nix compares, --ask on a real terminal, and the hint when a boot is needed.

configure() { # LINE... : more of the Pi's configuration
	must_on pi cp /etc/nixos/configuration.nix.plain /etc/nixos/configuration.nix
	local line
	for line; do
		must_on pi sed -i "s|^  imports = .*|&\n  $line|" /etc/nixos/configuration.nix
	done
}

fresh_with_plain() {
	fresh "$@"
	must_on pi cp /etc/nixos/configuration.nix /etc/nixos/configuration.nix.plain
}

packages() { # NAME-VERSION... : instead of the cow
	local list=""
	local name
	for name; do list="$list (pkgs.writeProgram \"$name\" \"echo ${name%-*}\")"; done
	must_on pi sed -i "s|(pkgs.writeProgram .*|$list|" /etc/nixos/configuration.nix
}

remember() { remembered="$(profile_of "$1") $(system_of "$1")"; }
expect_unchanged() { # HOST : and nothing of the run is left
	expect_equal "$(profile_of "$1") $(system_of "$1")" "$remembered"
	expect_no_file "$1" /var/log/activation
	expect_no_file pi /root/result
	expect_within 20 nothing_is_left pi
	expect_within 20 nothing_is_left "$1"
}
nothing_is_left() {
	# shellcheck disable=SC2016 # the host's shell's
	[ -z "$(lab on "$1" sh -c 'pgrep -x ssh; pgrep -f "nix-daemon[ ]--stdio"; ls -d /tmp/rebuild.* 2>/dev/null' </dev/null)" ]
}

case_diff_in_groups() {
	fresh_with_plain
	packages cow-1.0 gone-0.3
	on pi rebuild switch --eval-on builder
	expect_status 0
	packages cow-2.0 mallard-1.1
	on pi rebuild switch --eval-on builder --diff
	expect_status 0
	local before=${errors%%activating the configuration*}
	expect_contains "$before" "<<< /run/current-system"
	expect_contains "$before" ">>> $output"
	expect_matches "$before" $'\nchanged:\n  cow  1.0 → 2.0\n'
	expect_contains "$before" $'\nadded:\n  mallard  1.1\n'
	expect_contains "$before" $'\nremoved:\n  gone  0.3\n'
	expect_matches "$before" $'\nclosure: [0-9.]+ MB → [0-9.]+ MB \\([+-][0-9.]+ [kMG]?B\\)\n'
	expect_lacks "$errors" $'\033'
	# The same once more.
	on pi rebuild boot --eval-on builder --diff
	expect_status 0
	expect_matches "$errors" $'\nno package changes\nclosure: [0-9.]+ MB, as before\n'
	# Colours are for terminals only, and not for every terminal.
	packages cow-3.0
	on_tty pi root env TERM=xterm rebuild build --eval-on builder --diff
	expect_status 0
	expect_contains "$output" $'\033[31m2.0\033[0m → \033[32m3.0\033[0m'
	on_tty pi root env TERM=xterm NO_COLOR=1 rebuild build --eval-on builder --diff
	expect_status 0
	expect_contains "$output" "cow  2.0 → 3.0"
	# A large one.
	configure "lab.bulkMegabytes = 3;"
	on pi rebuild test --eval-on builder --diff
	expect_status 0
	expect_contains "$errors" $'\nadded:\n  bulk  +3.1 MB\n'
	expect_matches "$errors" $'\nclosure: [0-9.]+ MB → [0-9.]+ MB \\(\\+3.1 MB\\)\n'
}

# The lines of the versions differ: in the units, and in the plus sign.
case_diff_by_every_nix() {
	need_hosts oldpi newpi
	fresh_with_plain pi builder oldpi newpi
	packages cow-1.0
	local host
	for host in oldpi newpi; do
		on pi rebuild switch --eval-on builder --target-host "$host"
		expect_status 0
	done
	packages cow-2.0
	must_on pi sed -i "s|^  imports = .*|&\n  lab.bulkMegabytes = 3;|" /etc/nixos/configuration.nix
	for host in oldpi newpi; do
		on pi rebuild switch --eval-on builder --target-host "$host" --diff
		expect_status 0
		expect_matches "$errors" $'\nchanged:\n  cow  1.0 → 2.0\n'
		expect_matches "$errors" $'\nadded:\n  bulk  \\+3.1 MB\n'
		expect_matches "$errors" $'\nclosure: [0-9.]+ MB → [0-9.]+ MB \\(\\+3.1 MB\\)\n'
	done
}

case_ask() {
	fresh_with_plain
	packages cow-2.0
	remember pi
	types "Activate it on this machine? [y/N]" "n"
	on_tty pi root rebuild switch --eval-on builder --ask
	expect_status 1
	expect_contains "$output" "closure: "
	expect_contains "$output" "nothing was changed on this machine"
	expect_lacks "$output" "Done."
	expect_unchanged pi
	# Return alone.
	types "[y/N]" ""
	on_tty pi root rebuild boot -a --eval-on builder
	expect_status 1
	expect_contains "$output" "Make it the default for booting this machine? [y/N]"
	expect_unchanged pi
	presses "[y/N]" $'\003'
	on_tty pi root rebuild switch --eval-on builder --ask
	expect_status 130
	expect_unchanged pi
	presses "[y/N]" $'\004'
	on_tty pi root rebuild switch --eval-on builder --ask
	expect_status 1
	expect_unchanged pi
	# The live line is in use until then.
	types "[y/N]" "y"
	on_tty pi root env TERM=xterm rebuild switch --eval-on builder --ask
	expect_status 0
	expect_contains "$output" "Done. The new configuration is $(profile_of pi)"
	expect_different "$(profile_of pi) $(system_of pi)" "$remembered"
	# Now everything happens here, and then the way back.
	packages cow-3.0
	remember pi
	must_on pi rm /var/log/activation
	types "[y/N]" "no"
	on_tty pi root rebuild test -j 2 --ask
	expect_status 1
	expect_unchanged pi
	types "[y/N]" "n"
	on_tty pi root rebuild switch --rollback --ask
	expect_status 1
	expect_unchanged pi
	types "[y/N]" "yes"
	on_tty pi root rebuild switch --rollback --ask
	expect_status 0
	expect_lacks "$(system_of pi)" "${remembered#* }"
}

case_ask_without_a_terminal() {
	fresh
	remember pi
	on pi rebuild switch --eval-on builder --ask
	expect_status 2
	expect_contains "$errors" "no terminal to ask on"
	expect_lacks "$errors" "building the system configuration"
	expect_unchanged pi
	on pi rebuild build --eval-on builder --ask
	expect_status 0
	expect_contains "$errors" "warning: --ask: nothing is changed"
	expect_contains "$errors" "closure: "
}

# The password is asked for at the beginning, the question comes at the end.
case_ask_on_a_third_machine() {
	need_hosts target
	fresh_with_plain pi builder target
	packages cow-2.0
	remember target
	types "password for asker@target" "correct horse 'quoted'"
	types "Activate it on asker@target? [y/N]" "n"
	on_tty pi root rebuild switch --eval-on builder --target-host asker@target -S --ask
	expect_status 1
	expect_contains "$output" "nothing was changed on asker@target"
	expect_unchanged target
	presses "[y/N]" $'\003'
	on_tty pi root rebuild switch --eval-on builder --target-host admin@target --sudo --ask
	expect_status 130
	expect_unchanged target
	types "password for asker@target" "correct horse 'quoted'"
	types "[y/N]" "y"
	on_tty pi root rebuild switch --eval-on builder --target-host asker@target -S --ask
	expect_status 0
	expect_contains "$output" "cow"
	expect_contains "$(file_on target /var/log/activation)" "== switch $(profile_of target)/"
	remember target
	must_on target rm /var/log/activation
	types "Activate it on target, until the next boot? [y/N]" "n"
	on_tty pi root rebuild test --store-path "$(profile_of pi)" --target-host target --ask
	expect_status 1
	expect_unchanged target
}

NEXT_BOOT="the kernel has changed (6.6.0 → 6.6.1): it is in use after the next boot"

case_a_boot_is_needed() {
	fresh_with_plain
	packages cow-2.0
	on pi rebuild switch --eval-on builder
	expect_status 0
	expect_lacks "$errors" "has changed"
	configure 'boot.kernelVersion = "6.6.1";'
	on pi rebuild build --eval-on builder
	expect_lacks "$errors" "has changed"
	on pi rebuild dry-activate --eval-on builder
	expect_lacks "$errors" "has changed"
	on pi rebuild test --eval-on builder
	expect_status 0
	expect_contains "$errors" "the kernel has changed (6.6.0 → 6.6.1): it is in use after a boot into this system"
	on pi rebuild switch --eval-on builder
	expect_status 0
	expect_matches "$output" '^/nix/store/[^[:space:]]*$'
	expect_contains "$errors" "$NEXT_BOOT"
	# The system goes back to what was booted.
	on pi rebuild switch --rollback
	expect_status 0
	expect_lacks "$errors" "has changed"
	on pi rebuild boot --eval-on builder
	expect_status 0
	expect_contains "$errors" "$NEXT_BOOT"
	must lab cut pi
	must lab start pi
	on pi rebuild switch --eval-on builder
	expect_status 0
	expect_lacks "$errors" "has changed"
	# The other parts, and a specialisation.
	configure 'boot.kernelVersion = "6.6.1";' 'boot.initrd.kernelModules = [ "vc4" ];'
	on pi rebuild switch --eval-on builder
	expect_contains "$errors" "the initrd has changed: it is in use after the next boot"
	configure 'boot.kernelVersion = "6.6.1";' 'boot.kernelParams = [ "quiet" "console=ttyS0" ];'
	on pi rebuild switch --eval-on builder
	expect_contains "$errors" "the kernel's parameters have changed: they are in use after the next boot"
	configure 'boot.kernelVersion = "6.6.1";' 'specialisation.new.configuration.boot.kernelVersion = lib.mkForce "6.7.0";'
	on pi rebuild switch --eval-on builder
	expect_status 0
	expect_lacks "$errors" "has changed"
	on pi rebuild switch --eval-on builder -c new
	expect_status 0
	expect_contains "$errors" "the kernel has changed (6.6.1 → 6.7.0): it is in use after the next boot into this specialisation"
	# Nobody knows what such a machine was booted with.
	must_on pi rm /run/booted-system
	configure
	on pi rebuild switch --eval-on builder
	expect_status 0
	expect_lacks "$errors" "has changed"
}

case_a_boot_is_needed_on_a_third_machine() {
	need_hosts target
	fresh_with_plain pi builder target
	configure 'boot.kernelVersion = "6.6.1";'
	on pi rebuild switch --eval-on builder --target-host admin@target --sudo
	expect_status 0
	expect_contains "$errors" "$NEXT_BOOT"
	# On this machine it is another one.
	on pi rebuild switch --eval-on builder
	expect_contains "$errors" "$NEXT_BOOT"
	on pi rebuild switch --rollback --target-host admin@target --sudo
	expect_status 0
	expect_lacks "$errors" "has changed"
}
