# shellcheck shell=sh
# Where Nix is on this machine.

# find_nix: sets $nix_bin to the directory of Nix's programs, with all links resolved, because in the view a profile's
# link would lead nowhere. The last link is not resolved if nix-store has another name behind it: a single static
# program may have links with all names. A non-interactive ssh login often has no Nix in its PATH.
find_nix() {
	nix_bin=''
	for candidate in \
		"$(command -v nix-store)" \
		/run/current-system/sw/bin/nix-store \
		/nix/var/nix/profiles/default/bin/nix-store \
		"$HOME/.nix-profile/bin/nix-store" \
		"$HOME/.local/state/nix/profile/bin/nix-store" \
		"/etc/profiles/per-user/${USER:-$(id -un)}/bin/nix-store" \
		/usr/local/bin/nix-store; do
		[ -x "$candidate" ] || continue
		nix_bin=$(readlink -f "$candidate")
		nix_bin=${nix_bin%/*}
		[ -x "$nix_bin/nix-store" ] || nix_bin=$(readlink -f "${candidate%/*}")
		break
	done
	[ -n "$nix_bin" ] || fail no-nix 127
}

# find_nix_or_none: sets $nix_bin, empty if there is no Nix.
find_nix_or_none() {
	nix_bin=$(
		fail() { exit "$2"; }
		find_nix
		printf %s "$nix_bin"
	) || nix_bin=''
}
