#!/bin/bash
# cases.sh [--labs N] [--times N] [--stop] [NAME...] : runs the lab's test cases: all of them, or those named (a file of
# cases/, e.g. "00-lab", or a single case). The lab has to be up.
#
#   --labs N   N labs side by side, which take the cases from one queue. The others are brought up, and taken down at the end.
#   --times N  each of them so many times: after all the others have been run once, all of them again
#   --stop     once a case has failed, no other one is begun
#
# A case is a function case_NAME in a file of cases/. A case that changes what belongs to the whole machine, or is about seconds, has
# `# alone` behind its first line's brace: no other case runs on this machine meanwhile, in whatever lab. REBUILD_PROGRAM names the
# program that `fresh` installs on the clients; without it, the one that cargo built for release is taken, if it exists.
# What a failed case had written stays in the lab's failed/.
set -euo pipefail
. "$(dirname "$(readlink -f "$0")")/common.sh"
need_root

# These belong to the machine. A case holds `machine`, with others or alone; who waits for it holds `turn`, so that somebody
# who wants it alone is not overtaken for ever.
MACHINE=/run/rebuild-lab/machine
TURN=/run/rebuild-lab/turn

# cases_in FILE : prints their names, with `alone` behind those that have to be.
cases_in() { sed -n -e 's/^case_\([A-Za-z0-9_]*\)() { # alone$/\1 alone/p;t' -e 's/^case_\([A-Za-z0-9_]*\)().*/\1/p' "$1"; }

is_wanted() { # FILE CASE NAMES...
	local file=$1 name=$2 wanted
	shift 2
	[ $# -gt 0 ] || return 0
	for wanted; do
		case $wanted in "$file" | "$name" | "case_$name") return 0 ;; esac
	done
	return 1
}

# queue_of NAMES... : prints "FILE CASE shared|alone" for each case that is wanted. Those that have to be alone come first,
# so that no lab stands still for them in the midst of it.
queue_of() {
	local file name alone
	for file in "$LAB"/cases/*.sh; do
		while read -r name alone; do
			! is_wanted "$(basename "$file" .sh)" "$name" "$@" || printf '%s %s %s\n' "$file" "$name" "${alone:-shared}"
		done < <(cases_in "$file")
	done | sort --stable --key=3,3
}

# --- one lab ----------------------------------------------------------------------------------------
hold_machine() { # shared|alone
	local how=--shared
	[ "$1" = shared ] || how=--exclusive
	exec 4>"$MACHINE" 5>"$TURN"
	flock 5
	flock $how 4
	exec 5>&-
}
let_machine_go() { exec 4>&-; }

run_case() { # FILE NAME shared|alone
	local begin=$EPOCHREALTIME milliseconds seconds code=0 word=ok
	CASE=$scratch/$2
	mkdir -p "$CASE"
	hold_machine "$3"
	(
		exec 4>&-
		export CASE_IS_ALONE=$3
		. "$LAB/assert.sh"
		# shellcheck source=/dev/null
		. "$1"
		set -eu
		"case_$2"
	) >"$CASE/log" 2>&1 || code=$?
	[ "$3" = shared ] || "$LAB/binfmt.sh" on
	let_machine_go
	# A screen that a failed case has left behind would hold the lab's lock.
	[ ! -S "$CASE/tmux" ] || tmux -S "$CASE/tmux" kill-server 2>/dev/null || true
	milliseconds=$(((${EPOCHREALTIME/[.,]/} - ${begin/[.,]/}) / 1000))
	seconds=$(printf '%d.%d s' $((milliseconds / 1000)) $((milliseconds % 1000 / 100)))
	[ $code = 0 ] || word=FAILED
	tell "$word" "$2" "$seconds"
	[ $code = 0 ] || keep "$2"
	rm -rf --one-file-system "$CASE"
}
# tell ok|FAILED CASE SECONDS : a case's lines stay together.
tell() {
	exec 5>"$queue/telling"
	flock 5
	printf '%s %s (%s)\n' "$@"
	[ "$1" = ok ] || cat "$CASE/log"
	printf '%s %s\n' "$1" "$2" >>"$queue/results"
	exec 5>&-
}
keep() {
	mkdir -p "$STATE/failed"
	remove_tree "$STATE/failed/$1"
	cp -a "$CASE" "$STATE/failed/$1"
}

# next_case : takes the next line of the queue into $REPLY.
next_case() {
	local taken
	[ ! -e "$queue/stop" ] || ! grep -q ^FAILED "$queue/results" || return 1
	exec 5>"$queue/taking"
	flock 5
	taken=$(wc -l <"$queue/taken")
	REPLY=$(sed -n "$((taken + 1))p" "$queue/cases")
	[ -z "$REPLY" ] || printf '%s\n' "$REPLY" >>"$queue/taken"
	exec 5>&-
	[ -n "$REPLY" ]
}

# take_cases QUEUE NUMBER : runs cases in this lab, which is the first one or another one, for as long as there are some.
take_cases() {
	local file name how
	queue=$1
	use_lab
	[ "$2" = 1 ] || "$LAB/lab.sh" up
	scratch=$(mktemp -d)
	trap 'rm -rf --one-file-system "$scratch"' EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM
	while next_case; do
		read -r file name how <<<"$REPLY"
		run_case "$file" "$name" "$how"
	done
}

# --- all of them --------------------------------------------------------------------------------
# The others' names begin with that of this lab.
lab_of() { if [ "$1" = 1 ]; then printf '%s\n' "${REBUILD_LAB:-}"; else printf '%s\n' "${REBUILD_LAB:+$REBUILD_LAB-}$1"; fi; }

work_in() { # NUMBER
	[ "$1" = 1 ] || unset REBUILD_LAB_IS_OURS
	REBUILD_LAB=$(lab_of "$1") exec "$LAB/cases.sh" --take "$queue" "$1"
}

end_labs() {
	local number group
	for group in "${groups[@]}"; do kill -TERM -- "-$group" 2>/dev/null || true; done
	wait
	for number in $(seq 2 "$labs"); do REBUILD_LAB=$(lab_of "$number") "$LAB/lab.sh" down 2>/dev/null || true; done
	rm -rf "$queue"
}

run_all() {
	local number passed failed wanted group time
	use_lab
	if [ -z "${REBUILD_PROGRAM+set}" ] && [ -x "$CACHE/target/release/rebuild" ]; then
		REBUILD_PROGRAM=$CACHE/target/release/rebuild
	fi
	export REBUILD_PROGRAM
	queue=$(mktemp -d)
	groups=()
	trap end_labs EXIT
	trap 'echo; echo "interrupted" >&2; exit 130' INT
	trap 'exit 143' TERM
	mkdir -p "$(dirname "$MACHINE")"
	queue_of "$@" >"$queue/once"
	[ -s "$queue/once" ] || die "no test case is called: $*"
	for time in $(seq "$times"); do cat "$queue/once"; done >"$queue/cases"
	wanted=$(wc -l <"$queue/cases")
	: >"$queue/taken"
	: >"$queue/results"
	[ -z "$stop" ] || : >"$queue/stop"
	# A process group for each: a plain & would make all commands in it ignore Ctrl-C, which cases send.
	set -m
	for number in $(seq "$labs"); do
		work_in "$number" </dev/null &
		groups+=($!)
	done
	set +m
	for group in "${groups[@]}"; do wait "$group" || say "one of the labs ended with status $?"; done
	passed=$(grep -c ^ok "$queue/results" || true)
	failed=$(sed -n 's/^FAILED //p' "$queue/results" | tr '\n' ' ')
	[ -z "$failed" ] || printf 'failed: %s\n' "$failed"
	printf '%d passed, %d failed, %d not run\n' "$passed" "$(wc -w <<<"$failed")" $((wanted - $(wc -l <"$queue/results")))
	[ "$passed" = "$wanted" ]
}

labs=1 times=1 stop=
while [ $# -gt 0 ]; do
	case $1 in
	--take)
		take_cases "$2" "$3"
		exit
		;;
	--labs) labs=$2 && shift ;;
	--times) times=$2 && shift ;;
	--stop) stop=yes ;;
	*) break ;;
	esac
	shift
done
run_all "$@"
