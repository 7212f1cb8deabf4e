# shellcheck shell=sh
# What is kept here between runs, in $state, which several runs use and forget at the same time.
#
# $state/lock is held for moments: by who says what they use, by who takes something away or puts something there. Each
# run has a directory $state/run.* with a list of what it uses ("claims") and a lock of its own, which the kernel frees
# when the run dies, however it dies. What is claimed by a living run stays. It need not be alone to forget what nobody
# uses: a machine on which there is always some run would never forget anything.
#
# Without `flock` nothing of all that can be known, and so nothing is forgotten.

# hold, let_go: $state/lock.
hold() {
	command -v flock >/dev/null || return 1
	{ command exec 5<>"$state/lock"; } 2>/dev/null || fail gone 1
	flock 5
}
let_go() {
	exec 5>&-
}

# find_home: sets $cache, below which all of this lies. What is empty or relative is no directory, as XDG has it; a home
# is then what the user database says.
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

# begin: sets $work, this run's directory beside what is kept, so that files can be moved and linked between them, and
# $share, the one directory that is at the same place in the view.
begin() {
	make_state
	dead=''
	if hold; then
		# Who takes all of it away (forget_clients) holds the lock in it.
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
	# In a directory that is this machine's own in the view anyway, so that no listing shows it; and a power cut empties
	# it.
	make_share /dev/shm || make_share /var/tmp || fail room 1
	printf '%s\n' "$share" "$rb_socket" >"$work/share" || fail room 1
	# What may be large: in the view it lies in $share.
	mkdir "$work/tmp" "$work/trace" "$work/forgotten"
	sweep
}

# write TEXT FILE: all of it, or the run ends: half of an environment would be another one.
write() {
	printf '%s\n' "$1" 2>/dev/null >"$2" || fail room 1
}

# make_share DIRECTORY: sets $share to one in it, if there is room: for as much as we write there, and more.
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
}

# find_dead: sets $dead to the directories of runs that were killed, or that were on when this machine lost its power.
find_dead() {
	for dead_run in "$state"/run.*; do
		[ ! -d "$dead_run" ] || ! flock -n "$dead_run/lock" true || dead="$dead ${dead_run##*/}"
	done
} 2>/dev/null

# sweep: takes away what they have left.
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

# claim: this run uses the names on stdin ("mirrors/DIGEST", "trees/NAME"). What is there after that stays there.
# Without its claims a run does not go on: others would take away what it reads.
claim() {
	hold || :
	cat >>"$work/claims" || fail room 1
	let_go
}

# is_claimed NAME: by any run. The list of one that ends meanwhile may be gone: its claims are, too.
is_claimed() {
	grep -qxF -e "$1" "$state"/run.*/claims 2>/dev/null
}

# is_there FILE: be it a link that leads nowhere.
is_there() {
	[ -e "$1" ] || [ -L "$1" ]
}

# forget DIRECTORY: the names on stdin, but not what a run uses. First its name is taken away, so that whoever looks
# sees it whole or not at all.
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
