# shellcheck shell=sh
# The client's files on this machine: whole sets of them ("mirrors", src/sources/mirror.rs) by their digest, and store
# paths ("trees") by their name. Both are kept between runs (kept.sh), so that the next run begins with them.

# receive DIGEST BASE PROOF TREE... [fixed:TREE...] [large:DIRECTORY | whole:DIRECTORY...]: sets $mirror to DIGEST.
# After this, that mirror is here, and is what the client means, as far as PROOF tells (proof.sh). If it was not here
# before, the client sends the changes that make it of BASE, or all of it.
receive() {
	mirror=$1 base=$2 proof=$3
	shift 3
	without_marks "$@"
	# shellcheck disable=SC2086 # words
	set -- $unmarked
	{
		printf '%s\n' "mirrors/$mirror" "mirrors/$base" nix-cache
		for name; do printf 'trees/%s\nreleases/%s\n' "$name" "$name"; done
	} | claim || exit 1
	looked_at=$(which_it_is "$state/mirrors/$mirror")
	[ -z "$looked_at" ] || is_proven "$state/mirrors/$mirror" || take_away "mirrors/$mirror" "$looked_at"
	if [ -e "$state/mirrors/$mirror" ]; then
		event receiving have
	elif make_of_base || make_of_nothing; then
		keep "$work/new" "mirrors/$mirror"
	else
		fail mirror 1
	fi
	touch "$state/mirrors/$mirror"
	forget_old mirrors 4
	receive_trees "$@"
}

# without_marks WORD...: sets $unmarked to those without a mark. The large directories go to a file for view.sh.
without_marks() {
	unmarked=''
	true >"$work/large" || fail room 1
	for name; do
		case $name in
		fixed:*) ;;
		large:* | whole:*) printf '%s\n' "$name" >>"$work/large" || fail room 1 ;;
		*) unmarked="$unmarked $name" ;;
		esac
	done
}

# make_of_base, make_of_nothing: $work/new becomes the mirror. If it has large directories, the base is not copied but
# changed in its place, unless another run uses it. The base is gone afterwards, so the client remembers what was made
# of it. The whole change is received before the base is touched, because the link may break.
make_of_base() {
	[ "$base" != none ] && [ -e "$state/mirrors/$base" ] || return 1
	based_on=$(which_it_is "$state/mirrors/$base")
	[ -s "$work/large" ] || copy_of "$state/mirrors/$base" || return 1
	event receiving base
	take "$work/removed"
	hear_names
	if [ -s "$work/large" ]; then
		take "$work/added"
		take_over || copy_of "$state/mirrors/$base" || {
			event damaged
			return 1
		}
	fi
	[ ! -s "$work/removed" ] || (cd "$work/new" && own xargs -0 rm -rf -- <"$work/removed") || fail unpack 1
	make_names
	if [ -s "$work/large" ]; then
		(cd "$work/new" && exec tar -xf -) <"$work/added" || fail unpack "$?"
		rm "$work/added"
	else
		unpack "$work/new"
	fi
	is_proven "$work/new" || {
		own rm -rf "$work/new"
		take_away "mirrors/$base" "$based_on"
		return 1
	}
}

# take_over: the base loses its name, and $work/new becomes the base itself, or a copy of it; then the base goes at the
# end of this run. Fails if another run uses the base.
take_over() {
	replaced=$(mktemp -d "$work/replaced.XXXXXXXX") || return 1
	hold || return 1
	is_anothers "mirrors/$base" || mv "$state/mirrors/$base" "$replaced/base" || :
	let_go
	[ -e "$replaced/base" ] || return 1
	# If many files have to go, this run works on a copy, and the base goes at the end of the run: ext4 is slow at
	# making files in a directory from which many have just gone.
	if [ "$(wc -c <"$work/removed")" -gt 16384 ]; then
		copy_of "$replaced/base"
	else
		mv "$replaced/base" "$work/new"
	fi
}

# copy_of MIRROR: makes $work/new a copy of it, by links. Fails if a file cannot be linked, for example one of another
# user's: then everything is sent anew.
copy_of() {
	own cp -al "$1" "$work/new" 2>/dev/null || {
		own rm -rf "$work/new"
		return 1
	}
}
make_of_nothing() {
	event receiving none
	mkdir "$work/new"
	hear_names
	make_names
	unpack "$work/new"
	is_proven "$work/new"
}

# hear_names, make_names: receive and make files that are here only by their names, if there are many. First come the
# directories that have these names; their times come later, with the files. Then come the names, each after a letter
# that says what it is. Everything belongs to this user, so `own` is not needed.
hear_names() {
	take "$work/parents"
	take "$work/names"
}
make_names() {
	[ -s "$work/names" ] || return 0
	(
		cd "$work/new" && xargs -0 mkdir -p -- <"$work/parents" &&
			xargs -0 -n 500 sh -c "$make_some_names" sh <"$work/names"
	) || fail unpack 1
}

# No file is left empty: nothing is read of an empty file, so its access time would tell nothing. A Nix file becomes an
# empty module, because a look, which modes do not stop, evaluates it.
# shellcheck disable=SC2016 # for another shell
make_some_names='
	umask 777
	for name; do
		shift
		place=${name#?}
		# Another user may have put something there. Nothing is written into it.
		if [ -e "$place" ] || [ -L "$place" ]; then rm -rf -- "$place"; fi
		case $name in
		f*) echo >"$place" ;;
		n*) echo "{ }" >"$place" ;;
		d*) set -- "$@" "$place" ;;
		esac || exit 255
	done
	[ $# = 0 ] || mkdir -- "$@"'

# receive_trees NAME...: receives those of the client's store paths that this machine lacks. A store path never changes.
receive_trees() {
	# The view reads this file. If there are no names, it is an empty line.
	write "$([ $# = 0 ] || printf '%s\n' "$@")" "$share/trees"
	kept='' asked='' missing=''
	for name; do
		if is_there "$state/trees/$name"; then
			kept="$kept $name"
		else
			asked="$asked /nix/store/$name"
		fi
		[ ! -e "$state/releases/$name" ] || touch "$state/releases/$name"
	done
	# shellcheck disable=SC2086 # words
	[ -z "$kept" ] || (cd "$state/trees" && touch -c -- $kept)
	# If Nix gives no answer, the client sends them all.
	# shellcheck disable=SC2086 # words
	[ -z "$asked" ] || missing=$("$nix_bin/nix-store" --check-validity --print-invalid $asked) || {
		# A daemon that does not let this user in is told before hundreds of megabytes are sent.
		is_let_in=''
		be_let_in
		missing=$asked
	}
	names=''
	for path in $missing; do names="$names ${path##*/}"; done
	for name; do
		! is_uncompared "$name" || names="$names $name"
	done
	# shellcheck disable=SC2086 # words
	fetch_releases $names
	event need "$missing"
	[ -n "$missing" ] || return 0
	mkdir "$work/trees"
	unpack "$work/trees"
	# Trees are kept for long and never checked again. So all of a tree goes to the disk before it gets its name.
	sync -f "$work/trees" 2>/dev/null || sync
	for name in $missing; do keep "$work/trees/$name" "trees/$name"; done
	rm -rf "$work/trees"
	forget_old trees 16
	forget_much
}

# tell_what_was_read: tells which shut files were read: their access time is newer than the evaluation's beginning. On a
# file system that keeps no access times, nothing is told. A newline in a name is sent as a NUL.
tell_what_was_read() {
	keeps_access_times || event timeless
	tell looked \( -type f -o -type d \) -perm 0 -anewer "$work/began"
}

# keeps_access_times: whether this file system does so. A file that is read now shows it. (Making it sets the times
# everywhere.)
keeps_access_times() {
	echo >"$work/read"
	touch -a -t 200001010000 "$work/read"
	cat "$work/read" >/dev/null
	[ -n "$(find "$work/read" -anewer "$work/began")" ]
}

# tell_what_was_not_read: tells which files were sent and not read. It leaves out whole package collections, and empty
# files, whose access times tell nothing.
tell_what_was_not_read() {
	[ "$rb_tell_unread" = no ] || tell unread -type f ! -perm 0 -size +0 ! -anewer "$work/began"
}

# tell EVENT CONDITION...: says the event for each file in the mirror that meets the condition.
tell() {
	event=$1
	shift
	(cd "$work/mirror" && own find . "$@" -print0) | tr '\0\n' '\n\0' | sed "s/^\\./@rebuild $event /"
}
