# shellcheck shell=bash
# Many runs with one builder at once: each gets its own result, and nobody takes what another one uses. What is kept there
# is looked at before it is used again, and nobody else is told what a user's settings are.

# given_runs HOST NUMBER... : files there whose systems are small and quickly made; $own_NUMBER is what the host's own Nix
# says that each becomes.
given_runs() {
	local host=$1 number
	shift
	for number; do
		write_on "$host" "/srv/$number.nix" <<-END
			{
			  config.system.build.toplevel = derivation {
			    name = "system-$number";
			    system = "x86_64-linux";
			    builder = "/bin/sh";
			    args = [ "-c" "echo $number >\$out" ];
			  };
			}
		END
		must_sh_on "$host" "mkdir -p /srv/run-$number; chmod 777 /srv/run-$number
			nix-store --query --outputs \$(nix-instantiate /srv/$number.nix -A config.system.build.toplevel 2>/dev/null)"
		declare -g "own_$number=$output"
	done
}
own_of() {
	local name=own_$1
	printf '%s' "${!name}"
}

# The client's runs, all at once: `runs_at_once HOST USER NUMBER...`; each has the exit status and the result it has.
runs_at_once() {
	local host=$1 user=$2 number
	shift 2
	local processes=()
	# Each leaves a link.
	for number; do lab on "$host" -u "$user" -- mkdir -p "/tmp/run-$number"; done
	for number; do
		lab on "$host" -u "$user" -- env -C "/tmp/run-$number" rebuild build --file "/srv/${number%%-*}.nix" --eval-on builder \
			>"$CASE/out-$number" 2>"$CASE/err-$number" </dev/null &
		processes+=("$number:$!")
	done
	local process
	for process in "${processes[@]}"; do
		number=${process%%:*}
		status=0
		wait "${process##*:}" || status=$?
		ran="one of $# runs at once, number $number"
		cp "$CASE/out-$number" "$CASE/output"
		cp "$CASE/err-$number" "$CASE/errors"
		expect_status 0
		expect_equal "$(cat "$CASE/output")" "$(own_of "${number%%-*}")"
	done
}

# The builder's `readlink` waits for /tmp/go where it is first asked what a kept result is: between the build and its path.
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
	# The same user again; then one whose machine has the same name, as NixOS's default is.
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
