#!/bin/bash
# toolchain.sh [--arm64] COMMAND... : runs a command in the toolchain root, at the repository's own path.
#
# With --arm64, in one that can also build for a real Pi:
#   toolchain.sh --arm64 cargo build --release --locked --target aarch64-unknown-linux-gnu
#
# With --nix, in one that has Nix and no Rust:
#   toolchain.sh --nix tests/nix-files.sh
#
# The repository is the only part of this machine that can be seen (and written to) there. cargo's downloads and the
# target directory are kept in the lab's cache, so a second build is quick.
set -euo pipefail
. "$(dirname "$0")/common.sh"
need_root
[ $# -gt 0 ] || die "toolchain.sh COMMAND..."

# Runs in a mount namespace of its own: everything mounted here is gone when the command ends.
# pivot_root, not chroot: the kernel refuses user namespaces in a chroot, and the program's own
# tests may want them. The root itself is covered by a tmpfs overlay, so no command can change it.
inside() {
	local root=$1 scratch=$2
	shift 2
	mount -t tmpfs -o size=90% tmpfs "$scratch"
	mkdir "$scratch/upper" "$scratch/work" "$scratch/root"
	mount -t overlay -o "lowerdir=$root,upperdir=$scratch/upper,workdir=$scratch/work" toolchain "$scratch/root"
	cd "$scratch/root"
	mount -t proc proc proc
	mount --rbind /sys sys
	mount --rbind /dev dev
	mount -t tmpfs -o mode=1777 tmpfs tmp
	mkdir -p "./$CACHE/cargo" "./$CACHE/target" "./$REPOSITORY"
	mount --bind "$CACHE/cargo" "./$CACHE/cargo"
	mount --bind "$CACHE/target" "./$CACHE/target"
	mount --bind "$REPOSITORY" "./$REPOSITORY"
	# crates.io is reached as this machine reaches it: with its resolver and its certificates.
	cat /etc/resolv.conf >etc/resolv.conf
	[ ! -f /etc/ssl/certs/ca-certificates.crt ] ||
		cat /etc/ssl/certs/ca-certificates.crt >etc/ssl/certs/ca-certificates.crt
	mkdir old
	pivot_root . old
	umount --lazy /old
	rmdir /old
	cd "$REPOSITORY"
	local keep=(HOME=/root PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin LANG=C.UTF-8
		TERM="${TERM:-dumb}" CARGO_HOME="$CACHE/cargo" CARGO_TARGET_DIR="$CACHE/target"
		CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
		GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0='*')
	local name
	for name in CI RUST_BACKTRACE RUST_LOG RUSTFLAGS UPDATE_SNAPSHOTS http_proxy https_proxy; do
		[ -z "${!name+set}" ] || keep+=("$name=${!name}")
	done
	exec env -i "${keep[@]}" "$@"
}

# The script calls itself a second time, inside the new namespaces.
if [ "$1" = --inside ]; then
	shift
	inside "$@"
fi
kind=toolchain
case $1 in
--arm64) kind=toolchain-arm64 && shift ;;
--nix) kind=nix && shift ;;
esac
root=$("$LAB/roots.sh" $kind)
scratch=/run/rebuild-lab/toolchain
mkdir -p "$CACHE/cargo" "$CACHE/target" "$scratch"
exec unshare --mount --propagation private --pid --fork --kill-child \
	"$0" --inside "$root" "$scratch" "$@"
