# shellcheck shell=bash
# What test cases are written with. Sourced by cases.sh, which runs each case in a subshell of its
# own: a failed expectation prints what was run, what came out and what was expected, and ends it.

# --- running --------------------------------------------------------------------------------------
lab() { "$LAB/lab.sh" "$@"; }

# run COMMAND... : accepts any exit code; leaves $status, $output (stdout) and $errors (stderr).
run() {
	ran="$*"
	status=0
	"$@" >"$CASE/output" 2>"$CASE/errors" </dev/null || status=$?
	output=$(cat "$CASE/output")
	errors=$(cat "$CASE/errors")
}

# must COMMAND... : does the same, but the command has to succeed.
must() {
	run "$@"
	expect_status 0
}

# on HOST COMMAND... | as HOST USER COMMAND... | sh_on HOST SCRIPT : do the same as run, inside a host.
on() { run lab on "$1" -- "${@:2}"; }
as() { run lab on "$1" -u "$2" -- "${@:3}"; }
sh_on() { run lab on "$1" -- sh -c "$2"; }
must_on() { must lab on "$1" -- "${@:2}"; }
must_sh_on() { must lab on "$1" -- sh -euc "$2"; }

# start COMMAND... : starts it in the background, in a process group of its own, as a terminal would do it (a plain &
# would make it ignore Ctrl-C). Only one command at a time.
start() {
	ran="$* (in the background)"
	# It has files of its own, because whatever is run meanwhile writes into the others. They are emptied here: the command
	# in the background does that a moment later, and until then they have what another one said.
	: >"$CASE/started-output" 2>"$CASE/started-errors"
	set -m
	"$@" >"$CASE/started-output" 2>"$CASE/started-errors" </dev/null &
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
	cp "$CASE/started-output" "$CASE/output"
	cp "$CASE/started-errors" "$CASE/errors"
	output=$(cat "$CASE/output")
	errors=$(cat "$CASE/errors")
}
started_has_ended() { ! kill -0 "$started" 2>/dev/null; }

# on_tty HOST USER COMMAND... : does the same as run, inside a host and at a terminal; $output is what is seen on it.
# What is typed is given beforehand, in order: `types PROMPT TEXT` waits until PROMPT is seen (after what was seen for
# the one before), and then types TEXT and Return; `presses PROMPT KEYS` types no Return ($'\003' is Ctrl-C).
types() { presses "$1" "$2"$'\n'; }
presses() { keyboard+=("$1" "$2"); }
keyboard=()
on_tty() {
	local host=$1 user=$2 typist keys
	shift 2
	ran="on $host as $user, at a terminal: $*"
	mkfifo "$CASE/keyboard"
	# The terminal echoes what is typed unless the program that asks forbids it, as every terminal does.
	set -m
	lab on "$host" -u "$user" -- script --quiet --return --echo always --command "${*@Q}" /dev/null \
		<"$CASE/keyboard" >"$CASE/output" 2>"$CASE/errors" &
	started=$!
	set +m
	# The file is held open, because its end would be typed as Ctrl-D.
	exec {keys}>"$CASE/keyboard"
	rm "$CASE/keyboard"
	type_keys >&"$keys" &
	typist=$!
	finish 120
	kill "$typist" 2>/dev/null || true
	exec {keys}>&-
	keyboard=()
	output=${output//$'\r'/}
}
type_keys() {
	local i seen=0 at
	for ((i = 0; i < ${#keyboard[@]}; i += 2)); do
		within 60 prompted "$seen" "${keyboard[i]}" || return
		at=$(tail -c "+$((seen + 1))" "$CASE/output" | LC_ALL=C grep -abof <(printf '%s\n' "${keyboard[i]}") -F | head -n 1)
		seen=$((seen + ${at%%:*} + 1))
		printf %s "${keyboard[i + 1]}"
	done
}
prompted() { tail -c "+$(($1 + 1))" "$CASE/output" | grep -qaF -- "$2"; }

# at_screen COLUMNS HOST USER COMMAND... : starts it at a terminal of 24 lines, which tmux draws. One at a time.
#   screen [-J]       prints what is on it now and what has scrolled off; with -J a line that went on in the next one is one
#   screen_shows TEXT
#   press KEY...      presses keys, by tmux's names: C-c, Enter, y
#   screen_ends [SECONDS]
#                     waits for the end; leaves $status, $output (the screen), and $frames, a file of everything that was
#                     seen, one screen after the other, with `--` between them. The terminal has to be as it was.
# A live line begins with one of these. They are no set of characters, because to some programs they are bytes.
SPINNER='(⠋|⠙|⠹|⠸|⠼|⠴|⠦|⠧|⠇|⠏)'
at_screen() {
	local columns=$1 host=$2 user=$3
	shift 3
	ran="on $host as $user, on a screen of $columns columns: $*"
	frames=$CASE/frames
	: >"$frames"
	rm -f "$CASE/screen-status"
	# The screen outlives the command, which may have left something behind, such as a hidden cursor. Ctrl-C is not for the
	# screen.
	# shellcheck disable=SC2016 # its own
	on_screen -f /dev/null new-session -d -x "$columns" -y 24 env TERM=xterm-256color \
		bash -c 'trap : INT; "${@:2}"; echo $? >"$1"; exec sleep 600' screen "$CASE/screen-status" \
		"$LAB/lab.sh" on "$host" -u "$user" -- "$@" ';' set -g status off ';' resize-window -x "$columns" -y 24
}
on_screen() { tmux -S "$CASE/tmux" "$@"; }
screen() { on_screen capture-pane -p -S - "$@" | awk '{ sub(/[ \t]+$/, "") } $0 == "" { blank++; next } { while (blank) { print ""; blank-- } print }'; }
screen_shows() { screen | grep -qF -- "$1"; }
press() { on_screen send-keys "$@"; }
screen_ends() {
	local deadline=$((SECONDS + ${1:-60})) terminal
	until [ -s "$CASE/screen-status" ]; do
		[ "$SECONDS" -lt "$deadline" ] || {
			screen >"$CASE/output"
			on_screen kill-server
			fail "it did not end within ${1:-60} s"
		}
		screen >"$CASE/frame"
		cmp -s "$CASE/frame" "$CASE/last-frame" || { cat "$CASE/frame" && echo --; } >>"$frames"
		mv "$CASE/frame" "$CASE/last-frame"
		sleep 0.05
	done
	status=$(cat "$CASE/screen-status")
	# This waits until tmux has read what was written last.
	within 5 tmux_has_read
	screen -J >"$CASE/output"
	output=$(cat "$CASE/output")
	errors=
	: >"$CASE/errors"
	terminal=$(on_screen display-message -p 'cursor #{cursor_flag}, at #{cursor_x}, alternate #{alternate_on}')
	on_screen kill-server
	expect_equal "$terminal" "cursor 1, at 0, alternate 0"
	expect_equal "$(grep -aE "$SPINNER" "$CASE/output" || true)" ""
}
tmux_has_read() {
	screen >"$CASE/frame"
	sleep 0.2
	screen | cmp -s "$CASE/frame" -
}

# within SECONDS COMMAND... : repeats the command in small steps until it succeeds.
within() { until_true "$@" >/dev/null 2>&1; }
expect_within() { within "$@" || fail "not within $1 s: ${*:2}"; }
# printed TEXT : succeeds if what was started has printed TEXT so far.
printed() { grep -qF -- "$1" "$CASE/started-output" "$CASE/started-errors"; }

# --- expecting ------------------------------------------------------------------------------------
fail() {
	{
		printf '    %s\n' "$1"
		printf '    after: %s\n' "${ran:-(nothing was run)}"
		[ -z "${status:-}" ] || printf '    exit code: %s\n' "$status"
		[ ! -s "$CASE/output" ] || tail -n 40 "$CASE/output" | sed 's/^/    stdout| /'
		[ ! -s "$CASE/errors" ] || tail -n 40 "$CASE/errors" | sed 's/^/    stderr| /'
		# The failure names the place in the case, whatever helpers lie in between.
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

# need_hosts HOST... : starts hosts that `lab.sh up` alone does not start, and makes them if they were never made.
need_hosts() { lab up "$@" 2>"$CASE/errors" || fail "the lab could not bring up $*"; }

# refuse_namespaces HOST : from now on nobody who comes by ssh may make a user namespace there, until `fresh HOST`. The
# kernel refuses it to every program ("Operation not permitted"). Connections that are already open keep their rights,
# and so do `on` and `as`.
refuse_namespaces() {
	# user.max_user_namespaces cannot be used, because the hosts share it with this machine and with other labs.
	must_sh_on "$1" 'mkdir -p /etc/systemd/system/ssh.service.d
		printf "[Service]\nRestrictNamespaces=~user\n" >/etc/systemd/system/ssh.service.d/lab-namespaces.conf
		systemctl daemon-reload
		systemctl restart ssh.service'
}

# cut_between HOST HOST [silent] : the two hosts no longer reach each other ("No route to host" at once; with silent no
# answer at all, as behind a firewall), but they reach everybody else. This lasts until join_again, or `fresh` of one of
# them. Open connections stall, and go on afterwards.
cut_between() { must lab link "$1" "$2" "${3:-out}"; }
join_again() { must lab link "$1" "$2" in; }

# jump_through HOST USER OVER TO : from now on USER on HOST reaches TO only through OVER, as USER's ssh_config says.
jump_through() {
	cut_between "$1" "$4"
	# shellcheck disable=SC2016 # the host's shell expands it
	must_on "$1" sh -euc 'printf "\nHost %s\n  ProxyJump %s\n" "$3" "$2" >>"$(getent passwd "$1" | cut -d: -f6)/.ssh/config"' jump "$2" "$3" "$4"
}

# drop_connections HOST : ends every ssh connection to it at once, as when sshd is killed; what they had started there
# goes on without them. New connections are let in. (For a connection that only falls silent: `lab cable HOST out`.)
# shellcheck disable=SC2016 # the host's shell expands it
drop_connections() {
	must_sh_on "$1" 'main=$(systemctl show --property MainPID --value ssh.service)
		for process in $(pgrep -x "sshd(-session|-auth)?"); do [ "$process" = "$main" ] || kill -KILL "$process" || true; done'
}

# use_sudo_rs HOST : from now on its `sudo` is sudo-rs (trixie and sid have it), until `fresh HOST`.
use_sudo_rs() { must_on "$1" ln -sfn /usr/lib/cargo/bin/sudo /usr/bin/sudo; }

file_on() { lab on "$1" cat "$2" </dev/null; }
# write_on HOST FILE : from stdin.
# shellcheck disable=SC2016
write_on() { lab on "$1" sh -c 'cat >"$1"' write "$2"; }

profile_of() { lab on "$1" readlink -f /nix/var/nix/profiles/system </dev/null; }
system_of() { lab on "$1" readlink -f /run/current-system </dev/null; }

# Prints the Nix commands that a client has run, one a line; forget_calls empties the list. Left out is the question how
# large the channel is, which is asked before it is sent.
calls_of() { file_on "$1" /var/log/nix-calls | grep -v '^nix-store --query --size ' || true; }
forget_calls() { lab on "$1" sh -c ': >/var/log/nix-calls' </dev/null; }
# expect_no_evaluation HOST : checks that nothing there has evaluated a configuration since forget_calls.
expect_no_evaluation() {
	local evaluated
	evaluated=$(calls_of "$1" | sed 's/^nix --extra-experimental-features nix-command flakes /nix /' |
		grep -E '^(nix-instantiate|nix-build|nix (build|eval|flake|shell|develop))( |$)' |
		grep -v -e '--find-file' -e 'builtins.nixPath' || true)
	[ -z "$evaluated" ] || fail "expected that $1 evaluates nothing; it ran: $evaluated"
}
