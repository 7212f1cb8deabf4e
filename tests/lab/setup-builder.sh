#!/bin/bash
# A strong x86-64 machine that is not NixOS. prepare.sh calls this with HOST and ROOT.
set -euo pipefail
. "$(dirname "$0")/common.sh"
. "$LAB/hosts.sh"

cat >"$ROOT/etc/nix/nix.conf" <<'END'
# As on NixOS and after Nix's own installer; no falling back to none, which would say nothing.
sandbox = true
sandbox-fallback = false
# A seccomp filter for one CPU cannot be installed by a program that is emulated for another.
filter-syscalls = false
substituters =
trusted-users = root builder fishy cshy
END

# The builder has a configuration and a nixpkgs of its own, which nobody asked for: if one of them is ever seen in a
# result, something leaked.
mkdir -p "$ROOT/etc/nixos" "$ROOT/srv/builders-nixpkgs/nixos"
cat >"$ROOT/etc/nixos/configuration.nix" <<'END'
{ networking.hostName = "the-builders-own-configuration"; }
END
echo 'throw "the nixpkgs of the builder itself was evaluated"' |
	tee "$ROOT/srv/builders-nixpkgs/default.nix" >"$ROOT/srv/builders-nixpkgs/nixos/default.nix"
echo 'NIX_PATH=nixpkgs=/srv/builders-nixpkgs:nixos-config=/etc/nixos/configuration.nix' >"$ROOT/etc/environment"

# --- Nix for one user alone: as its own installer leaves it without --daemon -----------------------
if [ "$(host_field "$HOST" nix)" = single ]; then
	for unit in nix-daemon.socket nix-daemon.service; do ln -sf /dev/null "$ROOT/etc/systemd/system/$unit"; done
	# Otherwise root's first Nix command would take the store away from the user.
	echo 'build-users-group =' >>"$ROOT/etc/nix/nix.conf"
	# These would make the daemon's directories at each boot, and tell a login that there is a daemon.
	ln -sf /dev/null "$ROOT/etc/tmpfiles.d/nix-daemon.conf"
	rm -f "$ROOT/usr/lib/environment.d/nix-daemon.conf"
	rm -rf "$ROOT/nix"
	mkdir -p "$ROOT/nix/store" "$ROOT/nix/var/nix"
	chroot "$ROOT" chown -R builder: /nix
	# This makes the rest; without /nix/var/nix, Nix would use a store in the user's home.
	chroot "$ROOT" setpriv --reuid=builder --regid=builder --init-groups \
		env -i HOME=/home/builder USER=builder PATH=/usr/bin:/bin nix-store --init
fi
