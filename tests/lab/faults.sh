#!/bin/bash
# faults.sh [TIMES] : runs all of the lab's cases of faults, so many times in a row (20). The lab has to be up. Stops at
# the first time at which one fails.
set -euo pipefail
lab=$(dirname "$(readlink -f "$0")")
mapfile -t cases < <(basename -s .sh "$lab"/cases/*-faults-*.sh)
for time in $(seq "${1:-20}"); do
	echo "time $time of ${1:-20}"
	"$lab/cases.sh" "${cases[@]}"
done
