# shellcheck shell=sh
# From a derivation to its output, and from there to where it is needed.

realise() {
	obey_settings
	with_client_build_flags with_platform_flags exec "$nix_bin/nix-store" --log-format internal-json --realise "$@"
}

# build: sets $out. The result is rooted here under its derivation's name, which only runs of the same derivation share,
# and stays so for a while (forget_results), so that it can be fetched again.
build() {
	event building
	place=results/${drv##*/}
	echo "$place" | claim || exit 1
	mkdir -p "$state/$place"
	root=$state/$place/result
	attend realise "$drv" --add-root "$root" >"$work/roots"
	[ "$code" -ne 137 ] || tell_memory
	[ "$code" -eq 0 ] || fail build "$code"
	# There is one for each output, which have their names behind it, but not "out".
	[ -L "$root" ] || root=$(head -n 1 "$work/roots")
	out=$(readlink "$root")
	is_promised || fail result 1
	event built "$out"
}

# is_promised: whether $out is an output of $drv, in whose file they stand first; where they are not known beforehand,
# Nix says them. The client compares what it knows of the derivation, which may be its name alone.
is_promised() {
	[ -n "$out" ] || return 1
	outputs=$(head -c 8000 "$drv" 2>/dev/null)
	case ${outputs%%],*} in *"\",\"$out\",\""*) return 0 ;; esac
	"$nix_bin/nix-store" --query --outputs "$drv" | grep -qxF -e "$out"
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

# is_private SOCKET: whether nobody else of this machine can connect to it. Whoever does is root to the client's Nix.
# sshd makes it so unless it is told otherwise (StreamLocalBindMask).
is_private() {
	[ "$(stat -Lc '%u %a' "$1")" = "$(stat -c %u "$work") 600" ] || {
		echo "warning: others could use the socket that sshd makes here (StreamLocalBindMask): it is not used"
		return 1
	}
}

# deliver PATH | deliver --derivation PATH: to the daemon whose socket ssh has brought here, the client's own or one
# that the client reaches. Its root trusts us for this one transfer, so neither signatures nor keys are needed. Where
# sshd forbids forwarding there is no socket, and the client fetches.
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
