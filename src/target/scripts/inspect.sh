# shellcheck shell=sh
# Finds the system that is meant and sees that it is one. It changes nothing and needs no rights.
exec 2>&1 </dev/null

# previous_generation: the generation of $rb_profile with the highest number below the current one's.
previous_generation() {
	current=$(readlink "$rb_profile") || return 1
	number=${current%-link}
	number=${number##*-}
	found=0
	for link in "$rb_profile"-*-link; do
		other=${link%-link}
		other=${other##*-}
		case $other in '' | *[!0-9]*) continue ;; esac
		if [ "$other" -lt "$number" ] && [ "$other" -gt "$found" ]; then found=$other; fi
	done
	[ "$found" -gt 0 ] && readlink -f "$rb_profile-$found-link"
}

compare() {
	if [ ! -e /run/current-system ]; then
		event no-current
		return
	fi
	find_nix
	printf '<<< /run/current-system\n>>> %s\n' "$1"
	"$nix_bin/nix" --extra-experimental-features 'nix-command flakes' store diff-closures /run/current-system "$1" ||
		event incomparable
}

inspect() {
	event hello "$(id -u)"
	system=$rb_system
	if [ -n "$rb_profile" ]; then
		system=$(previous_generation) || {
			event no-previous
			return
		}
	fi
	if [ "$rb_careless" = no ]; then
		for file in nixos-version bin/switch-to-configuration; do
			[ -e "$system/$file" ] || {
				event lacks "$file"
				return
			}
		done
	fi
	if [ -n "$rb_specialisation" ] && [ ! -e "$system/specialisation/$rb_specialisation/bin/switch-to-configuration" ]; then
		for directory in "$system/specialisation"/*/; do
			directory=${directory%/}
			[ ! -d "$directory" ] || event has-specialisation "${directory##*/}"
		done
		event no-specialisation
		return
	fi
	[ "$rb_diff" = no ] || compare "$system"
	event found "$system"
}

inspect
event finished
