# shellcheck shell=sh
# Makes the change: first the profile, then the activation. $1 is its record. $2 is the PATH for the commands of this
# script; the activation keeps the PATH with which this script was started.
theirs=$PATH
PATH=$2
export PATH
umask 022
hold_record "$1"

# This job has no client: its output is its log, and `ended` notes its result.
fail() {
	echo 'there is no Nix on this machine'
	exit "$2"
}

# ended PART CODE [GENERATION GENERATION]: ends the job. The generations are the profile's, before the change and now; -
# if there is none, or if the profile stays.
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
		# This is checked before the rollback, because somebody may have made another generation meanwhile.
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
