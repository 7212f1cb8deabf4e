# shellcheck shell=bash
# What every script of the lab shares: where things lie, how it speaks, how it locks.
# Sourced, never run.

LAB=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck disable=SC2034 # used by those who source this file
REPOSITORY=$(cd "$LAB/../.." && pwd)

# These are made once and kept: roots, cargo's downloads and its target directory.
CACHE=/var/cache/rebuild-lab
# Several labs can be up at once, for several people at work: REBUILD_LAB=NAME makes a lab of its own.
LAB_NAME=rebuild-lab${REBUILD_LAB:+-$REBUILD_LAB}
# The state of the lab that is up: layers, keys, the hosts' writable parts. It is on a disk, because overlayfs keeps
# extended attributes there, and because a test may write hundreds of megabytes.
STATE=/var/lib/$LAB_NAME
# The lab mounts the cgroup v2 tree itself: then it does not matter where the machine has mounted it (v1, hybrid, v2).
CGROUP_MOUNT=/run/rebuild-lab/cgroup
CGROUP=$CGROUP_MOUNT/$LAB_NAME

say() { printf 'lab: %s\n' "$*" >&2; }
die() { printf 'lab: error: %s\n' "$*" >&2; exit 1; }

need_root() { [ "$(id -u)" = 0 ] || die "the lab makes network namespaces and mounts: run it as root"; }

# hash_of FILE-OR-DIRECTORY... : prints one short name for the contents of all of them.
hash_of() {
	find "$@" -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum |
		sha256sum | cut -c1-12
}

# Only one change of the lab happens at a time; a second `up` waits for the first. The lock is held through an open
# file, so it ends with the process that took it, even after kill -9.
lock_lab() {
	mkdir -p "$STATE"
	exec 9>"$STATE/lock"
	flock --nonblock 9 && return
	say "another lab command is at work, waiting for it"
	flock --timeout 1800 9 || die "the other lab command did not end within 30 minutes"
}

# use_lab : allows one test run or demonstration at a time, because they reset the hosts. A script that runs inside
# another one (cases.sh in run.sh) does not wait for it.
use_lab() {
	[ -z "${REBUILD_LAB_IS_OURS:-}" ] || return 0
	mkdir -p "$STATE"
	exec 6>"$STATE/in-use"
	flock --nonblock 6 || {
		say "another test run uses the lab, waiting for its end"
		flock --timeout 3600 6 || die "the other test run did not end within an hour"
	}
	export REBUILD_LAB_IS_OURS=yes
}

# until_true SECONDS COMMAND... : repeats the command in small steps, up to a deadline. What takes longer is asked for less
# often: a question to a host is a dozen processes, and several labs share two cores.
until_true() {
	local begin=$SECONDS seconds=$1 pause=0.1
	shift
	until "$@"; do
		[ "$SECONDS" -lt $((begin + seconds)) ] || return 1
		[ "$SECONDS" -lt $((begin + 2)) ] || pause=0.3
		sleep $pause
	done
}

# remove_tree DIRECTORY : never removes across a mount that an interrupted run may have left behind.
remove_tree() {
	[ -e "$1" ] || return 0
	rm -rf --one-file-system "$1"
}
