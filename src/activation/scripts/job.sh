# shellcheck shell=sh
# Makes the change: first the profile, then the activation. If that fails and $rb_goes_back is yes, it goes back
# (back.sh). If $rb_confirm is not 0, it is tried out first, and goes back unless it is confirmed (confirm.sh). $1 is its
# record. $2 is the PATH for the commands of this script; the activation keeps the PATH with which this script was started.
theirs=$PATH
PATH=${2-$(read -r path <"$1/path" && echo "$path")}
[ -n "$PATH" ] || exit 0
export PATH
umask 022
hold_record "$1"

# This job has no client: its output is its log, and `ended` notes its result.
fail() {
	echo 'there is no Nix on this machine'
	exit "$2"
}

# ended PART CODE [WORD...]: ends the job. After "activation" come two generations of the profile, before the change and
# now; - if there is none, or if the profile stays. After "back" and "unconfirmed" come two exit statuses before them, of
# the profile's and of the system's way back; - if it had to go no way.
ended() {
	case $1 in
	# Where the way back failed, what it needs stays.
	back | unconfirmed) ;;
	*) ! may_go_back || forget_way_back ;;
	esac
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

# activate SYSTEM ACTION
activate() {
	PATH=$theirs
	exec "$1/bin/switch-to-configuration" "$2"
}

generation() { current_generation 2>/dev/null || echo -; }

may_go_back() { [ "$rb_goes_back/$rb_confirm" != no/0 ]; }

# Without $2 it is systemd that calls, after the job has ended.
[ $# = 2 ] || rescue

before=$(generation)
! may_go_back || note_way_back || ended no-way-back 1
[ "$rb_confirm" = 0 ] || note_trial || ended no-way-back 1
[ "$rb_confirm" = 0 ] || try_out
without_record change_profile || ended profile "$?"
[ -n "$rb_action" ] || ended finished 0
[ "$rb_goes_back" = no ] || note_new_profile
code=0
without_record activate "$rb_activated" "$rb_action" || code=$?
case $rb_goes_back/$code in
# With 100 the system takes effect at the next boot.
no/* | yes/0 | yes/100) ;;
*)
	if go_back "$code"; then
		ended back "$code" "$of_profile" "$of_system" "$before" "$(generation)"
	fi
	;;
esac
ended activation "$code" "$before" "$(generation)"
