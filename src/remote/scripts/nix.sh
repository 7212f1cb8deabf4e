# shellcheck shell=sh
# What Nix there is on this machine.

# find_nix: sets $nix_bin, the directory of Nix's programs with all links resolved (in the view a profile's link would
# lead nowhere), as long as they have their names there: a single static program may have another, and links to it.
# A non-interactive ssh login often has no Nix in its PATH.
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
