# shellcheck shell=sh
# A login on a builder that is a machine of its own: its own files, store and home, everything else this machine's. What is
# sent to it runs for real, in real namespaces; only its Nix is a stand-in (reading-nix.sh).
#
#   builder.sh STAGE KIND COMMAND
#
# KIND    user: as root, who may make user namespaces; root: as root, who may not; nobody: as another user, who may not
# COMMAND what the client's ssh was told to run there
#
# STAGE/builder/home is the home (/builder), nix its /nix, run its /run and shm its /dev/shm. STAGE/builder/same is what it
# has itself where the client's files are (/client).
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
# A builder must not see the stage itself.
mount -t tmpfs -o mode=1777 none "$root/var/tmp"
# This is as in view.sh: a process that was started by chroot alone could make no user namespaces.
cd "$root"
mount -n --move . /

nix=$(echo nix/store/*-nix-2*/bin)
set -- env -i HOME=/builder "PATH=/$nix:/builder/nix/bin:/usr/bin:/bin" sh -c "cd && $command"
[ "$kind" != nobody ] || set -- setpriv --reuid 1000 --regid 1000 --clear-groups "$@"
exec /usr/sbin/chroot . "$@"
