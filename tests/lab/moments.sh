# shellcheck shell=bash
# What the cases of faults have in common: a run that is held at a moment, what has to be as it was afterwards, and what
# must not be there any more. Sourced by files of cases/.
#
# docs/faults.md has a row for each fault at each moment, and names the case that shows it (tests/documents.rs).

# given_machines [HOST...] : fresh hosts (pi, builder, and these), on which one run has gone well. What is there now is
# all that may be there after a fault, besides what `is_meant_to_stay` names.
given_machines() {
	machines="pi builder $*"
	# shellcheck disable=SC2086 # names
	fresh $machines
	# A build sees the gate, notes there that it has begun, and waits until it is open.
	must_on builder install -d -m 1777 /srv/gate
	must lab nixconf builder 'extra-sandbox-paths = /srv/gate'
	number=1
	configure
	must_on pi rebuild switch --eval-on builder
	note_what_is_there
}
# nobody_is_left [HOST] : no process of a run lives on the builder, or on this host, neither of its user, nor of Nix's (what is
# dead already, or of the user's own systemd, does not count). The last shells of a run that went well end a moment after
# the client.
nobody_is_left() { [ -z "$(who_is_left "${1:-builder}")" ]; }
# shellcheck disable=SC2016 # the host's shell expands it
who_is_left() {
	lab on "$1" sh -c 'ps -eo stat=,user=,comm=,args= | while read -r state user name args; do
		case $state$name in Z* | *systemd | *"(sd-pam)" | *dbus-daemon) continue ;; esac
		case "$user $args" in builder\ * | nixbld* | "root nix-daemon "[0-9]*) echo "$user $args" ;; esac
	done' </dev/null
}
# note_what_is_there : from now on this is what there was before. A worker of Nix's daemon ends a moment after who has
# talked with it.
note_what_is_there() {
	for host in $machines; do
		expect_within 30 nobody_is_left "$host"
		what_is_there "$host" >"$CASE/there-$host"
	done
}

# configure [OPTIONS] : the Pi's configuration from now on; another $number makes another system.
configure() {
	write_on pi /etc/nixos/configuration.nix <<-END
		{ pkgs, ... }: {
		  imports = [ ./hardware-configuration.nix ];
		  networking.hostName = "pi";
		  environment.etc.number.text = "number $number";
		  ${1:-}
		}
	END
}

# reach MOMENT [NAME=VALUE...] : starts a switch on the Pi, which is at that moment when this returns, and would stay there
# for long. `let_go` lets it go on. At "receive" one of two large paths has come, and the other one comes. (The links are slow,
# but not slower: what stands in their buffers goes out before a Ctrl-C is heard.)
reach() {
	local moment=$1
	number=$((number + 1))
	must lab slow pi full
	must lab slow builder full
	must_sh_on pi 'rm -f /tmp/go /etc/activation-command /etc/nixos/blob /var/log/activation'
	must_on builder rm -f /srv/gate/open /srv/gate/begun
	case $moment in
	send)
		must_sh_on pi 'head -c 40000000 /dev/urandom >/etc/nixos/blob'
		configure 'environment.etc.blob.source = ./blob;'
		must lab slow pi 32mbit
		;;
	evaluate) configure "lab.evalCost = { work = ${evaluation:-600}; memory = ${memory:-0}; };" ;;
	build)
		configure "environment.etc.first.source = pkgs.run \"first-$number\" { } \"echo first >>/srv/gate/begun; echo made >\$out\";
		  environment.etc.held.source = pkgs.run \"held-$number\" { } \"echo held >>/srv/gate/begun
		    until [ -e /srv/gate/open ]; do sleep 0.2; done; echo made >\$out\";"
		;;
	receive)
		configure "$(for name in large-a large-b; do
			echo "environment.etc.$name.source = pkgs.run \"$name-$number\" { } \"dd if=/dev/urandom of=\$out bs=1000000 count=8 2>/dev/null\";"
		done)"
		must lab slow builder 32mbit
		;;
	activate)
		configure
		must_sh_on pi 'echo "until [ -e /tmp/go ]; do /usr/bin/sleep 0.1; done" >/etc/activation-command'
		;;
	esac
	before="$(profile_of pi) $(system_of pi)"
	start lab on pi -- env "${@:2}" rebuild switch --eval-on builder
	expect_within 60 is_at "$moment"
	[ "$moment" != receive ] || must lab slow builder 8mbit
}
# shellcheck disable=SC2016 # the hosts' shells expand it
is_at() {
	case $1 in
	send) lab on builder sh -c '[ -n "$(find ~builder/.cache/rebuild/*/run.* -name blob -size +0 -size -60000)" ] && pgrep -u builder -x tar' </dev/null ;;
	evaluate) evaluates ;;
	build) lab on builder sh -c '[ "$(sort /srv/gate/begun | tr "\n" " ")" = "first held " ]' </dev/null ;;
	receive) [ "$(large_paths_here)" = 1 ] ;;
	activate) printed "setting up /etc" ;;
	esac
}
# large_paths_here : how many of the large paths the Pi has, whole.
# shellcheck disable=SC2016 # the host's shell expands it
large_paths_here() {
	lab on pi sh -c 'whole=0
		for path in /nix/store/*-large-[ab]-"$1"; do
			! /usr/lib/nix-real/nix-store --check-validity "$path" || whole=$((whole + 1))
		done
		echo "$whole"' sh "$number" </dev/null 2>/dev/null
}
# It has computed for a while: it does not read the configuration's files any more.
evaluates() { lab on builder sh -c 'ps -C nix-instantiate -o cputimes= | grep -q "[1-9]"' </dev/null; }

let_go() {
	must lab slow pi full
	must lab slow builder full
	must_on builder touch /srv/gate/open
	must_on pi touch /tmp/go
}

# begun THING : how often the builder has begun to build it.
begun() { lab on builder grep -c "^$1$" /srv/gate/begun </dev/null || :; }

# --- what has to be so afterwards -----------------------------------------------------------------
# expect_as_before : profile and running system are whole, and those of before.
expect_as_before() {
	expect_equal "$(profile_of pi) $(system_of pi)" "$before"
	expect_no_file pi /var/log/activation
	expect_whole_system
}
# expect_switched : profile and running system are whole, and those of the configuration.
expect_switched() {
	expect_equal "$(lab on pi cat /etc/number </dev/null)" "number $number"
	expect_equal "$(system_of pi)" "$(profile_of pi)"
	expect_whole_system
}
# shellcheck disable=SC2016 # the host's shell expands it
expect_whole_system() {
	run lab on pi sh -c 'PATH=/usr/lib/nix-real:$PATH
		for system in /nix/var/nix/profiles/system /run/current-system; do
			nix-store --query --requisites "$(readlink -f "$system")" | xargs nix-store --check-validity || exit
		done
		nix-store --verify'
	expect_status 0
}

# nothing_remains [HOST...] : soon no process, file, socket, mount or lock of a run is left on these hosts (on all of them). The
# limit is for a machine that is busy with four labs.
nothing_remains() {
	local host
	# shellcheck disable=SC2086 # names
	[ $# -gt 0 ] || set -- $machines
	for host; do
		within 30 is_as_before "$host" || {
			what_is_there "$host" | diff "$CASE/there-$host" - >"$CASE/output"
			fail "this remains on $host (or is missing there)"
		}
	done
}
# forget_the_minute : what a killed `rebuild` leaves on the Pi, a directory in /tmp, is taken away by the next
# run; but not within a minute (src/private.rs), so that minute has gone.
forget_the_minute() { must_sh_on pi 'touch -d "1 hour ago" /tmp/rebuild.run.*'; }
is_as_before() { what_is_there "$1" | cmp -s "$CASE/there-$1" -; }

# what_is_there HOST : prints what may be left behind by a run. What is meant to stay is left out: what a builder keeps
# of a client (docs/design.md), records of what a client has still to hear, and what Nix itself leaves for its next
# collection of garbage. (A lock below /run/host, or of a file that cannot be found, is one of this machine, not of the host: who
# took it has another one's number in the host.)
what_is_there() {
	lab on "$1" sh -c "$WHAT_IS_THERE" </dev/null 2>/dev/null
}
# shellcheck disable=SC2016 # the host's shell expands it
WHAT_IS_THERE='
echo "-- processes"
ps -eo pid=,ppid=,user=,comm=,args= | while read -r pid parent user name args; do
	case $name in systemd | systemd-* | "(sd-pam)" | dbus-daemon | polkitd | agetty) continue ;; esac
	[ "$pid" != $$ ] && [ "$parent" != $$ ] && [ "$parent" != 0 ] || continue
	printf "%s %s\n" "$user" "$args"
done | sed "s/\[listener\].*/[listener]/" | sort
echo "-- files"
find /tmp /var/tmp /dev/shm /run/user /run/nixos -mindepth 1 -maxdepth 1 ! -name "systemd-*" ! -name ".*-unix" ! -name "[0-9]*" \
	! -name go ! -path /run/nixos/switch-to-configuration.lock | sort
ls -d /root/.cache/rebuild/* /home/*/.cache/rebuild/*/* /var/lib/rebuild/* | sed "s:/[a-z]*-[0-9a-f]*/:/CLIENT/:" |
	grep -v -e "^/root/.cache/rebuild/mirrors$" -e "/CLIENT/\(boot\|channels\|lock\|measured\|mirrors\|nix-cache\|results\|trees\|jobs\)$" -e "^/var/lib/rebuild/\([0-9a-f]*\|last\|changing\)$" | sort -u
echo "-- sockets"
ss -Hxl | while read -r _ _ _ _ place _; do echo "$place"; done | grep -v -e "^/run/user/" -e /systemd/ | sort
echo "-- mounts"
cut -d" " -f2 /proc/mounts | grep -v "^/run/user/" | sort
echo "-- locks"
lslocks --noheadings --notruncate --output COMMAND,PATH | grep -v -e " $" -e ^systemd -e ^.undefined. -e "/in-use$" -e " /run/host/" | sed "s/ \+/ /g" | sort
'
