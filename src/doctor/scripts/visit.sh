# shellcheck shell=sh
# What `rebuild doctor` looks at on a machine, whatever the machine is for. Facts are told here and judged by the client
# (src/doctor/judge). Nothing is changed, and what is made for a trial is taken away again.
#
# With it go parts of the runs' own scripts, so that a doctor looks at what a run will meet: memory.sh, nix.sh, kept.sh (find_home),
# way.sh (find_way), emulation.sh (probe), logout.sh (try_to_outlive).
#
# Takes
#   rb_system     the system that is built for; empty to take this machine's own
#   rb_probe      a program of that system (emulation.sh); empty if there is none
#   rb_socket     the socket that ssh makes here, to see whether it does; empty if there is none
#   rb_echo       how many bytes the client sends, and gets back, to see whether they come through; 0 for none
#   rb_job        names the scope of systemd in which this script may go on (logout.sh)
#   rb_elevation  how the user becomes root: none, sudo, doas, run0
# Says
#   is, looks, chunk, finished

# fact NAME VALUE...: tells the client one thing. Values are numbers and words; only the last one may have blanks.
fact() {
	printf '@rebuild is %s\n' "$*"
}

# looks WORD: tells that from now on it is this condition that is looked at, because that may take a while.
looks() {
	printf '@rebuild looks %s\n' "$1"
}

begin_visit() {
	set -u
	umask 077
	export LC_ALL=C
	exec 3<&0 </dev/null 2>&1
	work='' share='' let_in=''
	trap leave EXIT
	trap 'exit 130' TERM INT HUP
	trap 'exit 141' PIPE
	look_at_link
	fact clock "$(date +%s)"
	fact name "$(uname -n)"
	fact user "$(id -u)" "$(id -un)"
	native_system=$(uname -m)-linux
	fact machine "$native_system"
	look_at_memory
	look_at_nix
}

leave() {
	trap '' TERM INT HUP PIPE
	[ -z "$work" ] || rm -rf "$work"
	[ -z "$share" ] || rm -rf "$share"
	[ -z "$rb_socket" ] || rm -f "$rb_socket"
}

end_visit() {
	printf '@rebuild finished\n'
	exit 0
}

# look_at_link: takes as much as the client sends, and sends as much back. The script itself came as large packets, so
# the way here is known to be good by now.
look_at_link() {
	[ "$rb_echo" != 0 ] || return 0
	looks large-packets
	fact heard "$(dd bs="$rb_echo" count=1 iflag=fullblock <&3 2>/dev/null | wc -c)"
	printf '@rebuild chunk %s\n' "$rb_echo"
	dd if=/dev/zero bs="$rb_echo" count=1 2>/dev/null
}

# look_at_memory: MiB of memory, of swap, and of what this login may take of it (0 if there is no limit).
look_at_memory() {
	find_memory
	fact memory "$memory" "$swap" "${limit:-0}"
}

# look_at_nix: sets $nix_bin, empty if there is no Nix.
look_at_nix() {
	find_nix_or_none
	fact nix "$nix_bin"
	[ -z "$nix_bin" ] || {
		version=$("$nix_bin/nix-store" --version 2>/dev/null)
		fact version "${version##* }"
	}
}

# room NAME DIRECTORY: how many KiB are free there for this user, and the place where that file system is mounted.
room() {
	[ -d "$2" ] || return 0
	df -Pk "$2" 2>/dev/null | tail -n 1 | while read -r _ _ _ free _ place; do fact "room-$1" "$free" "$place"; done
}
