# shellcheck shell=sh
# Work that outlives the link. A closed evaluation and a build are a job: a process of its own, whose output goes into a
# record (remote/scripts/records.sh) and is followed from there. If the link breaks, the run ends and its job goes on; the
# client comes back and follows it from the byte where it stopped (`rejoin`). If the client says "cancel", the job ends
# with the run. The files come and the result goes in the run itself, for these need the client.
#
# A job owns the run's directories ($work, $share) when the run is gone, and takes them away at its end.
#
# What a job came to, in words:
#   asked CODE            the evaluation asks the client something, or has failed: the client knows what is next
#   made DERIVATION       it has evaluated, and there is nothing to build
#   built DERIVATION OUTPUT
#   valued                it has evaluated a value
#   failed STAGE CODE
#   cancelled             by the client, or because nobody followed it for too long
#
# Takes
#   rb_job            names the jobs of this run; no other run has it
#   rb_about          what the client calls them (words)
#   rb_alone          a job that nobody follows ends after so many minutes
#   $state, $work, $share, $code   (session.sh)
# Gives
#   $worker           the process of this run's job, while it is on
#   $came_to          what the last job came to
#   $is_detached      "yes" in a job
#   $is_left          "yes" if this run has left its job to itself
# Says
#   job, record, running, chunk, alive, ended, lost, unstarted

# detach COMMAND...: runs COMMAND as a job and tells the client what it says, to its end. COMMAND ends with `end_record`,
# or by `fail`. Sets $came_to.
detach() {
	records=$state/jobs
	mkdir -p "$records" || fail room 1
	forget_records 60 7
	jobs=$((jobs + 1))
	begin_record "$rb_job.$jobs" '' "$rb_about" || fail room 1
	session=$(began_at "$$")
	(run_job "$@") >>"$record/log" 2>&1 3<&- 7>&- &
	worker=$!
	echo "$worker" >"$record/process"
	exec 8>&-
	event job "${record##*/}"
	follow_own
	worker=''
	hear_end
}

# follow_own: follows this run's job, which is its child: so it is known at once that the job is over.
follow_own() {
	(
		trap : USR1
		send_record "${record##*/}" 0
	) 3<&- 4<&- &
	follower=$!
	watch_client
	wait "$worker" || :
	kill -USR1 "$follower"
	wait "$follower" || :
	follower=''
	# Before the client hears of the end, for then it may say something that is no word for the job.
	leave_client
	tell_end "$record"
}

# watch_client: a word of the client's ends the run with its job ("cancel" is Ctrl-C over there). The end of the client's
# stream is a link that is gone: the job goes on.
watch_client() {
	(
		if IFS= read -r _ <&3; then kill -TERM "$$"; else kill -HUP "$$"; fi
	) >/dev/null 2>&1 &
	watcher=$!
}
leave_client() {
	{
		kill -KILL "$watcher"
		wait "$watcher"
	} 2>/dev/null
	watcher=''
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
	guard 4<&- 9>&- &
	ends_with_run "$!"
	"$@"
}

# end_job: whatever ends it. What the job came to has been written, unless it was ended from outside.
end_job() {
	trap '' TERM INT HUP
	# shellcheck disable=SC2086 # words
	end_all $child $helpers $listeners
	exec 6<&-
	is_session_on || {
		# shellcheck disable=SC2086 # words
		end_all $of_session
		own rm -rf "$work" || rm -rf "$work"
		rm -rf "$share"
	}
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
	alone=0
	while [ "$alone" -lt "$rb_alone" ]; do
		sleep 60
		is_held "$record/lock" || return
		if is_session_on || is_held "$record/followed"; then alone=0; else alone=$((alone + 1)); fi
	done
	kill -TERM "$(cat "$record/process")"
}

# rejoin NAME OFFSET: follows a job of an earlier connection. Sets $came_to.
rejoin() {
	records=$state/jobs
	record=$records/$1
	[ -e "$record/about" ] || {
		event lost
		exit 1
	}
	make_file "$record/followed" && exec 8<"$record/followed" && flock -s 8
	rejoined=$1
	watch_client
	send_record "$1" "$2" || {
		event lost
		exit 1
	}
	leave_client
	exec 8<&-
	tell_end "$record"
	hear_end
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
	asked) code=$2 ;;
	failed) exit "$3" ;;
	cancelled) fail cancelled 130 ;;
	esac
}

# mark_jobs: the client has heard how the jobs of this run ended.
mark_jobs() {
	while [ "$jobs" -gt 0 ]; do
		mark_heard "$rb_job.$jobs"
		jobs=$((jobs - 1))
	done
}
