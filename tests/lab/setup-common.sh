#!/bin/bash
# What every host of the lab has. prepare.sh calls this with HOST and ROOT (its files, mounted).
set -euo pipefail
. "$(dirname "$0")/common.sh"
. "$LAB/hosts.sh"

echo "$HOST" >"$ROOT/etc/hostname"
{
	echo "127.0.0.1 localhost"
	for name in $(host_names); do echo "$(host_field "$name" address) $name"; done
} >"$ROOT/etc/hosts"
# Nothing beyond the lab is reachable; an empty list makes every look-up fail at once.
rm -f "$ROOT/etc/resolv.conf"
: >"$ROOT/etc/resolv.conf"
rm -f "$ROOT/etc/machine-id"
: >"$ROOT/etc/machine-id"

# --- ssh: each host its own key, and all of them known to all ------------------------------------
rm -f "$ROOT"/etc/ssh/ssh_host_*
install -m 600 "$STATE/keys/host-$HOST" "$ROOT/etc/ssh/ssh_host_ed25519_key"
install -m 644 "$STATE/keys/host-$HOST.pub" "$ROOT/etc/ssh/ssh_host_ed25519_key.pub"
for name in $(host_names); do
	echo "$name,$(host_field "$name" address) $(cut -d' ' -f1,2 "$STATE/keys/host-$name.pub")"
done >"$ROOT/etc/ssh/ssh_known_hosts"
cat >"$ROOT/etc/ssh/sshd_config.d/lab.conf" <<'END'
# Tests open many connections at once.
MaxStartups 100
MaxSessions 100
END

# add_user NAME UID [SHELL] : adds a user who may log in with the client's key and use the Nix daemon.
add_user() {
	chroot "$ROOT" useradd --create-home --shell "${3:-/bin/bash}" --uid "$2" "$1"
	chroot "$ROOT" usermod --append --groups nix-users "$1"
	authorise "$1" "/home/$1"
}

authorise() {
	install -d -m 700 "$ROOT$2/.ssh"
	install -m 600 "$STATE/keys/client.pub" "$ROOT$2/.ssh/authorized_keys"
	chroot "$ROOT" chown -R "$1:" "$2/.ssh"
}

case $(host_field "$HOST" role) in
builder)
	add_user builder 1000
	add_user plain 1001
	add_user fishy 1002 /usr/bin/fish
	add_user cshy 1003 /bin/tcsh
	;;
client)
	authorise root /root
	# setup-client.sh says who may become root, and how.
	add_user admin 1000
	add_user asker 1001
	add_user doer 1002
	add_user runner 1003
	add_user guest 1004
	;;
esac

# These timers would wake up in the middle of a test.
for timer in apt-daily apt-daily-upgrade dpkg-db-backup e2scrub_all fstrim systemd-tmpfiles-clean; do
	ln -sf /dev/null "$ROOT/etc/systemd/system/$timer.timer"
done
