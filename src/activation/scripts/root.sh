# shellcheck shell=sh
# What root does. A change of the machine is a job with a record (records.sh): if the connection breaks, or the terminal
# is closed, only the following ends, and the job goes on.
#
# There is one change at a time. $records/last names the latest one, until the run that made it has heard how it ended.
# In its record, "about" has the action and the system; "status" has the part at which it ended (no-way-back, profile,
# activation, back, unconfirmed, finished), the exit status, and the generations of the profile before and after it
# (job.sh). confirm.sh says what else is in the record of a change that is to be confirmed.
set -u
umask 077
exec 3<&0 </dev/null 2>&1

records=/var/lib/rebuild
unit=nixos-rebuild-switch-to-configuration

last() {
	cat "$records/last" 2>/dev/null
}

# forget_when_heard NAME: forgets the change if the client says that it has heard the end. That we could send the end
# proves nothing, because a dead link takes our last words, too.
forget_when_heard() {
	IFS= read -r word <&3 || return 0
	[ "$word" != heard ] || hear "$1"
}

# hear NAME: notes that the client has heard the end. It takes the lock, because another run may be writing its own name
# at this moment.
hear() {
	lock_records || return 0
	mark_heard "$1"
	[ "$(last)" != "$1" ] || rm -f "$records/last"
	unlock_records
}

# cannot_record: says why there is no record. One reason is that sudo or the like made the user another user than root.
cannot_record() {
	if [ "$(id -u)" = 0 ]; then event unwritable; else event not-root "$(id -un)"; fi
}

# tell_last: tells how the last job ended, if nobody has heard that.
tell_last() {
	forget_records 1 7
	may_record || {
		cannot_record
		return
	}
	name=$(last)
	{ [ -n "$name" ] && tell_record "$name"; } || {
		event nothing
		return
	}
	IFS= read -r word <&3 || return 0
	case $word in
	follow)
		follow_record "$name" 0
		forget_when_heard "$name"
		;;
	heard)
		hear "$name"
		;;
	esac
}

# follow_again NAME OFFSET: follows a change again, after the connection broke.
follow_again() {
	if bar_record "$1"; then
		event unknown
		return
	fi
	follow_record "$1" "$2"
	forget_when_heard "$1"
}

# confirm NAME: the change stays, if it waits for that.
confirm() {
	mv "$records/$1/awaits" "$records/$1/confirmed" 2>/dev/null || :
	if [ -e "$records/$1/confirmed" ]; then event confirmed; else event not-awaited; fi
}

# tell_stage: for records.sh. Tells once that the change waits to be confirmed.
told=no
tell_stage() {
	[ "$told" = no ] && [ -e "$record/awaits" ] || return 0
	event awaits
	told=yes
}

# is_ended_by_others RECORD: for records.sh. systemd sees to it that a change goes back whose job was killed before it was
# confirmed (`start`).
is_ended_by_others() {
	[ -d /run/systemd/system ] && is_tried "$1" || return
	case $(systemctl show --property=ActiveState --value "$unit.service") in
	active | activating | deactivating) ;;
	*) return 1 ;;
	esac
}
is_tried() {
	[ -e "$1/tried" ] || [ -e "$1/awaits" ] || [ -e "$1/late" ]
}

# lost_how RECORD: for records.sh. A change that was not confirmed yet is undone by a boot, whatever has become of its job.
lost_how() {
	for stage in tried awaits late; do
		[ -e "$1/$stage" ] || continue
		if [ "$(cat "$1/$stage")" = "$(cat /proc/sys/kernel/random/boot_id)" ]; then echo unconfirmed; else echo rebooted; fi
	done
}

# find_foreign: whether an activation runs that this program did not begin: by hand, or by nixos-rebuild. Our change
# would not wait for the end of the first kind, and would change the profile before it. Sets $by_systemd.
find_foreign() {
	by_systemd=no
	[ -z "$rb_action" ] || ! is_held /run/nixos/switch-to-configuration.lock || return 0
	[ "$rb_systemd_run" = yes ] && [ -d /run/systemd/system ] || return
	by_systemd=yes
	# A unit that is only just coming to its end would keep its name from the next one.
	tries=100
	while ! state=$(systemctl is-active "$unit.service"); do
		[ "$state" = deactivating ] && [ "$tries" -gt 0 ] || return
		tries=$((tries - 1))
		sleep 0.2 || sleep 1
	done
}

# note NAME: makes NAME the latest change.
note() {
	{ printf '%s\n' "$1" >"$record/name" && mv "$record/name" "$records/last"; } || {
		rm -rf "$record"
		return 2
	}
	secure_record "$records/last"
}

# change NAME: starts the job, if no other runs.
change() {
	lock_records || {
		cannot_record
		return
	}
	name=$(last)
	if [ -n "$name" ] && is_running "$records/$name"; then
		event busy "$name"
		return
	fi
	if find_foreign; then
		event foreign
		return
	fi
	{ begin_record "$1" "$rb_job" "${rb_action:-profile}" "$rb_system" && note "$1"; } || {
		if [ $? = 1 ]; then event unknown; else cannot_record; fi
		return
	}
	start /bin/sh "$record/job" "$record" "$PATH"
	unlock_records
	event begun
	follow_record "$1" 0
	forget_when_heard "$1"
}

start() {
	# If memory runs out, systemd would end the whole unit, and nobody would be there to go back.
	# If the job of a change is killed before the change is confirmed, systemd calls it once more, to go back.
	[ "$by_systemd$rb_tries" != yesyes ] || set -- --property=ExecStopPost="/bin/sh $record/job $record" "$@"
	[ "$by_systemd$rb_may_go_back" != yesyes ] || set -- --property=OOMPolicy=continue "$@"
	[ "$by_systemd" = no ] ||
		set -- systemd-run -E LOCALE_ARCHIVE -E NIXOS_INSTALL_BOOTLOADER -E NIXOS_NO_CHECK --collect --no-ask-password \
			--pipe --quiet --service-type=exec --unit="$unit" --description="Activation of NixOS by rebuild" "$@"
	start_job "$@"
}

event root
case $rb_task in
tell) tell_last ;;
change) change "$rb_name" ;;
follow) follow_again "$rb_name" "$rb_offset" ;;
confirm) confirm "$rb_name" ;;
esac
event finished
