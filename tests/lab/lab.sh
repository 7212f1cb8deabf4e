#!/bin/bash
# The lab: real machines (systemd, sshd, Nix) on a network of their own, to test `rebuild` in.
#
#   lab.sh up [HOST...]            make what is missing and start the hosts (pi and builder, or those named)
#   lab.sh down                    stop everything and take the network away
#   lab.sh reset [HOST...]         fresh hosts in a few seconds: whatever was written there is forgotten
#   lab.sh on HOST [-u USER] [--] COMMAND...
#                                  run a command in a host, as after a login; without one: a shell
#   lab.sh put HOST SOURCE DESTINATION      copy a file or directory into a host
#   lab.sh install FILE [NAME...]  put a built `rebuild` on the clients with its CPU; NAMEs become symlinks to it
#   lab.sh status                  what runs
#
# To make a test's trouble:
#   lab.sh nixconf HOST LINE       append a line to the host's nix.conf and restart its daemon, if any
#   lab.sh emulation on|off        whether this machine (so: any builder) can run arm64 programs
#   lab.sh cable HOST out|in       pull the host's network cable, plug it in again
#   lab.sh link HOST HOST out|silent|in
#                                  two hosts that do not reach each other ("No route to host", or no answer at all), and again
#   lab.sh slow HOST RATE|full     how fast the host can send, as tc has it: 16mbit
#   lab.sh cut HOST                stop the host as when the power is cut
#   lab.sh start HOST              boot it again, with the files it had
#   lab.sh pid HOST                its PID 1, as this machine numbers it
set -euo pipefail
. "$(dirname "$(readlink -f "$0")")/common.sh"
. "$LAB/hosts.sh"
. "$LAB/machine.sh"

usage() {
	sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0" >&2
	exit 2
}

check_hosts() {
	local host
	for host in "$@"; do
		is_host "$host" || die "there is no host '$host'; there are: $(host_names | tr '\n' ' ')"
	done
}

running_hosts() {
	local host
	for host in $(host_names); do ! is_running "$host" || printf '%s\n' "$host"; done
}

up() {
	local host layer
	# shellcheck disable=SC2046 # names, one word each
	[ $# -gt 0 ] || set -- $(host_names default)
	check_hosts "$@"
	lock_lab
	"$LAB/packages.sh"
	"$LAB/binfmt.sh" on
	for host in "$@"; do
		layer=$("$LAB/prepare.sh" "$host" 9>&-)
		if is_running "$host" && [ "$(cat "$STATE/run/$host/layer")" = "$layer" ]; then continue; fi
		say "starting $host ($(host_field "$host" address))"
		new_host "$host" "$layer"
	done
	for host in "$@"; do wait_for_host "$host"; done
	say "up: $(running_hosts | tr '\n' ' ')"
}

reset() {
	local host
	# A command that fails without a word would end this with nothing to look for.
	set -E
	trap 'echo "lab: error: this failed: $BASH_COMMAND" >&2' ERR
	# shellcheck disable=SC2046
	[ $# -gt 0 ] || set -- $(running_hosts)
	[ $# -gt 0 ] || die "no host is running (lab.sh up)"
	check_hosts "$@"
	lock_lab
	"$LAB/binfmt.sh" on
	for host in "$@"; do
		[ -e "$STATE/run/$host/layer" ] || die "$host was never up"
		new_host "$host" "$(cat "$STATE/run/$host/layer")"
		cable "$host" in
		slow "$host" full
		reach_again "$host"
	done
	for host in "$@"; do wait_for_host "$host"; done
}

down() {
	local host
	lock_lab
	for host in $(host_names); do
		kill_host "$host"
		remove_tree "$STATE/run/$host"
	done
	remove_network
	[ ! -d "$CGROUP" ] || rmdir "$CGROUP"
	# Whatever all labs share goes with the last one.
	if ! compgen -G "$CGROUP_MOUNT/rebuild-lab*" >/dev/null; then
		"$LAB/binfmt.sh" forget
		! mountpoint -q "$CGROUP_MOUNT" || umount "$CGROUP_MOUNT"
	fi
	say "down"
}

on() {
	local host=${1:?} user=root
	shift
	check_hosts "$host"
	while [ $# -gt 0 ]; do
		case $1 in
		-u) user=$2 && shift 2 ;;
		--) shift && break ;;
		*) break ;;
		esac
	done
	[ $# -gt 0 ] || set -- /bin/bash -i
	# This process only waits, too: see enter_host.
	trap : INT QUIT TERM HUP
	local code=0
	enter_host "$host" "$user" "$@" || code=$?
	exit "$code"
}

put() {
	[ $# = 3 ] || usage
	check_hosts "$1"
	# The files go as a stream, so that symlinks in the host's paths mean what they mean there.
	# shellcheck disable=SC2016
	tar -C "$(dirname "$2")" -cf - --owner=0 --group=0 "$(basename "$2")" |
		enter_host "$1" root sh -euc '
			scratch=$(mktemp -d)
			tar -C "$scratch" -xf -
			mkdir -p "$(dirname "$2")"
			if [ -d "$2" ] && [ ! -d "$scratch/$1" ]; then set -- "$1" "$2/$1"; fi
			if [ -d "$scratch/$1" ] && [ -d "$2" ]; then cp -RPp "$scratch/$1/." "$2/"
			else rm -rf "$2" && mv "$scratch/$1" "$2"; fi
			rm -rf "$scratch"' put "$(basename "$2")" "$3"
}

# cpu_of FILE : prints the CPU that an ELF file is for, as Debian calls it; nothing for a script.
cpu_of() {
	[ "$(head -c 4 "$1" | tail -c 3)" = ELF ] || return 0
	case $(od -An -tx1 -j18 -N1 "$1") in
	*3e) echo amd64 ;;
	*b7) echo arm64 ;;
	esac
}

# lend_libraries HOST : lets a program that was built for a newer C library than the host's run with trixie's.
lend_libraries() {
	local root
	root=$("$LAB/roots.sh" host trixie amd64)
	tar -C "$root/usr/lib/x86_64-linux-gnu" -chf - libc.so.6 libgcc_s.so.1 libm.so.6 ld-linux-x86-64.so.2 |
		enter_host "$1" root sh -euc '
			lent=/usr/local/lib/lent
			mkdir -p $lent
			tar -C $lent -xf -
			mv /usr/local/bin/rebuild $lent/rebuild
			printf "#!/bin/sh\nexec $lent/ld-linux-x86-64.so.2 --argv0 \"\$0\" --library-path $lent $lent/rebuild \"\$@\"\n" >/usr/local/bin/rebuild
			chmod 755 /usr/local/bin/rebuild'
}

install_program() {
	local file=$1 host name cpu
	shift
	cpu=$(cpu_of "$file")
	for host in $(running_hosts); do
		[ "$(host_field "$host" role)" = client ] || continue
		[ -z "$cpu" ] || [ "$cpu" = "$(host_field "$host" arch)" ] || continue
		enter_host "$host" root sh -euc '
			cat >/usr/local/bin/.rebuild
			chmod 755 /usr/local/bin/.rebuild
			mv /usr/local/bin/.rebuild /usr/local/bin/rebuild' <"$file"
		enter_host "$host" root /usr/local/bin/rebuild --version >/dev/null 2>&1 </dev/null || lend_libraries "$host"
		for name; do enter_host "$host" root ln -sfn rebuild "/usr/local/bin/$name"; done
	done
}

nixconf() {
	check_hosts "$1"
	# shellcheck disable=SC2016
	enter_host "$1" root sh -euc 'printf "%s\n" "$1" >>/etc/nix/nix.conf
		[ "$2" = daemon ] || exit 0
		systemctl stop nix-daemon.service
		systemctl start nix-daemon.socket nix-daemon.service' nixconf "$2" "$(host_field "$1" nix)"
}

cable() {
	local state=up
	check_hosts "$1"
	[ "$2" = in ] || state=down
	ip -n "$SWITCH" link set "to-$1" $state
}

slow() {
	check_hosts "$1"
	local of=("$(network_of "$1")" tc qdisc)
	if [ "$2" = full ]; then
		ip netns exec "${of[@]}" delete dev eth0 root 2>/dev/null || true
	else
		ip netns exec "${of[@]}" replace dev eth0 root tbf rate "$2" burst 64kb latency 200ms
	fi
}

# link HOST HOST out|silent|in : changes only the link between these two, in both directions.
link() {
	local from to
	check_hosts "$1" "$2"
	for from in "$1" "$2"; do
		if [ "$from" = "$1" ]; then to=$2; else to=$1; fi
		reach "$from" "$to"
		case $3 in
		out) ip -n "$(network_of "$from")" route add unreachable "$(host_field "$to" address)/32" ;;
		# The address leads to a network card that nobody has.
		silent) ip -n "$(network_of "$from")" neighbour replace "$(host_field "$to" address)" lladdr 02:00:00:00:00:01 dev eth0 nud permanent ;;
		in) ;;
		*) usage ;;
		esac
	done
}
# reach FROM TO : removes what `link` may have set there.
reach() {
	ip -n "$(network_of "$1")" route delete unreachable "$(host_field "$2" address)/32" 2>/dev/null || true
	ip -n "$(network_of "$1")" neighbour delete "$(host_field "$2" address)" dev eth0 2>/dev/null || true
}
reach_again() {
	local other
	for other in $(host_names); do
		if [ "$other" = "$1" ] || [ ! -e "/run/netns/$(network_of "$other")" ]; then continue; fi
		reach "$1" "$other"
		reach "$other" "$1"
	done
}

status() {
	local host state
	for host in $(host_names); do
		if ! is_running "$host"; then
			state="not running"
		elif ! has_systemd "$host"; then
			state="running (without systemd)"
		else
			state=$(enter_host "$host" root systemctl is-system-running </dev/null || true)
		fi
		printf '%-11s %-10s %s %s %s  %s\n' "$host" "$(host_field "$host" address)" \
			"$(host_field "$host" suite)" "$(host_field "$host" arch)" "$(host_field "$host" role)" "$state"
	done
}

[ $# -gt 0 ] || usage
command=$1
shift
need_root
case $command in
up) up "$@" ;;
down) down ;;
reset) reset "$@" ;;
on) on "$@" ;;
put) put "$@" ;;
install) install_program "$@" ;;
status) status ;;
nixconf) nixconf "$@" ;;
emulation) "$LAB/binfmt.sh" "$1" ;;
cable) cable "$@" ;;
slow) [ $# = 2 ] || usage
	slow "$@" ;;
link) [ $# = 3 ] || usage
	link "$@" ;;
cut) check_hosts "$1" && lock_lab && kill_host "$1" ;;
start) check_hosts "$1" && lock_lab && start_host "$1" && wait_for_host "$1" ;;
pid) first_process "$1" ;;
--boot) boot_host "$@" ;;
*) usage ;;
esac
