# shellcheck shell=sh
# The end of a login. systemd may end what is left of a user's session when its connection ends (KillUserProcesses=yes in
# logind.conf), and with it the run's job, which is to go on then. A user whose own systemd stays (lingering) may move the
# run there, out of the session, as everybody does it for tmux. That systemd is asked over the user's own bus.

# outlive_logout: sees to it that a job of this run outlives the connection, or tells that it will not.
outlive_logout() {
	try_to_outlive
	[ "$outlives" != no ] || event logout "$login"
}

# try_to_outlive: sets $outlives to "yes", to "moved" if that took a move to the user's own systemd, to "no", and then $login
# to the user's name, or to "unknown". It costs nothing where sshd opens no session, and otherwise one question to the
# logind of this machine.
try_to_outlive() {
	outlives=yes
	is_in_session || return 0
	command -v busctl >/dev/null || {
		outlives=unknown
		return 0
	}
	login=$(id -un)
	is_ended_at_logout || return 0
	outlives=moved
	leave_session >/dev/null 2>&1 || outlives=no
}

is_in_session() {
	while IFS= read -r group; do
		case $group in */session-*.scope*) return 0 ;; esac
	done </proc/self/cgroup
	return 1
} 2>/dev/null

# is_ended_at_logout: by the rules of logind.conf(5). Without a list of the users who are spared, root is.
is_ended_at_logout() {
	busctl --timeout=5 get-property org.freedesktop.login1 /org/freedesktop/login1 org.freedesktop.login1.Manager \
		KillUserProcesses KillExcludeUsers KillOnlyUsers 2>/dev/null | {
		IFS= read -r kills && IFS= read -r spared && IFS= read -r only || exit 1
		case "$login $spared" in *"\"$login\""* | 'root as 0') exit 1 ;; esac
		case $only in
		'as 0') [ "$kills" = 'b true' ] ;;
		*"\"$login\""*) ;;
		*) exit 1 ;;
		esac
	}
}

# leave_session: moves this shell, and so all that it starts from now on, to the user's own systemd. Status 1: that does
# not stay either, or it does not take us.
leave_session() {
	[ "$(busctl --timeout=5 get-property org.freedesktop.login1 /org/freedesktop/login1/user/self \
		org.freedesktop.login1.User Linger)" = 'b true' ] || return 1
	XDG_RUNTIME_DIR=${XDG_RUNTIME_DIR:-/run/user/$(id -u)} busctl --user --timeout=5 call \
		org.freedesktop.systemd1 /org/freedesktop/systemd1 org.freedesktop.systemd1.Manager \
		StartTransientUnit 'ssa(sv)a(sa(sv))' "rebuild-$rb_job.scope" replace \
		2 PIDs au 1 "$$" CollectMode s inactive-or-failed 0 || return 1
	# It does that after it has answered.
	looks=50
	while is_in_session; do
		[ "$looks" -gt 0 ] || return 1
		looks=$((looks - 1))
		sleep 0.1 || sleep 1
	done
}
