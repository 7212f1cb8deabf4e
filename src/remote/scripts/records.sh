# shellcheck shell=sh
# Work that outlives the connection that asked for it. Such work is a job: it has nothing of a session, its output goes
# to a file, and its result goes to another file. A client that follows these files may go away and come back.
#
# A record is what is known of a job: a directory in $records, named by the client, with
#   about     what the client calls the job (words), and when it began, in seconds; one line
#   job       its script
#   log       its output
#   lock      held by the job as long as it lives (held.sh)
#   starter   held by what starts it
#   begun     is there when the job has begun
#   ending    the place for status, taken beforehand, so that it does not matter if the job fills the disk
#   status    how the job ended, in words; one line
#   heard     is there when the client has heard that
# In about and status, a line without its end does not count. If the lock is held, the job runs, whatever became of the
# connection. If the lock is free and there is no status, the job was cut off.
#
# Needs: $records, an absolute path; `event`; find, sed, sort, flock, setsid, head, tail, wc, sync, touch, mkdir, rm,
# date, sleep, true; a system's /proc. The user may be any. Descriptors: 7 is the lock of all records, 8 that of a
# starter, 5 a log that is followed; a job gets none of 3 to 7.
#
# Gives, in the order of their use (what the job itself calls is in held.sh):
#   may_record                      whether a job could be recorded, before long work
#   lock_records, unlock_records    so that only one begins or marks at a time
#   begin_record NAME JOB WORD...   status 1: the name is taken; 2: it cannot be written
#   bar_record NAME                 status 1: it has begun already
#   secure_record [FILE...]         so that the record outlives a power cut
#   start_job COMMAND...            the job of the record that was begun last
#   is_running RECORD, is_held FILE
#   tell_record NAME                event record NAME WORD... TIME, and running or its end; status 1: there is none
#   tell_about NAME, tell_state RECORD   the same in two parts, for a script that says more in between
#   follow_record NAME OFFSET       events chunk, alive, and its end
#   send_record NAME OFFSET         events chunk and alive alone; status 1: the output is gone
#   tell_end RECORD                 event ended STATUS, lost (cut off) or unstarted
#   mark_heard NAME
#   forget_records MINUTES DAYS     forgets what was heard so long ago, or what nobody came back for in so long
# A NAME is that of a record, a RECORD the path of one. They set $record (a path), $about, $ending, $seen, $written, $idle,
# $over, $needed, $job, $old and $barred.

# may_record: if it fails, the command that failed has said why.
may_record() {
	mkdir -p "$records" || return
	# busybox says that there is no room, and has status 0 all the same.
	if head -c 65536 /dev/zero >"$records/room.$$" && [ $(($(wc -c <"$records/room.$$"))) = 65536 ]; then
		rm -f "$records/room.$$"
	else
		rm -f "$records/room.$$" 2>/dev/null
		return 1
	fi
}

# lock_records: holds the lock until descriptor 7 is closed.
lock_records() {
	mkdir -p "$records" && make_file "$records/changing" || return
	exec 7>>"$records/changing"
	flock 7
}
unlock_records() {
	exec 7>&-
}

# make_file FILE: makes it in a shell of its own, because a shell ends at once and without a word if its "exec" or ":"
# has no place to write to.
make_file() {
	(: >>"$1")
}

# begin_record NAME JOB WORD...: from here on, everybody who asks hears that the job runs. start_job has to follow. JOB
# is the text of a script.
begin_record() {
	record=$records/$1
	job=$2
	shift 2
	mkdir "$record" || {
		[ ! -d "$record" ] || return 1
		return 2
	}
	write_record "$@" || {
		rm -rf "$record"
		exec 8>&-
		return 2
	}
}
# Everything that the job writes to later gets its place now. Half a job would be worse than none.
write_record() {
	for needed in starter log lock; do
		make_file "$record/$needed" || return
	done
	# The lock is held from the first moment on, because others see the record as soon as there is an about.
	exec 8>>"$record/starter"
	flock 8 && printf '%s' "$job" >"$record/job" && printf '%200s' '' >"$record/ending" &&
		printf '%s %s\n' "$*" "$(date +%s)" >"$record/about" && may_record
}

# secure_record [FILE...]: brings the record to the disk, and these files, too.
secure_record() {
	sync "$record/about" "$record" "$@" "$records" 2>/dev/null || :
}

# start_job COMMAND...: starts the job in a session of its own, because no terminal's hang-up or Ctrl-C is meant for it.
# The job holds the starter's lock until it holds its own; it never holds the lock of all records.
start_job() {
	setsid "$@" >>"$record/log" 2>&1 </dev/null 3<&- 4<&- 5<&- 6<&- 7>&- &
	exec 8>&-
}

# bar_record NAME: sees to it that the job never begins. The words that begin it may still be on their way, but nobody
# expects it any more; the directory keeps it from beginning.
bar_record() {
	! may_have_begun "$1" || return
	lock_records || :
	barred=0
	if may_have_begun "$1"; then barred=1; else mkdir -p "$records/$1"; fi
	unlock_records
	return "$barred"
}
# A job that has begun has begun, even if its about is damaged.
may_have_begun() {
	[ -e "$records/$1/begun" ] || is_recorded "$1"
}

# is_recorded NAME: whether there is such a record. Sets $about.
is_recorded() {
	IFS= read -r about <"$records/$1/about"
} 2>/dev/null

# is_held FILE: whether somebody has this lock.
is_held() {
	[ -e "$1" ] && ! flock -ns "$1" true
}

is_running() {
	! has_status "$1" && { is_held "$1/starter" || is_held "$1/lock" || is_ended_by_others "$1"; }
}

# has_status RECORD: sets $ending.
has_status() {
	IFS= read -r ending <"$1/status"
} 2>/dev/null

tell_record() {
	tell_about "$1" || return
	tell_state "$records/$1"
}
tell_about() {
	is_recorded "$1" || return
	event record "$1" "$about"
}
tell_state() {
	if is_running "$1"; then event running; else tell_end "$1"; fi
}

tell_end() {
	if has_status "$1"; then
		event ended "$ending"
	elif [ -e "$1/begun" ]; then
		# shellcheck disable=SC2046 # a word, or none
		event lost $(lost_how "$1")
	else
		event unstarted
	fi
}

# A script may have functions of its own in place of these, after them.
# is_ended_by_others RECORD: whether something else will end the job, which was cut off.
is_ended_by_others() { return 1; }
# lost_how RECORD: prints a word on how a job was cut off, or none.
lost_how() { :; }
# tell_stage: tells what the job of $record, which says nothing at this moment, has come to.
tell_stage() { :; }

# follow_record NAME OFFSET: sends the job's output from there on, to the end, and then says how the job ended.
follow_record() {
	if send_record "$1" "$2"; then tell_end "$record"; else tell_lost; fi
}
tell_lost() {
	event lost
}

# send_record NAME OFFSET: sends the job's output from there on, to the end. Output goes as counted bytes, so that it is
# never taken for an event, and the client knows what it has if the connection breaks. Status 1: it cannot be had any more.
send_record() {
	record=$records/$1
	seen=$2
	# The log is open from here on, because counted bytes must come even if somebody removes the record meanwhile.
	send_log 2>/dev/null 5<"$record/log"
}
# Status 1: the record is gone, because its client has heard everything, or because somebody has removed it by hand.
send_log() {
	idle=0
	while :; do
		# The end is looked for before the size, so that everything that was written before the end is seen.
		if is_running "$record"; then over=no; else over=yes; fi
		written=$(($(wc -c </proc/self/fd/5)))
		if [ "$written" -gt "$seen" ]; then
			event chunk "$((written - seen))"
			tail -c "+$((seen + 1))" </proc/self/fd/5 | head -c "$((written - seen))"
			seen=$written
		elif [ ! -e "$record/log" ]; then
			return 1
		elif [ "$over" = yes ]; then
			return
		else
			tell_stage
			say_alive
		fi
	done
}
# Says every two seconds that this script lives, because a job may say nothing for minutes.
say_alive() {
	[ $((idle % 10)) != 0 ] || event alive
	idle=$((idle + 1))
	# It is waited for, so that a signal that is trapped ends the nap.
	sleep 0.2 2>/dev/null 8>&- &
	wait "$!"
	# A sleep that knows whole seconds alone.
	[ $? != 1 ] || {
		sleep 1
		idle=$((idle + 4))
	}
}

# mark_heard NAME: the record is not removed at once, because another client may be following the same job.
mark_heard() {
	[ ! -d "$records/$1" ] || make_file "$records/$1/heard"
}

# forget_records MINUTES DAYS: never forgets a job that runs, because everything becomes old when a clock is set right.
# A record that is ten years old comes from a clock that had not been set yet: its age begins now.
forget_records() {
	[ -d "$records" ] || return 0
	{
		find "$records" -mindepth 2 -maxdepth 2 -name heard -mmin "+$1" | sed 's:/heard$::'
		find "$records" -mindepth 1 -maxdepth 1 -type d -mtime "+$2"
	} | sort -u | while IFS= read -r old; do
		if is_running "$old"; then
			:
		elif [ ! -e "$old/heard" ] && [ -n "$(find "$old" -maxdepth 0 -mtime +3650)" ]; then
			touch "$old"
		else
			rm -rf "$old"
		fi
	done
}
