# shellcheck shell=sh
# What a client asks about its jobs, apart from the runs that began them (detached.sh): which there are, what one of them
# says, and that they end. Only the jobs of this client are known here: their records lie in $state.
#
# Takes
#   $state, $records, $about   (session.sh)
# Gives
#   $record   the job that was told last
# Says
#   aged, builds, followed, heard

# tell_jobs: tells of each job that runs, or of which there still is a record.
tell_jobs() {
	[ -d "$state/jobs" ] || return 0
	find_records
	for job_told in "$records"/*/about; do
		job_told=${job_told%/about}
		tell_job "${job_told##*/}"
	done
}

# tell_job NAME: tells what is known of a job, and last whether it runs. With a build come the lines of Nix's log that say
# how far it is. A record that was taken away meanwhile is none.
tell_job() {
	record=$records/$1
	tell_about "$1" || return 0
	if is_running "$record"; then goes_on=yes; else goes_on=no; fi
	event aged "$(age_of_job)" "$(age_of_end)"
	built_from=''
	if find_build; then
		event builds "$built_one" "$(age_of_file "$record/builds")"
	fi
	! is_followed || event followed
	[ ! -e "$record/heard" ] || event heard
	[ "$goes_on" = no ] || [ -z "$built_from" ] || tell_progress "$built_from"
	tell_state "$record"
}

# find_build: sets $built_one to the derivation that the job of $record builds, and $built_from to the byte of its log at
# which that begins.
find_build() {
	IFS=' ' read -r built_one built_from <"$record/builds"
} 2>/dev/null

# tell_progress BYTE: passes on two lines of Nix's log from there on, if there are such: the beginning of the activity
# that counts builds, and its last counts. The client reads them, as it reads all of that log.
tell_progress() {
	counter=$(from_byte "$1" | grep -a '^@nix {.*"action":"start".*"type":104[,}]' | tail -n 1)
	number=$(printf '%s\n' "$counter" | sed -n 's/.*"id":\([0-9][0-9]*\).*/\1/p')
	[ -n "$number" ] || return 0
	printf '%s\n' "$counter"
	from_byte "$1" | grep -a "^@nix {.*\"action\":\"result\".*\"id\":$number,.*\"type\":105[,}]" | tail -n 1
}
from_byte() {
	tail -c "+$(($1 + 1))" "$record/log"
}

# age_of_job: prints for how many seconds the job of $record has been there. For a process that runs the kernel knows it,
# whatever became of the clock meanwhile: it counts in hundredths of a second from the start of the machine.
age_of_job() {
	age=''
	if [ "$goes_on" = yes ]; then
		ticks=$(began_at "$(cat "$record/process" 2>/dev/null)")
		uptime=''
		IFS=. read -r uptime _ </proc/uptime
		[ -z "$ticks" ] || [ -z "$uptime" ] || age=$((uptime - ticks / 100))
	fi
	[ "${age:--1}" -ge 0 ] || age=$(($(date +%s) - ${about##* }))
	echo "$age"
}

# age_of_end: prints how many seconds ago the job of $record ended, or "-" if it goes on. One that was cut off said its last
# word then.
age_of_end() {
	if [ "$goes_on" = yes ]; then
		echo -
	elif [ -e "$record/status" ]; then
		age_of_file "$record/status"
	else
		age_of_file "$record/log"
	fi
}

# cancel_jobs NAME...: ends these jobs, whoever follows them, and tells of each what it came to.
cancel_jobs() {
	find_records
	# Whoever comes from now on begins anew, and is not told that it was ended.
	lock_records || :
	for job_told; do bar_joining "$records/$job_told"; done
	unlock_records
	for job_told; do end_job_of "$records/$job_told"; done
	for job_told; do
		await_end "$records/$job_told"
		tell_job "$job_told"
	done
}
