# shellcheck shell=bash
# A link that breaks, or stalls, while files go and while the result comes.

# shellcheck source=/dev/null
. "$LAB/moments.sh"

# Both ends of the connection are killed, first the client's, then the builder's.
case_faults_of_a_link_that_breaks() {
	given_machines
	reach send
	must_on pi pkill -KILL -x ssh
	finish 10
	expect_broken_link
	reach send
	drop_connections builder
	finish 10
	expect_broken_link
	# The next run goes on with what is there: what had arrived before is not sent again.
	let_go
	must_on pi rebuild switch --eval-on builder
	expect_equal "$(grep '^sent ' "$CASE/errors")" "sent 1 file, 40.0 MB"
	expect_switched
	nothing_remains
	# What was built is there, so the run itself comes back for it.
	local end
	for end in pi builder; do
		reach receive
		if [ "$end" = pi ]; then must_on pi pkill -KILL -x ssh; else drop_connections builder; fi
		let_go
		finish 60
		expect_status 0
		expect_contains "$errors" "the connection to builder broke"
		expect_equal "$(grep -c "building large" "$CASE/errors")" 2
		expect_switched
		nothing_remains
	done
}
expect_broken_link() {
	expect_status 255
	expect_equal "$output" ""
	expect_contains "$errors" "error: the connection to builder broke, nothing was changed here"
	expect_contains "$errors" "run the same command again"
	nothing_remains
	expect_as_before
}
# A link that is slow to answer, or an sshd that is stopped, ends nothing: the user is told, and the run goes on.
case_faults_of_a_link_that_stalls() {
	given_machines
	local moment stall
	for moment in send receive; do
		for stall in link sshd; do
			reach "$moment"
			stall "$stall"
			expect_within 25 printed "nothing has come from builder for"
			unstall "$stall"
			let_go
			finish 60
			expect_status 0
			expect_switched
			nothing_remains
		done
	done
}
stall() { if [ "$1" = link ]; then cut_between pi builder silent; else must_on builder pkill -STOP "sshd-session|sshd"; fi; }
unstall() { if [ "$1" = link ]; then join_again pi builder; else must_on builder pkill -CONT "sshd-session|sshd"; fi; }

# A link that never comes back: ssh gives it up (here sooner than by itself), or the user does. The builder ends what was
# begun as soon as its sshd has given the client up.
case_faults_of_a_link_that_stays_away() {
	given_machines
	must_sh_on builder 'printf "Match User builder\n  ClientAliveInterval 1\n  ClientAliveCountMax 3\n" >>/etc/ssh/sshd_config
		systemctl restart ssh.service'
	note_what_is_there
	local moment way
	for moment in send receive; do
		for way in given_up interrupted; do
			reach "$moment" "NIX_SSHOPTS=-o ServerAliveInterval=2"
			cut_between pi builder silent
			if [ "$moment/$way" = receive/given_up ]; then
				# What was built is there, so the run waits for the link, and comes to its end.
				expect_within 30 printed "the connection to builder broke"
				join_again pi builder
				let_go
				finish 60
				expect_status 0
				expect_switched
				nothing_remains
				continue
			fi
			[ "$way" = given_up ] || interrupt
			finish 20
			if [ "$way" = given_up ]; then expect_status 255; else expect_status 130; fi
			nothing_remains
			join_again pi builder
			expect_as_before
		done
	done
}
