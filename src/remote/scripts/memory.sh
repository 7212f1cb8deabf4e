# shellcheck shell=sh
# How much memory this machine has.

# find_memory: sets $memory and $swap, in MiB, and $limit to how much of that this login may take; empty if there is no
# limit. The nearest limit of this login's own groups counts.
find_memory() {
	memory=0 swap=0 limit=''
	while read -r field amount _; do
		case $field in
		MemTotal:) memory=$((amount / 1024)) ;;
		SwapTotal:) swap=$((amount / 1024)) ;;
		esac
	done </proc/meminfo
	group=$(sed -n 's/^0:://p' /proc/self/cgroup)
	while [ -n "${group#/}" ]; do
		limit=$(cat "/sys/fs/cgroup$group/memory.max" 2>/dev/null) || limit=''
		case $limit in
		'' | *[!0-9]*) limit='' group=${group%/*} ;;
		*)
			limit=$((limit / 1048576))
			break
			;;
		esac
	done
} 2>/dev/null
