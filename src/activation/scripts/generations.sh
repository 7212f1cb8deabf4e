# shellcheck shell=sh
# The generations of a profile, as its links show them.

# current_generation: prints the number of the generation that $rb_profile is at. A profile that links directly to a
# store path is at none.
current_generation() {
	number=$(readlink "$rb_profile") || return 1
	case $number in *-link) ;; *) return 1 ;; esac
	number=${number%-link}
	number=${number##*-}
	case $number in '' | *[!0-9]*) return 1 ;; esac
	echo "$number"
}

# previous_generation: prints the system of the generation of $rb_profile with the highest number below the current
# one's.
previous_generation() {
	number=$(current_generation) || return 1
	found=0
	for link in "$rb_profile"-*-link; do
		other=${link%-link}
		other=${other##*-}
		case $other in '' | *[!0-9]*) continue ;; esac
		if [ "$other" -lt "$number" ] && [ "$other" -gt "$found" ]; then found=$other; fi
	done
	[ "$found" -gt 0 ] || return 1
	# A link may lead nowhere.
	readlink -f "$rb_profile-$found-link" || readlink "$rb_profile-$found-link"
}
