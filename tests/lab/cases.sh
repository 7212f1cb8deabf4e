#!/bin/bash
# cases.sh [NAME...] : runs the lab's test cases: all of them, or those named (a file of cases/, e.g. "00-lab", or a
# single case). The lab has to be up.
#
# A case is a function case_NAME in a file of cases/. REBUILD_PROGRAM names the program that `fresh` installs on the
# clients; without it, the one that cargo built for release is taken, if it exists.
set -euo pipefail
. "$(dirname "$(readlink -f "$0")")/common.sh"
need_root
use_lab

if [ -z "${REBUILD_PROGRAM+set}" ] && [ -x "$CACHE/target/release/rebuild" ]; then
	REBUILD_PROGRAM=$CACHE/target/release/rebuild
fi
export REBUILD_PROGRAM

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
trap 'echo; echo "interrupted" >&2; exit 130' INT TERM

passed=0
failed=()

cases_in() { sed -n 's/^case_\([A-Za-z0-9_]*\)().*/\1/p' "$1"; }

is_wanted() { # FILE CASE NAMES...
	local file=$1 name=$2 wanted
	shift 2
	[ $# -gt 0 ] || return 0
	for wanted; do
		case $wanted in "$file" | "$name" | "case_$name") return 0 ;; esac
	done
	return 1
}

run_case() { # FILE NAME
	local begin=$EPOCHREALTIME milliseconds code=0
	CASE=$scratch/$2
	mkdir -p "$CASE"
	(
		. "$LAB/assert.sh"
		# shellcheck source=/dev/null
		. "$1"
		set -eu
		"case_$2"
	) >"$CASE/log" 2>&1 || code=$?
	# A screen that a failed case has left behind would hold the lab's lock.
	[ ! -S "$CASE/tmux" ] || tmux -S "$CASE/tmux" kill-server 2>/dev/null || true
	milliseconds=$(((${EPOCHREALTIME/[.,]/} - ${begin/[.,]/}) / 1000))
	local seconds
	seconds=$(printf '%d.%d s' $((milliseconds / 1000)) $((milliseconds % 1000 / 100)))
	if [ $code = 0 ]; then
		passed=$((passed + 1))
		printf 'ok %s (%s)\n' "$2" "$seconds"
	else
		failed+=("$2")
		printf 'FAILED %s (%s)\n' "$2" "$seconds"
		cat "$CASE/log"
	fi
}

found=0
for file in "$LAB"/cases/*.sh; do
	short=$(basename "$file" .sh)
	for name in $(cases_in "$file"); do
		is_wanted "$short" "$name" "$@" || continue
		found=$((found + 1))
		run_case "$file" "$name"
	done
done
[ $found -gt 0 ] || die "no test case is called: $*"

[ ${#failed[@]} = 0 ] || printf 'failed: %s\n' "${failed[*]}"
printf '%d passed, %d failed\n' "$passed" ${#failed[@]}
[ ${#failed[@]} = 0 ]
