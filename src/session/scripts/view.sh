#!/bin/sh
# Makes the view and runs a command in it: a root file system in which the client's files lie at the paths that they
# have on the client, with this machine's programs, Nix store and Nix daemon mounted over. Runs in a user and mount
# namespace of its own (unshare -Urm), so nothing of this is seen outside and all of it ends with the command.
#
#   view.sh MIRROR SHARE STATE COMMAND...
#
# MIRROR  the client's files; becomes the root
# SHARE   the one directory of this run that is the same inside and outside: the daemon follows a GC root in it,
#         and SHARE/environment is read before COMMAND is run
# STATE   what is kept between runs: STATE/trees has the client's store paths that this store lacks, to be seen in the
#         view's /nix/store as well; STATE/nix-cache is Nix's cache, seen as SHARE/cache
set -eu

mirror=$1 share=$2 state=$3
shift 3
PATH=$PATH:/usr/sbin:/sbin:/run/current-system/sw/bin

# What pivot_root takes must be a mount of its own.
mount --rbind "$mirror" "$mirror"
cd "$mirror"

# This machine's own, at the same places in the view. A link stays a link, unless the client has sent its own. Few
# programs for all of it, not some for each: every run waits for this. No blank is in any of these paths.
parents='' links='' files='' table=''
for path in /bin /sbin /lib /lib32 /lib64 /libx32 /usr /dev /proc /sys \
	/run/current-system /run/nscd /run/systemd/resolve /run/resolvconf /run/NetworkManager \
	/nix/var/nix/daemon-socket \
	/etc/alternatives /etc/static /etc/ssl /etc/pki /etc/ca-certificates /etc/resolv.conf /etc/hosts /etc/nsswitch.conf \
	/etc/passwd /etc/group /etc/ld.so.cache /etc/ld.so.conf /etc/ld.so.conf.d "$share"; do
	if [ ! -e "$path" ]; then
		continue
	elif [ -L "$path" ]; then
		parents="$parents .${path%/*}" links="$links $path"
	elif [ -d "$path" ]; then
		parents="$parents .$path"
		table="$table$path $mirror$path none rbind 0 0
"
	else
		parents="$parents .${path%/*}" files="$files $path"
		table="$table$path $mirror$path none bind 0 0
"
	fi
done
# shellcheck disable=SC2086 # words
mkdir -p $parents nix/store tmp .outside
for path in $links; do
	[ -e ".$path" ] || [ -L ".$path" ] || ln -s "$(readlink "$path")" ".$path"
done
for path in $files; do
	[ -e ".$path" ] || : >".$path"
done
printf '%s' "$table" >"$share/mounts"
mount -a -T "$share/mounts"
mount --bind "$state/nix-cache" ".$share/cache"

# The store, and the client's trees under it: what both have is the store's.
if [ -z "$(ls -A "$state/trees")" ]; then
	mount --rbind /nix/store nix/store
else
	# Relative, because a colon or a comma in a path would be overlayfs's own.
	(cd "$state" && mount -t overlay -o ro,lowerdir=/nix/store:trees rebuild-view "$mirror/nix/store")
fi

pivot_root . .outside
umount -l /.outside
rmdir /.outside 2>/dev/null || :
cd /

# A clean environment: the client's, and this machine's PATH. It comes from a file, because arguments can be read by
# every user of this machine.
# shellcheck disable=SC2016 # expanded by that shell
exec env -i /bin/sh -c '. "$0/environment" && exec "$@"' "$share" "$@"
