# shellcheck shell=sh
# The end of a script for the target that lacks something.

# fail STAGE CODE: for src/remote/scripts/nix.sh. Not the builder's (channel.sh), which has a directory for its run that may
# have been taken away, and whose client shows the status as its own.
fail() {
	event failed "$1"
	exit "$2"
}
