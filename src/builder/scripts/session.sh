# shellcheck shell=sh
# What every run on this machine has, whatever it is for: its streams, its end, its Nix and its directories. With it go
# events.sh, channel.sh, records.sh, held.sh, detached.sh, attended.sh, nix.sh, kept.sh, emulators.sh, logout.sh and preflight.sh. The client sends this text with each run: nothing of this
# project is installed here, and only what is kept ($state) is left when the run ends. The client's words come first,
# quoted; then the parts that this run takes, which only define functions; and last the instructions, each a line that
# calls one of these functions (src/builder/parts.rs).
#
# Takes
#   rb_client         names what is kept here: a host name, "-" and the client's random number; a file name
#   rb_client_stays   "no" if nobody will come back under that name: then nothing is kept, but for a job that was left
#   rb_socket         the socket that ssh makes here for this run, and that ends with it; empty if there is none
#   rb_job            names the jobs of this run; no other run has it
#   rb_about          what the client calls them (words)
#   rb_alone          a job that nobody follows ends after so many minutes
# Gives
#   $nix_bin          the directory of Nix's programs
#   $native_system    the system that this machine is itself
#   $cache            below which $state lies
#   $state            what is kept for this client, from run to run
#   $work             this run's directory, below $state
#   $share            this run's directory that is at the same place in the view
#   $way              as whom files are handled that are shut (way.sh); empty is this user
#   $code             the exit status of what was attended
#   $listeners        processes that read the log of the next command from $work/said. A part starts them and sets this;
#                     `attend` waits for them, and sets this to none
#   $helpers          processes that end with the run (`ends_with_run`)
#   $records          the directory of all records of this client
#   $record           the record of the job
#   $about            what a record is about, and when its job began
#   $came_to          what the last job came to (detached.sh)
#   $drv, $out        the derivation and the output that it left
# Says
#   hello, logout, room, job, joined, idle, record, running, chunk, alive, ended, lost, unstarted, finished, failed

# begin_run: greets the client, and finds out what this machine is and where things are kept.
begin_run() {
	take_streams
	find_home
	find_nix
	native_system=$(uname -m)-linux
	find_state
	event hello "$nix_bin" "$native_system"
}

# take_streams: from now on the client is at descriptors 3, 1 and 2, and hears that this script lives. However the
# script ends, it cleans up.
take_streams() {
	set -u
	umask 077
	# Names and contents are bytes, in one order.
	export LC_ALL=C
	# A person's own options for these programs must not apply here: TAR_OPTIONS=--exclude=... would give other files.
	unset GREP_OPTIONS POSIXLY_CORRECT QUOTING_STYLE CDPATH
	# Only GNU tar reads this. It is no news that the client's clock is ahead.
	export TAR_OPTIONS=--warning=no-timestamp
	exec 3<&0 </dev/null
	pulse=''
	# If both were one stream, lines would mix.
	# shellcheck disable=SC3013 # dash, bash and busybox have it
	[ /proc/self/fd/1 -ef /proc/self/fd/2 ] || {
		live >&2 2>/dev/null 3<&- &
		pulse=$!
	}
	exec 2>&1
	child='' watcher='' helpers='' listeners='' work='' share='' state='' way=''
	worker='' follower='' jobs=0 followed='' is_detached='' is_left=''
	trap clean_up EXIT
	trap 'exit 130' TERM INT
	# The link is gone, and with it the client.
	trap 'is_left=yes; exit 129' HUP
	trap 'is_left=yes; exit 141' PIPE
}

# clean_up: ends all processes and removes what the run has made. The holder ends when file descriptor 6 is closed
# (roots.sh).
clean_up() {
	trap '' TERM INT HUP PIPE
	[ -z "$pulse" ] || kill "$pulse" 2>/dev/null
	[ -n "$is_left" ] || end_followed || is_left=yes
	if [ -n "$worker" ] && [ -n "$is_left" ]; then
		# From now on the job owns what this run has made (detached.sh), unless it is over.
		# shellcheck disable=SC2086 # words
		end_all $watcher $follower
		[ -z "$rb_socket" ] || rm -f "$rb_socket"
		make_file "$work/left" 2>/dev/null
		[ -e "$work/over" ] || return 0
		watcher='' follower=''
	fi
	# shellcheck disable=SC2086 # words
	end_all $worker $child $watcher $follower $helpers $listeners
	exec 6<&-
	wait
	mark_jobs
	[ -z "$work" ] || own rm -rf "$work" || rm -rf "$work"
	[ -z "$share" ] || rm -rf "$share"
	[ -z "$rb_socket" ] || rm -f "$rb_socket"
	# A client that cannot keep its name comes back under it only to a job, after its link broke.
	[ "$rb_client_stays" = no ] && [ -n "$work" ] || return 0
	[ -z "$is_left" ] || [ -z "$followed" ] || return 0
	own rm -rf "$state" || rm -rf "$state"
}

# is_presumed SYSTEM: whether SYSTEM is not this machine's own and the kernel has an emulator registered for it, under
# Debian's name or NixOS's.
is_presumed() {
	[ "$1" != "$native_system" ] || return 1
	for name_of_emulator in $(names_of_emulator "$1"); do
		[ ! -e "/proc/sys/fs/binfmt_misc/$name_of_emulator" ] || return 0
	done
	return 1
}

finish_run() {
	event finished
	exit 0
}
