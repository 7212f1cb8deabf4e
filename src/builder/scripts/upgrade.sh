# shellcheck shell=sh
# From a list of the client's channels to the generation that Nix's own nix-channel makes of it. Its path is the one that
# the client's nix-channel would come to: the path follows from the list and from what is at the addresses, and the
# unpacking of a channel is the same build on every system.
#
# Takes
#   rb_channels       the channels, a line each as in ~/.nix-channels: an address, which may have a password, and a name
#   rb_settings       Nix settings of the client's command line, as lines of a nix.conf
#   $nix_bin, $state, $work, $code   (session.sh)
# Gives
#   $out              the generation; a root below $state/channels holds it
# Says
#   channels

# update_channels: tells the generation that has the newest of these channels; or nothing, if Nix could not make it.
update_channels() {
	new_home=$work/channels
	mkdir -p "$new_home/.local/state/nix" "$new_home/nix/profiles/per-user/root" \
		"$new_home/nix/profiles/per-user/$(id -un)" "$state/nix-cache" "$state/channels" || fail room 1
	# The second place is the one of the setting use-xdg-base-directories.
	write "$rb_channels" "$new_home/.nix-channels"
	write "$rb_channels" "$new_home/.local/state/nix/channels"
	[ -S /nix/var/nix/daemon-socket/socket ] || [ -w /nix/var/nix/db ] || fail no-daemon 1
	attend update_in_new_home >/dev/null
	generation=''
	for profile in "$new_home/nix/profiles/per-user/"*/channels "$new_home/.local/state/nix/profiles/channels"; do
		[ ! -L "$profile" ] || generation=$(readlink -f "$profile")
	done
	if [ "$code" -ne 0 ] || [ -z "$generation" ]; then
		event channels
		return 0
	fi
	# The home goes with this run, and its roots with it. The channel that the client has, or will have, stays here, so
	# that it is never sent.
	kept_as=channels/${generation##*/}
	echo "$kept_as" | claim || exit 1
	rm -f "${state:?}/$kept_as"
	"$nix_bin/nix-store" --realise "$generation" --add-root "$state/$kept_as" >/dev/null || fail room 1
	out=$generation
	event channels "$out"
	# The last three: that of the client, a newer one of which nothing has come yet, and the one before.
	# shellcheck disable=SC2012 # names of store paths
	ls -t "$state/channels" | tail -n +4 | forget channels
}

# update_in_new_home: nothing of this user's, or of root's, is changed here: nix-channel has another home, and another
# place for profiles. What it fetches lies in the cache of this client's evaluations.
update_in_new_home() {
	conf=${NIX_USER_CONF_FILES-${XDG_CONFIG_HOME:-$HOME/.config}/nix/nix.conf}
	NIX_CONFIG="${NIX_CONFIG:-}
$rb_settings"
	# With another place for profiles, Nix has to be told where the store is.
	if [ -S /nix/var/nix/daemon-socket/socket ]; then
		store=daemon
	else
		store='local?state=/nix/var/nix'
	fi
	unset XDG_CONFIG_HOME XDG_DATA_HOME XDG_STATE_HOME
	export NIX_CONFIG HOME="$new_home" XDG_CACHE_HOME="$state/nix-cache" NIX_USER_CONF_FILES="$conf" NIX_REMOTE="$store" \
		NIX_STATE_DIR="$new_home/nix" NIX_DAEMON_SOCKET_PATH=/nix/var/nix/daemon-socket/socket
	exec "$nix_bin/nix-channel" --update
}
