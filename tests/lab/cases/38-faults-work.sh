# shellcheck shell=bash
# shellcheck disable=SC2016 # the hosts' shells expand it
# Faults while the builder works: the work goes on there, and whoever comes back goes on with it.

# shellcheck source=/dev/null
. "$LAB/moments.sh"

# ends_well : the run that was started comes to its end, and what was built was built once.
ends_well() {
	let_go
	finish 90
	expect_status 0
	expect_switched
	expect_built_once "$1"
	nothing_remains
}
expect_built_once() { [ "$1" != build ] || expect_equal "$(begun first) $(begun held)" "1 1"; }

# A link that breaks at either end, that stalls, or an sshd that is stopped: the client comes back by itself.
case_faults_of_a_link_at_work() {
	given_machines
	local moment fault
	evaluation=15
	for moment in evaluate build; do
		for fault in client builder link sshd; do
			reach "$moment"
			case $fault in
			client) must_on pi pkill -KILL -x ssh ;;
			builder) drop_connections builder ;;
			link)
				cut_between pi builder silent
				expect_within 30 printed "nothing has come from builder for"
				join_again pi builder
				;;
			sshd)
				must_on builder pkill -STOP "sshd-session|sshd"
				expect_within 30 printed "nothing has come from builder for"
				must_on builder pkill -CONT "sshd-session|sshd"
				;;
			esac
			case $fault in client | builder) expect_within 20 printed "the connection to builder broke: the work goes on there, connecting again" ;; esac
			ends_well "$moment"
		done
	done
}

# A build whose link breaks ten times ends as one that had no break: every line of it is seen once, and it was built once,
# in no more time.
case_faults_of_ten_breaks() {
	given_machines
	local breaks=0 line
	number=$((number + 1))
	configure "environment.etc.long.source = pkgs.run \"long-$number\" { } \"echo begun >>/srv/gate/begun
	  for step in \$(seq 30); do echo step \$step of 30; sleep 1; done
	  echo ended >>/srv/gate/begun; echo made >\$out\";"
	start lab on pi -- rebuild switch --eval-on builder -L
	for line in 2 4 6 8 10 12 14 16 18 20; do
		expect_within 60 printed "step $line of 30"
		drop_connections builder
		breaks=$((breaks + 1))
	done
	finish 120
	expect_status 0
	expect_equal "$breaks" 10
	expect_equal "$(grep -c 'step [0-9]* of 30' "$CASE/errors")" 30
	expect_equal "$(file_on builder /srv/gate/begun)" "begun
ended"
	# Thirty sleeps of a second each, and what an emulated shell takes to start them.
	local built
	built=$(sed -n 's/.*built in \([0-9]*\)\.[0-9] s.*/\1/p' "$CASE/errors")
	expect_matches "$built" '^[0-9]+$'
	[ "$built" -le 45 ] || fail "it built for $built s"
	expect_switched
	nothing_remains
}

# working : the processes of an evaluation or a build on the builder, but for those that are dead already.
working() { lab on builder sh -c 'ps -eo stat=,args= | grep -v "^Z" | grep -e nix-instantiate -e "nix-store.*--realise" -e busybox | grep -v -e grep -e "for name in"' </dev/null || :; }
nobody_works() { [ -z "$(working)" ]; }

# Ctrl-C ends the work; a terminal that is closed, or a killed `rebuild`, leaves it, and the same command joins it.
case_faults_of_signals_at_work() {
	given_machines
	local moment sent name code
	for moment in evaluate build; do
		for sent in INT:1 INT:2; do
			reach "$moment"
			for name in $(seq "${sent#*:}"); do
				[ "$name" = 1 ] || sleep 0.3
				kill -INT -- "-$started" 2>/dev/null || :
			done
			finish 10
			expect_status 130
			within 2 nobody_works || fail "2 s later there is still: $(working)"
			nothing_remains
			expect_as_before
		done
	done
	evaluation=15
	for moment in evaluate build; do
		for sent in HUP:129 TERM:143 KILL:137; do
			name=${sent%:*} code=${sent#*:}
			reach "$moment"
			if [ "$name" = HUP ]; then kill -HUP -- "-$started"; else must_on pi pkill "-$name" -x rebuild; fi
			finish 10
			expect_status "$code"
			expect_as_before
			[ "$name" != KILL ] || forget_the_minute
			start lab on pi -- rebuild switch --eval-on builder
			[ "$moment" != build ] || expect_within 60 printed "building held"
			ends_well "$moment"
		done
	done
}

# The builder's session is killed as a whole, as for want of memory; the builder loses its power; the Pi does.
case_faults_of_work_that_is_lost() {
	given_machines
	local moment
	for moment in evaluate build; do
		reach "$moment" "NIX_SSHOPTS=-o ServerAliveInterval=2"
		must_sh_on builder 'loginctl kill-user builder --signal=KILL || :; pkill -KILL -u builder || :'
		finish 60
		expect_failure
		expect_equal "$output" ""
		nothing_remains
		expect_as_before

		reach "$moment" "NIX_SSHOPTS=-o ServerAliveInterval=2"
		must lab cable builder out
		must lab cut builder
		must lab cable builder in
		must lab start builder
		finish 90
		expect_failure
		expect_within 60 lab on builder systemctl is-system-running
		expect_as_before
		must_sh_on pi 'sed -i "s/lab.evalCost.work = [0-9]*;//" /etc/nixos/configuration.nix'
		let_go
		must_on pi rebuild switch --eval-on builder
		expect_switched
		nothing_remains
	done
	evaluation=15
	for moment in evaluate build; do
		reach "$moment"
		must lab cable pi out
		must lab cut pi
		finish 10
		must lab cable pi in
		must lab start pi
		expect_within 60 lab on pi systemctl is-system-running
		expect_equal "$(profile_of pi)" "$(system_of pi)"
		start lab on pi -- rebuild switch --eval-on builder
		[ "$moment" != build ] || expect_within 60 printed "building held"
		ends_well "$moment"
	done
}
