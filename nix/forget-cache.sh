#!/bin/sh
# forget-cache.sh DIRECTORY SIZE: of the cache that runs of `rebuild` have left on a builder, forgets what was used longest
# ago until the rest is no more than SIZE (20G, as numfmt reads it). What a run is using stays.
#
# As the user whose cache it is. Needs GNU find, coreutils, awk, unshare.
set -eu
cache=$1
most=$(($(numfmt --from=iec "$2") / 1024))
[ -d "$cache" ] || exit 0

# What is not here of a client's files has mode 000: as in a run, a user namespace helps.
if [ "${3-}" != inside ] && unshare --user --map-root-user true 2>/dev/null; then
	exec unshare --user --map-root-user -- /bin/sh "$0" "$1" "$2" inside
fi

cd "$cache"
rm -rf ./.forgotten.*
forgotten=.forgotten.$$

# entries: what can be forgotten, one path a line, the one used last first. Names have no odd characters. Of Nix's own
# cache nothing tells when it was used, but each run changes its client's directory.
entries() {
	{
		find . -mindepth 3 -maxdepth 3 \( -path './*/trees/*' -o -path './*/mirrors/*' \) -printf '%T@ %p\n'
		for client in ./*/; do
			[ ! -d "${client}nix-cache" ] || find "$client" -maxdepth 0 -printf "%T@ ${client}nix-cache\\n"
		done
	} | sort -rn | cut -d' ' -f2-
}

# in_use CLIENT: a run has a directory there; one that is older than two days is what a killed run has left.
in_use() {
	[ -n "$(find "$1" -maxdepth 1 -name 'run.*' -mtime -2)" ]
}

# du counts a file with several names once, with the first: so the sum so far is that of what was used later.
entries | tr '\n' '\0' | du -sk --files0-from=- | awk -v most="$most" '
	{ size = $1; sum += size; sub(/^[0-9]+\t/, "") }
	sum > most { print }
' | while IFS= read -r entry; do
	client=${entry#./}
	client=${client%%/*}
	! in_use "$client" || continue
	# Away by its name first: a run that begins now sees it whole or not at all.
	mkdir -p "$forgotten"
	mv "$entry" "$forgotten/" || continue
	if in_use "$client" && [ ! -e "$entry" ]; then
		mv "$forgotten/${entry##*/}" "$entry"
		continue
	fi
	printf 'forgotten: %s\n' "${entry#./}"
	rm -rf "$forgotten"
done
