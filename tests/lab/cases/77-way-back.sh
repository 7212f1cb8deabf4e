# shellcheck shell=bash
# What goes back by itself. A system whose motd says "broken" does what breaks_by says; every other one is sound.

change_configuration() { # HOST MOTD
	must_on "$1" sed -i "s/text = .*/text = \"$2\\\\n\";/" /etc/nixos/configuration.nix
}

breaks_by() { # HOST COMMANDS
	write_on "$1" /etc/activation-command <<-END
		rm -f /etc/activation-exit-code
		! grep -q broken /etc/motd || { $2; }
	END
}

# remember HOST : what there is before the change.
remember() {
	before=$(profile_of "$1")
	motd=$(file_on "$1" /etc/motd)
}
# expect_back HOST : it is there again. The boot loader has no word before the first switch.
expect_back() {
	expect_equal "$(system_of "$1") $(profile_of "$1")" "$before $before"
	expect_equal "$(file_on "$1" /etc/motd)" "$motd"
	expect_equal "$(file_on "$1" /boot/loader-entry)" "$before"
}
is_back() { [ "$(system_of "$1")" = "$before" ] && ! lab on "$1" systemctl is-active --quiet nixos-rebuild-switch-to-configuration.service </dev/null; }

case_activation_that_fails_goes_back() {
	local host
	need_hosts oldpi
	fresh pi builder oldpi
	for host in pi oldpi; do
		remember "$host"
		change_configuration "$host" "broken"
		# Garbage is collected in the middle, and nothing but our own root holds the system of before.
		breaks_by "$host" 'ln -sfn "$(readlink -f /nix/var/nix/profiles/system)" /run/current-system
			rm /run/booted-system
			nix-env -p /nix/var/nix/profiles/system --delete-generations old && nix-store --gc
			echo 4 >/etc/activation-exit-code'
		on "$host" rebuild switch --eval-on builder --rollback-on-failure
		expect_status 195
		expect_equal "$output" ""
		expect_contains "$errors" "store paths deleted"
		expect_contains "$errors" "(units failed): it went back"
		expect_contains "$errors" "at generation 3 now, which has the system of before"
		expect_back "$host"
		must_on "$host" nix-store --check-validity "$before"
		expect_equal "$(lab on "$host" find /var/lib/rebuild -type l </dev/null)" ""
	done
	# Without the flag it stays, and nixos-rebuild's status says that units failed.
	breaks_by pi 'echo 4 >/etc/activation-exit-code'
	on pi rebuild switch --eval-on builder
	expect_status 4
	expect_different "$(system_of pi)" "$before"
	# The one of before fails as well.
	remember pi
	change_configuration pi "broken anew"
	must_sh_on pi 'echo "echo 2 >/etc/activation-exit-code" >/etc/activation-command'
	on pi rebuild switch --eval-on builder --rollback-on-failure
	expect_status 196
	expect_contains "$errors" "and it could not go back"
	expect_contains "$errors" "/nix/var/nix/profiles/system is at generation"
	expect_equal "$(profile_of pi)" "$before"
}

# begin_switch : switches the target from the Pi, and waits until the activation is in its third second.
begin_switch() {
	start lab on pi -- rebuild switch --eval-on builder --rollback-on-failure --target-host target
	expect_within 60 printed "step 2 of"
}

case_activation_that_fails_goes_back_without_us() {
	need_hosts target
	fresh pi builder target
	remember target
	change_configuration pi "broken"
	must_sh_on target 'echo 4 >/etc/activation-steps'
	breaks_by target 'echo 4 >/etc/activation-exit-code'
	# We come back to it.
	begin_switch
	drop_connections target
	finish 90
	expect_status 195
	expect_contains "$errors" "connecting again"
	expect_contains "$errors" "it went back"
	expect_back target
	# We leave it.
	begin_switch
	interrupt
	finish 20
	expect_status 130
	expect_contains "$errors" "the change goes on by itself on target: the next run says what it came to"
	expect_within 60 is_back target
	expect_back target
	# We are gone, and our connection is.
	begin_switch
	must_on pi pkill -KILL -x "rebuild|ssh"
	drop_connections target
	finish 20
	expect_within 60 is_back target
	expect_back target
	on pi rebuild test --rollback --target-host target
	expect_contains "$errors" "failed with exit status 4 (units failed), and it went back to what it had before"
}
