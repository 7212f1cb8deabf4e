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

# over PATH: this machine's PATH at the same place in the view. A link stays a link, unless the client has sent its own.
over() {
	[ -e "$1" ] || return 0
	if [ -L "$1" ]; then
		mkdir -p ".${1%/*}"
		[ -e ".$1" ] || [ -L ".$1" ] || ln -s "$(readlink "$1")" ".$1"
	elif [ -d "$1" ]; then
		mkdir -p ".$1"
		mount --rbind "$1" ".$1"
	else
		mkdir -p ".${1%/*}"
		[ -e ".$1" ] || : >".$1"
		mount --bind "$1" ".$1"
	fi
}

# What pivot_root takes must be a mount of its own.
mount --rbind "$mirror" "$mirror"
cd "$mirror"

for path in /bin /sbin /lib /lib32 /lib64 /libx32 /usr /dev /proc /sys \
	/run/current-system /run/nscd /run/systemd/resolve /run/resolvconf /run/NetworkManager \
	/nix/var/nix/daemon-socket \
	/etc/alternatives /etc/static /etc/ssl /etc/pki /etc/ca-certificates /etc/resolv.conf /etc/hosts /etc/nsswitch.conf \
	/etc/passwd /etc/group /etc/ld.so.cache /etc/ld.so.conf /etc/ld.so.conf.d; do
	over "$path"
done
over "$share"
mount --bind "$state/nix-cache" ".$share/cache"

# The store, and the client's trees under it: what both have is the store's.
mkdir -p nix/store
if [ -z "$(ls -A "$state/trees")" ]; then
	mount --rbind /nix/store nix/store
else
	# Relative, because a colon or a comma in a path would be overlayfs's own.
	(cd "$state" && mount -t overlay -o ro,lowerdir=/nix/store:trees rebuild-view "$mirror/nix/store")
fi

mkdir -p tmp .outside
pivot_root . .outside
umount -l /.outside
rmdir /.outside 2>/dev/null || :
cd /

# A clean environment: the client's, and this machine's PATH. It comes from a file, because arguments can be read by
# every user of this machine.
# shellcheck disable=SC2016 # expanded by that shell
exec env -i /bin/sh -c '. "$0/environment" && exec "$@"' "$share" "$@"
