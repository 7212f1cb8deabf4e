# shellcheck shell=bash
# A machine that loses its power at each moment.

# shellcheck source=/dev/null
. "$LAB/moments.sh"

# cut_power HOST : its cable goes first, because a machine without power says nothing to anybody.
cut_power() {
	must lab cable "$1" out
	must lab cut "$1"
}
power_again() {
	must lab cable "$1" in
	must lab start "$1"
	expect_within 60 lab on "$1" systemctl is-system-running
}

case_faults_of_a_builder_without_power() {
	given_machines
	reach send "NIX_SSHOPTS=-o ServerAliveInterval=2"
	cut_power builder
	finish 30
	expect_status 255
	expect_contains "$errors" "error: the connection to builder broke, nothing was changed here"
	power_again builder
	let_go
	must_on pi rebuild switch --eval-on builder
	expect_switched
	# What the dead run had left was taken away.
	nothing_remains

	# What was built is there: the run comes back for it.
	reach receive "NIX_SSHOPTS=-o ServerAliveInterval=2"
	cut_power builder
	expect_within 30 printed "the connection to builder broke"
	power_again builder
	let_go
	finish 120
	expect_status 0
	expect_equal "$(grep -c "building large" "$CASE/errors")" 2
	expect_switched
	nothing_remains
}

# The builder learns it from its sshd.
case_faults_of_a_client_without_power() {
	given_machines
	must_sh_on builder 'printf "Match User builder\n  ClientAliveInterval 1\n  ClientAliveCountMax 3\n" >>/etc/ssh/sshd_config
		systemctl restart ssh.service'
	note_what_is_there
	local moment
	for moment in send receive activate; do
		reach "$moment"
		cut_power pi
		finish 10
		nothing_remains builder
		power_again pi
		expect_equal "$(profile_of pi)" "$(system_of pi)"
		expect_whole_system
		must_sh_on pi 'rm -f /etc/activation-command'
		must lab slow builder full
		on pi rebuild switch --eval-on builder
		expect_status 0
		expect_lacks "$errors" "building large"
		[ "$moment" != activate ] || expect_contains "$errors" "was cut off before its end"
		expect_switched
		nothing_remains
	done
}
