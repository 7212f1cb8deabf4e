# shellcheck shell=sh
# What is kept between runs, in $state. Several runs use it and forget parts of it at the same time.
#
# A run holds $state/lock for moments: when it says what it uses, when it takes something away, and when it puts
# something there. Each run has a directory $state/run.* with a list of what it uses ("claims") and a lock of its own,
# which the kernel frees when the run dies, however it dies. What a living run claims stays. A run need not be alone to
# forget what no run uses: otherwise a machine on which there is always some run would never forget anything.
#
# Without `flock` nothing of this can be known, and so nothing is forgotten.

# hold, let_go: take $state/lock, and free it.
hold() {
	command -v flock >/dev/null || return 1
	{ command exec 5<>"$state/lock"; } 2>/dev/null || fail gone 1
	flock 5
}
let_go() {
	exec 5>&-
}

# find_home: sets $cache, below which all of this lies. A variable that is empty or relative counts as unset, as XDG has
# it; the home is then the one in the user database.
find_home() {
	case ${HOME:-} in
	/*) ;;
	*)
		login=$(id -un)
		case $login in
		*[!A-Za-z0-9._-]*) fail cache 1 ;;
		esac
		eval "HOME=~$login"
		;;
	esac
	case ${XDG_CACHE_HOME:-} in
	/*) cache=$XDG_CACHE_HOME ;;
	*) cache=$HOME/.cache ;;
	esac
}

# find_state: sets $state. A client is told apart by its random number alone. The rest of the name is for people: it is the
# host name under which the client came first.
find_state() {
	[ "$rb_client_stays" = no ] || for state in "$cache/rebuild/"*"-${rb_client##*-}"; do
		[ ! -d "$state" ] || return 0
	done
	state=$cache/rebuild/$rb_client
}

# begin: sets $work, this run's directory beside what is kept, so that files can be moved and linked between them, and
# $share, the one directory that is at the same place in the view.
begin() {
	make_state
	dead=''
	if hold; then
		# A run that takes all of it away (forget_clients) holds the lock that lies in it.
		[ -e "$state/lock" ] || {
			make_state
			hold
		}
		find_dead
	fi
	work=$(mktemp -d "$state/run.XXXXXXXX") || fail work 1
	touch "$work/claims" "$work/lock" || fail work 1
	command exec 4<>"$work/lock" || fail work 1
	! command -v flock >/dev/null || flock 4
	let_go
	# $share lies in a directory that is this machine's own in the view anyway, so that no listing shows it. A power cut
	# empties /dev/shm.
	make_share /dev/shm || make_share /var/tmp || fail room 1
	printf '%s\n' "$share" "$rb_socket" >"$work/share" || fail room 1
	# These may become large. In the view, tmp and trace lie in $share.
	mkdir "$work/tmp" "$work/trace" "$work/forgotten"
	sweep
}

# write TEXT FILE: writes all of TEXT, or the run ends: half of an environment would be another environment.
write() {
	printf '%s\n' "$1" 2>/dev/null >"$2" || fail room 1
}

# make_share DIRECTORY: sets $share to a new directory in DIRECTORY, if there is room for more than we write there.
make_share() {
	share=$(mktemp -d "$1/rebuild.XXXXXXXX") || return 1
	if head -c 1048576 /dev/zero >"$share/room"; then
		rm "$share/room"
	else
		rm -rf "$share"
		share=''
		return 1
	fi
} 2>/dev/null

make_state() {
	{ mkdir -p "$state" && touch "$state/lock"; } || fail cache 1
	[ "$rb_client_stays" = yes ] || touch "$state/once" || fail cache 1
}

# find_dead: sets $dead to the directories of runs that were killed, or that ran when this machine lost its power.
find_dead() {
	for dead_run in "$state"/run.*; do
		[ ! -d "$dead_run" ] || ! flock -n "$dead_run/lock" true || dead="$dead ${dead_run##*/}"
	done
} 2>/dev/null

# sweep: takes away what those runs have left.
sweep() {
	for dead_run in $dead; do
		# The directory that it shared, and the socket that sshd made for it.
		[ ! -r "$state/$dead_run/share" ] || while IFS= read -r left; do
			case $left in
			*..*) ;;
			/dev/shm/rebuild.* | /var/tmp/rebuild.*) own rm -rf "$left" ;;
			/tmp/rebuild-*.socket) rm -f "$left" ;;
			esac
		done <"$state/$dead_run/share"
		own rm -rf "${state:?}/$dead_run"
	done
}

# claim: notes that this run uses the names on stdin ("mirrors/DIGEST", "trees/NAME"). What is there after that stays
# there. Without its claims a run does not go on, because other runs would take away what it reads.
claim() {
	hold || :
	cat >>"$work/claims" || fail room 1
	let_go
}

# is_claimed NAME: whether any run claims it. If a run ends meanwhile, its list may be gone; then so are its claims.
is_claimed() {
	grep -qxF -e "$1" "$state"/run.*/claims 2>/dev/null
}

# is_there FILE: whether it exists, even as a link that leads nowhere.
is_there() {
	[ -e "$1" ] || [ -L "$1" ]
}

# forget DIRECTORY: forgets the names on stdin, but not what a run uses. The name is taken away first, so that every
# other run sees the whole of it or nothing.
forget() {
	doomed=$(cat)
	[ -n "$doomed" ] || return 0
	hold || return 0
	for doomed_name in $doomed; do
		# Another run may have been quicker.
		is_claimed "$1/${doomed_name%.run.*}" || ! is_there "$state/$1/$doomed_name" || mv "$state/$1/$doomed_name" "$work/forgotten/"
	done
	let_go
	empty_forgotten
}

empty_forgotten() {
	set -- "$work"/forgotten/*
	is_there "$1" || return 0
	own rm -rf "${work:?}/forgotten"
	mkdir "$work/forgotten"
}
