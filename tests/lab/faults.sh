#!/bin/bash
# faults.sh [TIMES [LABS]] : runs all of the lab's cases of faults, so many times (20), in so many labs side by side (2). The
# lab has to be up. No other case is begun once one has failed. What a failed case had written stays in its lab's failed/.
set -euo pipefail
. "$(dirname "$(readlink -f "$0")")/common.sh"
mapfile -t all < <(basename -s .sh "$LAB"/cases/*-faults-*.sh)
exec "$LAB/cases.sh" --labs "${2:-2}" --times "${1:-20}" --stop "${all[@]}"
