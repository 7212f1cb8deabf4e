#!/bin/bash
# prepare.sh HOST : furnishes a host, and prints the directory of its layer.
#
# A host's files are three layers of an overlay: the Debian root (shared, never changed), this layer (what makes it "pi"
# or "builder", made once), and an empty one for what happens while the host runs. A reset only has to empty the last
# one.
set -euo pipefail
. "$(dirname "$0")/common.sh"
. "$LAB/hosts.sh"
need_root

# The layer's name includes everything that the layer is made from.
layer_key() {
	{
		printf '%s\n' "$root" "$(host_table)"
		hash_of "$LAB"/prepare.sh "$LAB"/setup-*.sh "$LAB/watcher.sh" "$LAB/nixpkgs" "$LAB/etc-nixos" "$STATE/keys"
	} | sha256sum | cut -c1-12
}

# The keys of all hosts are made before any host, because each host must know the others' keys.
make_keys() {
	local name
	mkdir -p "$STATE/keys"
	chmod 700 "$STATE/keys"
	for name in client $(host_names | sed 's/^/host-/'); do
		[ -e "$STATE/keys/$name" ] || ssh-keygen -q -t ed25519 -N '' -C "$name" -f "$STATE/keys/$name"
	done
}

# The host is furnished in a mount namespace of its own, so that nothing stays mounted, however this ends. It also gets
# a PID namespace of its own: after a build, Nix kills all processes with the build user's number, whatever that user's
# name is; in another host, or in another lab, that would be the message bus.
furnish() {
	local host=$1 root=$2 temporary=$3
	local mounted=$temporary/root
	mkdir -p "$temporary/upper" "$temporary/work" "$mounted"
	mount -t overlay -o "lowerdir=$root,upperdir=$temporary/upper,workdir=$temporary/work" "$host" "$mounted"
	mount -t proc proc "$mounted/proc"
	mount --rbind /dev "$mounted/dev"
	mount -t tmpfs tmpfs "$mounted/run"
	export HOST=$host ROOT=$mounted
	"$LAB/setup-common.sh"
	"$LAB/setup-$(host_field "$host" role).sh"
	umount -R "$mounted/dev" "$mounted/proc" "$mounted/run" || umount -R -l "$mounted"
}

if [ "$1" = --inside ]; then
	shift
	furnish "$@" >&2
	exit
fi

host=$1
is_host "$host" || die "there is no host '$host' in hosts.sh"
root=$("$LAB/roots.sh" host "$(host_field "$host" suite)" "$(host_field "$host" arch)")
make_keys
# The emulator is needed to build the miniature NixOS.
"$LAB/binfmt.sh" on
layer=$STATE/layers/$host-$(layer_key)
if [ ! -d "$layer" ]; then
	say "furnishing $host"
	temporary=$STATE/layers/.making-$host
	remove_tree "$temporary"
	mkdir -p "$temporary"
	log=$STATE/layers/$host.log
	unshare --mount --propagation private --pid --fork --kill-child --mount-proc \
		"$0" --inside "$host" "$root" "$temporary" >"$log" 2>&1 || {
		tail -n 30 "$log" >&2
		die "$host could not be furnished (all of it: $log)"
	}
	for old in "$STATE/layers/$host-"*; do remove_tree "$old"; done
	remove_tree "$temporary/work"
	printf '%s\n' "$root" >"$temporary/lower"
	mv "$temporary" "$layer"
fi
printf '%s\n' "$layer"
