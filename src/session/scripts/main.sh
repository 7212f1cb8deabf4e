# shellcheck shell=sh
# The evaluator's and builder's side of a run, sent along with it: nothing of this project is installed here, and nothing
# is left when it ends but the cache ($state). The words rb_* and the functions with_client_* come from the client,
# quoted, before this text.
set -u
umask 077
exec 3<&0 </dev/null 2>&1

child='' watcher='' prober='' work='' share='' state=''
cleanup() {
	trap '' TERM INT HUP PIPE
	for process in $child $watcher $prober; do kill -TERM "$process" 2>/dev/null; done
	wait
	[ -z "$work" ] || rm -rf "$work" "$share" "$state/trees.$$"
	[ -z "$rb_socket" ] || rm -f "$rb_socket"
}
trap cleanup EXIT
trap 'exit 130' TERM INT HUP
trap 'exit 141' PIPE

main() {
	find_nix
	native_system=$(uname -m)-linux
	event hello "$nix_bin" "$native_system"

	state=${XDG_CACHE_HOME:-$HOME/.cache}/rebuild/$rb_client
	mkdir -p "$state" || fail cache 1
	# In /var/tmp, which is a disk's, and a name that no client has.
	work=$(mktemp -d /var/tmp/rebuild.XXXXXXXX) || fail work 1
	share=$work-share
	mkdir "$share" || fail work 1

	ask_version
	probe_start
	if [ -n "$rb_derivation" ]; then
		drv=$rb_derivation
	else
		can_view
		receive_sources
		evaluate
	fi
	probe_end
	if [ "$rb_dry" = yes ]; then
		build_dry
	else
		build
		copy_back
	fi
	event finished
}

main
exit 0
