# shellcheck shell=sh
# How every script of ours talks, wherever it runs. Events go out on stdout between the lines of other programs, so that
# both keep their order.

# event NAME [VALUE...]: says one line to the client. Values are store paths, versions and numbers; only the last one
# may have blanks in it.
event() {
	printf '@rebuild %s\n' "$*"
}
