# shellcheck shell=bash
# What a builder says too much or not at all: login files that read, an sshd that stands still, a line without end.

# Checks that no process of a run is on the Pi.
expect_no_run() {
	run lab on pi sh -c 'ls -d /tmp/rebuild* 2>/dev/null; pgrep -l -x "rebuild|ssh"'
	expect_equal "$output" ""
}

builder_builds() { lab on builder sh -c 'ps -eo args | grep -v grep | grep -q "sleep 1$"' </dev/null; }
builder_is_idle() { ! lab on builder pgrep -x "nix-store|dd" </dev/null && ! builder_builds; }

# Debian's bash reads .bashrc for a command that sshd starts, and the stdin of .bashrc is what is meant for the script
# of the run.
case_a_login_file_that_reads() {
	fresh
	must_sh_on builder 'printf "%s\n" "read -r answer; echo \"<\$answer>\"" >~builder/.bashrc'
	must_on pi rebuild build --eval-on builder
	expect_matches "$output" '^/nix/store/[a-z0-9]{32}-nixos-system-pi-'

	# If a login file takes everything, the run waits with a message, and ends at Ctrl-C.
	must_sh_on builder 'echo "cat >/dev/null" >~builder/.bashrc'
	start lab on pi -- rebuild build --eval-on builder
	expect_within 20 printed "waiting for builder: no answer yet"
	interrupt
	finish 5
	expect_status 130
	expect_no_run
}

case_an_sshd_that_stands_still() {
	fresh
	must_sh_on pi "sed -i 's/system.stateVersion/lab.slowBuild = 600; &/' /etc/nixos/configuration.nix"
	start lab on pi -- rebuild build --eval-on builder
	expect_within 30 builder_builds
	must_on builder pkill -STOP "sshd-session|sshd"
	interrupt
	finish 15
	expect_status 130
	expect_contains "$errors" "warning: builder does not answer, so its work may go on there"
	expect_no_run
	must_on builder pkill -CONT "sshd-session|sshd"
	# It may not have heard that, and is found again.
	start lab on pi -- rebuild build --eval-on builder
	sleep 3
	interrupt
	finish 15
	expect_status 130
	expect_within 10 builder_is_idle
}

# The Pi does not have the memory that such a line would take.
case_a_build_that_prints_one_long_line() {
	fresh
	# shellcheck disable=SC2016 # Nix's and the build's own
	must_sh_on pi 'sed -i '\''s|system.stateVersion|environment.etc.long.source = pkgs.run "long-line" { } "printf first; dd if=/dev/zero bs=1048576 count=100 2>/dev/null \| tr \\"\\\\000\\" x; echo last; echo made > $out"; &|'\'' /etc/nixos/configuration.nix'
	must_sh_on pi 'ulimit -v 400000; rebuild build --eval-on builder -L'
	expect_contains "$errors" "long-line> firstxxxx"
	expect_contains "$errors" " bytes are left out here] ... x"
	expect_contains "$errors" "xxxlast"
}

# A quiet evaluation does not mean that the link is gone. A link that is gone is just as quiet, and the user sees that
# long before ssh gives up. If the link comes back, the run goes on.
case_a_link_that_says_nothing_in_a_quiet_evaluation() {
	fresh
	must_sh_on pi "sed -i 's/system.stateVersion/lab.evalCost.work = 80; &/' /etc/nixos/configuration.nix"
	at_screen 80 pi root rebuild build --eval-on builder
	expect_within 60 screen_matches 'evaluating on builder +1[0-9] s'
	expect_lacks "$(screen)" "nothing has come"
	cut_between pi builder silent
	expect_within 20 screen_matches '^  nothing has come from builder for 8 s$'
	expect_within 5 screen_matches '^  nothing has come from builder for 9 s$'
	join_again pi builder
	expect_within 30 screen_lacks "nothing has come"
	screen_ends 240
	expect_status 0
	expect_matches "$output" '/nix/store/[a-z0-9]{32}-nixos-system-pi-'
	expect_lacks "$output" "nothing has come"
}
screen_matches() { screen | grep -qE -- "$1"; }
screen_lacks() { ! screen_shows "$1"; }
