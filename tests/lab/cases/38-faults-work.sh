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

# A build whose link breaks ten times ends as one that had no break, and costs no second of building more. That one is
# built at the same time, so that whatever else slows this machine slows both.
case_faults_of_ten_breaks() {
	need_hosts target
	given_machines target
	local lines time
	number=$((number + 1))
	long_build target
	long_build pi
	lab on target -- timeout 300 rebuild switch --eval-on builder -L >"$CASE/unbroken-output" 2>"$CASE/unbroken-errors" </dev/null &
	unbroken=$!
	start lab on pi -- rebuild switch --eval-on builder -L
	for time in $(seq 10); do
		# It has come back, and has said something since. (A link that breaks again within a second has not come back, and is
		# waited for longer.)
		expect_within 60 is_broken "$((time - 1))"
		lines=$(steps_of "$CASE/started-errors" | wc -l)
		expect_within 60 more_lines_than "$lines"
		sleep 1.5
		expect_within 20 drop_links_of_pi
	done
	finish 120
	expect_status 0
	wait "$unbroken" || fail "the unbroken one failed: $(cat "$CASE/unbroken-errors")"
	expect_equal "$(grep -c "the connection to builder broke" "$CASE/errors")" 10
	expect_lacks "$(cat "$CASE/unbroken-errors")" "connection to builder broke"
	# What is seen is the same: each line once, in order, and the way to the system.
	expect_equal "$(steps_of "$CASE/errors")" "$(seq -f 'step %.0f of 160' 160)"
	expect_equal "$(steps_of "$CASE/unbroken-errors")" "$(seq -f 'step %.0f of 160' 160)"
	expect_equal "$output" "$(profile_of pi)"
	expect_equal "$(cat "$CASE/unbroken-output")" "$(profile_of target)"
	expect_switched
	# And so is the building: once, and as long.
	local ours theirs
	ours=$(built_for pi)
	theirs=$(built_for target)
	[ "$ours" -le $((theirs + 100)) ] || fail "the broken one built for $ours hundredths of a second, the other one for $theirs"
	ours=$(shown "$CASE/started-errors")
	theirs=$(shown "$CASE/unbroken-errors")
	# What is shown is that time, as each client has measured it: some seconds lie between two of them on a busy machine.
	[ "$ours" -le $((theirs + 4)) ] || fail "the broken one says that it built for $ours s, the other one says $theirs s"
	nothing_remains
}
# long_build CLIENT : a system of its own with a build of a minute, which notes when it begins and ends.
long_build() {
	configure "environment.etc.long.source = pkgs.run \"long-$1-$number\" { } \"
	  note() { read -r up idle </proc/uptime; echo \$1 \$up >>/srv/gate/$1; }
	  note begun
	  for step in \$(seq 160); do echo step \$step of 160; sleep 0.5; done
	  note ended; echo made >\$out\";"
	[ "$1" = pi ] || file_on pi /etc/nixos/configuration.nix | write_on "$1" /etc/nixos/configuration.nix
}
# built_for CLIENT : prints for how many hundredths of a second its build has built; it has begun and ended once.
built_for() {
	file_on builder "/srv/gate/$1" | tr -d . | awk '{ said = said $1 " "; at[$1] = $2 }
		END { if (said == "begun ended ") print at["ended"] - at["begun"]; else print "it said: " said }'
}
steps_of() { grep -o 'step [0-9]* of 160' "$1"; }
# shown FILE : prints for how many seconds a run says that it has built.
shown() {
	sed -n -e 's/.*built in \([0-9]*\)\(\.[0-9]\)\{0,1\} s.*/0 \1/p' \
		-e 's/.*built in \([0-9]*\) min \([0-9]*\) s.*/\1 \2/p' "$1" |
		{ read -r minutes seconds && echo $((minutes * 60 + seconds)); }
}
# is_broken TIMES : so often the link has broken, as far as is said.
is_broken() { [ "$(grep -c "the connection to builder broke" "$CASE/started-errors")" = "$1" ]; }
more_lines_than() { [ "$(steps_of "$CASE/started-errors" | wc -l)" -gt "$1" ]; }
# drop_links_of_pi : as drop_connections, but the other client's stay; and there has to be one.
drop_links_of_pi() {
	lab on builder sh -c 'pids=$(ss -Htnp state established src 10.77.0.2:22 dst 10.77.0.1 | grep -o "pid=[0-9]*" | cut -d= -f2)
		[ -n "$pids" ] && kill -KILL $pids' </dev/null
}

# Ctrl-C ends the work: two seconds later no process of the run lives on the builder. (Alone, because it is about seconds.)
case_faults_of_ctrl_c_at_work() { # alone
	given_machines
	local moment times begin milliseconds
	# As much memory as the evaluation of a small system takes.
	memory=300
	for moment in evaluate build; do
		for times in 1 2; do
			reach "$moment"
			begin=$EPOCHREALTIME
			interrupt
			[ "$times" = 1 ] || { sleep 0.2 && { interrupt 2>/dev/null || :; }; }
			expect_within 10 nobody_is_left
			milliseconds=$(((${EPOCHREALTIME/[.,]/} - ${begin/[.,]/}) / 1000))
			[ "$milliseconds" -le 2000 ] || fail "$moment, Ctrl-C $times times: the builder needed $milliseconds ms"
			finish 5
			expect_status 130
			nothing_remains
			expect_as_before
		done
	done
}

# A terminal that is closed, or a killed `rebuild`, leaves the work, and the same command joins it.
case_faults_of_signals_at_work() {
	given_machines
	local moment sent name code
	evaluation=8
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
