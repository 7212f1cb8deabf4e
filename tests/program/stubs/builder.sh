# shellcheck shell=sh
# A login on a builder that is a machine of its own: its own files, store and home, everything else this machine's. What is
# sent to it runs for real, in real namespaces; only its Nix is a stand-in (reading-nix.sh).
#
#   builder.sh STAGE KIND COMMAND
#
# KIND    user: as root, who may make user namespaces; root: as root, who may not; nobody: as another user, who may not;
#         sudo: as such a one, who may become root by sudo without a password
# COMMAND what the client's ssh was told to run there
#
# STAGE/builder/home is the home (/builder), nix its /nix, run its /run, shm its /dev/shm, and emulators what is registered
# with its kernel. STAGE/builder/same is what it has itself where the client's files are (/client).
set -e
stage=$1 kind=$2 command=$3
place=$stage/builder

# A user whose limit is zero can make no namespaces: this is the kernel's own refusal. Here it holds for this login
# alone, in a user namespace around it in which every user has the same number as outside.
if [ "$kind" != user ] && [ "${BUILDER_IS_LIMITED:-}" != yes ]; then
	ready=$place/ready.$$ mapped=$place/mapped.$$
	mkfifo "$ready" "$mapped"
	# A command in the background would have no stdin.
	exec 7<&0
	# shellcheck disable=SC2016 # that shell's
	BUILDER_IS_LIMITED=yes unshare --user --mount sh -c 'echo >"$1"; read -r _ <"$2"; shift 2; exec "$@"' sh "$ready" "$mapped" \
		sh "$place/builder.sh" "$@" <&7 7<&- &
	read -r _ <"$ready"
	echo '0 0 4294967295' >"/proc/$!/gid_map"
	echo '0 0 4294967295' >"/proc/$!/uid_map"
	exec 7<&-
	echo >"$mapped"
	wait "$!"
	exit
fi
[ "$kind" = user ] || echo 0 >/proc/sys/user/max_user_namespaces

echo "$$" >"$place/pid"
root=$place/root
mount -t tmpfs none "$root"
for entry in /*; do
	case $entry in /nix | /run | /client) continue ;; esac
	if [ -L "$entry" ]; then
		cp -P "$entry" "$root$entry"
	elif [ -d "$entry" ]; then
		mkdir "$root$entry"
		mount --rbind "$entry" "$root$entry"
	fi
done
mkdir "$root/nix" "$root/run" "$root/builder" "$root/client"
mount --bind "$place/nix" "$root/nix"
# Nix's daemon can write what other users may not. For the stand-in, this directory is its door to the store.
mkdir -p "$root/nix/var/nix/daemon-socket/store"
mount --bind "$root/nix/store" "$root/nix/var/nix/daemon-socket/store"
mount --bind "$place/run" "$root/run"
mount --bind "$place/home" "$root/builder"
mount --bind "$place/shm" "$root/dev/shm"
mount --bind "$place/same" "$root/client"
[ ! -d "$root/proc/sys/fs/binfmt_misc" ] || mount --bind "$place/emulators" "$root/proc/sys/fs/binfmt_misc"
# A builder must not see the stage itself.
mount -t tmpfs -o mode=1777 none "$root/var/tmp"
# A sudo that asks nobody, in the place where NixOS has it. It has a setuid program of root's, so everybody becomes root
# by it. Like the real sudo, it stays in front of what it runs, as root, so that its user cannot end it, and gives what it
# runs an environment of its own.
if [ "$kind" = sudo ]; then
	wrappers=$root/run/wrappers/bin
	mkdir -p "$root/run/wrappers"
	mount -t tmpfs -o mode=755 none "$root/run/wrappers"
	mkdir "$wrappers"
	cp "$(readlink -f "$(command -v setpriv)")" "$wrappers/become"
	chmod 4755 "$wrappers/become"
	cat >"$wrappers/sudo" <<-'END'
		#!/bin/sh
		[ "$1 $2" = '-n --' ] || exit 1
		shift 2
		exec /run/wrappers/bin/become --reuid 0 --regid 0 --clear-groups -- \
			env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin sh -c '"$@"; exit "$?"' sudo "$@"
	END
	chmod 755 "$wrappers/sudo"
fi
# This is as in view.sh: a process that was started by chroot alone could make no user namespaces.
cd "$root"
mount -n --move . /

nix=$(echo nix/store/*-nix-2*/bin)
set -- env -i HOME=/builder "PATH=/$nix:/builder/nix/bin:/usr/bin:/bin" sh -c "cd && $command"
case $kind in nobody | sudo) set -- setpriv --reuid 1000 --regid 1000 --clear-groups "$@" ;; esac
exec /usr/sbin/chroot . "$@"
