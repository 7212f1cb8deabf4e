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
		user=$(id -un)
		case $user in
		*[!A-Za-z0-9._-]*) fail cache 1 ;;
		esac
		eval "HOME=~$user"
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
	for run in "$state"/run.*; do
		[ ! -d "$run" ] || ! flock -n "$run/lock" true || dead="$dead ${run##*/}"
	done
} 2>/dev/null

# sweep: takes away what they have left.
sweep() {
	for run in $dead; do
		# The directory that it shared, and the socket that sshd made for it.
		[ ! -r "$state/$run/share" ] || while IFS= read -r left; do
			case $left in
			*..*) ;;
			/dev/shm/rebuild.* | /var/tmp/rebuild.*) own rm -rf "$left" ;;
			/tmp/rebuild-*.socket) rm -f "$left" ;;
			esac
		done <"$state/$run/share"
		own rm -rf "${state:?}/$run"
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

# is_there FILE: be it a link that leads nowhere.
is_there() {
	[ -e "$1" ] || [ -L "$1" ]
}

# forget DIRECTORY: the names on stdin, but not what a run uses. First its name is taken away, so that whoever looks
# sees it whole or not at all.
forget() {
	names=$(cat)
	[ -n "$names" ] || return 0
	hold || return 0
	for name in $names; do
		# Another run may have been quicker.
		is_claimed "$1/${name%.run.*}" || ! is_there "$state/$1/$name" || mv "$state/$1/$name" "$work/forgotten/"
	done
	let_go
	empty_forgotten
}

# which_it_is FILE: what tells it from another one that has its name later.
which_it_is() { stat -c %d:%i "$1" 2>/dev/null; }

# take_away NAME [WHICH]: whoever uses it, but only if it is still the one that was meant: another run may have put a better one
# there meanwhile. Its files stay as long as another run does, which may have them mounted (view.sh), under another name
# that is the first to be forgotten.
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

empty_forgotten() {
	set -- "$work"/forgotten/*
	is_there "$1" || return 0
	own rm -rf "${work:?}/forgotten"
	mkdir "$work/forgotten"
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

# forget_results: results are rooted for a week, so that a run that was broken off finds again what was built; the last
# few for longer, and not more than some.
forget_results() {
	newest=$(ls -t "$state/results")
	{
		printf '%s\n' "$newest" | tail -n +33
		find "$state/results" -mindepth 1 -maxdepth 1 -mtime +7 | sed 's:.*/::' |
			grep -vxF -e "$(printf '%s\n' "$newest" | head -n 4)"
	} | forget results
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
