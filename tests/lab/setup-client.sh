#!/bin/bash
# A weak machine that looks like NixOS where it matters. prepare.sh calls this with HOST and ROOT.
#
# Its programs are amd64, for speed, unless hosts.sh says arm64. But its Nix believes that it runs on aarch64-linux, so
# nothing that it builds could run without emulation.
set -euo pipefail
. "$(dirname "$0")/common.sh"
. "$LAB/hosts.sh"

profiles=/nix/var/nix/profiles
nix_path=nixpkgs=$profiles/per-user/root/channels/nixos:nixos-config=/etc/nixos/configuration.nix:$profiles/per-user/root/channels

in_root() {
	# pivot_root, not chroot: Nix 2.8 starts its programs in the root of its mount namespace.
	# NIX_CONFIG wins over nix.conf: only while furnishing may this machine build.
	# shellcheck disable=SC2016
	unshare --mount --propagation private /bin/sh -euc 'cd "$1" && shift
		pivot_root . . && umount -l . && exec "$@"' in_root "$ROOT" env -i HOME=/root USER=root LANG=C.UTF-8 NIX_PATH="$nix_path" NIX_CONFIG="max-jobs = 2" \
		PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@"
}

cat >"$ROOT/etc/nix/nix.conf" <<'END'
system = aarch64-linux
# A machine that must not build: whatever is built was built elsewhere.
max-jobs = 0
substituters =
sandbox = false
filter-syscalls = false
END

# --- /etc, as an installation leaves it -----------------------------------------------------------
touch "$ROOT/etc/NIXOS"
mkdir -p "$ROOT/etc/nixos" "$ROOT/boot"
cp "$LAB/etc-nixos/"*.nix "$ROOT/etc/nixos/"
sed -i "s/@host@/$HOST/" "$ROOT/etc/nixos/configuration.nix"
cat >"$ROOT/etc/environment" <<END
NIX_PATH=$nix_path
END

# --- ssh: whoever may log in here may also go on, to the builders and to the other clients ---------
for home in root home/admin home/asker home/doer home/runner home/guest; do
	install -d -m 700 "$ROOT/$home/.ssh"
	install -m 600 "$STATE/keys/client" "$ROOT/$home/.ssh/id_ed25519"
	install -m 644 "$STATE/keys/client.pub" "$ROOT/$home/.ssh/id_ed25519.pub"
	cat >"$ROOT/$home/.ssh/config" <<-END
		Host $(hosts_of_role builder | paste -sd ' ')
		  User builder
	END
	chroot "$ROOT" chown -R --reference="/$home" "/$home/.ssh"
done

# --- who becomes root, and how --------------------------------------------------------------------
# admin: as many a NixOS is set up. asker has a password, and is asked for it by sudo and by run0 (Debian's polkit takes the
# group sudo for administrators).
cat >"$ROOT/etc/sudoers.d/lab" <<'END'
admin ALL=(ALL:ALL) NOPASSWD: ALL
asker ALL=(ALL:ALL) ALL
END
chmod 440 "$ROOT/etc/sudoers.d/lab"
echo "asker:correct horse 'quoted'" | chroot "$ROOT" chpasswd
chroot "$ROOT" usermod --append --groups sudo asker
echo 'permit nopass doer' >"$ROOT/etc/doas.conf"
chmod 400 "$ROOT/etc/doas.conf"
# For systemd-run's own sake; bookworm has polkit, but no run0 that would ask it.
if [ -d "$ROOT/etc/polkit-1/rules.d" ]; then
	cat >"$ROOT/etc/polkit-1/rules.d/40-lab.rules" <<-'END'
		polkit.addRule(function (action, subject) {
			if (action.id == "org.freedesktop.systemd1.manage-units" && subject.user == "runner") return polkit.Result.YES;
		});
	END
fi

# --- the channel, brought in by Nix's own nix-channel ---------------------------------------------
release=nixos-25.05.1234.abcdef0
work=$ROOT/tmp/channel
mkdir -p "$work/$release" "$work/tree"
cp -R "$LAB/nixpkgs" "$work/tree/$release"
mkdir "$work/tree/$release/bin"
install -m 755 "$("$LAB/roots.sh" busybox)" "$work/tree/$release/bin/busybox"
tar -C "$work/tree" --owner=0 --group=0 -cJf "$work/$release/nixexprs.tar.xz" "$release"
in_root nix-channel --add "file:///tmp/channel/$release" nixos
in_root nix-channel --update
# From here on, the channel looks as if it had come from the network.
echo 'https://channels.nixos.org/nixos-25.05 nixos' >"$ROOT/root/.nix-channels"
rm -rf "$work" "$ROOT/root/.cache"

# --- the first generation, which this machine is "running" ----------------------------------------
system=$(in_root nix-build '<nixpkgs/nixos>' -A config.system.build.toplevel --no-out-link)
in_root nix-env -p "$profiles/system" --set "$system"
ln -sfn /run/current-system "$ROOT/nix/var/nix/gcroots/current-system"
ln -sfn /run/booted-system "$ROOT/nix/var/nix/gcroots/booted-system"
in_root ln -sfn "$system/etc" /etc/static
# shellcheck disable=SC2016
in_root sh -c 'cd /etc/static && for name in *; do ln -sfn "/etc/static/$name" "/etc/$name"; done'
# What a boot loader and stage 1 would do: start the default generation.
cat >"$ROOT/etc/systemd/system/lab-boot.service" <<'END'
[Unit]
Description=Start the system profile's generation
DefaultDependencies=no
Before=sysinit.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c 'system=$$(readlink -f /nix/var/nix/profiles/system) && ln -sfn $$system /run/current-system && ln -sfn $$system /run/booted-system && ln -sfn $$system/etc /etc/static'
[Install]
WantedBy=sysinit.target
END
in_root systemctl enable lab-boot.service

# --- watchers: every Nix command leaves a line in /var/log/nix-calls ------------------------------
real=/usr/lib/nix-real
mkdir -p "$ROOT$real"
for program in "$ROOT"/usr/bin/nix*; do
	mv "$program" "$ROOT$real/"
	ln -s "$real/${program##*/}" "$program"
done
for program in nix nix-instantiate nix-build nix-env nix-store nix-copy-closure; do
	rm "$ROOT/usr/bin/$program"
	install -m 755 "$LAB/watcher.sh" "$ROOT/usr/bin/$program"
done
: >"$ROOT/var/log/nix-calls"
chmod 666 "$ROOT/var/log/nix-calls"
