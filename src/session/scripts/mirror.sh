# shellcheck shell=sh
# The client's files here: whole sets of them ("mirrors", src/sources/mirror.rs) by their digest, and store paths
# ("trees") by their name. Both are kept between runs, for the next one to begin with.

# forget_old DIRECTORY NUMBER: all but the ones used last.
forget_old() {
	# shellcheck disable=SC2012 # digests' and store paths' names have no odd characters
	ls -t "$1" | tail -n "+$(($2 + 1))" | while IFS= read -r name; do
		own rm -rf "${1:?}/$name"
	done
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
			[ "$sum" -le "$rb_most_kept" ] || [ "$before" = 0 ] || own rm -rf "${state:?}/trees/$name"
		done
	}
}

# forget_nix_cache: what Nix itself keeps of downloads and evaluations, if that has become too much. Measured once a day.
forget_nix_cache() {
	[ -z "$(find "$state/measured" -mtime -1 2>/dev/null)" ] || return 0
	: >"$state/measured"
	size=$(du -sk "$state/nix-cache" 2>/dev/null)
	if [ "${size%%[!0-9]*}" -gt "$rb_most_kept" ]; then rm -rf "${state:?}/nix-cache"; fi
} 2>/dev/null

# forget_before_boot: the mirrors of before this machine's last start, which may have ended with files half written.
forget_before_boot() {
	boot=$(cat /proc/sys/kernel/random/boot_id)
	[ "$(cat "$state/boot" 2>/dev/null)" != "$boot" ] || return 0
	own rm -rf "$state/mirrors"
	printf '%s\n' "$boot" >"$state/boot"
}

# receive DIGEST BASE TREE...: sets $mirror to DIGEST, which is then here. If it was not, the client sends what makes it of
# BASE, or all of it.
receive() {
	mirror=$1
	mkdir -p "$state/mirrors" "$state/trees"
	if [ -e "$state/mirrors/$mirror" ]; then
		event receiving have
		touch "$state/mirrors/$mirror"
	elif [ "$2" != none ] && [ -e "$state/mirrors/$2" ]; then
		event receiving base
		own cp -al "$state/mirrors/$2" "$work/new" || fail unpack 1
		{ frames || : >"$work/link-broke"; } >"$work/removed"
		[ ! -e "$work/link-broke" ] || fail link 255
		[ ! -s "$work/removed" ] || (cd "$work/new" && own xargs -0 rm -rf -- <"$work/removed") || fail unpack 1
		keep_new
	else
		event receiving none
		mkdir "$work/new"
		keep_new
	fi
	shift 2
	receive_trees "$@"
}

keep_new() {
	unpack "$work/new"
	# Another run of the same client may have been quicker.
	[ -e "$state/mirrors/$mirror" ] || mv "$work/new" "$state/mirrors/$mirror"
	[ ! -e "$work/new" ] || own rm -rf "$work/new"
	touch "$state/mirrors/$mirror"
	forget_old "$state/mirrors" 4
}

# receive_trees NAME...: those of the client's store paths that this machine lacks. A store path never changes.
receive_trees() {
	# For the view. Without any, an empty list.
	for name; do printf '%s\n' "$name"; done >"$share/trees"
	kept='' asked='' missing=''
	for name; do
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
	mkdir "$work/trees"
	unpack "$work/trees"
	# They are kept for long, and are not looked at again: first all of it on the disk, then the name.
	sync -f "$work/trees" 2>/dev/null || sync
	for name in $missing; do
		[ -e "$state/trees/$name" ] || mv "$work/trees/$name" "$state/trees/$name"
	done
	rm -rf "$work/trees"
	forget_old "$state/trees" 16
	forget_much
}

# tell_what_was_read: of what is shut. Its access time is newer than the evaluation's beginning; on a file system that
# keeps no access times nothing is told. A newline in a name is sent as a NUL.
tell_what_was_read() {
	# Whether it tells anything at all: of a file that is read now.
	echo >"$work/read"
	cat "$work/read" >/dev/null
	[ -n "$(find "$work/read" -anewer "$work/began")" ] || event timeless
	tell looked \( -type f -o -type d \) -perm 0 -anewer "$work/began"
}

# tell_what_was_not_read: of the files that were sent; not of a whole package collection.
tell_what_was_not_read() {
	[ "$rb_tell_unread" = no ] || tell unread -type f ! -perm 0 ! -anewer "$work/began"
}

# tell EVENT CONDITION...: the files in the mirror for which that is so.
tell() {
	event=$1
	shift
	(cd "$work/mirror" && own find . "$@" -print0) | tr '\0\n' '\n\0' | sed "s/^\\./@rebuild $event /"
}
