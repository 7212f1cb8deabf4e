# shellcheck shell=sh
# Releases of channels, which this machine fetches itself: a channel has 90,000 files, and the client may read them from a
# card. The client's nix-channel has let Nix unpack a tarball, and Nix has named what came of it by the tarball's content.
# The same is asked of Nix here, for the tarball that comes from the release's address: if it is the same tarball, and only
# then, Nix gives the same store path. The client compares the hash of what came of it, too.

# fetch_releases STORE-PATH-NAME...: sets $missing to those of them that are not in this store afterwards.
fetch_releases() {
	missing=''
	for name; do
		find_addresses "$name"
		if is_uncompared "$name"; then
			tell_fetched "$name"
		elif [ -z "$addresses" ] || ! fetch_release "$name"; then
			missing="$missing $name"
		fi
	done
	[ ! -d "$state/releases" ] || forget_old releases 3
}

# is_uncompared STORE-PATH-NAME: whether it was fetched by a run that ended before its evaluation did: then nobody knows
# whether the client has found it to be its own. Its hash is told again.
is_uncompared() {
	[ -L "$state/releases/$1/root" ] && [ -e "/nix/store/$1" ] && [ ! -e "$state/releases/$1/compared" ] || return 1
	case " $fetched_now " in *" $1 "*) return 1 ;; esac
}
tell_fetched() {
	event fetching "$1"
	event fetched "$1" "$("$nix_bin/nix-store" --query --hash "/nix/store/$1")"
	fetched_now="$fetched_now $1"
}

# note_compared: the evaluation counts and the client is still there, so it has not ended the run for any of them.
note_compared() {
	for name in $fetched_now; do true >"$state/releases/$name/compared"; done
}

# find_addresses STORE-PATH-NAME: sets $addresses to those at which the release may be, and $channel to the channel's name,
# which is the name of the one directory in it.
find_addresses() {
	addresses=''
	while read -r tree channel_of_tree address; do
		[ "$tree" != "$1" ] || addresses="$addresses $address" channel=$channel_of_tree
	done <<-END
		$rb_releases
	END
}

# fetch_release STORE-PATH-NAME: makes it of what comes from $addresses. A root keeps it from being collected. What could
# not be fetched is not asked for again for a day.
fetch_release() {
	release=$state/releases/$1
	[ -z "$(find "$release/failed" -mtime -1 2>/dev/null)" ] || return 1
	mkdir -p "$release" || return 1
	event fetching "$1"
	hash='' another=''
	for address in $addresses; do
		attend download "$address" >"$work/downloaded"
		if [ "$code" -eq 0 ]; then
			! unpack_release "$1" "$(sed -n 2p "$work/downloaded")" || break
		elif ! grep -q 'HTTP error 4' "$work/complaint"; then
			# Any other reason than that no such release is there holds for the next address as well.
			break
		fi
	done
	if [ -n "$hash" ]; then
		rm -f "$release/failed" "$release/compared"
		event fetched "$1" "$hash"
		fetched_now="$fetched_now $1"
	else
		true >"$release/failed"
		event unfetched "$1" "$(complaint)"
		return 1
	fi
}

# download ADDRESS: prints the hash and the store path of what is there. A machine without a network knows that at once,
# or after the few seconds that a connection may take here.
download() {
	exec timeout 300 "$nix_bin/nix-prefetch-url" --print-path --name nixexprs.tar.xz --option download-attempts 1 \
		--option connect-timeout 5 --option stalled-download-timeout 15 "$1" 2>"$work/complaint"
}

# unpack_release STORE-PATH-NAME TARBALL: lets Nix unpack it as nix-channel does, if the path of that is the wanted one,
# and sets $hash to the hash of what came of it.
# shellcheck disable=SC2016 # for Nix
unpack_release() {
	unpacking=$("$nix_bin/nix-instantiate" --option pure-eval false --option restrict-eval false \
		--argstr name "${1#*-}" --argstr channelName "$channel" --argstr src "$2" --expr '
			{ name, channelName, src }:
			derivation {
			  inherit name channelName;
			  src = builtins.storePath src;
			  builder = "builtin:unpack-channel";
			  system = "builtin";
			  preferLocalBuild = true;
			}' 2>"$work/complaint") || return 1
	[ "$("$nix_bin/nix-store" --query --outputs "$unpacking")" = "/nix/store/$1" ] || {
		another=yes
		return 1
	}
	attend unpack_there "$unpacking" >/dev/null
	[ "$code" -eq 0 ] && hash=$("$nix_bin/nix-store" --query --hash "/nix/store/$1" 2>"$work/complaint")
}

# unpack_there DERIVATION: nobody else is asked for what comes of it.
unpack_there() {
	exec timeout 600 "$nix_bin/nix-store" --realise "$1" --add-root "$release/root" --max-jobs 1 \
		--option substitute false 2>"$work/complaint"
}

# complaint: prints why it did not come, in one line of plain characters: half of another one would be no text.
complaint() {
	if [ -n "$another" ]; then
		echo 'what is there is another one'
	elif [ "$code" -eq 124 ]; then
		echo 'it takes too long'
	else
		sed -n 's/^ *error: *\(..*\)/\1/p' "$work/complaint" | tail -n 1 | tr -cd ' -~' | cut -c 1-300
	fi
}
