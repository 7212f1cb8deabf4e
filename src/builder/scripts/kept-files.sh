# shellcheck shell=sh
# How the client's files are kept here (kept.sh), replaced by better ones, and forgotten when there are too many.

# is_anothers NAME: whether another run than this one claims it.
is_anothers() {
	grep -lxF -e "$1" "$state"/run.*/claims 2>/dev/null | grep -qvxF "$work/claims"
}

# keep NEW NAME: gives NEW, which is whole, its name, unless another run has been quicker.
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

# which_it_is FILE: prints what tells it apart from another file that has its name later.
which_it_is() { stat -c %d:%i "$1" 2>/dev/null; }

# take_away NAME [WHICH]: takes NAME away, even if another run uses it, but only if it is still the one that is meant
# (WHICH): another run may have put a better one there meanwhile. If another run uses it, its files stay under another
# name, which is the first to be forgotten: that run may have them mounted (view.sh).
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

# forget_old DIRECTORY NUMBER: forgets all but the NUMBER that were used last.
forget_old() {
	# shellcheck disable=SC2012 # digests' and store paths' names have no odd characters
	ls -t "$state/$1" | tail -n "+$(($2 + 1))" | forget "$1"
}

# forget_much: forgets the oldest trees until the rest is no larger than the client allows, but never the newest tree.
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

# forget_daily: forgets what needs to be looked at only once a day.
forget_daily() {
	[ -z "$(find "$state/measured" -mtime -1 2>/dev/null)" ] || return 0
	true >"$state/measured"
	forget_nix_cache
	forget_clients
}

# forget_nix_cache: forgets what Nix itself keeps of downloads and evaluations, if it has become too large and no other
# run has it open.
forget_nix_cache() {
	size=$(du -sk "$state/nix-cache" 2>/dev/null)
	[ "${size%%[!0-9]*}" -gt "$rb_most_kept" ] || return 0
	hold || return 0
	is_anothers nix-cache || mv "$state/nix-cache" "$work/forgotten/"
	let_go
	empty_forgotten
} 2>/dev/null

# forget_before_boot: forgets the mirrors from before this machine's last start: a power cut may have left files half
# written.
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

# forget_clients: forgets what is kept for clients that have not come for two months and will hardly come again, and in a
# week what a client has left that cannot keep its name ("once").
forget_clients() {
	find "${state%/*}" -mindepth 1 -maxdepth 1 -type d ! -name '.*' \
		\( -mtime +60 -o -mtime +7 -exec sh -c '[ -e "$1/once" ]' once {} \; \) -print | while IFS= read -r gone; do
		# Each goes into a directory of its own, because two may have the same name.
		# shellcheck disable=SC2016 # that shell's
		flock -n "$gone/lock" sh -c '
			for run in "$1"/run.*; do
				[ ! -d "$run" ] || flock -n "$run/lock" true || exit 0
			done
			mv "$1" "$2/"' sh "$gone" "$work/forgotten"
	done 2>/dev/null
	empty_forgotten
}
