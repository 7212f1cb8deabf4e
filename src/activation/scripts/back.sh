# shellcheck shell=sh
# The way back of a change whose activation fails: the profile as it was, and the system that ran, and for switch and
# boot what the boot loader starts. All of it is looked up before anything is changed, because the change replaces it.
#
# Links in the record are notes and at the same time roots of the garbage collector: what is noted cannot be collected
# before it is needed. They stay if the job is cut off, or cannot go back.
#   ran      the system that ran
#   loaded   the system that the boot loader starts
#   new      the new system, until it is confirmed (confirm.sh)
#
# Needs $record and without_record (held.sh), find_nix (nix.sh), `activate` and `generation` (job.sh). Sets $ran, $loaded,
# $former, $link, $made, $failed, $again, $of_profile and $of_system.

# note_way_back: status 1: there is no way back. The log has the reason.
note_way_back() {
	ran=$(system_of /run/current-system)
	former=$(system_of "$rb_profile")
	link=$(readlink "$rb_profile" 2>/dev/null)
	loaded=$(starts_at_boot)
	[ "$rb_action" = boot ] || without_record keep ran "$ran" || return
	case $rb_action in switch | boot) without_record keep loaded "$loaded" ;; esac
}
system_of() {
	[ ! -e "$1" ] || readlink -f "$1"
}
# Nobody can ask a boot loader. It is the system that runs if that is a profile's; the one that runs may be a
# specialisation, or be there by `test`, or its profile has been changed by `boot` since.
starts_at_boot() {
	default=$(system_of /nix/var/nix/profiles/system)
	case $ran in
	'') echo "${default:-$former}" ;;
	"$former" | "$default") echo "$ran" ;;
	*) echo "${default:-${former:-$ran}}" ;;
	esac
}
keep() {
	[ -x "$2/bin/switch-to-configuration" ] || {
		echo "there would be no way back: what is to be gone back to (${2:-no system}) has no bin/switch-to-configuration"
		return 1
	}
	root_at "$@"
}
# root_at NAME PATH
root_at() {
	find_nix
	"$nix_bin/nix-store" --realise "$2" --add-root "$record/$1" >/dev/null
}

# note_new_profile: so that a change of the profile by somebody else is seen later.
note_new_profile() {
	made=$(readlink "$rb_profile" 2>/dev/null)
}

forget_way_back() {
	rm -f "$record/ran" "$record/loaded" "$record/new"
}

# go_back CODE: goes back after switch-to-configuration has ended with this status. Sets $of_profile and $of_system: an
# exit status, or - if there was nothing to do. Status 1: there was nothing to do at all.
go_back() {
	of_profile=-
	of_system=-
	if [ "$made" != "$link" ]; then
		of_profile=0
		without_record restore_profile || of_profile=$?
	fi
	# With 11 another activation is under way. It has changed nothing here, and would not let us do anything.
	[ "$1" = 11 ] || activate_former
	case $of_profile/$of_system in
	-/-) return 1 ;;
	[-0]/[-04]) forget_way_back ;;
	esac
}

restore_profile() {
	[ "$(readlink "$rb_profile")" = "$made" ] || {
		echo "$rb_profile has been changed by somebody else: it stays as it is"
		return 1
	}
	find_nix
	if [ -z "$link" ]; then
		rm -f "$rb_profile" "$rb_profile-$(generation)-link"
	else
		# Somebody may have deleted the generation meanwhile, and without one there was no number.
		{ [ "$before" != - ] && "$nix_bin/nix-env" -p "$rb_profile" --switch-generation "$before"; } ||
			"$nix_bin/nix-env" -p "$rb_profile" --set "$former"
	fi
}

# The system that has just failed is not tried once more, even if it ran before (`switch` after `test`).
activate_former() {
	failed=$(readlink -f "$rb_activated")
	case $rb_action in
	switch)
		if [ "$ran" = "$loaded" ]; then
			again "$ran" switch
		else
			again "$loaded" boot
			again "$ran" test
		fi
		;;
	boot) again "$loaded" boot ;;
	test) again "$ran" test ;;
	esac
}
# again SYSTEM ACTION: in $of_system, failed units (4) count for more than success, and every other failure for more
# than failed units.
again() {
	[ "$1" != "$failed" ] || return 0
	echo "going back: $1/bin/switch-to-configuration $2"
	again=0
	without_record activate "$1" "$2" || again=$?
	case $of_system/$again in
	-/* | 0/* | 4/[!0]*) of_system=$again ;;
	esac
}
