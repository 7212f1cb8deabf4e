#!/bin/bash
# Installs what the lab itself needs on this Debian machine (bookworm or trixie), and nothing else: Rust, Nix and the
# rest are in roots of their own.
set -euo pipefail
. "$(dirname "$0")/common.sh"
need_root

wanted=(mmdebstrap debian-archive-keyring systemd-container util-linux mount iproute2 procps
	openssh-client xz-utils qemu-user-static arch-test git tmux libfaketime)

is_installed() { dpkg-query -W -f '${Status}' "$1" 2>/dev/null | grep -q 'ok installed'; }

missing=()
for package in "${wanted[@]}"; do
	is_installed "$package" || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

say "installing with apt-get: ${missing[*]}"
mkdir -p "$CACHE"
log=$CACHE/apt-get.log
export DEBIAN_FRONTEND=noninteractive
apt-get -q update >"$log" 2>&1 || say "apt-get update complained; trying to install all the same"
apt-get -q -o Dpkg::Use-Pty=0 install -y --no-install-recommends "${missing[@]}" >>"$log" 2>&1 || {
	tail -n 20 "$log" >&2
	die "apt-get could not install them (all of it: $log)"
}
