# shellcheck shell=sh
# How the client's files are kept here (kept.sh), replaced by better ones, and forgotten when they become too much.

# is_anothers NAME: claimed by another run than this one.
is_anothers() {
	grep -lxF -e "$1" "$state"/run.*/claims 2>/dev/null | grep -qvxF "$work/claims"
}

# keep NEW NAME: what is whole gets its name, unless another run has been quicker.
keep() {
	if hold; then
		is_there "$state/$2" || mv "$1" "$state/$2"
		let_go
	else
		mv -T "$1" "$state/$2" 2>/dev/null
	fi
	! is_there "$1" || own rm -rf "$1"
	is_there "$state/$2" || fail unpack 1
}

# which_it_is FILE: what tells it from another one that has its name later.
which_it_is() { stat -c %d:%i "$1" 2>/dev/null; }

# take_away NAME [WHICH]: whoever uses it, but only if it is still the one that was meant: another run may have put a
# better one there meanwhile. Its files stay as long as another run does, which may have them mounted (view.sh), under
# another name that is the first to be forgotten.
take_away() {
	hold || :
	if [ -n "${2-}" ] && [ "$(which_it_is "$state/$1")" != "$2" ]; then
		:
	elif is_anothers "$1" && is_there "$state/$1"; then
		mv "$state/$1" "$state/$1.${work##*/}"
		touch -d @0 "$state/$1.${work##*/}"
	elif is_there "$state/$1"; then
		mv "$state/$1" "$work/forgotten/"
	fi
	let_go
	empty_forgotten
}

# forget_old DIRECTORY NUMBER: all but the ones used last.
forget_old() {
	# shellcheck disable=SC2012 # digests' and store paths' names have no odd characters
	ls -t "$state/$1" | tail -n "+$(($2 + 1))" | forget "$1"
}

# forget_much: of what remains, the oldest trees until it is no more than the client allows, but not the newest.
forget_much() {
	# shellcheck disable=SC2012 # as above
	ls -t "$state/trees" | {
		sum=0
		while IFS= read -r name; do
			size=$(own du -sk "$state/trees/$name")
			before=$sum
			sum=$((sum + ${size%%[!0-9]*}))
			[ "$sum" -le "$rb_most_kept" ] || [ "$before" = 0 ] || printf '%s\n' "$name"
		done
	} | forget trees
}

# forget_daily: what is looked at once a day.
forget_daily() {
	[ -z "$(find "$state/measured" -mtime -1 2>/dev/null)" ] || return 0
	true >"$state/measured"
	forget_nix_cache
	forget_clients
}

# forget_nix_cache: what Nix itself keeps of downloads and evaluations, if that has become too much and no other run has
# it open.
forget_nix_cache() {
	size=$(du -sk "$state/nix-cache" 2>/dev/null)
	[ "${size%%[!0-9]*}" -gt "$rb_most_kept" ] || return 0
	hold || return 0
	is_anothers nix-cache || mv "$state/nix-cache" "$work/forgotten/"
	let_go
	empty_forgotten
} 2>/dev/null

# forget_before_boot: the mirrors of before this machine's last start, which may have ended with files half written.
forget_before_boot() {
	boot=$(cat /proc/sys/kernel/random/boot_id)
	hold || :
	if [ "$(cat "$state/boot" 2>/dev/null)" != "$boot" ]; then
		[ ! -e "$state/mirrors" ] || mv "$state/mirrors" "$work/forgotten/"
		printf '%s\n' "$boot" >"$state/boot"
	fi
	mkdir -p "$state/mirrors" "$state/trees" "$state/nix-cache"
	let_go
	empty_forgotten
}

# forget_clients: what is kept for those who have not come for two months, and hardly will again.
forget_clients() {
	find "${state%/*}" -mindepth 1 -maxdepth 1 -type d ! -name '.*' -mtime +60 | while IFS= read -r gone; do
		# In a directory of its own, for names of two may be the same.
		# shellcheck disable=SC2016 # that shell's
		flock -n "$gone/lock" sh -c '
			for run in "$1"/run.*; do
				[ ! -d "$run" ] || flock -n "$run/lock" true || exit 0
			done
			mv "$1" "$2/"' sh "$gone" "$work/forgotten"
	done 2>/dev/null
	empty_forgotten
}
