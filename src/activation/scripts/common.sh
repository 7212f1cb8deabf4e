# shellcheck shell=sh
# How a script for the target ends when something is missing.

# fail STAGE CODE: src/remote/scripts/nix.sh calls this. The builder has another one (channel.sh): its run has a
# directory that somebody may have removed, and its client exits with the same status.
fail() {
	event failed "$1"
	exit "$2"
}
