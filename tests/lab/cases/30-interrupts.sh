# shellcheck shell=bash
# Ctrl-C, and links that break: the other side ends too, nothing is changed here and nothing is left there.

slow_configuration() { # OPTIONS
	must_sh_on pi "sed -i 's/system.stateVersion/$1; &/' /etc/nixos/configuration.nix"
	before="$(profile_of pi) $(system_of pi)"
}

# Succeeds if no file and no process of a run is left. (The names are those of the processes, not of their arguments:
# otherwise this very command would be among them.)
builder_is_idle() {
	local left
	left=$(lab on builder sh -c 'find /tmp /var/tmp /dev/shm -name "rebuild*"
		pgrep -l -x "nix-store|nix-instantiate|nix-build|nix|unshare|tar|dd|busybox|sleep|.*qemu.*"' </dev/null || true)
	[ -z "$left" ] || { echo "$left" && return 1; }
}

builder_runs() { # PATTERN
	lab on builder sh -c "ps -eo args | grep -v grep | grep -q -e '$1'" </dev/null
}

expect_unchanged() {
	local after
	after="$(profile_of pi) $(system_of pi)"
	expect_equal "$after" "$before"
	expect_no_file pi /var/log/activation
	run lab on pi sh -c 'ls -d /tmp/rebuild* 2>/dev/null; pgrep -x "rebuild|ssh"'
	expect_equal "$output" ""
}

# interrupted_while PATTERN : sends Ctrl-C as soon as such a process runs on the builder.
interrupted_while() {
	start lab on pi -- rebuild switch --eval-on builder
	expect_within 30 builder_runs "$1"
	interrupt
	finish 5
	expect_status 130
	expect_equal "$output" ""
	expect_lacks "$errors" "error:"
	within 2 builder_is_idle || fail "2 s later there is still: $(builder_is_idle)"
	expect_unchanged
}

case_ctrl_c_during_a_build() {
	fresh
	slow_configuration "lab.slowBuild = 600"
	interrupted_while "working, second\|slow-build\|sleep 1"
	# Nothing is in the way of the next run.
	must_sh_on pi "sed -i 's/lab.slowBuild = 600;//' /etc/nixos/configuration.nix"
	must lab on pi rebuild switch --eval-on builder
}

case_ctrl_c_during_the_evaluation() {
	fresh
	slow_configuration "lab.evalCost.work = 600"
	interrupted_while "^[^ ]*nix-instantiate .*nixpkgs/nixos"
}

case_ctrl_c_while_the_result_arrives() {
	fresh
	slow_configuration "lab.bulkMegabytes = 600"
	interrupted_while "nix .*copy --no-check-sigs\|nix copy"
	must_on pi nix-store --verify
}

# The build outlives rebuild, however that ends; the same command finds it again, and Ctrl-C ends it.
case_a_client_that_vanishes() {
	for signal in TERM KILL; do
		fresh
		slow_configuration "lab.slowBuild = 600"
		start lab on pi -- rebuild switch --eval-on builder
		expect_within 30 builder_runs "sleep 1"
		must_on pi pkill "-$signal" -x "rebuild|ssh"
		finish 5
		sleep 2
		builder_runs "sleep 1" || fail "after SIG$signal the build has ended"
		start lab on pi -- rebuild switch --eval-on builder
		expect_within 30 grep -q "builder builds this already" "$CASE/started-errors"
		must_on pi pkill -INT -x rebuild
		finish 5
		expect_status 130
		within 2 builder_is_idle || fail "2 s after Ctrl-C there is still: $(builder_is_idle)"
		# Nobody takes away what is in /tmp of a rebuild that was killed.
		[ "$signal" = KILL ] || expect_unchanged
	done
}

# The link breaks in the midst of the build: rebuild comes back by itself, and the build has not noticed.
case_a_builder_that_vanishes() {
	fresh
	slow_configuration "lab.slowBuild = 12"
	start lab on pi -- rebuild switch --eval-on builder
	expect_within 30 builder_runs "sleep 1"
	for _ in 1 2; do
		must_on builder pkill -KILL sshd-session
		sleep 3
	done
	finish 60
	expect_status 0
	expect_contains "$errors" "the connection to builder broke: the work goes on there"
	expect_within 3 builder_is_idle
}
