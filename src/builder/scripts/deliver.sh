# shellcheck shell=sh
# From an output, or a derivation, to the daemon of the machine where it is needed.
#
# Takes
#   with_client_copy_flags   flags of `nix copy`
#   $nix_bin, $work, $code   (session.sh)
# Says
#   copying, copied, no-socket

# deliver SOCKET PATH | deliver SOCKET --derivation PATH: sends PATH to the daemon whose socket ssh has brought here:
# the client's own, or one that the client reaches. Root on that machine trusts us for this one transfer, so neither
# signatures nor keys are needed. If sshd forbids forwarding, there is no socket, and the client fetches PATH.
deliver() {
	if [ -S "$1" ] && is_private "$1"; then
		event copying
		attend copy "$@"
		[ "$code" -eq 0 ] || fail copy "$code"
		event copied
	else
		event no-socket
	fi
}

# copy SOCKET PATH | copy SOCKET --derivation PATH
copy() {
	daemon=unix://$1
	shift
	with_client_copy_flags exec "$nix_bin/nix" --extra-experimental-features nix-command --log-format internal-json \
		copy --no-check-sigs --to "$daemon" "$@"
}

# is_private SOCKET: whether no other user of this machine can connect to it. A user who connects can do as much as root
# with the client's Nix. sshd makes the socket private unless it is told otherwise (StreamLocalBindMask).
is_private() {
	[ "$(stat -Lc '%u %a' "$1")" = "$(stat -c %u "$work") 600" ] || {
		echo "warning: others could use the socket that sshd makes here (StreamLocalBindMask): it is not used"
		return 1
	}
}
