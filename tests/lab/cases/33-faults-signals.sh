# shellcheck shell=bash
# Signals at each moment, once and twice.

# shellcheck source=/dev/null
. "$LAB/moments.sh"

# The first one leaves a directory on the Pi, which the next run takes away.
SIGNALS="KILL:1:137 INT:1:130 INT:2:130 TERM:1:143 TERM:2:143 HUP:1:129 HUP:2:129"

# signal NAME TIMES : Ctrl-C and a terminal that is closed are signals for the whole group, others for the program.
signal() {
	local time
	for time in $(seq "$2"); do
		[ "$time" = 1 ] || sleep 0.3
		case $1 in
		INT | HUP) kill "-$1" -- "-$started" 2>/dev/null || : ;;
		*) lab on pi pkill "-$1" -x rebuild </dev/null || : ;;
		esac
	done
}

# struck NAME:TIMES:STATUS : checks how the run ended, and what it has left.
struck() {
	IFS=: read -r name times code <<<"$1"
	signal "$name" "$times"
	finish 10
	expect_status "$code"
	expect_equal "$output" ""
	if [ "$name" = KILL ]; then forget_the_minute; fi
}

case_faults_of_signals() {
	given_machines
	local moment sent
	for moment in send receive; do
		for sent in $SIGNALS; do
			reach "$moment"
			struck "$sent"
			if [ "$name" = KILL ]; then nothing_remains builder; else nothing_remains; fi
			expect_as_before
		done
	done
	let_go
	must_on pi rebuild switch --eval-on builder
	expect_lacks "$errors" "building large"
	expect_switched
}

# The change goes on.
case_faults_of_signals_at_the_change() {
	given_machines
	local sent
	for sent in $SIGNALS; do
		reach activate
		struck "$sent"
		[ "$name" = KILL ] || expect_contains "$errors" "the change goes on by itself on this machine: the next run says what it came to"
		expect_lacks "$errors" "connecting again"
		let_go
		expect_within 10 lab on pi grep -q "^finished switch with 0" /var/log/activation
		if [ "$name" = KILL ]; then nothing_remains builder; else nothing_remains; fi
		expect_switched
	done
}
