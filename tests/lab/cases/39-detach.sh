# shellcheck shell=bash
# Work that goes on because its user wants to leave (--detach), and what a builder's systemd ends at the logout.

# shellcheck source=/dev/null
. "$LAB/moments.sh"

# held : the next system has something to build that waits until it may go on (`let_go`).
held() {
	number=$((number + 1))
	must_on builder rm -f /srv/gate/open /srv/gate/begun
	must_on pi rm -f /var/log/activation
	configure "environment.etc.held.source = pkgs.run \"held-$number\" { } \"echo held >>/srv/gate/begun
	  until [ -e /srv/gate/open ]; do sleep 0.2; done; echo made >\$out\";"
	before="$(profile_of pi) $(system_of pi)"
}

# leaves_builder FLAG : the Pi hands the build over, and the login on the builder ends; the build goes on. Later the Pi
# brings home what was made meanwhile.
leaves_builder() {
	held
	must_on pi rebuild build --detach "$1" builder
	expect_equal "$output" ""
	expect_contains "$errors" "builder goes on by itself with the build"
	expect_within 20 has_left
	expect_as_before
	let_go
	expect_within 20 lab on builder sh -c '! pgrep -u builder -f "realise|jobs"' </dev/null
	must_on pi rebuild switch "$1" builder
	expect_switched
	expect_equal "$(begun held)" 1
	nothing_remains
}
has_left() {
	lab on builder sh -c 'grep -q held /srv/gate/begun && ! pgrep -u builder sshd' </dev/null
}

case_detached_from_the_builder() {
	given_machines
	leaves_builder --eval-on
	leaves_builder --build-on
	# Nothing is to be built any more.
	must_on pi rebuild build --detach --eval-on builder
	expect_equal "$output" "$(system_of pi)"
	expect_lacks "$errors" "by itself"
}

case_detached_as_a_unit() {
	given_machines
	held
	must_on pi rebuild switch --detach --eval-on builder
	expect_equal "$output" ""
	expect_contains "$errors" "this run goes on by itself, as rebuild-detached-"
	expect_within 30 lab on builder grep -q held /srv/gate/begun </dev/null
	run lab on pi rebuild dry-build
	expect_contains "$errors" "still goes on"
	expect_as_before
	let_go
	expect_within 30 lab on pi grep -qx "number $number" /etc/number </dev/null
	expect_within 10 lab on pi sh -c '[ -e ~/.local/state/rebuild/detached/*/status ]' </dev/null
	expect_switched
	expect_equal "$(begun held)" 1
	must_on pi rebuild dry-build
	expect_contains "$errors" "is done: all went well"
	nothing_remains

	# admin, who becomes root without a password; asker, whom sudo asks; guest, whose systemd ends with the login.
	must_sh_on pi 'for user in admin asker guest; do install -d -m 700 -o $user /home/$user/.ssh
		install -m 600 -o $user /root/.ssh/id_ed25519 /home/$user/.ssh/; done'
	held
	must_on builder touch /srv/gate/open
	must lab on pi -u admin rebuild switch --detach --sudo --eval-on builder@builder </dev/null
	expect_within 30 lab on pi grep -qx "number $number" /etc/number </dev/null
	expect_within 10 lab on pi -u admin sh -c '[ -e ~/.local/state/rebuild/detached/*/status ]' </dev/null
	held
	run lab on pi -u asker rebuild switch --detach --sudo --eval-on builder@builder
	expect_failure
	expect_contains "$errors" "sudo asks for a password on this machine"
	run lab on pi -u guest rebuild switch --detach --target-host root@builder --eval-on builder@builder
	expect_failure
	expect_contains "$errors" "loginctl enable-linger"
	expect_as_before
}

# Without a way out of the session the work would end with the connection: that is said, and whoever wants to leave is
# refused.
case_detached_from_a_builder_that_ends_what_users_leave() {
	given_machines
	must_sh_on builder 'mkdir -p /etc/systemd/logind.conf.d
		printf "[Login]\nKillUserProcesses=yes\n" >/etc/systemd/logind.conf.d/lab.conf
		systemctl restart systemd-logind'
	held
	run lab on pi rebuild build --detach --eval-on builder
	expect_status 1
	expect_contains "$errors" "builder ends what builder leaves running at the logout (KillUserProcesses=yes)"
	expect_contains "$errors" "loginctl enable-linger builder"
	expect_no_file builder /srv/gate/begun
	# The doctor finds it as well.
	run lab on pi rebuild doctor --eval-on builder --json
	expect_contains "$output" '"condition": "logout"'
	expect_contains "$output" "loginctl enable-linger builder"
	must_on builder touch /srv/gate/open
	must_on pi rebuild build --eval-on builder
	expect_contains "$errors" "warning: builder ends what builder leaves running"
	# The user's own bus, as NixOS has it, and Debian's dbus-user-session.
	must_sh_on builder 'cd /etc/systemd/user && mkdir -p sockets.target.wants && ln -s ../dbus.socket sockets.target.wants/
		printf "[Socket]\nListenStream=%%t/bus\n" >dbus.socket
		printf "[Service]\nExecStart=/usr/bin/dbus-daemon --session --address=systemd: --nofork --nopidfile --systemd-activation --syslog-only\n" >dbus.service
		systemctl stop user@1000.service'
	# logind knows nobody who came in without a login.
	must_on builder systemd-run --quiet --wait loginctl enable-linger builder
	note_what_is_there
	leaves_builder --eval-on
	expect_lacks "$errors" "KillUserProcesses"
}
