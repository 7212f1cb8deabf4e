# shellcheck shell=sh
# How much memory the evaluator's garbage collector takes at first. Nix itself takes a quarter of the machine's memory and at
# most 384 MiB, so that it collects garbage several times in an evaluation of NixOS, which has hardly any garbage. With
# more room it is faster. The memory is only used as the evaluation needs it; but without a collection it needs more, so
# what others use counts.

# print_heap: prints the variable that says it, as text for a shell; nothing if Nix's own choice is the better one.
print_heap() {
	heap=$(first_heap "$(memory_to_spare)")
	[ -z "$heap" ] || echo "export GC_INITIAL_HEAP_SIZE=$heap"
}

# memory_to_spare: prints how many MiB nobody needs now: of this machine, and of each limit above this login.
memory_to_spare() {
	spare=$(sed -n 's/^MemAvailable: *\([0-9]*\) kB$/\1/p' /proc/meminfo)
	spare=$((${spare:-0} / 1024))
	above=$(sed -n 's/^0:://p' /proc/self/cgroup)
	while [ -n "${above#/}" ]; do
		most=$(cat "/sys/fs/cgroup$above/memory.max") && used=$(cat "/sys/fs/cgroup$above/memory.current") || most=''
		case $most in
		'' | *[!0-9]*) ;;
		*) [ "$(((most - used) / 1048576))" -ge "$spare" ] || spare=$(((most - used) / 1048576)) ;;
		esac
		above=${above%/*}
	done
	echo "$spare"
} 2>/dev/null

# first_heap MIB: prints, in bytes, a quarter of that, and no more than 2 GiB, which is what an evaluation of NixOS needs.
# Prints nothing below 512 MiB.
first_heap() {
	part=$((${1:-0} / 4))
	[ "$part" -le 2048 ] || part=2048
	[ "$part" -lt 512 ] || echo "$((part * 1048576))"
}
