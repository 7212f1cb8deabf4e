# shellcheck shell=bash
# Starting, stopping and entering one host. Sourced, never run; hosts.sh and common.sh come first.
#
# A host is a systemd of its own, started by systemd-nspawn. Its cgroup ($CGROUP/HOST) holds it together: every process
# of the host is in it, so killing the cgroup ends the host, whatever happened to the command that had started it.

SWITCH=$LAB_NAME--switch # the network namespace that joins all hosts; it has no way out

network_of() { printf '%s--%s\n' "$LAB_NAME" "$1"; }

mount_cgroup() {
	mkdir -p "$CGROUP_MOUNT"
	mountpoint -q "$CGROUP_MOUNT" || mount -t cgroup2 cgroup2 "$CGROUP_MOUNT"
	mkdir -p "$CGROUP"
}

# --- the network: one bridge, and a cable to each host ------------------------------------------
connect_network() {
	local host=$1 network
	network=$(network_of "$host")
	if [ ! -e "/run/netns/$SWITCH" ]; then
		ip netns add "$SWITCH"
		ip -n "$SWITCH" link add lab type bridge
		ip -n "$SWITCH" link set lab up
	fi
	[ ! -e "/run/netns/$network" ] || return 0
	ip netns add "$network"
	ip -n "$SWITCH" link add "to-$host" type veth peer name eth0 netns "$network"
	ip -n "$SWITCH" link set "to-$host" master lab up
	ip -n "$network" address add "$(host_field "$host" address)/24" dev eth0
	ip -n "$network" link set lo up
	ip -n "$network" link set eth0 up
}

remove_network() {
	local network
	for network in $(ip netns list | awk -v ours="$LAB_NAME--" 'index($1, ours) == 1 { print $1 }'); do
		ip netns delete "$network"
	done
}

# --- one host -------------------------------------------------------------------------------------
# The process that is PID 1 in the host, as this machine numbers it. A systemd that boots moves itself from the first of
# the two cgroups into the second: whoever looks in the other order misses it while it moves. Its facts are read at once:
# line by line, bash goes back to the end of each line, where other lines may stand by then ("S (sleeping)", "R (running)").
first_process() {
	local process facts end=$'\n'
	# shellcheck disable=SC2013 # numbers, one word each
	for process in $(cat "$CGROUP/$1"/payload/{,init.scope/}cgroup.procs 2>/dev/null); do
		facts=''
		IFS= read -r -d '' facts 2>/dev/null <"/proc/$process/status" || :
		[[ $facts =~ ${end}NSpid:[^$end]*[[:space:]]1$end ]] || continue
		echo "$process"
		return
	done
}

# systemd 257 cannot start services when qemu-user emulates it (its way of cloning is not emulated). So an emulated host
# has no systemd: a shell starts the two daemons, and /run/systemd/system is missing there.
has_systemd() { [ "$(host_field "$1" arch)" = amd64 ]; }

# shellcheck disable=SC2016 # expanded in the host
PLAIN_INIT='
system=$(readlink -f /nix/var/nix/profiles/system)
ln -sfn "$system" /run/current-system
ln -sfn "$system" /run/booted-system
mkdir -p /run/sshd
/usr/sbin/sshd
exec nix-daemon --daemon
'

is_running() { [ -n "$(first_process "$1")" ]; }

# start_host calls this in the new mount namespace.
boot_host() {
	local host=$1 layer=$2 run=$STATE/run/$1
	echo $BASHPID >"$CGROUP/$host/cgroup.procs"
	exec 9>&-
	mount -t overlay -o "lowerdir=$layer/upper:$(cat "$layer/lower"),upperdir=$run/upper,workdir=$run/work" \
		"$host" "$run/root"
	# nspawn and the systemd inside need plain cgroup v2, whatever this machine has there.
	mount -t cgroup2 cgroup2 /sys/fs/cgroup
	local start=(--boot)
	has_systemd "$host" || start=(--as-pid2 /bin/sh -c "$PLAIN_INIT")
	exec systemd-nspawn --quiet --settings=no --register=no --keep-unit --console=pipe \
		--network-namespace-path="/run/netns/$(network_of "$host")" --link-journal=no \
		--resolv-conf=off --timezone=off --machine="$host" --hostname="$host" \
		--directory="$run/root" "${start[@]}"
}

# start_host HOST : boots it with the files that it had, and returns at once.
start_host() {
	local host=$1 run=$STATE/run/$1
	! is_running "$host" || return 0
	# Every systemd takes about twenty of them. If there are too few, its logind does not answer, and each login waits 25
	# seconds.
	[ "$(cat /proc/sys/fs/inotify/max_user_instances)" -ge 2048 ] || echo 2048 >/proc/sys/fs/inotify/max_user_instances
	mount_cgroup
	connect_network "$host"
	clear_cgroup "$host"
	mkdir -p "$CGROUP/$host" "$run/upper" "$run/root"
	remove_tree "$run/work"
	mkdir "$run/work"
	# The host is a session of its own, without the input or output of this command: it stays when this command ends. It
	# keeps the lock until it is in its cgroup, so that a `down` after kill -9 of this command cannot miss it.
	setsid unshare --mount --propagation private "$LAB/lab.sh" --boot "$host" "$(cat "$run/layer")" \
		</dev/null >"$run/console.log" 2>&1 6>&- &
}

# new_host HOST LAYER : forgets what the host had written, then boots it.
new_host() {
	local run=$STATE/run/$1
	kill_host "$1"
	remove_tree "$run"
	mkdir -p "$run"
	printf '%s\n' "$2" >"$run/layer"
	start_host "$1"
}

clear_cgroup() {
	[ -d "$CGROUP/$1" ] || return 0
	echo 1 >"$CGROUP/$1/cgroup.kill"
	until_true 60 cgroup_is_empty "$1" || die "processes of $1 cannot be killed: $(pgrep --cgroup "/$LAB_NAME/$1" | tr '\n' ' ')"
	find "$CGROUP/$1" -depth -type d -exec rmdir {} + 2>/dev/null || true
}
cgroup_is_empty() { grep -q '^populated 0' "$CGROUP/$1/cgroup.events"; }

# This is as if the power were cut.
kill_host() { clear_cgroup "$1"; }

# wait_for_host HOST : waits until it has started completely; if something failed, says what.
wait_for_host() {
	local host=$1
	until_true 30 is_running "$host" || {
		tail -n 20 "$STATE/run/$host/console.log" >&2
		die "$host did not boot"
	}
	if has_systemd "$host"; then wait_for_systemd "$host"; else
		until_true 120 daemons_answer "$host" || die "the daemons of $host do not answer"
	fi
	until_true 30 nix_answers "$host" || die "the Nix daemon of $host does not answer"
	show_emulation "$host"
}
# These three are asked again and again, so they are shells of their own: a host that cannot be entered yet (or no longer)
# answers with no, and does not end whoever asks, without a word.
daemons_answer() (
	enter_host "$1" root sh -c 'test -S /nix/var/nix/daemon-socket/socket && ls /run/sshd.pid' \
		</dev/null >/dev/null 2>&1
)

# The first connection starts the daemon, and the daemon has reset some of several first connections at once.
nix_answers() (
	[ "$(host_field "$1" nix)" = daemon ] || exit 0
	# shellcheck disable=SC2016 # the host's shell expands it; past the watchers, which would note the call
	enter_host "$1" root sh -c 'PATH=/usr/lib/nix-real:$PATH NIX_REMOTE=daemon
		export PATH NIX_REMOTE
		nix-store --check-validity --print-invalid /nix/store/00000000000000000000000000000000-none' \
		</dev/null >/dev/null 2>&1
)

wait_for_systemd() {
	local host=$1 state
	until_true 120 systemd_answers "$host" || die "the systemd of $host does not answer"
	state=$(enter_host "$host" root systemctl is-system-running --wait </dev/null || true)
	[ "$state" = running ] || {
		enter_host "$host" root systemctl --failed --no-pager >&2 </dev/null || true
		die "$host came up '$state', not 'running'"
	}
}
systemd_answers() (enter_host "$1" root test -S /run/systemd/private </dev/null 2>/dev/null)

show_emulation() {
	# Here the users of a host see whether it emulates other CPUs. It is read-only, because it is this machine's. (The
	# /proc that nspawn mounts later would hide its own --bind-ro.)
	enter_host "$1" root sh -euc 'cd /proc/sys/fs/binfmt_misc
		[ -e status ] || [ -e register ] || {
			mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc
			mount -o remount,bind,ro /proc/sys/fs/binfmt_misc
		}' </dev/null
}

# enter_host HOST USER COMMAND... : runs a command in the host, with the environment of a login.
#
# All processes in between ignore the signals of a terminal, and only the command does not: it alone decides what Ctrl-C
# does, and its exit code is what comes back. (nsenter has to fork: an emulated program cannot make threads while its
# children would be in another PID namespace.)
enter_host() {
	local host=$1 user=$2
	shift 2
	local process
	process=$(first_process "$host")
	[ -n "$process" ] || die "$host is not running (lab.sh up)"
	[ -d "$CGROUP/$host/entered" ] || mkdir -p "$CGROUP/$host/entered"
	# This is a subshell, because it moves into the host's cgroup: what was started in the host ends with the host.
	(
		echo $BASHPID >"$CGROUP/$host/entered/cgroup.procs"
		trap '' INT QUIT TERM HUP
		exec nsenter --target "$process" --mount --uts --ipc --net --pid --cgroup -- \
			/bin/sh -c "$ENTER" enter "$user" "${TERM:-dumb}" "$@"
	)
}

# shellcheck disable=SC2016 # expanded in the host
ENTER='
user=$1 term=$2
shift 2
account=$(getent passwd "$user") || { echo "there is no user $user" >&2; exit 127; }
shell=${account##*:}
home=${account%:*}
home=${home##*:}
path=/run/wrappers/bin:$home/.nix-profile/bin:/nix/var/nix/profiles/default/bin:/run/current-system/sw/bin
path=$path:/usr/local/bin:/usr/bin:/bin
[ "$user" != root ] || path=$path:/usr/local/sbin:/usr/sbin:/sbin
cd "$home" || cd /
# shellcheck disable=SC2046
env -i --default-signal=INT,QUIT,TERM,HUP PATH="$path" HOME="$home" USER="$user" LOGNAME="$user" SHELL="$shell" TERM="$term" LANG=C.UTF-8 \
	$(cat /etc/environment) setpriv --reuid="$user" --regid="$user" --init-groups -- "$@"
exit $?
'
