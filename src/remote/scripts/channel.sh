# shellcheck shell=sh
# The one channel to the client: events (events.sh) go out on stdout, in order with Nix's log; the client's words and
# files come in on file descriptor 3. Every program that is started here reads /dev/null instead.

# live: says every few seconds that this script lives, because an evaluation may say nothing for minutes. It says so on
# stderr, beside the stream of the events, so that the word never stands in a line of Nix's or in bytes that are
# counted. No other process has that stream, not even the sleep, so the stream ends with the script. If the script is
# killed, this ends by itself.
live() {
	# KILL, because a sleep that was only just forked still has this trap and would lose a TERM.
	trap 'kill -KILL "$!"; exit' TERM
	while kill -0 "$$" && printf '@rebuild alive\n'; do
		sleep 3 >/dev/null &
		wait "$!"
	done
}

# fail STAGE CODE: says the last event of a run that went wrong; the messages themselves have already gone out as log.
# If somebody has removed this run's directory (`rm -rf ~/.cache`), that is the reason, whatever it is that fails.
fail() {
	[ -z "$work" ] || [ -e "$work/lock" ] || set -- gone "$2"
	event failed "$1" "$2"
	[ -z "$is_detached" ] || end_record failed "$1" "$2"
	exit "$2"
}
