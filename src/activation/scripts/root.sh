# shellcheck shell=sh
# Root's part. What changes the machine is a job that nothing of this session belongs to: its output goes to a file, which
# is followed here, and its exit status to another. A connection that breaks, or a terminal that is closed, ends the
# following and nothing else.
#
# Each job has a directory in $records with
#   about    action, system and the time of its beginning, in seconds
#   job      the script
#   log      its output
#   lock     held by the job as long as it lives
#   starter  held by what starts it
#   begun    is there when the job has begun
#   status   what it came to: its part (profile, activation, finished), the exit status, and from which generation of the
#            profile to which
#   heard    is there when its own run has heard how it ended
# $records/last names the latest, until that. The directory is taken away by a later run, for another one may just be
# following the same job.
set -u
umask 077
exec 3<&0 </dev/null 2>&1

records=/var/lib/rebuild
unit=nixos-rebuild-switch-to-configuration

# is_held FILE: whether somebody has this lock.
is_held() {
	[ -e "$1" ] && ! flock -ns "$1" true
}

is_running() {
	[ ! -s "$1/status" ] && { is_held "$1/starter" || is_held "$1/lock"; }
}

# follow NAME OFFSET: the job's output from there on, to the end, and what it came to. Output goes as counted bytes, so
# that it is never taken for an event, and the client knows what it has if the connection breaks.
follow() {
	record=$records/$1
	seen=$2
	idle=0
	while :; do
		# In this order: what was written before the end is seen.
		if is_running "$record"; then over=no; else over=yes; fi
		# Heard by its own run and taken away, or by somebody else.
		[ -e "$record/log" ] || {
			event lost
			return
		}
		size=$(($(wc -c <"$record/log")))
		if [ "$size" -gt "$seen" ]; then
			event chunk "$((size - seen))"
			tail -c "+$((seen + 1))" "$record/log" | head -c "$((size - seen))"
			seen=$size
		elif [ "$over" = yes ]; then
			break
		else
			# Every two seconds that this is on, for an activation may say nothing for minutes.
			[ $((idle % 10)) != 0 ] || event alive
			idle=$((idle + 1))
			sleep 0.2 2>/dev/null || {
				sleep 1
				idle=$((idle + 4))
			}
		fi
	done
	say_end "$record"
}

say_end() {
	if [ -s "$1/status" ]; then
		read -r ending <"$1/status"
		event ended "$ending"
	elif [ -e "$1/begun" ]; then
		event lost
	else
		event unstarted
	fi
}

# forget_when_heard NAME: the client says so, for a link that is dead takes our last words all the same.
forget_when_heard() {
	IFS= read -r word <&3 || return 0
	[ "$word" = heard ] || return 0
	mark_heard "$1"
}

# mark_heard NAME. Another run may be writing its own name at this moment.
mark_heard() {
	lock_records || return 0
	[ ! -d "$records/$1" ] || make "$records/$1/heard"
	[ "$(last)" != "$1" ] || rm -f "$records/last"
	exec 7>&-
}

# make FILE: in a shell of its own, for one whose "exec" or ":" has no place to write to ends at once, and without a word.
make() {
	(: >>"$1")
}

# lock_records: one run at a time that asks, starts or forgets; until descriptor 7 is closed.
lock_records() {
	mkdir -p "$records" && make "$records/changing" || return
	exec 7>>"$records/changing"
	flock 7
}

# clean_up: what has been heard a minute ago, and what nobody came back for; but never what runs, for a clock that was
# just set right makes everything old.
clean_up() {
	[ -d "$records" ] || return 0
	{
		find "$records" -mindepth 2 -maxdepth 2 -name heard -mmin +1 | sed 's:/heard$::'
		find "$records" -mindepth 1 -maxdepth 1 -type d -mtime +7
	} | while IFS= read -r old; do is_running "$old" || rm -rf "$old"; done
}

last() {
	cat "$records/last" 2>/dev/null
}

# may_record: whether a job could be noted and could write what it says, which is seen before the long work. What does not
# work has said why.
may_record() {
	mkdir -p "$records" && head -c 65536 /dev/zero >"$records/room.$$" && rm -f "$records/room.$$"
}

# cannot_record: why; be it that whoever was to be made root is another user.
cannot_record() {
	rm -f "$records/room.$$" 2>/dev/null
	if [ "$(id -u)" = 0 ]; then event unwritable; else event not-root "$(id -un)"; fi
}

# tell_last: what the last job came to, if nobody has heard that.
tell_last() {
	clean_up
	may_record || {
		cannot_record
		return
	}
	name=$(last)
	if [ -z "$name" ] || [ ! -e "$records/$name/about" ]; then
		event nothing
		return
	fi
	read -r action system began <"$records/$name/about"
	event record "$name" "$action" "$system" "$began"
	if is_running "$records/$name"; then
		event running
	else
		say_end "$records/$name"
	fi
	IFS= read -r word <&3 || return 0
	case $word in
	follow)
		follow "$name" 0
		forget_when_heard "$name"
		;;
	heard)
		mark_heard "$name"
		;;
	esac
}

# follow_again NAME OFFSET: after the connection broke. If the change has not come here yet, it may be on its way still; its
# directory keeps it from beginning when nobody expects it any more.
follow_again() {
	if [ ! -e "$records/$1/about" ]; then
		lock_records || :
		if [ ! -e "$records/$1/about" ]; then
			mkdir -p "$records/$1"
			event unknown
			return
		fi
		exec 7>&-
	fi
	follow "$1" "$2"
	forget_when_heard "$1"
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
	# An activation that was begun by hand. Its end would not be waited for, but the profile be changed before.
	if [ -n "$rb_action" ] && is_held /run/nixos/switch-to-configuration.lock; then
		event foreign
		return
	fi
	if [ "$rb_systemd_run" = yes ] && [ -d /run/systemd/system ]; then
		by_systemd=yes
		if systemctl is-active --quiet "$unit.service"; then
			event foreign
			return
		fi
	else
		by_systemd=no
	fi
	record=$records/$1
	mkdir "$record" || {
		if [ -d "$record" ]; then event unknown; else cannot_record; fi
		return
	}
	# Whatever the job writes to later has its place now.
	for file in starter log lock status; do
		make "$record/$file" || {
			rm -rf "$record"
			cannot_record
			return
		}
	done
	# From the first moment on, for whoever asks sees the name below as soon as it is written.
	exec 8>>"$record/starter"
	flock 8
	# Half a job would be worse than none.
	{
			printf '%s' "$rb_job" >"$record/job" &&
			printf '%s %s %s\n' "${rb_action:-profile}" "$rb_system" "$(date +%s)" >"$record/about" &&
			may_record &&
			printf '%s\n' "$1" >"$record/name" && mv "$record/name" "$records/last"
	} || {
		rm -rf "$record"
		cannot_record
		return
	}
	# After a power cut this is what tells.
	sync "$record/about" "$record" "$records/last" "$records" 2>/dev/null || :
	if [ "$by_systemd" = yes ]; then
		set -- systemd-run -E LOCALE_ARCHIVE -E NIXOS_INSTALL_BOOTLOADER -E NIXOS_NO_CHECK --collect --no-ask-password \
			--pipe --quiet --service-type=exec --unit="$unit" --description="Activation of NixOS by rebuild" /bin/sh "$record/job" "$record" "$PATH"
	else
		set -- /bin/sh "$record/job" "$record" "$PATH"
	fi
	# A session of its own: no terminal's hang-up or Ctrl-C is meant for it. It does not hold the lock of all records.
	setsid "$@" >>"$record/log" 2>&1 3<&- 7>&- &
	exec 7>&- 8>&-
	event begun
	follow "${record##*/}" 0
	forget_when_heard "${record##*/}"
}

event root
case $rb_task in
tell) tell_last ;;
change) change "$rb_name" ;;
follow) follow_again "$rb_name" "$rb_offset" ;;
esac
event finished
