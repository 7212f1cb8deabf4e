# shellcheck shell=bash
# What test cases are written with. Sourced by cases.sh, which runs each case in a subshell of its
# own: a failed expectation prints what was run, what came out and what was expected, and ends it.

# --- running --------------------------------------------------------------------------------------
lab() { "$LAB/lab.sh" "$@"; }

# run COMMAND... : any exit code is fine; leaves $status, $output (stdout) and $errors (stderr).
run() {
	ran="$*"
	status=0
	"$@" >"$CASE/output" 2>"$CASE/errors" </dev/null || status=$?
	output=$(cat "$CASE/output")
	errors=$(cat "$CASE/errors")
}

# must COMMAND... : as run, and it has to succeed.
must() {
	run "$@"
	expect_status 0
}

# on HOST COMMAND... | as HOST USER COMMAND... | sh_on HOST SCRIPT : as run, inside a host.
on() { run lab on "$1" -- "${@:2}"; }
as() { run lab on "$1" -u "$2" -- "${@:3}"; }
sh_on() { run lab on "$1" -- sh -c "$2"; }
must_on() { must lab on "$1" -- "${@:2}"; }
must_sh_on() { must lab on "$1" -- sh -euc "$2"; }

# start COMMAND... : in the background, in a process group of its own, as a terminal would do it (a
# plain & would let it ignore Ctrl-C). One at a time.
start() {
	ran="$* (in the background)"
	set -m
	"$@" >"$CASE/output" 2>"$CASE/errors" </dev/null &
	started=$!
	set +m
}
interrupt() { kill -INT -- "-$started"; } # Ctrl-C: every process of the group gets it
# finish [SECONDS] : waits for what was started; leaves $status, $output and $errors.
finish() {
	within "${1:-60}" started_has_ended || {
		kill -KILL -- "-$started"
		fail "it did not end within ${1:-60} s"
	}
	status=0
	wait "$started" || status=$?
	output=$(cat "$CASE/output")
	errors=$(cat "$CASE/errors")
}
started_has_ended() { ! kill -0 "$started" 2>/dev/null; }

# within SECONDS COMMAND... : until it succeeds, asked in small steps.
within() { until_true "$@" >/dev/null 2>&1; }
expect_within() { within "$@" || fail "not within $1 s: ${*:2}"; }
# printed TEXT : so far, by what was started.
printed() { grep -qF -- "$1" "$CASE/output" "$CASE/errors"; }

# --- expecting ------------------------------------------------------------------------------------
fail() {
	{
		printf '    %s\n' "$1"
		printf '    after: %s\n' "${ran:-(nothing was run)}"
		[ -z "${status:-}" ] || printf '    exit code: %s\n' "$status"
		[ ! -s "$CASE/output" ] || tail -n 40 "$CASE/output" | sed 's/^/    stdout| /'
		[ ! -s "$CASE/errors" ] || tail -n 40 "$CASE/errors" | sed 's/^/    stderr| /'
		# Where in the case, whatever helpers are in between.
		local frame
		for frame in "${!BASH_SOURCE[@]}"; do
			[[ "${FUNCNAME[$frame]}" == case_* ]] || continue
			printf '    at %s:%s\n' "${BASH_SOURCE[$frame]}" "${BASH_LINENO[$((frame - 1))]}"
			break
		done
	} >&2
	exit 1
}

expect_status() { [ "$status" = "$1" ] || fail "expected exit code $1, saw $status"; }
expect_failure() { [ "$status" != 0 ] || fail "expected it to fail"; }

# expect_equal SEEN EXPECTED
expect_equal() { [ "$1" = "$2" ] || fail "expected: $2
    saw:      $1"; }
expect_different() { [ "$1" != "$2" ] || fail "expected something else than: $1"; }
# expect_contains TEXT PART
expect_contains() { [[ "$1" == *"$2"* ]] || fail "expected a text with: $2
    saw:                  $1"; }
expect_lacks() { [[ "$1" != *"$2"* ]] || fail "expected a text without: $2
    saw:                     $1"; }
# expect_matches TEXT EXTENDED-REGULAR-EXPRESSION
expect_matches() { [[ "$1" =~ $2 ]] || fail "expected a match of: $2
    saw:                 $1"; }

expect_file() { lab on "$1" test -e "$2" </dev/null || fail "expected a file $2 on $1"; }
expect_no_file() { ! lab on "$1" test -e "$2" </dev/null || fail "expected no file $2 on $1"; }
# expect_file_contains HOST FILE PART
expect_file_contains() { expect_contains "$(lab on "$1" cat "$2" </dev/null)" "$3"; }

# --- the lab's hosts ------------------------------------------------------------------------------
# fresh [HOST...] : both hosts (or those named) as new.
fresh() {
	if [ $# = 0 ]; then set -- pi builder; fi
	lab reset "$@" 2>"$CASE/errors" || fail "the lab could not be reset"
	if [ -n "${REBUILD_PROGRAM:-}" ]; then lab install "$REBUILD_PROGRAM"; fi
}

# need_hosts HOST... : hosts that `lab.sh up` alone does not start; made if they never were.
need_hosts() { lab up "$@" 2>"$CASE/errors" || fail "the lab could not bring up $*"; }

# refuse_namespaces HOST : from now on nobody who comes by ssh may make a user namespace there, until
# `fresh HOST`. The kernel says it, to every program ("Operation not permitted"); connections that
# are already open keep what they could, and so do `on` and `as`.
refuse_namespaces() {
	# user.max_user_namespaces is no way: the hosts share it with this machine and with other labs.
	must_sh_on "$1" 'mkdir -p /etc/systemd/system/ssh.service.d
		printf "[Service]\nRestrictNamespaces=~user\n" >/etc/systemd/system/ssh.service.d/lab-namespaces.conf
		systemctl daemon-reload
		systemctl restart ssh.service'
}

file_on() { lab on "$1" cat "$2" </dev/null; }
# write_on HOST FILE : from stdin.
# shellcheck disable=SC2016
write_on() { lab on "$1" sh -c 'cat >"$1"' write "$2"; }

profile_of() { lab on "$1" readlink -f /nix/var/nix/profiles/system </dev/null; }
system_of() { lab on "$1" readlink -f /run/current-system </dev/null; }

# The Nix commands that a client has run, one a line; forget_calls empties the list.
calls_of() { file_on "$1" /var/log/nix-calls; }
forget_calls() { lab on "$1" sh -c ': >/var/log/nix-calls' </dev/null; }
# expect_no_evaluation HOST : since forget_calls nothing there has evaluated a configuration.
expect_no_evaluation() {
	local evaluated
	evaluated=$(calls_of "$1" | sed 's/^nix --extra-experimental-features nix-command flakes /nix /' |
		grep -E '^(nix-instantiate|nix-build|nix (build|eval|flake|shell|develop))( |$)' |
		grep -v -e '--find-file' -e 'builtins.nixPath' || true)
	[ -z "$evaluated" ] || fail "expected that $1 evaluates nothing; it ran: $evaluated"
}
