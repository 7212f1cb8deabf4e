# shellcheck shell=bash
# shellcheck disable=SC2016 # the hosts' shells expand it
# Many runs with one builder at once: each gets its own result, and nobody takes what another one uses. What is kept there
# is looked at before it is used again, and nobody else is told what a user's settings are.

# shellcheck source=/dev/null
. "$LAB/derivations.sh"

TOPLEVEL=config.system.build.toplevel

# given_runs HOST NUMBER... : makes files there whose systems are small and quickly made; $own_NUMBER is what the host's
# own Nix says that each becomes.
given_runs() {
	local host=$1 number
	shift
	for number; do
		write_on "$host" "/srv/$number.nix" <<-END
			{
			  config.system.build.toplevel = derivation {
			    name = "system-$number";
			    outputs = [ "out" "dev" ];
			    system = "x86_64-linux";
			    builder = "/bin/sh";
			    args = [ "-c" "echo $number >\$out; echo $number >\$dev" ];
			  };
			}
		END
		must_sh_on "$host" "mkdir -p /srv/run-$number; chmod 777 /srv/run-$number
			nix-store --query --outputs \$(nix-instantiate /srv/$number.nix -A config.system.build.toplevel 2>/dev/null) | grep -v -e '-dev\$'"
		declare -g "own_$number=$output"
	done
}
own_of() {
	local name=own_$1
	printf '%s' "${!name}"
}

# runs_at_once HOST USER:NUMBER... : checks that each run has the exit status and the result that it should have.
# NUMBER-b is the same again.
runs_at_once() {
	local host=$1 run user number
	shift
	local processes=()
	for run; do
		user=${run%%:*} number=${run#*:}
		# Each leaves a link.
		lab on "$host" -u "$user" -- mkdir -p "/tmp/run-$number"
		lab on "$host" -u "$user" -- env -C "/tmp/run-$number" rebuild build --file "/srv/${number%%-*}.nix" --eval-on builder --sudo \
			>"$CASE/out-$number" 2>"$CASE/err-$number" </dev/null &
		processes+=("$!")
	done
	for run; do
		number=${run#*:}
		ran="number $number of: $*"
		status=0
		wait "${processes[0]}" || status=$?
		processes=("${processes[@]:1}")
		cp "$CASE/out-$number" "$CASE/output"
		cp "$CASE/err-$number" "$CASE/errors"
		expect_status 0
		expect_equal "$(cat "$CASE/output")" "$(own_of "${number%%-*}")"
	done
}

# There are more than four runs, so something of what is kept there is forgotten all the time; there are two users, with
# some of the same files. REBUILD_TURNS says how often they run.
case_eight_runs_at_once() {
	fresh
	given_runs pi 1 2 3 4 5 6
	local turn
	for turn in $(seq "${REBUILD_TURNS:-3}"); do
		runs_at_once pi root:1 root:1-b root:2 root:3 root:4 root:5 admin:6 admin:2-b
		# Something of each file changes, so that it is sent again.
		must_sh_on pi "for file in /srv/?.nix; do echo '# $turn' >>\$file; done"
	done
	# To the builder they are two clients with one host name. Nothing of a run is left, and what is kept is limited by what
	# was in use.
	must_sh_on builder 'cd ~builder/.cache/rebuild && ls | wc -l && ls -d */run.* /dev/shm/rebuild.* 2>/dev/null | wc -l
		for client in *; do ls $client/mirrors | wc -l; done | sort -n | tail -n 1'
	expect_matches "$output" $'^2\n0\n1?[0-9]$'
	expect_equal "$(lab on pi stat -c %a /root/.local/state/rebuild/client)" 600
}

# The builder's `readlink` waits for /tmp/go when it is first asked for a kept result: between the build and its path.
# In that time another run comes to its end.
given_a_slow_readlink() {
	write_on builder /usr/local/bin/readlink <<-'END'
		#!/bin/sh
		case $* in
		*/.cache/rebuild/*result*)
			if mkdir /tmp/first 2>/dev/null; then
				until [ -e /tmp/go ]; do sleep 0.05; done
			fi
			;;
		esac
		exec /usr/bin/readlink "$@"
	END
	must_on builder chmod 755 /usr/local/bin/readlink
}
case_a_run_is_never_given_another_ones_system() {
	fresh
	given_runs pi 1 2
	given_a_slow_readlink
	start lab on pi -- env -C /srv/run-1 rebuild build --file /srv/1.nix --eval-on builder
	expect_within 60 lab on builder -- test -d /tmp/first
	# The same user runs again; then a user whose machine has the same name, which is the default of NixOS.
	must lab on pi -- env -C /srv/run-2 rebuild build --file /srv/2.nix --eval-on builder
	expect_equal "$output" "$own_2"
	must_on builder touch /tmp/go
	finish
	expect_status 0
	expect_equal "$output" "$own_1"
	# Both are still rooted there.
	for number in 1 2; do
		must_sh_on builder "nix-store --query --roots $(own_of "$number")"
		expect_contains "$output" "/.cache/rebuild/"
	done
}

# Another person, who logs in there as the same user, changes what is kept.
case_what_a_neighbour_changes_is_not_used() {
	fresh
	must_on pi rebuild dry-build --eval-on builder -v --no-eval-cache
	note_derivation
	local before=$there change
	# The last time, the client's own files have changed, too: the base of the new files is not what it should be.
	for change in 'sed -i "s/pi/other/" "$kept/etc/nixos/configuration.nix"' \
		'rm "$kept/etc/nixos/hardware-configuration.nix"; echo "{ networking.hostName = \"x\"; }" >"$kept/etc/nixos/hardware-configuration.nix"' \
		'echo 1 >"$kept/etc/nixos/new.nix"' 'echo 1 >"$kept/etc/nixos/more.nix"; : changed'; do
		[[ "$change" != *changed ]] || must_sh_on pi 'echo "# changed" >>/etc/nixos/configuration.nix'
		must lab on builder -u builder -- sh -euc "for kept in ~/.cache/rebuild/pi*/mirrors/*; do chmod 700 \$kept/etc/nixos; $change; done"
		must_on pi rebuild dry-build --eval-on builder -v --no-eval-cache
		note_derivation
		expect_equal "$there" "$before"
		expect_contains "$errors" "warning: what builder kept of this machine's files is not what was sent"
	done
	must_on pi rebuild dry-build --eval-on builder -v --no-eval-cache
	expect_lacks "$errors" "warning"
	expect_contains "$errors" "builder has the configuration's files already"
}

# The files that a run makes for itself there are in none of the client's directories.
case_a_run_is_not_seen_by_its_evaluation() {
	fresh
	must_sh_on pi 'cat >/etc/nixos/configuration.nix <<-END
		{ ... }: { environment.etc.seen.text = builtins.toJSON (map builtins.readDir [ "/var/tmp" "/var" "/home" ]); }
	END'
	must_on pi rebuild dry-build --eval-on builder -v
	note_derivation
	own=$(lab on pi nix-instantiate '<nixpkgs/nixos>' -A "$TOPLEVEL" 2>/dev/null </dev/null)
	expect_own_derivation_there builder
	# If the power is cut, nothing of it stays for long.
	must_sh_on pi 'sed -i "s/environment/lab.evalCost = { work = 60; }; &/" /etc/nixos/configuration.nix'
	start lab on pi -- rebuild dry-build --eval-on builder
	expect_within 30 lab on builder -- pgrep -x nix-instantiate
	must lab cut builder
	interrupt
	finish 30
	must lab start builder
	sh_on builder 'ls -d ~builder/.cache/rebuild/*/run.* /dev/shm/rebuild.* /var/tmp/rebuild.* 2>/dev/null'
	expect_matches "$output" '^/home/builder/.cache/rebuild/pi-[0-9a-f]{16}/run.[^ ]*$'
	must_sh_on pi 'sed -i "s/lab.evalCost = { work = 60; };//" /etc/nixos/configuration.nix'
	must_on pi rebuild dry-build --eval-on builder
	sh_on builder 'ls -d ~builder/.cache/rebuild/*/run.* /dev/shm/rebuild.* /var/tmp/rebuild.* 2>/dev/null'
	expect_equal "$output" ""
}

# Settings of the command line apply, and are in no argument there.
case_settings_are_in_no_argument_there() {
	fresh
	# This records all the time what is in the arguments there, which every user can read.
	must_sh_on builder 'cat >/tmp/watch <<-"END"
		until [ -e /tmp/enough ]; do cat /proc/[0-9]*/cmdline 2>/dev/null | tr "\0" " " | grep -o "POISON[0-9]\|nix-instantiate\|--realise" >>/tmp/seen; done
	END
		: >/tmp/seen
		setsid sh /tmp/watch >/dev/null 2>&1 &'
	must_sh_on pi 'sed -i "s/system.stateVersion/lab.slowBuild = 30; &/" /etc/nixos/configuration.nix'
	on pi rebuild build --eval-on builder --option access-tokens github.com=POISON1 --option extra-access-tokens x.y=POISON2 \
		--option max-silent-time 0 --option timeout 2 --max-jobs 2
	expect_failure
	expect_contains "$errors" "timed out after 2 seconds"
	on pi rebuild build --eval-on builder --option access-tokens github.com=POISON3 --option allow-import-from-derivation true \
		--option max-call-depth 20
	expect_failure
	expect_contains "$errors" "max-call-depth"
	must_sh_on builder 'touch /tmp/enough; sort /tmp/seen | uniq -c'
	expect_contains "$output" "nix-instantiate"
	expect_contains "$output" "--realise"
	expect_lacks "$output" "POISON"
	# A setting that no settings file can say is refused before anything is done.
	on pi rebuild build --eval-on builder --option access-tokens 'github.com=a#b'
	expect_status 2
	expect_contains "$errors" "--option access-tokens: a value with a '#'"
	expect_lacks "$errors" connecting
}

# Two machines have one host name; then one of them gets another; then its card is copied into the other one.
case_a_client_is_told_apart_by_its_random_number_alone() {
	need_hosts target
	fresh pi builder target
	given_runs pi 1
	given_runs target 2
	must_on target hostname pi
	both_at_once() {
		start lab on target -- env -C /srv/run-2 rebuild build --file /srv/2.nix --eval-on builder -v
		must lab on pi -- env -C /srv/run-1 rebuild build --file /srv/1.nix --eval-on builder -v
		expect_equal "$output" "$own_1"
		expect_lacks "$errors" warning
		sent=$errors
		finish
		expect_status 0
		expect_equal "$output" "$own_2"
		expect_lacks "$errors" warning
	}
	kept() { lab on builder -u builder sh -c 'cd ~/.cache/rebuild && ls && ls -d */run.* 2>/dev/null' </dev/null; }
	both_at_once
	expect_matches "$(kept)" $'^pi-[0-9a-f]{16}\npi-[0-9a-f]{16}$'
	local before
	before=$(kept)
	must_on pi hostname other
	both_at_once
	expect_lacks "$sent" "sending "
	expect_equal "$(kept)" "$before"
	# From now on both are one client to the builder: that costs time, and nothing else.
	file_on pi /root/.local/state/rebuild/client | write_on target /root/.local/state/rebuild/client
	local turn
	for turn in 1 2; do
		must_sh_on pi "echo '# $turn' >>/srv/1.nix"
		must_sh_on target "echo '# $turn' >>/srv/2.nix"
		both_at_once
	done
	expect_equal "$(kept)" "$before"
}

# Clients that come as users of their own need not trust each other: nothing of a run is for another user to read, to
# change or to end, while it goes on and afterwards.
case_a_client_sees_nothing_of_another_ones() {
	fresh
	must_sh_on pi 'sed -i "s/system.stateVersion/lab.slowBuild = 8; &/" /etc/nixos/configuration.nix'
	start lab on pi -- rebuild switch --eval-on builder
	expect_within 60 lab on builder -- sh -c 'ls -d /nix/store/*-slow-build.lock'
	# This one is for everybody.
	must lab on builder -u builder -- sh -c 'umask 022; : >/tmp/seen'
	local look='find / /dev/shm /tmp /run /var/tmp -xdev -user builder \( -readable -o -writable \) ! -type l 2>/dev/null | sort -u'
	as builder plain sh -c "$look"'
		for process in $(pgrep -u builder); do
			cat /proc/$process/environ 2>/dev/null; ls /proc/$process/fd 2>/dev/null
			! kill $process 2>/dev/null || echo "it ended $process"
			echo seen >&2
		done'
	expect_equal "$output" /tmp/seen
	expect_contains "$errors" seen
	finish
	expect_status 0
	as builder plain sh -c "$look"
	expect_equal "$output" /tmp/seen
	# The other one's own run is as any other.
	must_on pi rebuild dry-build --eval-on plain@builder
}
