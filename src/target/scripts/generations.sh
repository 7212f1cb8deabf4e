# shellcheck shell=sh
# The generations of a profile, as their links say it.

# previous_generation: the generation of $rb_profile with the highest number below the current one's.
previous_generation() {
	current=$(readlink "$rb_profile") || return 1
	number=${current%-link}
	number=${number##*-}
	# A profile that leads to a store path directly is at no generation.
	case $current:$number in
	*-link:*[!0-9]* | *-link:) return 1 ;;
	*-link:*) ;;
	*) return 1 ;;
	esac
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
