# shellcheck shell=sh
# The change itself: the profile, then the activation. $1 is its record; $2 is a PATH for what is done here, but activation
# keeps the PATH that this was started with.
theirs=$PATH
PATH=$2
export PATH
umask 022
hold_record "$1"

# This job has no client: what it says is its log, and what it came to is said by `ended`.
fail() {
	echo 'there is no Nix on this machine'
	exit "$2"
}

# ended PART CODE [GENERATION GENERATION]: of the profile, before and now; - where there is none, or it stays.
ended() {
	end_record "$@"
	exit "$2"
}

change_profile() {
	case $rb_profile_change in
	set)
		mkdir -p "${rb_profile%/*}"
		find_nix
		"$nix_bin/nix-env" -p "$rb_profile" --set "$rb_system"
		;;
	rollback)
		# Before it is gone back to: somebody may have made another generation meanwhile.
		[ "$(previous_generation)" = "$rb_system" ] || {
			echo "$rb_profile has been changed by somebody else: $rb_system is not the generation before the current one now"
			return 1
		}
		find_nix
		"$nix_bin/nix-env" --rollback -p "$rb_profile" || return
		[ "$(readlink -f "$rb_profile")" = "$rb_system" ] || {
			echo "$rb_profile has been changed by somebody else: it is not $rb_system now"
			return 1
		}
		;;
	esac
}

activate() {
	PATH=$theirs
	exec "$rb_activated/bin/switch-to-configuration" "$rb_action"
}

generation() { current_generation 2>/dev/null || echo -; }

before=$(generation)
without_record change_profile || ended profile "$?"
[ -n "$rb_action" ] || ended finished 0
code=0
without_record activate || code=$?
ended activation "$code" "$before" "$(generation)"
