# shellcheck shell=sh
# From a derivation to its output, and from there to where it is needed.

realise() {
	with_client_build_flags with_platform_flags exec "$nix_bin/nix-store" --log-format internal-json --realise "$@"
}

# build: sets $out. The result stays rooted here until the same client's next one, so that it can be fetched again.
build() {
	event building
	attend realise "$drv" --add-root "$state/result" >/dev/null
	[ "$code" -eq 0 ] || fail build "$code"
	out=$(readlink "$state/result")
	event built "$out"
}

build_dry() {
	event building
	attend realise "$drv" --dry-run >/dev/null
	[ "$code" -eq 0 ] || fail build "$code"
}

# copy PATH | copy --derivation PATH
copy() {
	with_client_copy_flags exec "$nix_bin/nix" --extra-experimental-features nix-command --log-format internal-json \
		copy --no-check-sigs --to "unix://$rb_socket" "$@"
}

# is_private SOCKET: whether nobody else of this machine can connect to it. Whoever does is root to the client's Nix. sshd
# makes it so unless it is told otherwise (StreamLocalBindMask).
is_private() {
	[ "$(stat -Lc '%u %a' "$1")" = "$(id -u) 600" ] || {
		echo "warning: others could use the socket that sshd makes here (StreamLocalBindMask): it is not used"
		return 1
	}
}

# deliver PATH | deliver --derivation PATH: to the daemon whose socket ssh has brought here, the client's own or one that
# the client reaches. Its root trusts us for this one transfer, so neither signatures nor keys are needed. Where sshd
# forbids forwarding there is no socket, and the client fetches.
deliver() {
	[ "$rb_deliver" = yes ] || return 0
	if [ -S "$rb_socket" ] && is_private "$rb_socket"; then
		event copying
		attend copy "$@"
		[ "$code" -eq 0 ] || fail copy "$code"
		event copied
	else
		event no-socket
	fi
}
