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
