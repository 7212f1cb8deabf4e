# shellcheck shell=bash
# What goes back by itself. A system whose motd says "broken" does what breaks_by says; every other one is sound.

change_configuration() { # HOST MOTD
	must_on "$1" sed -i "s/text = .*/text = \"$2\\\\n\";/" /etc/nixos/configuration.nix
}

breaks_by() { # HOST COMMANDS [COMMANDS-OF-A-SOUND-ONE]
	write_on "$1" /etc/activation-command <<-END
		rm -f /etc/activation-exit-code
		if grep -q broken /etc/motd; then $2; else ${3:-:}; fi
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

# expect_gone_back HOST : nobody has confirmed it, and it went back. Nothing but the running system had been changed.
expect_gone_back() {
	expect_status 195
	expect_equal "$output" ""
	expect_contains "$errors" "was not confirmed in time: it went back"
	expect_equal "$(system_of "$1") $(profile_of "$1")" "$before $before"
	expect_equal "$(file_on "$1" /etc/motd)" "$motd"
	expect_no_file "$1" /boot/loader-entry
}

logins_to_target() { lab on target journalctl -u ssh.service -o cat </dev/null | grep -c "Accepted publickey for root from 10.77.0.1"; }

case_confirmed_by_a_new_login() {
	need_hosts target
	fresh pi builder target
	remember target
	change_configuration pi "broken"
	# Nobody gets in any more, although our own connection goes on.
	breaks_by target 'systemctl stop ssh.socket ssh.service' 'systemctl start ssh.service'
	on pi rebuild switch --eval-on builder --target-host target --confirm=8
	expect_contains "$errors" "not confirmed yet: "
	expect_gone_back target
	# Our own connection ends, too.
	breaks_by target 'systemctl stop ssh.socket ssh.service; pkill -KILL -x "sshd(-session|-auth)?"' 'systemctl start ssh.service'
	on pi rebuild switch --eval-on builder --target-host target --confirm=8
	expect_gone_back target
	expect_equal "$(lab on target find /var/lib/rebuild -type l </dev/null)" ""
	# What nothing is wrong with stays, with a new login although there is a connection.
	change_configuration pi "sound"
	breaks_by target :
	local logins
	logins=$(logins_to_target)
	on pi rebuild switch --eval-on builder --target-host target --confirm
	expect_status 0
	expect_contains "$errors" "confirmed by a new login to target"
	expect_equal "$(system_of target) $(profile_of target) $(file_on target /boot/loader-entry)" "$output $output $output"
	expect_equal "$(logins_to_target)" $((logins + 2))
	expect_equal "$(lab on target find /var/lib/rebuild -name last -o -type l </dev/null)" ""
}

# begin_trial SECONDS : switches the target, until it waits for a person.
begin_trial() {
	start lab on pi -- rebuild switch --eval-on builder --target-host target --confirm="$1" --confirm-by ''
	expect_within 60 printed "within $1 seconds, if all is well: rebuild confirm --target-host target"
}

case_confirmed_by_nobody() {
	need_hosts target
	fresh pi builder target
	remember target
	change_configuration pi "sound"
	# We are gone, and our login is.
	begin_trial 5
	expect_different "$(system_of target)" "$before"
	must_on pi pkill -KILL -x "rebuild|ssh"
	drop_connections target
	finish 20
	expect_within 60 is_back target
	# Its job is killed. systemd sees to it that it goes back, and whoever follows hears it.
	begin_trial 3600
	must_sh_on target 'kill -KILL "$(systemctl show --property MainPID --value nixos-rebuild-switch-to-configuration.service)"'
	finish 60
	expect_gone_back target
	# A boot within the time: nothing needs to run for it.
	begin_trial 3600
	interrupt
	finish 20
	expect_status 130
	expect_contains "$errors" "goes back unless it is confirmed: rebuild confirm --target-host target"
	must lab cut target
	must lab start target
	expect_equal "$(system_of target) $(profile_of target)" "$before $before"
	on pi rebuild confirm --target-host target
	expect_failure
	expect_contains "$errors" "no change of target waits to be confirmed"
	# The next run tells what both came to; what is told once is not told again.
	begin_trial 3600
	expect_equal "$(grep -c "was not confirmed" "$CASE/started-errors")" 1
	expect_contains "$(cat "$CASE/started-errors")" "was not confirmed before a reboot: the machine has booted what it booted before"
	# A person says that it is well, from elsewhere, and both hear the end.
	on pi rebuild confirm --target-host target
	expect_status 0
	expect_contains "$errors" "confirmed"
	finish 20
	expect_status 0
	expect_equal "$(system_of target) $(profile_of target)" "$output $output"
	expect_equal "$(file_on target /boot/loader-entry)" "$output"
}

case_confirmed_by_a_host_that_is_reached() {
	fresh
	remember pi
	# A host that cannot be reached before cannot confirm anything.
	change_configuration pi "broken"
	on pi rebuild switch --eval-on builder --confirm=8 --confirm-by nowhere
	expect_failure
	expect_contains "$errors" "nothing was changed"
	expect_contains "$errors" "--confirm-by HOST"
	expect_equal "$(system_of pi)" "$before"
	# Names are not found any more.
	breaks_by pi 'mv /etc/hosts /etc/hosts.away' 'mv /etc/hosts.away /etc/hosts'
	on pi rebuild switch --eval-on builder --confirm=8
	expect_gone_back pi
	change_configuration pi "sound"
	breaks_by pi :
	as pi admin rebuild switch --eval-on builder --confirm --sudo
	expect_status 0
	expect_contains "$errors" "confirmed: builder can be reached from this machine"
	expect_equal "$(system_of pi) $(profile_of pi) $(file_on pi /boot/loader-entry)" "$output $output $output"
}
