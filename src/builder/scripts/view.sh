#!/bin/sh
# Makes the view and runs a command in it: a root file system in which the client's files lie at the paths that they
# have on the client, with this machine's programs, Nix store and Nix daemon mounted over. Runs in a user and mount
# namespace of its own (way.sh), so nothing of this is seen outside, and all of it ends with the command.
#
#   view.sh MODE WAY UID GID GROUPS KEPT MIRROR WRITTEN SHARE STATE OWN COMMAND...
#
# MODE    closed: COMMAND runs as UID and GID, whom modes stop: what the client has not sent is shut, and looking inside
#         is an error; open: modes do not stop COMMAND, which sees what is shut as empty
# WAY     as whom this runs (way.sh): "user", who is mapped to root; "root"; "sudo", which is root on behalf of UID
# GROUPS  those of UID, with commas
# KEPT    the client's files
# MIRROR  where these files are copied to, by links; it becomes the root. Beside it are tmp and trace, and large, a
#         list of the directories that are not copied
# WRITTEN a file that COMMAND may write; nothing if there is none
# SHARE   the one directory of this run that is the same inside and outside: the daemon follows a GC root in it,
#         and SHARE/environment is read before COMMAND is run
# STATE   what is kept between runs: STATE/trees has the client's store paths that this store lacks; the view's /nix/store
#         also has those whose names are in SHARE/trees; STATE/nix-cache is Nix's cache, SHARE/cache in the view. The tmp
#         and trace beside MIRROR are SHARE/tmp and SHARE/trace in the view
# OWN     the places of which the view has this machine's own (unchanged.sh), with blanks between them
set -eu

mode=$1 way=$2 uid=$3 gid=$4 groups=$5
shift 5
kept=$1 mirror=$2 written=$3 share=$4 state=$5
own="$6 $share"
shift 6
PATH=$PATH:/usr/sbin:/sbin:/run/current-system/sw/bin
# UID has to look into what is made here.
[ "$way" = user ] || umask 022

# is_free DIRECTORY: whether nothing of this machine's is mounted in it or above it.
is_free() {
	for path in $own /nix /.both; do
		case $path/ in "$1"/*) return 1 ;; esac
		case $1/ in "$path"/*) return 1 ;; esac
	done
}

# in_table PATH: prints it as a table of mounts writes it. (The names of large directories come in this form already.)
in_table() { printf '%s' "$1" | sed 's/\\/\\134/g;s/ /\\040/g;s/	/\\011/g'; }

# A directory with very many names is not copied. It is mounted as it is kept, and nothing in it changes. In an open
# view this is done only if nothing in it is shut, because the access times of what is shut have to tell what was read.
large=''
while IFS=: read -r kind directory; do
	if [ "$kind" = whole ] || [ "$mode" = closed ]; then
		! is_free "$directory" || large="$large $directory"
	fi
done <"${mirror%/*}/large"
if [ -n "$large" ]; then
	fixed=${mirror%/*}/fixed
	mkdir -p "$fixed" "${mirror%/*}/empty"
	# nosuid and nodev, because the file system below may have them here, and then no mount may do without.
	mount -o bind,ro,nosuid,nodev "$kept" "$fixed" 2>/dev/null || large=''
fi
if [ -n "$large" ]; then
	for directory in $large; do
		printf '%s %s none bind 0 0\n' "$(in_table "${mirror%/*}/empty")" "$(in_table "$kept")$directory"
	done >"$share/hidden"
	# This copy is made with mounts of its own, in which empty directories hide the large ones.
	# shellcheck disable=SC2016 # that shell's
	unshare --mount sh -c 'mount -a -T "$1" && exec cp -al "$2" "$3"' sh "$share/hidden" "$kept" "$mirror"
else
	cp -al "$kept" "$mirror"
fi
if [ -n "$written" ] && [ -f "$mirror$written" ]; then
	# Nix writes into the existing file, which as a link would be the kept one. So it gets a copy. The directory gets
	# back its time, because a flake's time is the newest of its files and directories.
	cp -p "$mirror$written" "$share/written"
	mv "$share/written" "$mirror$written"
	touch -r "$kept${written%/*}" "$mirror${written%/*}"
fi
# The new root must be a mount of its own.
mount --rbind "$mirror" "$mirror"
cd "$mirror"

# fill DIRECTORY: fills a directory in which both the client and this machine have names (src/sources/collect/shown.rs).
# What this machine has and the client has not sent becomes a link to the place where the view has it; but not what the
# client says that it lacks.
fill() {
	for name in "$1"/* "$1"/.[!.]*; do
		if [ -d ".both$name" ] && [ -d "$name" ]; then
			fill "$name"
		elif [ -e "$name" ] || [ -L "$name" ]; then
			[ -e ".$name" ] || [ -L ".$name" ] || [ -L ".both$name" ] || ln -s "/.evaluators$name" ".$name"
		fi
	done
}

# This machine's own directories, at the same places in the view; but files that the client has sent stay the client's.
# A few programs do all of it at once, because every run waits for this. None of the paths has a blank in it, because
# they are relative: the path of the home may have one.
parents='' links='' files='' table='' shared=''
for directory in $large; do
	table="$table$(in_table "$fixed")$directory .$directory none bind 0 0
"
done
for path in $own; do
	if [ ! -e "$path" ] || [ -L ".$path" ] || [ -f ".$path" ]; then
		continue
	elif [ -d ".both$path" ]; then
		shared="$shared $path" parents="$parents .evaluators$path"
		table="$table$(readlink -f "$path") ./.evaluators$path none rbind 0 0
"
	elif [ "$path" = /etc/passwd ] && [ -f "$share/passwd" ]; then
		# This passwd knows where the client's home is.
		files="$files $path"
		table="$table$share/passwd .$path none bind 0 0
"
	elif [ -d "$path" ] && [ ! -L "$path" ]; then
		parents="$parents .$path"
		table="$table$path .$path none rbind 0 0
"
	elif [ -f "$path" ] && [ -L "$path" ] && [ "${path%/*}" = /etc ]; then
		# The file to which the link leads is mounted, because links on the way may be the client's in the view.
		files="$files $path"
		table="$table$(readlink -f "$path") .$path none bind 0 0
"
	elif [ -L "$path" ]; then
		parents="$parents .${path%/*}" links="$links $path"
	else
		parents="$parents .${path%/*}" files="$files $path"
		table="$table$path .$path none bind 0 0
"
	fi
done
# shellcheck disable=SC2086 # words
mkdir -p $parents etc nix/store tmp
for path in $shared; do fill "$path"; done
[ ! -e .both ] || rm -rf .both
for path in $links; do
	ln -s "$(readlink "$path")" ".$path"
done
for path in $files; do
	: >".$path"
done
printf '%s' "$table" >"$share/mounts"
mount -a -T "$share/mounts"
mount --bind "$state/nix-cache" ".$share/cache"
# Nix's own programs, if they lie at a place that is the client's in the view (evaluate.sh).
if [ -s "$share/lent" ]; then
	sed "s: $share: .$share:" "$share/lent" >"$share/lent.here"
	mount -a -T "$share/lent.here"
fi
for name in tmp trace; do mount --bind "${mirror%/*}/$name" ".$share/$name"; done

# The store. Below it, as a layer, lie places for the client's trees and the names of other store paths that the client
# has; what this store has itself hides them. Each tree is mounted on its place, because through the overlay its files
# would be looked up in all layers, in each run anew.
trees=''
while IFS= read -r name; do
	if [ -e "/nix/store/$name" ]; then
		continue
	elif [ -L "$state/trees/$name" ]; then
		rm -rf "nix/store/$name"
		cp -P "$state/trees/$name" "nix/store/$name"
	elif [ -d "$state/trees/$name" ]; then
		mkdir -p "nix/store/$name"
		trees="$trees $name"
	else
		[ -e "nix/store/$name" ] || : >"nix/store/$name"
		trees="$trees $name"
	fi
done <"$share/trees"
if [ -z "$(ls -A nix/store)" ]; then
	mount --rbind /nix/store nix/store
else
	# The path is relative, because overlayfs would take a colon or a comma in it for its own.
	layers=/nix/store:${mirror#"$state"/}/nix/store
	(cd "$state" && mount -t overlay -o "ro,lowerdir=$layers" rebuild-view "$mirror/nix/store")
	for name in $trees; do
		mount --bind "$state/trees/$name" "nix/store/$name"
	done
fi

# The mirror moves over the old root. pivot_root is not used, because not every machine has it. The kernel lets a
# process make user namespaces only if its root is its mount namespace's root: here it is, in any other chroot it is
# not. (-n: nothing is noted in mtab, because mount of util-linux of 2022 would fail at that after the move.)
mount -n --move "$mirror" /

# A closed COMMAND runs as UID without further rights, so that modes stop it; an open one runs so that they do not. The
# programs are named by their real paths, because the view has no /run.
case $mode:$way in
closed:user)
	# Modes do not stop root, so root becomes another user.
	[ "$uid" != 0 ] || uid=65533 gid=65533
	set -- "$(readlink -f "$(command -v unshare)")" --user --map-user="$uid" --map-group="$gid" -- "$@"
	;;
open:sudo)
	free=+dac_override,+dac_read_search
	set -- --inh-caps="$free" --ambient-caps="$free" -- "$@"
	;;
closed:*) set -- --inh-caps=-all --bounding-set=-all -- "$@" ;;
esac
[ "$1" = "${1#--}" ] || set -- "$(readlink -f "$(command -v setpriv)")" --reuid="$uid" --regid="$gid" --groups="$groups" "$@"

# A clean environment: the client's variables, and this machine's PATH. It comes from a file, because every user of this
# machine can read arguments.
# shellcheck disable=SC2016 # expanded by that shell
exec env -i "$(command -v chroot)" . /bin/sh -c '. "$0/environment" && exec "$@"' "$share" "$@"
