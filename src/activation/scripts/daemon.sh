# shellcheck shell=sh
# Becomes a Nix daemon on its standard streams. A non-interactive login often has no Nix in its PATH.
find_nix >&2
hear_password
if [ "$rb_elevation" = none ]; then
	exec /bin/sh -c "$after_password" rebuild "$nix_bin/nix-daemon" --stdio
fi
if [ "$rb_password" = yes ] && ! may_elevate; then
	echo "$rb_elevation does not take the password any more" >&2
	exit 1
fi
elevate_after_password "$nix_bin/nix-daemon" --stdio
