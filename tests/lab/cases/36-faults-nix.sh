# shellcheck shell=bash
# shellcheck disable=SC2016 # the hosts' shells expand it
# Nix's daemon is restarted, or killed, and garbage is collected, in the midst of a run.

# shellcheck source=/dev/null
. "$LAB/moments.sh"

# A restart leaves the connections that there are; a daemon that is killed ends its copy. (A daemon that is killed during a build: 62-builders-that-fail.)
case_faults_of_a_daemon() {
	given_machines
	reach build
	must_on builder systemctl restart nix-daemon.service
	let_go
	finish 60
	expect_status 0
	expect_switched
	expect_equal "$(begun first) $(begun held)" "1 1"

	# What is built is read without the daemon there.
	reach receive
	must_sh_on builder 'pkill -KILL -x nix-daemon; systemctl restart nix-daemon.service'
	let_go
	finish 60
	expect_status 0
	expect_switched
	nothing_remains

	reach receive
	must_on pi systemctl restart nix-daemon.service
	let_go
	finish 60
	expect_status 0
	expect_switched
	nothing_remains

	reach receive
	must_sh_on pi 'pkill -KILL -x nix-daemon; systemctl restart nix-daemon.service'
	finish 20
	expect_failure
	expect_equal "$output" ""
	expect_contains "$errors" "error: builder → this machine: it did not arrive whole, nothing was changed"
	expect_contains "$errors" "run the same command again: what has arrived is kept"
	nothing_remains
	expect_as_before
	let_go
	must_on pi rebuild switch --eval-on builder
	expect_lacks "$errors" "building large"
	expect_matches "$errors" "received [0-9] paths? \(8\.[0-9] MB\)"
	expect_switched
}

# (During an evaluation: 47-traits.)
case_faults_of_a_collection() {
	given_machines
	local moment
	for moment in send build receive activate; do
		reach "$moment"
		must_on builder nix-collect-garbage
		must_on pi /usr/lib/nix-real/nix-collect-garbage -d
		let_go
		finish 60
		expect_status 0
		expect_lacks "$errors" "warning"
		[ "$moment" != build ] || expect_equal "$(begun first) $(begun held)" "1 1"
		expect_switched
		nothing_remains
	done
}
