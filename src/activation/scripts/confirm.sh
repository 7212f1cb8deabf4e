# shellcheck shell=sh
# A change that is to be confirmed: it is tried out first, and made to stay when somebody has confirmed it. Until then
# neither the profile nor the boot loader has anything of it, so that every boot undoes it, and nothing needs to run after
# that boot.
#
# The record tells how far it is by the name of one file, which has the boot's identity. It is there from the beginning,
# because a full disk must not keep a change from going back. Its names are
#   tried      the system is being activated
#   awaits     it waits to be confirmed
#   confirmed  it stays
#   late       nobody has confirmed it in time
# `awaits` is renamed by whoever comes first: root's script, for somebody who confirms it, or the job, when the time is up.
#
# Needs what back.sh needs, and $rb_confirm, in seconds. Sets $wanted, $left and $code.

# note_trial: status 1: it could not be noted, or the new system could not be kept from being collected.
note_trial() {
	without_record root_at new "$rb_system" && printf '%s\n' "$PATH" >"$record/path" &&
		cat /proc/sys/kernel/random/boot_id >"$record/tried"
}

# try_out: makes the change and ends the job.
try_out() {
	wanted=$rb_action
	# What is to be undone is a test until it is confirmed.
	rb_action='test'
	note_new_profile
	code=0
	without_record activate "$rb_activated" test || code=$?
	case $rb_goes_back/$code in
	# With 1 and 11 nothing was activated, and with 100 this takes a boot.
	*/0 | no/[234]) ;;
	*/100 | no/1 | no/11) ended activation "$code" "$before" "$(generation)" ;;
	*) undo "$code" ;;
	esac
	if is_confirmed; then stay; fi
	go_back 0 || forget_way_back
	ended unconfirmed "$code" "$of_profile" "$of_system" "$before" "$(generation)"
}

# is_confirmed: waits for it. The time is counted and not read from a clock, because a clock may be set meanwhile.
is_confirmed() {
	echo "it runs, and waits $rb_confirm seconds to be confirmed (rebuild confirm): after that it goes back"
	mv "$record/tried" "$record/awaits" || return
	left=$rb_confirm
	while [ -e "$record/awaits" ] && [ "$left" -gt 0 ]; do
		sleep 1
		left=$((left - 1))
	done
	if mv "$record/awaits" "$record/late" 2>/dev/null; then
		echo "nobody has confirmed it within $rb_confirm seconds"
		return 1
	fi
	[ -e "$record/confirmed" ]
}

# stay: makes the change that was confirmed the one that is booted, and ends the job.
stay() {
	if [ "$wanted" = switch ]; then
		without_record change_profile || {
			code=$?
			undo 0
		}
		note_new_profile
		# From here on everything is as after a switch.
		rb_action=switch
		without_record activate "$rb_activated" boot || {
			code=$?
			undo 0
		}
	fi
	ended activation "$code" "$before" "$(generation)"
}

# undo CODE: goes back after a failure, and ends the job. CODE is that of the activation, from which go_back sees whether
# anything was activated.
undo() {
	if go_back "$1"; then
		ended back "$code" "$of_profile" "$of_system" "$before" "$(generation)"
	fi
	ended activation "$code" "$before" "$(generation)"
}

# rescue: after the end of the job, which may have been killed: goes back if nobody has confirmed the change and the machine
# is not being shut down. (Then it boots what it booted before.)
rescue() {
	[ ! -e "$record/status" ] && [ ! -e "$record/confirmed" ] && ran=$(readlink -e "$record/ran") || exit 0
	[ "$(systemctl is-system-running)" != stopping ] || exit 0
	echo "this was killed before it was confirmed"
	mv "$record/awaits" "$record/late" 2>/dev/null || :
	rb_action='test'
	link=$(readlink "$rb_profile")
	note_new_profile
	go_back 0 || forget_way_back
	ended unconfirmed 0 "$of_profile" "$of_system" "$(generation)" "$(generation)"
}
