# shellcheck shell=sh
# The processes that a run starts: the run waits for them, and they end with it, whoever they run as.

# attend COMMAND...: runs a command to its end, unless the client cancels or is gone first (the trap in session.sh).
# COMMAND must exec what it runs, so that its process can be ended. Sets $code instead of returning it, because a
# background job's status is all that `wait` gives.
attend() {
	if [ -n "$listeners" ]; then
		# The command opens this pipe, and this shell does not: it would keep the log from ending.
		"$@" 3<&- 4<&- 6<&- 8>&- 9>&- 2>"$work/said" &
	else
		"$@" 3<&- 4<&- 6<&- 8>&- 9>&- &
	fi
	child=$!
	# A job hears nothing of the client.
	[ -n "$is_detached" ] || watch_client TERM
	code=0
	wait "$child" || code=$?
	child=''
	# The processes that read its log end after it.
	# shellcheck disable=SC2086 # words
	[ -z "$listeners" ] || wait $listeners || :
	listeners=''
	[ -z "$watcher" ] || leave_client
}

# watch_client SIGNAL: a word of the client's ends the run ("cancel" is Ctrl-C over there). The end of the client's stream
# is a link that is gone, and gives the run this signal. The shell that watches holds no stream of the script's, so that
# the client hears the end if the script is killed.
watch_client() {
	(
		if IFS= read -r _ <&3; then kill -TERM "$$"; else kill -s "$1" "$$"; fi
	) >/dev/null 2>&1 8>&- &
	watcher=$!
}
leave_client() {
	{
		kill -KILL "$watcher"
		wait "$watcher"
	} 2>/dev/null
	watcher=''
}

# ends_with_run PROCESS: notes a process that runs beside the attended one and has to end with the run. `has_ended
# PROCESS` takes it off $helpers again, because its number may belong to another process later.
ends_with_run() {
	helpers="$helpers $1"
}
has_ended() {
	ended=$1
	# shellcheck disable=SC2086 # words
	set -- $helpers
	helpers=''
	for helper; do [ "$helper" = "$ended" ] || ends_with_run "$helper"; done
}

# own COMMAND...: runs it as somebody whom modes do not stop, because files of a mirror that were not sent have mode
# 000.
own() {
	case $way in
	user) unshare --user --map-root-user -- "$@" ;;
	sudo) sudo -n -- "$@" ;;
	*) "$@" ;;
	esac
}

# end_group PROCESS: ends what remains of its process group.
end_group() {
	if [ "$way" = sudo ]; then
		sudo -n -- /bin/sh -c 'kill -s KILL -- "-$1"' kill "$1"
	else
		kill -s KILL -- "-$1"
	fi
}

# end_all PROCESS...: ends them and waits for them. Nix ignores TERM while it computes, so KILL follows after half a second:
# Ctrl-C on the client ends everything here within two, and the kernel needs a part of them to take a large evaluation's
# memory away.
end_all() {
	[ $# -gt 0 ] || return 0
	for process; do kill -s TERM "$process"; done
	(
		naps=0
		# A job ends what it has started in the same way, and has to come to that.
		while [ "$naps" -lt "$((${worker:+20} + 5))" ]; do
			sleep 0.1
			naps=$((naps + 1))
		done
		for process; do
			kill -s KILL "$process"
			[ "$process" != "$child" ] || end_group "$process"
		done
	) &
	killer=$!
	for process; do wait "$process"; done
	kill -KILL "$killer"
	wait "$killer"
	[ -z "$child" ] || end_group "$child"
} 2>/dev/null

# tell_memory: says how much memory there is, after a program was killed: mostly the kernel does that for want of
# memory.
tell_memory() {
	find_memory
	[ -z "$limit" ] || limit=", of which its user may take $limit MiB"
	echo "(that machine has $memory MiB of memory and $swap MiB of swap$limit)"
}
