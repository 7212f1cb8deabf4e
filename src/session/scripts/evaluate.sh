# shellcheck shell=sh
# From the client's files to a derivation.

# can_view: the view needs a user and mount namespace, and the daemon (a store of our own could not be shared with the
# view's). Asked before anything is sent.
can_view() {
	[ -S /nix/var/nix/daemon-socket/socket ] || fail no-daemon 1
	unshare --user --map-root-user --mount true 2>/dev/null || fail no-namespaces 1
}

# forget_trees: all but the ones used last.
forget_trees() {
	# shellcheck disable=SC2012 # store paths' names have no odd characters
	ls -t "$state/trees" | tail -n +9 | while IFS= read -r name; do
		rm -rf "${state:?}/trees/$name"
	done
}

# receive_sources: the client's files at their own paths under $work/mirror, then those of its store paths that this
# machine lacks. The latter are kept between runs: a store path never changes.
receive_sources() {
	event receiving
	mkdir "$work/mirror"
	unpack "$work/mirror"

	mkdir -p "$state/trees"
	kept='' asked='' missing=''
	for name in $rb_trees; do
		if [ -e "$state/trees/$name" ]; then
			kept="$kept $state/trees/$name"
		else
			asked="$asked /nix/store/$name"
		fi
	done
	# shellcheck disable=SC2086 # words
	[ -z "$kept" ] || touch -c $kept
	# No answer is not "it has them all": then the client sends them.
	# shellcheck disable=SC2086 # words
	[ -z "$asked" ] || missing=$("$nix_bin/nix-store" --check-validity --print-invalid $asked) || missing=$asked
	names=''
	for path in $missing; do names="$names ${path##*/}"; done
	missing=$names
	event need "$missing"
	[ -n "$missing" ] || return 0
	mkdir "$state/trees.$$"
	unpack "$state/trees.$$"
	for name in $missing; do
		# Another run of the same client may have been quicker.
		[ -e "$state/trees/$name" ] || mv "$state/trees.$$/$name" "$state/trees/$name"
	done
	forget_trees
}

# What evaluation reads of its environment: the client's own, but this machine's programs, daemon and cache.
write_environment() {
	{
		printf '%s\n' "$rb_environment"
		printf 'export PATH=%s\n' "$nix_bin:/run/current-system/sw/bin:/usr/bin:/bin"
		# Named, because Nix would otherwise take the view's writable /nix/var/nix for a store of its own.
		echo 'export NIX_REMOTE=daemon'
		echo "export NIX_CONF_DIR=$share NIX_USER_CONF_FILES= XDG_CACHE_HOME=$share/cache TMPDIR=$share/tmp"
		# The client's current directory, for relative paths in NIX_PATH and -I.
		# shellcheck disable=SC2016 # quoted by the client
		printf 'mkdir -p %s && cd %s\n' "$rb_directory" "$rb_directory"
	} >"$share/environment"
	printf '%s\n' "$rb_nix_conf" >"$share/nix.conf"
	mkdir -p "$share/tmp" "$share/cache" "$state/nix-cache"
}

instantiate() {
	with_client_evaluation_flags with_presumed_platform_flags with_system_flags exec unshare --user --map-root-user --mount -- \
		/bin/sh "$work/view.sh" "$work/mirror" "$share" "$state" \
		"$nix_bin/nix-instantiate" --log-format internal-json --add-root "$share/drv" "$@"
}

# evaluate: sets $drv. An error may be about a file that the client has and did not send: it reads the error and either
# sends more ("again") or is done ("stop").
evaluate() {
	event evaluating
	know_version
	printf '%s\n' "$rb_view_script" >"$work/view.sh"
	write_environment
	while :; do
		attend with_client_expression instantiate >"$work/instantiate.out"
		[ "$code" -ne 0 ] || break
		event evaluation-failed "$code"
		answer=''
		IFS= read -r answer <&3 || :
		[ "$answer" = again ] || exit "$code"
		unpack "$work/mirror"
	done
	drv=$(readlink "$share/drv")
	event evaluated "$drv"
}
