# shellcheck shell=bash
# shellcheck disable=SC2016 # the hosts' shells expand it
# Others who do the same at the same time, clocks that are wrong, and a cache that is damaged.

# shellcheck source=/dev/null
. "$LAB/moments.sh"

# Two Pis of the same name: what one of them does, and how it ends, does not disturb the other one.
case_faults_of_a_namesake() {
	need_hosts target
	given_machines target
	must_on target hostname pi
	must_sh_on target 'sed -i "s/text = .*/text = \"the other one\\\\n\";/" /etc/nixos/configuration.nix'
	reach build
	on target timeout 120 rebuild switch --eval-on builder
	expect_status 0
	expect_equal "$(file_on target /etc/motd)" "the other one"
	interrupt
	finish 10
	expect_status 130
	nothing_remains builder pi
	expect_as_before
	# Both at once, and one of them is ended.
	reach receive
	must_on target sed -i 's/the other one/once more/' /etc/nixos/configuration.nix
	run lab on target timeout 120 rebuild switch --eval-on builder
	expect_status 0
	expect_equal "$(file_on target /etc/motd)" "once more"
	let_go
	finish 60
	expect_status 0
	expect_switched
	nothing_remains
}

# Two runs of one Pi: the second one waits for the change of the first.
case_faults_of_two_runs() {
	given_machines
	local moment
	for moment in send receive activate; do
		reach "$moment"
		lab on pi -- timeout 120 rebuild switch --eval-on builder >"$CASE/second-output" 2>"$CASE/second-errors" </dev/null &
		second=$!
		[ "$moment" != activate ] || expect_within 60 grep -q "goes on: waiting for its end" "$CASE/second-errors"
		let_go
		finish 60
		expect_status 0
		wait "$second" || fail "the second one failed: $(cat "$CASE/second-errors")"
		expect_equal "$(cat "$CASE/second-output")" "$output"
		expect_switched
		nothing_remains
	done
}

# The Pi has no clock, or one that jumps: its programs get a time of their own, and so do its files.
case_faults_of_a_clock() {
	given_machines
	lab put pi /usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1 /usr/lib/libfaketime.so.1
	local time own clock
	for time in '@1970-01-01 00:01:00' '@2038-01-19 03:14:00' '-400d' '+30d' 'jumps'; do
		number=$((number + 1))
		configure
		own=$(lab on pi nix-instantiate '<nixpkgs/nixos>' -A config.system.build.toplevel 2>/dev/null </dev/null)
		must_sh_on pi 'touch -d "1970-01-01 00:00:30 UTC" /etc/nixos/configuration.nix'
		clock=("FAKETIME=$time")
		[ "$time" != jumps ] || { clock=(FAKETIME_TIMESTAMP_FILE=/etc/clock FAKETIME_NO_CACHE=1) && jump; }
		on pi env LD_PRELOAD=/usr/lib/libfaketime.so.1 FAKETIME_DONT_RESET=1 FAKETIME_DONT_FAKE_MONOTONIC=1 "${clock[@]}" \
			timeout 900 rebuild switch --eval-on builder
		expect_status 0
		expect_lacks "$errors" "warning"
		expect_equal "$output" "$(lab on pi nix-store --query --outputs "$own" </dev/null)"
		[ "$time" != jumps ] || stand_still
		expect_switched
		nothing_remains
	done
}
# jump : the clock of who looks into /etc/clock is set again and again, to and fro, until `stand_still`. As with the kernel, that
# changes nothing of how long anybody waits. (A clock that runs too fast does, with libfaketime: ssh gives up after a fraction
# of a second.)
jump() {
	must_sh_on pi 'echo +0 >/etc/clock; touch /etc/clock-jumps'
	lab on pi sh -c 'while [ -e /etc/clock-jumps ]; do
		for time in +1d -400d +30d +0; do
			echo "$time" >/etc/clock.new; mv /etc/clock.new /etc/clock; sleep 0.1
		done
	done' </dev/null >/dev/null 2>&1 &
	jumper=$!
}
stand_still() {
	must_on pi rm /etc/clock-jumps
	wait "$jumper"
}

# A cache that is half written, damaged or gone, on either side: the run says so at the most, and gives the same system.
case_faults_of_a_damaged_cache() {
	given_machines
	local own damage
	own=$(profile_of pi)
	for damage in \
		'find ~builder/.cache/rebuild -type f -path "*/mirrors/*" -exec sh -c ": >\"\$1\"" sh {} ";" -quit' \
		'find ~builder/.cache/rebuild -type f -path "*/mirrors/*" -exec truncate -s 0 {} +' \
		'rm -rf ~builder/.cache/rebuild/*/mirrors/*/etc' \
		'cd ~builder/.cache/rebuild/pi-*/; for f in boot measured lock; do head -c 4096 /dev/urandom >$f; done' \
		'rm -rf ~builder/.cache/rebuild/*/trees/*' \
		'cd ~builder/.cache/rebuild/pi-*/; rm -rf results; mkdir run.dead; head -c 99 /dev/urandom >run.dead/claims' \
		'find ~builder/.cache/rebuild/*/nix-cache -type f -exec sh -c "head -c 999 /dev/urandom >\"\$1\"" sh {} ";"' \
		'rm -rf ~builder/.cache/rebuild'; do
		must_sh_on builder "$damage; chown -R builder: ~builder/.cache"
		must_on pi rebuild build --eval-on builder
		expect_equal "$output" "$own"
	done
	for damage in 'truncate -s 0 /root/.cache/rebuild/mirrors/*' 'for f in /root/.cache/rebuild/mirrors/*; do head -c 999 /dev/urandom >"$f"; done' \
		'for f in /root/.cache/rebuild/mirrors/*; do truncate -s "$(($(stat -c %s "$f") / 2))" "$f"; done' \
		'truncate -s 0 /root/.local/state/rebuild/client' 'rm -rf /root/.cache/rebuild /root/.local/state/rebuild'; do
		must_sh_on pi "rm -f result; $damage"
		must_on pi rebuild build --eval-on builder
		expect_equal "$output" "$own"
	done
	must_sh_on pi 'rm -f result'
	nothing_remains
}
