# shellcheck shell=bash
# The change itself, and what becomes of it when something breaks: a link, a terminal, a machine. The miniature's
# activation takes as many seconds as /etc/activation-steps says, and dies if nobody takes what it says.

change_configuration() { # MOTD
	must_on pi sed -i "s/text = .*/text = \"$1\\\\n\";/" /etc/nixos/configuration.nix
}

slow() { must_sh_on "$1" "echo $2 >/etc/activation-steps"; } # HOST STEPS

# begin_switch ARGUMENT... : switches from the Pi, and waits until the activation is in its third second.
begin_switch() {
	start lab on pi -- rebuild switch --eval-on builder "$@"
	expect_within 60 printed "step 2 of"
}

# expect_whole HOST MOTD : checks that the activation came to its end, and that no silence stopped it.
expect_whole() {
	expect_within 60 came_to_its_end "$1"
	expect_lacks "$(file_on "$1" /var/log/activation)" "could not write"
	expect_equal "$(file_on "$1" /etc/motd)" "$2"
	expect_equal "$(system_of "$1")" "$(profile_of "$1")"
}
came_to_its_end() { lab on "$1" grep -q "^finished switch with" /var/log/activation </dev/null; }
is_activating() { lab on "$1" systemctl is-active --quiet nixos-rebuild-switch-to-configuration.service </dev/null; }

case_activation_survives_a_broken_link() {
	need_hosts target
	fresh pi builder target
	change_configuration "through a broken link"
	slow target 6
	begin_switch --target-host target
	drop_connections target
	finish 90
	expect_status 0
	expect_equal "$(profile_of target)" "$output"
	expect_contains "$errors" "connecting again"
	# Every step is seen, including those during the break, and none is seen twice.
	expect_equal "$(grep -c '^step [0-9] of 6' "$CASE/errors")" 6
	expect_whole target "through a broken link"
	expect_no_file target /var/lib/rebuild/last
	# Its exit status comes through all the same.
	change_configuration "through a broken link, and failing"
	must_sh_on target 'echo 4 >/etc/activation-exit-code; rm /var/log/activation'
	begin_switch --target-host target
	drop_connections target
	finish 90
	expect_status 4
	expect_equal "$output" ""
}

case_activation_goes_on_without_us() {
	need_hosts target
	fresh pi builder target
	change_configuration "left alone"
	slow target 8
	begin_switch --target-host target
	interrupt
	finish 20
	expect_status 130
	expect_contains "$errors" "goes on"
	expect_whole target "left alone"
	# The next run reports it, and only once.
	on pi rebuild test --rollback --target-host target
	expect_status 0
	expect_contains "$errors" "switch of $(profile_of target)"
	on pi rebuild test --rollback --target-host target
	expect_lacks "$errors" "switch of"
}

case_activation_that_goes_on_is_waited_for() {
	need_hosts target
	fresh pi builder target
	change_configuration "first"
	slow target 7
	begin_switch --target-host target
	interrupt
	finish 20
	change_configuration "second"
	on pi timeout 120 rebuild switch --eval-on builder --target-host target
	expect_status 0
	expect_contains "$errors" "goes on: waiting for its end"
	expect_equal "$(grep -c "^finished switch" <<<"$(file_on target /var/log/activation)")" 2
	expect_whole target "second"
}

# Two runs from two places start at once: they take turns.
case_two_activations_at_once() {
	fresh
	change_configuration "at once"
	slow pi 4
	begin_switch
	on pi timeout 120 rebuild switch --eval-on builder
	expect_status 0
	expect_contains "$errors" "goes on: waiting for its end"
	finish 60
	expect_status 0
	expect_equal "$(grep -c "^finished switch" <<<"$(file_on pi /var/log/activation)")" 2
}

# This program did not start the activation.
case_activation_of_somebody_else() {
	fresh
	change_configuration "not now"
	must_on pi systemd-run --unit=nixos-rebuild-switch-to-configuration sleep 30
	local before
	before=$(profile_of pi)
	on pi rebuild switch --eval-on builder
	expect_failure
	expect_contains "$errors" "an activation is under way on this machine"
	expect_equal "$(profile_of pi)" "$before"
	must_on pi systemctl stop nixos-rebuild-switch-to-configuration.service
	# It was started by hand: only the lock of switch-to-configuration itself shows it.
	must_sh_on pi 'mkdir -p /run/nixos; systemd-run --quiet --unit=by-hand flock /run/nixos/switch-to-configuration.lock sleep 300'
	expect_within 20 lab on pi sh -c '! flock -n /run/nixos/switch-to-configuration.lock true'
	on pi rebuild switch --eval-on builder
	expect_failure
	expect_contains "$errors" "an activation is under way on this machine"
	expect_equal "$(profile_of pi)" "$before"
	must_on pi systemctl stop by-hand.service
	slow pi 8
	begin_switch
	expect_equal "$(lab on pi systemctl show --property Description --value nixos-rebuild-switch-to-configuration.service </dev/null)" \
		"Activation of NixOS by rebuild"
	finish 60
	expect_status 0
}

case_activation_and_a_power_cut() {
	need_hosts target
	fresh pi builder target
	change_configuration "cut off"
	slow target 30
	begin_switch --target-host target
	must lab cut target
	interrupt
	finish 30
	must lab start target
	must_sh_on target 'rm -f /etc/activation-steps'
	on pi rebuild switch --eval-on builder --target-host target
	expect_status 0
	expect_contains "$errors" "was cut off before its end"
	expect_whole target "cut off"
}

# The user sits on the Pi by ssh, and the switch takes that connection down (nixpkgs#39118).
case_activation_survives_its_terminal() {
	need_hosts target
	fresh pi builder target
	change_configuration "without a terminal"
	slow pi 6
	start lab on target -- ssh -tt pi rebuild switch --eval-on builder
	expect_within 60 printed "step 2 of"
	drop_connections pi
	finish 20
	expect_failure
	expect_whole pi "without a terminal"
	on pi rebuild test --rollback
	expect_contains "$errors" "switch of $(profile_of pi)"
}

case_activation_without_systemd_run() {
	need_hosts target
	fresh pi builder target
	change_configuration "by itself"
	slow target 5
	start lab on pi -- env NIXOS_REBUILD_NO_SYSTEMD_RUN=1 rebuild switch --eval-on builder --target-host target
	expect_within 60 printed "step 2 of"
	! is_activating target || fail "there is a unit"
	drop_connections target
	finish 90
	expect_status 0
	expect_whole target "by itself"
}

# If a machine does not come back, the run says so; that does not count as a "no".
case_activation_of_a_machine_that_stays_away() {
	need_hosts target
	fresh pi builder target
	change_configuration "away"
	slow target 5
	begin_switch --target-host target
	drop_connections target
	cut_between pi target
	finish 100
	expect_status 255
	expect_contains "$errors" "goes on there by itself"
	expect_contains "$errors" "run the same command again to see what it came to"
	join_again pi target
	expect_whole target "away"
	on pi rebuild switch --eval-on builder --target-host target
	expect_status 0
	expect_contains "$errors" "was done after its connection broke"
}

# What is no NixOS system does not become a generation on a third machine either. A user who means it can still do it.
case_activation_of_what_is_no_system() {
	need_hosts target
	fresh pi builder target
	local before tools
	before=$(profile_of target)
	tools=$(lab on pi readlink -f /run/current-system/sw </dev/null)
	on pi rebuild boot --store-path "$tools" --target-host target
	expect_failure
	expect_contains "$errors" "nixos-version"
	expect_equal "$(profile_of target)" "$before"
	on pi env NIXOS_REBUILD_I_UNDERSTAND_THE_CONSEQUENCES_PLEASE_BREAK_MY_SYSTEM=1 rebuild boot --store-path "$tools" --target-host target
	expect_failure
	expect_equal "$(profile_of target)" "$tools"
}
