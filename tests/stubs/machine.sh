# shellcheck shell=sh
# Runs a command in a root directory in which nothing of this machine can be changed that an activation changes, and in
# which there is a system to activate. machine.sh STAGE SYSTEM USER COMMAND...
set -e
stage=$1 system=$2 user=$3
shift 3
root=$stage/root
mkdir -p "$root"
mount -t tmpfs none "$root"
for entry in /*; do
	if [ -L "$entry" ]; then
		cp -P "$entry" "$root$entry"
	elif [ -d "$entry" ] && [ "$entry" != /nix ]; then
		mkdir "$root$entry"
		mount --rbind "$entry" "$root$entry"
	fi
done
# Whoever plays root here (sudo) may be somebody else to the kernel.
mount -t tmpfs -o mode=777 none "$root/var/lib"
mount -t tmpfs none "$root/run"
mkdir -p "$root/run/systemd/system"
ln -s "$system" "$root/run/current-system"

# Generation 2 is the current one: neither the highest nor the only other one is the one before it.
profiles=$root/nix/var/nix/profiles
channels=$profiles/per-user/root/channels
mkdir -p "$channels/nixos" "$channels/marked" "$channels/other"
: >"$channels/marked/.update-on-nixos-rebuild"
for name in old pi newer; do
	made=${system%-pi}-$name
	for place in "$root$made" "$root$made/specialisation/quiet"; do
		mkdir -p "$place/bin"
		cp "$stage/bin/switch-to-configuration" "$place/bin/"
		echo 26.05 >"$place/nixos-version"
	done
done
ln -s "${system%-pi}-old" "$profiles/system-1-link"
ln -s "$system" "$profiles/system-2-link"
ln -s "${system%-pi}-newer" "$profiles/system-3-link"
ln -s system-2-link "$profiles/system"
chmod 777 "$profiles"

if [ "$user" = 0 ]; then
	exec /usr/sbin/chroot "$root" "$@"
elif [ "$(tr -s ' ' </proc/self/uid_map)" = ' 0 0 4294967295' ]; then
	exec /usr/sbin/chroot "$root" setpriv --reuid "$user" --regid "$user" --clear-groups "$@"
else
	# root is one user's name for himself, and there is no other.
	exec unshare --user --map-user "$user" --map-group "$user" --keep-caps /usr/sbin/chroot "$root" "$@"
fi
