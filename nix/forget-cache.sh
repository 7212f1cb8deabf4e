#!/bin/sh
# forget-cache.sh DIRECTORY SIZE: of the cache that runs of `rebuild` have left on a builder, forgets what was used longest
# ago until the rest is no more than SIZE (20G, as numfmt reads it). What a run is using stays: it has said so in
# CLIENT/run.*/claims, and holds CLIENT/run.*/lock as long as it lives (src/builder/scripts/kept.sh).
#
# As the user whose cache it is. Needs GNU find, coreutils, awk, grep, unshare, flock.
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

# in_use CLIENT NAME: a run that lives claims it; what a killed one has left says nothing.
in_use() {
	for run in "$1"/run.*; do
		if grep -qxF -e "$2" "$run/claims" 2>/dev/null && ! flock -n "$run/lock" true; then return 0; fi
	done
	return 1
}

# take_away CLIENT NAME: while nobody can say that they use it. By its name, so that whoever looks sees it whole or not at
# all.
take_away() {
	[ -e "$1/lock" ] || touch "$1/lock"
	{
		flock 9
		! in_use "$1" "$2" && mkdir -p "$forgotten" && mv "$1/$2" "$forgotten/"
	} 9<>"$1/lock"
}

# du counts a file with several names once, with the first: so the sum so far is that of what was used later.
entries | tr '\n' '\0' | du -sk --files0-from=- | awk -v most="$most" '
	{ size = $1; sum += size; sub(/^[0-9]+\t/, "") }
	sum > most { print }
' | while IFS= read -r entry; do
	entry=${entry#./}
	take_away "${entry%%/*}" "${entry#*/}" || continue
	printf 'forgotten: %s\n' "$entry"
	rm -rf "$forgotten"
done
