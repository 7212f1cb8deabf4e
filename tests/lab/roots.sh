#!/bin/bash
# Makes the Debian roots of the lab and prints where one is:
#
#   roots.sh toolchain            Debian stable's Rust, in which the program is built and unit-tested
#   roots.sh toolchain-arm64      the same, which makes arm64 programs
#   roots.sh nix                  Debian stable's Nix, for the repository's Nix files: unit tests want to find none
#   roots.sh host SUITE ARCH      what a machine of the lab boots from
#   roots.sh busybox              the arm64 busybox that builds and runs the miniature NixOS
#
# A root is named by a hash of its recipe: a changed recipe makes a new root, and an unchanged root is never touched
# again. A root is made under another name and then renamed, so an interrupted run leaves nothing that looks finished.
set -euo pipefail
. "$(dirname "$0")/common.sh"

rust=trixie # what is "stable" for the program: Rust 1.85

toolchain_packages=cargo,rustc,rust-clippy,rustfmt,gcc,libc6-dev,ca-certificates,shellcheck,git,procps,openssh-client,mount,iproute2,fish,tcsh,zsh,elvish,bash-completion,binutils-aarch64-linux-gnu,binutils-arm-linux-gnueabihf,binutils-riscv64-linux-gnu,binutils-powerpc64-linux-gnu,binutils-s390x-linux-gnu,binutils-sparc64-linux-gnu,binutils-alpha-linux-gnu,binutils-loongarch64-linux-gnu
# iproute2 and strace are for the tests; libpam-systemd makes an ssh login a session, as on NixOS.
host_packages=nix-bin,nix-setup-systemd,openssh-server,openssh-client,iproute2,procps,git,strace,systemd,systemd-sysv,dbus,libpam-systemd,sudo,opendoas,util-linux,mount,ca-certificates
# These are for users of the builders, but not for a host where everything is emulated.
other_shells=fish,tcsh

# make_root NAME RECIPE-WORDS... : the words are mmdebstrap's options and suite.
make_root() {
	local name=$1 final temporary key
	shift
	key=$(printf '%s\n' "$@" | sha256sum | cut -c1-12)
	final=$CACHE/roots/$name-$key
	if [ ! -d "$final" ]; then
		mkdir -p "$CACHE/roots"
		# Two runs must not make the same root at once; the lock file is beside it and stays.
		exec 8>"$CACHE/roots/.$name.lock"
		flock 8
		if [ ! -d "$final" ]; then
			temporary=$CACHE/roots/.making-$name
			remove_tree "$temporary"
			say "making the root '$name' with mmdebstrap (once; log: $CACHE/roots/$name.log)"
			"$LAB/packages.sh" 8>&- 9>&-
			local suite=${*: -1}
			mmdebstrap --mode=root --format=directory "${@:1:$#-1}" "$suite" "$temporary" \
				>"$CACHE/roots/$name.log" 2>&1 8>&- 9>&- || {
				tail -n 20 "$CACHE/roots/$name.log" >&2
				die "mmdebstrap could not make the root '$name'"
			}
			mv "$temporary" "$final"
			say "made the root '$name' in $SECONDS s"
		fi
		exec 8>&-
	fi
	printf '%s\n' "$final"
}

case ${1:-} in
toolchain)
	make_root toolchain --variant=minbase --include=$toolchain_packages $rust
	;;
toolchain-arm64)
	make_root toolchain-arm64 --variant=minbase --architectures=amd64,arm64 \
		--include=$toolchain_packages,gcc-aarch64-linux-gnu,libc6-dev-arm64-cross,libstd-rust-dev:arm64 $rust
	;;
nix)
	make_root nix --variant=minbase --include=nix-bin,ca-certificates $rust
	;;
host)
	suite=$2 arch=$3
	if [ "$arch" != amd64 ]; then
		# Emulated programs set up its packages: nobody may switch the emulation off meanwhile.
		mkdir -p /run/rebuild-lab
		exec 7>/run/rebuild-lab/emulation.lock
		flock --shared 7
		"$LAB/binfmt.sh" on
	fi
	options=() packages=$host_packages
	# polkitd is for run0; bookworm has neither run0 nor the other sudo.
	[ "$arch" != amd64 ] || packages=$packages,$other_shells,polkitd
	[ "$arch" != amd64 ] || [ "$suite" = bookworm ] || packages=$packages,sudo-rs
	if [ "$suite" = sid ]; then
		# Mirrors of sid may be days behind, and sid's lists are good for only a week.
		options=(--aptopt='Acquire::Check-Valid-Until "false"')
		# This package has pivot_root, which util-linux no longer brings.
		packages=$packages,util-linux-extra
	fi
	make_root "host-$suite-$arch" --variant=minbase --arch="$arch" --include=$packages "${options[@]}" "$suite"
	;;
busybox)
	# This root is only unpacked, never run here; its program is static, so it depends on nothing.
	root=$(make_root busybox-arm64 --variant=extract --arch=arm64 --include=busybox-static trixie)
	for file in "$root"/bin/busybox "$root"/usr/bin/busybox; do
		[ ! -f "$file" ] || { printf '%s\n' "$file"; exit 0; }
	done
	die "Debian's busybox-static has no busybox where it used to be (in $root)"
	;;
*) die "roots.sh toolchain | toolchain-arm64 | nix | host SUITE ARCH | busybox" ;;
esac
