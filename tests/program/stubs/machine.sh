# shellcheck shell=sh
# Runs a command in a root directory in which nothing of this machine can be changed that an activation changes, and in
# which there is a system to activate, and another one that runs and was booted, with another kernel. machine.sh STAGE SYSTEM USER COMMAND...
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
if [ -e "$stage/etc/rebuild.json" ]; then
	mount -t tmpfs none "$root/etc"
	cp /etc/passwd /etc/group "$root/etc/"
	cp "$stage/etc/rebuild.json" "$root/etc/"
	chmod 644 "$root/etc/rebuild.json"
fi
# A stand-in (sudo) that plays root here may be another user to the kernel.
mount -t tmpfs -o mode=777 none "$root/var/lib"
mount -t tmpfs none "$root/run"
mkdir -p "$root/run/systemd/system"

# Generation 2 is the current one, so that the generation before it is neither the highest one nor the only other one.
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

before=${system%/*}/22222222222222222222222222222222-nixos-system-pi
for version in 6.1.2 6.1.5; do
	mkdir -p "$root/nix/store/linux-$version/lib/modules/$version"
	: >"$root/nix/store/linux-$version/Image"
done
mkdir -p "$root$before/bin"
cp "$stage/bin/switch-to-configuration" "$root$before/bin/"
ln -s /nix/store/linux-6.1.2 "$root$before/kernel-modules"
ln -s /nix/store/linux-6.1.2/Image "$root$before/kernel"
ln -s /nix/store/linux-6.1.5 "$root$system/kernel-modules"
ln -s /nix/store/linux-6.1.5/Image "$root$system/kernel"
ln -s "$before" "$root/run/current-system"
ln -s "$before" "$root/run/booted-system"

# What a test does to it.
# shellcheck source=/dev/null
[ ! -e "$stage/prepare" ] || . "$stage/prepare"

# This is as in src/builder/scripts/view.sh: in a mere chroot nobody could make user namespaces.
cd "$root"
mount -n --move . /
if [ "$user" = 0 ]; then
	exec /usr/sbin/chroot . "$@"
elif [ "$(tr -s ' ' </proc/self/uid_map)" = ' 0 0 4294967295' ]; then
	exec /usr/sbin/chroot . setpriv --reuid "$user" --regid "$user" --clear-groups "$@"
else
	# Here, root is only another name for the same single user.
	exec unshare --user --map-user "$user" --map-group "$user" --keep-caps /usr/sbin/chroot . "$@"
fi
