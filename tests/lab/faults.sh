#!/bin/bash
# faults.sh [TIMES] [CASE...] : runs all of the lab's cases of faults (or those named), so many times in a row (20), in two
# labs side by side. The lab has to be up. Stops at the first case that fails, and says in which time. What that case had
# written stays in its lab's failed/, and everything that was said in the lab's faults.log.
set -euo pipefail
. "$(dirname "$(readlink -f "$0")")/common.sh"
need_root
use_lab

times=${1:-20}
shift $(($# > 0))
[ $# -gt 0 ] || mapfile -t all < <(basename -s .sh "$LAB"/cases/*-faults-*.sh)
[ $# -gt 0 ] || set -- "${all[@]}"
: >"$STATE/faults.log"
for time in $(seq "$times"); do
	echo "time $time of $times"
	"$LAB/cases.sh" --labs 2 --stop "$@" 2>&1 | tee -a "$STATE/faults.log" || {
		echo "failed in time $time of $times, after $((time - 1)) that passed: $STATE/faults.log, $STATE*/failed/"
		exit 1
	}
done
echo "passed $times times in a row"
