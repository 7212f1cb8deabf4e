#!/bin/sh
# forget-cache.sh DIRECTORY SIZE: shrinks the cache that runs of `rebuild` have left on a builder. It forgets what has
# not been used for the longest time, until the rest is no larger than SIZE (20G, as numfmt reads it). What a run is
# using stays: the run has said so in CLIENT/run.*/claims, and holds CLIENT/run.*/lock as long as it lives
# (src/builder/scripts/kept.sh).
#
# It runs as the user whose cache it is. It needs GNU find, coreutils, awk, grep, unshare and flock.
set -eu
cache=$1
most=$(($(numfmt --from=iec "$2") / 1024))
[ -d "$cache" ] || exit 0

# A client's file whose content is not here has mode 000: a user namespace helps, as it does in a run.
if [ "${3-}" != inside ] && unshare --user --map-root-user true 2>/dev/null; then
	exec unshare --user --map-root-user -- /bin/sh "$0" "$1" "$2" inside
fi

cd "$cache"
rm -rf ./.forgotten.*
forgotten=.forgotten.$$

# entries: prints what can be forgotten, one path a line, the one that was used last first. The names contain no odd
# characters. Nothing tells when Nix's own cache was used, but each run changes its client's directory.
entries() {
	{
		find . -mindepth 3 -maxdepth 3 \( -path './*/trees/*' -o -path './*/mirrors/*' \) -printf '%T@ %p\n'
		for client in ./*/; do
			[ ! -d "${client}nix-cache" ] || find "$client" -maxdepth 0 -printf "%T@ ${client}nix-cache\\n"
		done
	} | sort -rn | cut -d' ' -f2-
}

# in_use CLIENT NAME: succeeds if a run that lives claims it; the claims of a killed run do not count.
in_use() {
	for run in "$1"/run.*; do
		if grep -qxF -e "$2" "$run/claims" 2>/dev/null && ! flock -n "$run/lock" true; then return 0; fi
	done
	return 1
}

# take_away CLIENT NAME: moves it away while no run can claim it. It is moved under its name, so that anybody who looks
# sees it whole or not at all.
take_away() {
	[ -e "$1/lock" ] || touch "$1/lock"
	{
		flock 9
		! in_use "$1" "$2" && mkdir -p "$forgotten" && mv "$1/$2" "$forgotten/"
	} 9<>"$1/lock"
}

# du counts a file with several names once, under the first name: so the sum up to an entry is that of the entry and of
# everything that was used later.
entries | tr '\n' '\0' | du -sk --files0-from=- | awk -v most="$most" '
	{ size = $1; sum += size; sub(/^[0-9]+\t/, "") }
	sum > most { print }
' | while IFS= read -r entry; do
	entry=${entry#./}
	take_away "${entry%%/*}" "${entry#*/}" || continue
	printf 'forgotten: %s\n' "$entry"
	rm -rf "$forgotten"
done
