# shellcheck shell=sh
# Work that outlives the link. A closed evaluation and a build are a job: a process of its own, whose output goes into a
# record (remote/scripts/records.sh) and is followed from there. If the link breaks, the run ends and its job goes on; the
# client comes back and follows it from the byte where it stopped (`rejoin`). If the client says "cancel", the job ends
# with the run. The files come and the result goes in the run itself, for these need the client.
#
# A job owns the run's directories ($work, $share) when the run is gone, and takes them away at its end. Which of the two
# is the last one is told by two files in $work: "left" is there when the run has left its job, and "over" when the job
# has ended. Each makes its own file before it looks for the other one.
#
# If another job builds the same derivation already, for the same client, the job ends and the run follows the other one.
#
# Whether a job ends for want of followers, and whether it is joined, is decided with the lock of all records. So whoever
# joins a job is not told a moment later that it was ended.
#
# A record has four files more than records.sh names:
#   followed   held by whoever follows the job
#   joined     the runs that have joined it: each run's process, and when that began; a line each
#   given-up   is there if the job is about to be ended: nobody joins it
#   builds     the derivation that the job builds, and at which byte of the log that begins; one line
#
# What a job came to, in words:
#   asked CODE            the evaluation asks the client something, or has failed: the client knows what is next
#   made DERIVATION       it has evaluated, and there is nothing to build
#   built DERIVATION OUTPUT
#   joins DERIVATION NAME OFFSET   another job builds it
#   valued                it has evaluated a value
#   failed STAGE CODE
#   cancelled             by the client, or because nobody followed it for too long
#
# $worker is the process of this run's job, while it is on; in a job itself, $is_detached is "yes". $is_left is "yes" if
# this run has left its job to itself.

# detach COMMAND...: runs COMMAND as a job and tells the client what it says, to its end. COMMAND ends with `end_record`,
# or by `fail`. Sets $came_to.
detach() {
	find_records
	forget_records 60 7
	jobs=$((jobs + 1))
	begin_record "$rb_job.$jobs" '' "$rb_about" || fail room 1
	session=$(began_at "$$")
	(run_job "$@") >>"$record/log" 2>&1 3<&- 7>&- &
	worker=$!
	echo "$worker" >"$record/process"
	event job "${record##*/}"
	follow
	follow_own
	worker=''
	hear_end
}
find_records() {
	records=$state/jobs
	mkdir -p "$records" || fail room 1
}

# follow, stop_following: whoever follows a job says so, for nobody ends a job that others follow. Descriptor 8 was the
# starter's.
follow() {
	exec 8>&-
	make_file "$record/followed" && exec 8<"$record/followed" && flock -s 8
	followed="$followed $record"
}
stop_following() {
	exec 8>&-
}

# is_followed: whether anybody follows the job of $record. Only one may ask at a time, because whoever asks takes the lock
# for a moment.
is_followed() {
	lock_records || :
	unfollowed=0
	has_followers || unfollowed=1
	unlock_records
	return "$unfollowed"
}

# give_up: gives the job of $record up, unless somebody follows it (status 1).
give_up() {
	lock_records || :
	followers=0
	if has_followers; then followers=1; else bar_joining "$record"; fi
	unlock_records
	return "$followers"
}
bar_joining() {
	make_file "$1/given-up"
} 2>/dev/null

# has_followers: whether somebody holds the record, or has joined its job and is about to hold it.
has_followers() {
	[ ! -e "$record/followed" ] || flock -n "$record/followed" true 7>&- || return 0
	[ -e "$record/joined" ] || return 1
	while read -r joiner began; do
		[ "$joiner" = "$$" ] || [ -z "$began" ] || [ "$(began_at "$joiner")" != "$began" ] || return 0
	done <"$record/joined"
	return 1
}

# follow_own: follows this run's job, which is its child: so it is known at once that the job is over.
follow_own() {
	(
		trap : USR1
		send_record "${record##*/}" 0
	) 3<&- 4<&- 8>&- &
	follower=$!
	# If the link is gone, the job goes on.
	watch_client HUP
	wait "$worker" || :
	kill -USR1 "$follower" 2>/dev/null
	heard=0
	wait "$follower" || heard=$?
	follower=''
	# On a busy machine the job may be over before the follower listens to this signal (10, with 128 added).
	[ "$heard" != 138 ] || send_record "${record##*/}" 0
	# Before the client hears of the end, for then it may say something that is no word for the job.
	leave_client
	stop_following
	# If somebody has removed everything that is kept here, that is why the record says nothing.
	[ -e "$work/lock" ] || fail gone 1
	tell_end "$record"
}

# run_job COMMAND...: in a shell of its own, which is a child of the run's.
run_job() {
	is_detached=yes
	trap end_job EXIT
	trap 'exit 130' TERM INT HUP
	child='' watcher='' listeners='' worker=''
	of_session=$helpers
	helpers=''
	hold_record "$record"
	exec 8>&-
	# In a shell of its own: with a function alone, dash keeps copies of what is closed.
	(guard) >/dev/null 2>&1 4<&- 9>&- &
	ends_with_run "$!"
	"$@"
}

# end_job: whatever ends it. What the job came to has been written, unless it was ended from outside.
end_job() {
	trap '' TERM INT HUP
	# Whoever joined it now would hear that it was cancelled.
	[ -s "$record/status" ] || rm -f "$record/builds"
	# shellcheck disable=SC2086 # words
	end_all $child $helpers $listeners
	exec 6<&-
	make_file "$work/over" 2>/dev/null
	if [ -e "$work/left" ] || ! is_session_on; then
		# shellcheck disable=SC2086 # words
		end_all $of_session
		own rm -rf "$work" || rm -rf "$work"
		rm -rf "$share"
	fi
	[ -s "$record/status" ] || end_record cancelled
}

# is_session_on: whether the run that began this job is still there.
is_session_on() {
	[ "$(began_at "$$")" = "$session" ]
}

# began_at PROCESS: says when it began, in the kernel's ticks: its number alone may be another's by now.
began_at() {
	IFS= read -r facts 2>/dev/null <"/proc/$1/stat" || return 0
	# Behind the name, which may have anything in it.
	# shellcheck disable=SC2086 # words
	set -- ${facts##*) }
	echo "${20}"
}

# guard: ends the job when nobody has followed it for $rb_alone minutes.
guard() {
	# As in `live` (channel.sh).
	trap 'kill -KILL "$!"; exit' TERM
	alone=0
	until [ "$alone" -ge "$rb_alone" ] && give_up; do
		sleep 60 &
		wait "$!"
		is_held "$record/lock" || return
		if is_followed; then alone=0; else alone=$((alone + 1)); fi
	done
	end_job_of "$record"
}

# end_job_of RECORD: ends a job from outside; what it came to is "cancelled". It may be ending by itself just now.
end_job_of() {
	! is_held "$1/lock" || kill -s TERM "$(cat "$1/process")" 2>/dev/null || :
}

# await_end RECORD: waits until a job has ended, for some 20 seconds at most, and says meanwhile that this script lives.
await_end() {
	idle=0
	while [ "$idle" -lt 100 ] && is_running "$1"; do say_alive; done
}

# begin_building DERIVATION: notes that this job builds it now. If another one does, this job ends here, and its run
# follows the other one.
begin_building() {
	lock_records || fail room 1
	for other in "$records"/*/builds; do
		# Both are the builder's own words.
		other=${other%/builds}
		if builds "$other" "$1" && [ ! -e "$other/given-up" ] && is_running "$other"; then
			# This run follows it as soon as this job has ended.
			echo "$$ ${session-}" 2>/dev/null >>"$other/joined"
			unlock_records
			end_record joins "$1" "${other##*/}" "$offset"
			exit 0
		fi
	done
	write "$1 $(($(wc -c <"$record/log")))" "$record/builds"
	unlock_records
}

builds() {
	IFS=' ' read -r in_work offset <"$1/builds" && [ "$in_work" = "$2" ]
} 2>/dev/null

# follow_there NAME OFFSET: follows a job of another connection to its end.
follow_there() {
	find_records
	record=$records/$1
	is_recorded "$1" || is_lost
	follow || is_lost
	watch_client HUP
	send_record "$1" "$2" || is_lost
	leave_client
	stop_following
	tell_end "$record"
}

# rejoin NAME OFFSET: the same, and then goes on with what the job has left. Sets $came_to.
rejoin() {
	tell_rest "$1"
	follow_there "$1" "$2"
	hear_end
	# A run that has evaluated nothing itself cannot answer it. The client knows that.
	case $came_to in asked\ *) exit "$code" ;; esac
}

# tell_rest NAME: tells for how long a job has been over while nobody followed it: its work took no time since.
tell_rest() {
	find_records
	[ ! -s "$records/$1/status" ] || event idle "$(age_of_file "$records/$1/status")"
}
age_of_file() {
	echo $(($(date +%s) - $(stat -c %Y "$1")))
}

is_lost() {
	tell_lost
	exit 1
}

# hear_end: sets $came_to, and $drv and $out as the job has left them. One that failed ends the run.
hear_end() {
	came_to=''
	# The client knows it: the job has said why, or the record has it that it was cut off.
	IFS= read -r came_to 2>/dev/null <"$record/status" || exit 1
	# shellcheck disable=SC2086 # words
	set -- $came_to
	case $1 in
	made) drv=$2 ;;
	built) drv=$2 out=$3 ;;
	joins)
		drv=$2
		event joined "$3" "$4"
		rejoin "$3" "$4"
		;;
	asked) code=$2 ;;
	failed) exit "$3" ;;
	cancelled) fail cancelled 130 ;;
	esac
}

# end_followed: the client has cancelled what it follows. Nobody else's work ends with that. Status 1: others follow the
# job of this run.
end_followed() {
	[ -n "$followed" ] || return 0
	stop_following
	give_up || return 1
	[ -n "$worker" ] || end_job_of "$record"
}

# mark_jobs: the client has heard how these jobs ended.
mark_jobs() {
	for record in $followed; do
		is_running "$record" || mark_heard "${record##*/}"
	done
}
