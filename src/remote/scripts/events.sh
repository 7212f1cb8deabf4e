# shellcheck shell=sh
# What every script of ours says, wherever it runs. Events go out on stdout among what programs say, so that both keep
# their order.

# event NAME [VALUE...]: one line for the client. Values are store paths, versions and numbers: no blanks in them, but for
# the last one.
event() {
	printf '@rebuild %s\n' "$*"
}
