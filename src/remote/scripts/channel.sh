# shellcheck shell=sh
# The one channel to the client: events (events.sh) go out on stdout in order with Nix's log, the client's words and files
# come in on file descriptor 3. Everything started here reads /dev/null instead.

# live: says every few seconds that this script is on, for an evaluation may say nothing for minutes. It says so on
# stderr, beside the stream of the events: so the word stands in no line of Nix's and in no bytes that are counted.
# Nothing else has that stream, not even the sleep: so it ends with the script. Where the script was killed, this ends
# by itself.
live() {
	# With KILL, for a sleep that was only just forked has this trap still, and would lose a TERM.
	trap 'kill -KILL "$!"; exit' TERM
	while kill -0 "$$" && printf '@rebuild alive\n'; do
		sleep 3 >/dev/null &
		wait "$!"
	done
}

# fail STAGE CODE: the last event of a run that went wrong; the messages themselves have already gone out as log. Where
# somebody has taken away this run's directory (`rm -rf ~/.cache`), that is the reason, whatever it is that fails.
fail() {
	[ -z "$work" ] || [ -e "$work/lock" ] || set -- gone "$2"
	event failed "$1" "$2"
	exit "$2"
}

# frames: the client's next file stream on stdout. A frame is its size in bytes on a line, then so many bytes; a size of
# 0 ends the stream. A broken link ends it too (status 1), but then the reader (tar) sees a stream without its end.
# Status 2: not all of it was taken, because the reader had enough or the disk is full.
# dd has fullblock, because a pipe gives less than is asked for; and it is not head, which may read more.
frames() {
	taken=0
	while IFS= read -r size <&3; do
		[ "$size" != 0 ] || return "$taken"
		dd bs="$size" count=1 iflag=fullblock 2>/dev/null <&3 || taken=2
	done
	return 1
}

# take FILE: the client's next stream, all of it. Half of an environment is another one.
take() {
	true >"$1" || fail room 1
	frames >"$1" || {
		[ $? = 2 ] || fail link 255
		fail room 1
	}
}

# unpack DIRECTORY: the client's next file stream, as files. tar alone would take a stream that ends between two files
# for a whole one.
unpack() {
	true >"$work/incoming" || fail room 1
	{ frames || [ $? = 2 ] && rm "$work/incoming"; } | (cd "$1" && exec tar -xf -) || fail unpack "$?"
	[ ! -e "$work/incoming" ] || fail link 255
}

# attend COMMAND...: runs a command to its end, unless the client cancels or is gone first (the trap in main.sh).
# COMMAND must exec what it runs, so that its process can be ended. Sets $code instead of returning it, because a
# background job's status is all that `wait` gives.
attend() {
	if [ -n "$listeners" ]; then
		# The command opens this pipe, and this shell does not: it would keep the log from ending.
		"$@" 3<&- 4<&- 6<&- 2>"$work/said" &
	else
		"$@" 3<&- 4<&- 6<&- &
	fi
	child=$!
	(
		# Either way the run is over: "cancel" is Ctrl-C over there, end of file is a broken link. It holds no stream of the
		# script's: should that be killed, the client is to hear the end.
		IFS= read -r _ <&3
		kill -TERM "$$"
	) >/dev/null 2>&1 &
	watcher=$!
	code=0
	wait "$child" || code=$?
	child=''
	# Those who read its log end after it.
	# shellcheck disable=SC2086 # words
	[ -z "$listeners" ] || wait $listeners || :
	listeners=''
	{
		kill -KILL "$watcher"
		wait "$watcher"
	} 2>/dev/null
	watcher=''
}

# tell_memory: what there is, where a program was killed: mostly it was the kernel, for want of it. The nearest limit of
# this login's own groups may be less than the machine has.
tell_memory() {
	memory='' swap='' limit=''
	while read -r name size _; do
		case $name in
		MemTotal:) memory=$((size / 1024)) ;;
		SwapTotal:) swap=$((size / 1024)) ;;
		esac
	done </proc/meminfo
	group=$(sed -n 's/^0:://p' /proc/self/cgroup)
	while [ -n "${group#/}" ]; do
		limit=$(cat "/sys/fs/cgroup$group/memory.max" 2>/dev/null) || limit=''
		case $limit in
		'' | *[!0-9]*) limit='' group=${group%/*} ;;
		*) break ;;
		esac
	done
	[ -z "$limit" ] || limit=", of which its user may take $((limit / 1048576)) MiB"
	echo "(that machine has $memory MiB of memory and $swap MiB of swap$limit)"
} 2>/dev/null
