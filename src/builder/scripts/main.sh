# shellcheck shell=sh
# The evaluator's and builder's side of a run, sent along with it: nothing of this project is installed here, and
# nothing is left when it ends but the cache ($state). The words rb_* and the functions with_client_* come from the
# client, quoted, before this text.
set -u
umask 077
# Names and contents are bytes, in one order.
export LC_ALL=C
# What a person has told the programs that are used here is for that person: TAR_OPTIONS=--exclude=... would be other
# files.
unset GREP_OPTIONS POSIXLY_CORRECT QUOTING_STYLE CDPATH
# GNU tar's alone: that the client's clock is ahead is no news.
export TAR_OPTIONS=--warning=no-timestamp
exec 3<&0 </dev/null
pulse=''
# Where both are one stream, lines would mix.
# shellcheck disable=SC3013 # dash, bash and busybox have it
[ /proc/self/fd/1 -ef /proc/self/fd/2 ] || {
	live >&2 2>/dev/null 3<&- &
	pulse=$!
}
exec 2>&1

child='' watcher='' holder='' prober='' lender='' listeners='' work='' share='' state='' way=''
cleanup() {
	trap '' TERM INT HUP PIPE
	[ -z "$pulse" ] || kill "$pulse" 2>/dev/null
	# shellcheck disable=SC2086 # words
	end_all $child $watcher $prober $lender $listeners
	exec 6<&-
	wait
	[ -z "$work" ] || own rm -rf "$work" || rm -rf "$work"
	[ -z "$share" ] || rm -rf "$share"
	[ -z "$rb_socket" ] || rm -f "$rb_socket"
	# Who cannot keep their name will not come back under it.
	[ "$rb_client_stays" = yes ] || [ -z "$work" ] || own rm -rf "$state" || rm -rf "$state"
}
trap cleanup EXIT
trap 'exit 130' TERM INT HUP
trap 'exit 141' PIPE

main() {
	find_home
	find_nix
	native_system=$(uname -m)-linux
	event hello "$nix_bin" "$native_system"

	state=$cache/rebuild/$rb_client
	[ -n "$rb_derivation" ] || find_way
	begin

	ask_version
	probe_start
	if [ -n "$rb_derivation" ]; then
		drv=$rb_derivation
	else
		find_daemon
		evaluate
		forget_daily
	fi
	probe_end
	case $rb_goal in
	value) ;;
	derivation) deliver --derivation "$drv" ;;
	dry-run) build_dry ;;
	result)
		build
		deliver "$out"
		forget_results
		;;
	esac
	event finished
}

main
exit 0
