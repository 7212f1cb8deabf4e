# shellcheck shell=sh
# What all scripts for the target begin with. Events go out on stdout, and so does everything else that is said, so that
# both keep their order; what is on ssh's stderr is ssh's own.

# event NAME [VALUE...]: one line for the client.
event() {
	printf '@rebuild %s\n' "$*"
}

# fail STAGE CODE: for scripts of src/builder that are used here too.
fail() {
	event failed "$1"
	exit "$2"
}
