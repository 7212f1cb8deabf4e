# shellcheck shell=bash
# Becoming root, here and on a third machine: by each way, without a trusted user anywhere, with a password that is asked
# for once, checked before the long work, and seen by nobody. Who the users are: tests/lab/README.md.

PASSWORD="correct horse 'quoted'"

change_configuration() { # MOTD
	must_on pi sed -i "s/text = .*/text = \"$1\\\\n\";/" /etc/nixos/configuration.nix
}

expect_switched() { # HOST : to what was printed
	expect_status 0
	expect_matches "$output" '^/nix/store/[a-z0-9]{32}-nixos-system-pi-[^[:space:]]*$'
	expect_equal "$(profile_of "$1")" "$output"
	expect_equal "$(system_of "$1")" "$output"
	expect_contains "$(file_on "$1" /var/log/activation)" "== switch $output/bin/switch-to-configuration"
	# The activation sees nothing of how it came to be root.
	expect_lacks "$(file_on "$1" /var/log/activation)" "env SUDO_"
	expect_lacks "$(file_on "$1" /var/log/activation)" "env DOAS_"
	expect_lacks "$(file_on "$1" /var/log/activation)" "env SSH_"
}

remember() { remembered="$(profile_of pi) $(system_of pi) $(profile_of target 2>/dev/null)"; }
expect_unchanged() {
	expect_equal "$(profile_of pi) $(system_of pi) $(profile_of target 2>/dev/null)" "$remembered"
	expect_lacks "$errors" "evaluating"
	expect_lacks "$errors" "connecting to builder"
}

# with_password PASSWORD USER REBUILD-ARGUMENT... : runs it as a user of the Pi, with the password on stdin.
with_password() {
	ran="rebuild ${*:3} (as $2)"
	status=0
	printf '%s\n' "$1" | lab on pi -u "$2" -- rebuild "${@:3}" >"$CASE/output" 2>"$CASE/errors" || status=$?
	output=$(cat "$CASE/output")
	errors=$(cat "$CASE/errors")
}

# The result comes to a user whom Nix does not trust, through a daemon of root (nixpkgs#299996 on the other side).
case_privileges_here() {
	fresh
	local line
	while read -r user flags; do
		change_configuration "as $user"
		# shellcheck disable=SC2086 # words
		as pi "$user" rebuild switch --eval-on builder $flags
		expect_switched pi
	done <<-'END'
		admin --sudo
		doer --elevate doas
		runner --elevate=run0
	END
	change_configuration "as asker"
	with_password "$PASSWORD" asker switch --eval-on builder -S
	expect_switched pi
	# Whether sudo remembers the password or not: once more, and the line becomes the input of no other program.
	change_configuration "as admin, with a password that nobody asks for"
	with_password "not asked for" admin switch --eval-on builder --ask-sudo-password
	expect_switched pi
	# It is built here: evaluation and build are never elevated.
	change_configuration "as admin, all here"
	must_sh_on pi 'echo "trusted-users = root admin" >>/etc/nix/nix.conf; systemctl restart nix-daemon.service'
	as pi admin rebuild switch -j 2 --sudo
	expect_switched pi
	expect_equal "$(lab on pi stat -c %U "/nix/var/nix/profiles/system" </dev/null)" root
}

case_privileges_refused_here() {
	fresh
	remember
	change_configuration "never"
	as pi guest rebuild switch --eval-on builder
	expect_failure
	expect_contains "$errors" "only root can activate a configuration"
	expect_contains "$errors" "--sudo"
	expect_unchanged
	as pi guest rebuild switch --eval-on builder --sudo
	expect_failure
	expect_contains "$errors" "guest cannot become root by sudo on this machine"
	expect_unchanged
	as pi asker rebuild switch --eval-on builder --sudo
	expect_failure
	expect_contains "$errors" "(-S)"
	expect_unchanged
	with_password "wrong" asker switch --eval-on builder -S
	expect_failure
	expect_contains "$errors" "the password is wrong"
	expect_unchanged
	as pi guest rebuild switch --eval-on builder --elevate doas
	expect_failure
	expect_contains "$errors" "cannot become root by doas"
	expect_unchanged
	as pi admin rebuild switch --elevate doas -S
	expect_status 2
	as pi admin rebuild switch --elevate none --sudo
	expect_failure
	expect_contains "$errors" "only root"
}

case_privileges_on_a_third_machine() {
	need_hosts target
	fresh pi builder target
	while read -r user flags; do
		change_configuration "as $user there"
		# shellcheck disable=SC2086 # words
		on pi rebuild switch --eval-on builder --target-host "$user@target" $flags
		expect_switched target
	done <<-'END'
		admin --sudo
		doer --elevate doas
		runner --elevate run0
	END
	change_configuration "as asker there"
	with_password "$PASSWORD" root switch --eval-on builder --target-host asker@target -S
	expect_switched target
	# It is built here, and rolled back.
	change_configuration "as asker there, from here"
	with_password "$PASSWORD" root switch -j 2 --target-host asker@target --sudo --ask-elevate-password
	expect_switched target
	with_password "$PASSWORD" root boot --rollback --target-host asker@target -S
	expect_status 0
	expect_equal "$(profile_of target)" "$output"

	remember
	change_configuration "never there"
	on pi rebuild switch --eval-on builder --target-host asker@target --sudo
	expect_failure
	expect_contains "$errors" "asker cannot become root by sudo on asker@target"
	expect_contains "$errors" "(-S)"
	expect_unchanged
	with_password "wrong" root switch --eval-on builder --target-host asker@target -S
	expect_failure
	expect_contains "$errors" "the password is wrong"
	expect_unchanged
	on pi rebuild switch --eval-on builder --target-host guest@target
	expect_failure
	expect_contains "$errors" "guest is not root on guest@target"
	expect_unchanged
	# build needs no root, but it needs a receiver that accepts what nobody has signed.
	on pi rebuild build --eval-on builder --target-host guest@target
	expect_failure
	expect_contains "$errors" "builder → guest@target"
	expect_contains "$errors" "--sudo"
	on pi rebuild build --eval-on builder --target-host admin@target --sudo
	expect_status 0
	must_on target nix-store --check-validity "$output"
}

# sudo-rs swallows whatever comes together with the password.
case_privileges_by_sudo_rs() {
	need_hosts target
	fresh pi builder target
	use_sudo_rs target
	use_sudo_rs pi
	change_configuration "by sudo-rs"
	with_password "$PASSWORD" root switch --eval-on builder --target-host asker@target -S
	expect_switched target
	with_password "$PASSWORD" asker switch --eval-on builder -S
	expect_switched pi
	change_configuration "by sudo-rs, without a password"
	as pi admin rebuild switch --eval-on builder --sudo
	expect_switched pi
	remember
	with_password "wrong" asker switch --eval-on builder -S
	expect_failure
	expect_contains "$errors" "the password is wrong"
	expect_unchanged
}

# At a terminal, a person may try again; nothing is echoed, and the prompt is not in the result.
case_privileges_on_a_terminal() {
	need_hosts target
	fresh pi builder target
	change_configuration "typed"
	types "password for asker@target" "a mistake"
	types "password for asker@target" "$PASSWORD"
	on_tty pi root rebuild switch --eval-on builder --target-host asker@target -S
	expect_status 0
	expect_contains "$output" "the password is wrong"
	expect_lacks "$output" "horse"
	expect_contains "$(file_on target /var/log/activation)" "== switch"
	# sudo itself asks, at the beginning.
	change_configuration "typed to sudo"
	types "password for asker" "$PASSWORD"
	on_tty pi asker rebuild switch --eval-on builder --sudo
	expect_status 0
	expect_equal "$(file_on pi /etc/motd)" "typed to sudo"
	presses "password for asker@target" $'\003'
	on_tty pi root rebuild switch --eval-on builder --target-host asker@target -S
	expect_status 130
}

# The password is in no argument, no environment, no file and no log, on neither machine.
case_privileges_keep_the_password() {
	need_hosts target
	fresh pi builder target
	change_configuration "secret"
	must_sh_on target 'echo 6 >/etc/activation-steps'
	start sh -c "printf '%s\n' \"\$1\" | '$LAB/lab.sh' on pi -- rebuild switch -vv --eval-on builder --target-host asker@target -S" secret "$PASSWORD"
	expect_within 60 printed "step 2 of 6"
	local host
	for host in pi target builder; do
		# shellcheck disable=SC2016 # the host's shell's
		sh_on "$host" 'for process in /proc/[0-9]*; do tr "\0" "\n" <"$process/cmdline"; tr "\0" "\n" <"$process/environ"; done 2>/dev/null |
			grep -c "[c]orrect horse"
			grep -rlsI "[c]orrect horse" /tmp /var/tmp /var/lib/rebuild /run/user /root/.cache /home/*/.cache /var/log/activation
			journalctl -q | grep "[c]orrect horse"'
		expect_equal "$output" 0
	done
	finish 60
	expect_status 0
	expect_lacks "$(cat "$CASE/output" "$CASE/errors")" "correct horse"
}

# NIX_SUDOOPTS has a quoted word.
case_privileges_with_options_for_sudo() {
	fresh
	change_configuration "with options"
	must_sh_on pi 'cat >/usr/local/bin/sudo <<"END"
#!/bin/sh
printf "<%s>" "$@" >>/var/log/sudo-words
echo >>/var/log/sudo-words
exec /usr/bin/sudo "$@"
END
		chmod 755 /usr/local/bin/sudo; touch /var/log/sudo-words; chmod 666 /var/log/sudo-words'
	on pi setpriv --reuid=admin --regid=admin --init-groups env HOME=/home/admin USER=admin \
		NIX_SUDOOPTS="-H --preserve-env='A B'" rebuild switch --eval-on builder --sudo
	expect_status 0
	expect_contains "$(file_on pi /var/log/sudo-words)" "<-H><--preserve-env=A B>"
	# sudo gives another user than root, or does not exist: refused before the build, even if the target only receives.
	must_on pi rm /usr/local/bin/sudo
	change_configuration "never"
	remember
	for line in "-u guest|switch" "--user=guest|build" "-g users|test"; do
		as pi admin env "NIX_SUDOOPTS=${line%|*}" rebuild "${line#*|}" --eval-on builder --sudo
		expect_failure
		expect_contains "$errors" "error: sudo on this machine makes this user "
		expect_contains "$errors" "NIX_SUDOOPTS='-u root'"
		expect_unchanged
	done
	as pi admin env NIX_SUDOOPTS=-i rebuild switch --eval-on builder --sudo
	expect_status 2
	expect_contains "$errors" "NIX_SUDOOPTS (-i) has -i"
	must_sh_on pi 'echo "Defaults runas_default=guest" >>/etc/sudoers'
	as pi admin rebuild switch --eval-on builder --sudo
	expect_failure
	expect_contains "$errors" "runas_default"
	expect_unchanged
	as pi admin env "NIX_SUDOOPTS=-u root" rebuild dry-activate --eval-on builder --sudo
	expect_status 0
}
