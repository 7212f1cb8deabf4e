# shellcheck shell=bash
# Settings on a real machine: who evaluates if nobody says, in which order the places count, and what becomes of a run whose
# builder is off. "Off" is only what was never a connection.

ONCE="evaluates and builds here, this once"

# Makes a configuration that nothing was built for yet.
change_configuration() { # MOTD [LINE-OF-NIX]
	must_on pi sed -i "s/text = .*/text = \"$1\\\\n\"; ${2:-}/" /etc/nixos/configuration.nix
}

# settings FILE OWNER JSON : writes settings on the Pi.
settings() {
	# shellcheck disable=SC2016 # the host's shell expands it
	must_on pi setpriv --reuid="$2" --regid="$2" --init-groups sh -euc 'umask 022
		mkdir -p "$(dirname "$1")"
		printf "%s\n" "$2" >"$1"' settings "$1" "$3"
}
machine_says() { settings /etc/rebuild.json root "$1"; }
admin_says() { settings /home/admin/.config/rebuild.json admin "$1"; }

remember() { remembered="$(profile_of pi) $(system_of pi)"; }
expect_unchanged() {
	expect_equal "$(profile_of pi) $(system_of pi)" "$remembered"
	expect_no_file pi /var/log/activation
}

expect_built() {
	expect_status 0
	expect_matches "$output" '^/nix/store/[a-z0-9]{32}-nixos-system-pi-[^[:space:]]*$'
}
expect_switched() {
	expect_built
	expect_equal "$(profile_of pi)" "$output"
	expect_equal "$(system_of pi)" "$output"
}
# expect_made_there LOGIN : checks that this machine has evaluated and built as this user, since forget_calls.
expect_made_there() {
	expect_contains "$errors" "connecting to $1..."
	expect_no_evaluation pi
}
expect_made_here() { expect_contains "$(calls_of pi)" "nix-build <nixpkgs/nixos>"; }

# Without this, only root could get what is built elsewhere.
admin_receives() { must lab nixconf pi "trusted-users = root admin"; }

# offered : prints the command that the last error says to type.
offered() { sed -n "s/^  \(rebuild .*\)  $ONCE\$/\1/p" "$CASE/errors"; }

case_settings_of_the_machine() {
	fresh
	admin_receives
	machine_says '{ "evalHost": "builder" }'
	change_configuration "as the machine's file says"
	forget_calls pi
	on pi rebuild switch
	expect_switched
	expect_made_there builder
	expect_equal "$(file_on pi /etc/motd)" "as the machine's file says"
	# It runs as another user, who has no settings of their own, and through sudo, which drops the environment.
	change_configuration "as the machine's file says to admin"
	forget_calls pi
	as pi admin rebuild build
	expect_built
	expect_made_there builder
	as pi admin env REBUILD_EVAL_HOST=nobody sudo --preserve-env=NIX_PATH rebuild switch
	expect_switched
	expect_made_there builder
	# What a command names counts before the settings.
	forget_calls pi
	on pi rebuild build --eval-on fishy@builder
	expect_built
	expect_made_there fishy@builder
}

case_settings_in_their_order() {
	fresh
	admin_receives
	machine_says '{ "evalHost": "nobody", "diff": true, "fallback": "local" }'
	admin_says '{ "evalHost": "fishy@builder", "fallback": "fail" }'
	forget_calls pi
	as pi admin rebuild build
	expect_built
	expect_made_there fishy@builder
	# For what the user's file does not say, the machine's file counts.
	expect_contains "$errors" "closure: "
	as pi admin env REBUILD_EVAL_HOST=builder REBUILD_DIFF=no rebuild build
	expect_built
	expect_made_there builder
	expect_lacks "$errors" "closure: "
	as pi admin env REBUILD_EVAL_HOST=nobody rebuild build --eval-host builder
	expect_built
	expect_made_there builder
	# sudo gives the settings of root; the user's file does not become root's, wherever HOME points.
	as pi admin sudo --preserve-env=NIX_PATH rebuild build
	expect_contains "$errors" "no name server answers this machine, which asks for 'nobody'"
	as pi admin sudo --preserve-env=HOME rebuild --show-settings
	expect_status 0
	expect_matches "$output" $'\nevalHost +nobody +/etc/rebuild.json'
	expect_lacks "$output$errors" "/home/admin/.config"
	as pi admin sudo --preserve-env=NIX_PATH env XDG_CONFIG_HOME=/home/admin/.config rebuild --show-settings
	expect_contains "$errors" "/home/admin/.config/rebuild.json is not obeyed: it belongs to another user (uid 1000), and this is root"
}

case_settings_local_this_once() {
	fresh
	machine_says '{ "evalHost": "builder", "buildHost": "nobody" }'
	change_configuration "made here, this once"
	local line
	for line in "rebuild switch -j 2 --eval-host ''" "REBUILD_EVAL_HOST= rebuild build -j 2"; do
		forget_calls pi
		sh_on pi "$line"
		expect_built
		expect_made_here
		expect_lacks "$errors" "connecting to"
	done
	expect_equal "$(file_on pi /etc/motd)" "made here, this once"
}

# The error says what to type. That very line works, and nothing has happened before it.
case_settings_a_builder_that_is_off() {
	fresh
	remember
	local off host message
	for off in cable sshd name; do
		host=builder
		case $off in
		cable)
			must lab cable builder out
			message="builder cannot be reached"
			;;
		sshd)
			must lab cable builder in
			must_on builder systemctl stop ssh.service ssh.socket
			message="builder cannot be reached (ssh: connect to host builder port 22: Connection refused)"
			;;
		name)
			host=nobody
			message="no name server answers this machine, which asks for 'nobody'"
			;;
		esac
		machine_says "{ \"evalHost\": \"$host\" }"
		change_configuration "while it is off: $off"
		forget_calls pi
		on pi rebuild build -j 2 --diff
		expect_status 255
		expect_equal "$output" ""
		expect_contains "$errors" "error: $message"
		expect_no_evaluation pi
		expect_unchanged
		expect_equal "$(offered)" "rebuild build -j 2 --diff --eval-host ''"
		sh_on pi "$(offered)"
		expect_built
		expect_made_here
	done
	# For a host that the command names, the advice is another one.
	on pi rebuild build --eval-on nobody
	expect_status 255
	expect_lacks "$errors" "$ONCE"
	expect_contains "$errors" "or evaluate here, this once: --eval-on ''"
}

case_settings_fallback_to_this_machine() {
	fresh
	must_on builder systemctl stop ssh.service ssh.socket
	machine_says '{ "evalHost": "builder", "fallback": "local" }'
	change_configuration "without the builder"
	forget_calls pi
	on pi rebuild switch -j 2
	expect_switched
	expect_made_here
	expect_contains "$errors" "warning: builder cannot be reached (ssh: connect to host builder port 22: Connection refused)
  so this machine evaluates and builds"
	expect_equal "$(file_on pi /etc/motd)" "without the builder"
	# This also holds for a name that this command gives itself together with the fallback; but not if the command just
	# names "builder".
	change_configuration "without a machine of that name"
	on pi rebuild build -j 2 --eval-on nobody --if-unreachable local
	expect_built
	expect_contains "$errors" "  so this machine evaluates and builds"
	on pi rebuild build -j 2 --eval-on builder
	expect_status 255
	expect_equal "$output" ""
	# It does not hold if this command says so.
	on pi rebuild build -j 2 --if-unreachable fail
	expect_status 255
	expect_contains "$errors" "$ONCE"
	# The builder is there again, and nobody has to do anything.
	must_on builder systemctl start ssh.service
	change_configuration "with the builder again"
	forget_calls pi
	on pi rebuild switch
	expect_switched
	expect_made_there builder
	expect_lacks "$errors" "warning"
}

# A machine that answers is on, even if it is another machine, or one that refuses the login.
expect_no_fallback() { # MESSAGE
	forget_calls pi
	on pi rebuild switch -j 2
	expect_failure
	expect_equal "$output" ""
	expect_contains "$errors" "$1"
	expect_lacks "$errors" "this machine evaluates"
	expect_lacks "$errors" "$ONCE"
	expect_no_evaluation pi
	expect_unchanged
}

case_settings_no_fallback_from_a_stranger() {
	fresh
	remember
	machine_says '{ "evalHost": "builder", "fallback": "local" }'
	change_configuration "never"
	must_sh_on pi 'cp /etc/ssh/ssh_known_hosts /etc/ssh/all_known_hosts
		sed -i "/^builder,/d" /etc/ssh/ssh_known_hosts'
	expect_no_fallback "the host key of builder is unknown or has changed"
	# The key of another machine.
	must_sh_on pi 'sed "/^builder,/d; s/^target,[^ ]*/builder/" /etc/ssh/all_known_hosts >/etc/ssh/ssh_known_hosts'
	expect_no_fallback "the host key of builder is unknown or has changed"
	must_sh_on pi 'cp /etc/ssh/all_known_hosts /etc/ssh/ssh_known_hosts; mv ~/.ssh/id_ed25519 ~/.ssh/hidden'
	expect_no_fallback "builder refuses this user's keys"
	must_sh_on pi 'mv ~/.ssh/hidden ~/.ssh/id_ed25519'
	must_sh_on builder 'mv /usr/bin/nix-store /usr/bin/no-nix-store; mv /usr/bin/nix-instantiate /usr/bin/no-nix-instantiate'
	expect_no_fallback "Nix"
}

# Once it has answered, the link breaks: nobody knows what has happened there.
case_settings_no_fallback_from_a_broken_link() {
	fresh
	remember
	machine_says '{ "evalHost": "builder", "fallback": "local" }'
	local slow
	for slow in "lab.evalCost.work = 600" "lab.slowBuild = 600"; do
		change_configuration "never: $slow" "$slow;"
		must_on builder systemctl start ssh.service
		forget_calls pi
		start lab on pi -- rebuild switch -j 2
		case $slow in
		*slowBuild*) expect_within 60 on_builder "sleep 1" ;;
		*) expect_within 60 on_builder "nix-instantiate .*nixpkgs/nixos" ;;
		esac
		must_on builder systemctl stop ssh.service ssh.socket
		drop_connections builder
		# The work goes on there, and its end is waited for.
		expect_within 30 grep -q "the connection to builder broke" "$CASE/started-errors"
		sleep 3
		interrupt
		finish 10
		expect_status 130
		expect_lacks "$errors" "this machine evaluates"
		expect_contains "$errors" "builder does not answer, so its work may go on there"
		expect_no_evaluation pi
		expect_unchanged
		# shellcheck disable=SC2016 # the host's shell expands it
		must_sh_on builder 'kill $(cat ~builder/.cache/rebuild/*/jobs/*/process) 2>/dev/null || :'
	done
}
on_builder() { lab on builder sh -c "ps -eo args | grep -v grep | grep -q -e '$1'" </dev/null; }

# Evaluator and target are two machines: without the evaluator, this machine does its part, and the target is changed.
case_settings_fallback_for_a_third_machine() {
	need_hosts target
	fresh pi builder target
	remember
	machine_says '{ "evalHost": "builder", "fallback": "local" }'
	must lab cable builder out
	change_configuration "made on the Pi, for another"
	forget_calls pi
	on pi rebuild switch -j 2 --target-host admin@target --sudo
	expect_built
	expect_made_here
	expect_contains "$errors" "  so this machine evaluates and builds"
	expect_equal "$(profile_of target) $(system_of target)" "$output $output"
	expect_unchanged
	# The run is about the target: without it there is nothing to do, even if it is also the evaluator.
	must_on target systemctl stop ssh.service ssh.socket
	machine_says '{ "evalHost": "target", "fallback": "local" }'
	change_configuration "never"
	forget_calls pi
	on pi rebuild switch -j 2 --target-host target
	expect_status 255
	expect_lacks "$errors" "this machine"
	expect_no_evaluation pi
	expect_unchanged
}

case_settings_that_are_wrong() {
	fresh
	remember
	local mode
	for mode in 664 646; do
		machine_says '{ "evalHost": "nobody", "fallbak": "nonsense" }'
		must_on pi chmod $mode /etc/rebuild.json
		on pi rebuild --show-settings
		expect_status 0
		expect_contains "$errors" "warning: /etc/rebuild.json is not obeyed: others than its owner may write it"
		expect_contains "$errors" "to have it obeyed: chmod go-w /etc/rebuild.json"
		expect_lacks "$output" nobody
	done
	# The error says what to type.
	sh_on pi 'chmod go-w /etc/rebuild.json'
	forget_calls pi
	local json message
	while IFS='|' read -r json message; do
		machine_says "$json"
		on pi rebuild switch -j 2
		expect_status 2
		expect_equal "$output" ""
		expect_contains "$errors" "error: /etc/rebuild.json, line 1, column "
		expect_contains "$errors" "$message"
		expect_lacks "$errors" "connecting"
	done <<-'END'
		{ "evalHost": "builder", "fallbak": "local" }|'fallbak' is no setting: did you mean fallback?
		{ "target-host": "builder" }|which machine and profile are changed is said by each command
		{ "fallback": "perhaps" }|fallback is "fail" or "local", not "perhaps"
		{ "evalHost": "builder", }|trailing comma
	END
	expect_equal "$(calls_of pi)" ""
	expect_unchanged
	must_on pi rm /etc/rebuild.json
	admin_says '{ "evalHost": "builder" }'
	must_on pi chmod 666 /home/admin/.config/rebuild.json
	as pi admin rebuild --show-settings
	expect_contains "$errors" "/home/admin/.config/rebuild.json is not obeyed"
}

case_settings_are_shown() {
	fresh
	machine_says '{ "evalHost": "builder", "diff": true }'
	admin_says '{ "diff": false, "fallback": "local" }'
	as pi admin env REBUILD_LEND=no rebuild switch --ask --show-settings
	expect_status 0
	expect_equal "$errors" ""
	local line
	for line in 'setting +value +from' 'evalHost +builder +/etc/rebuild.json' 'buildHost +builder +evalHost' \
		'fallback +local +/home/admin/.config/rebuild.json' 'diff +false +/home/admin/.config/rebuild.json' \
		'lend +false +REBUILD_LEND' 'ask +true +command line' 'elevate +none +default'; do
		grep -qxE "$line" "$CASE/output" || fail "expected a line: $line"
	done
	as pi admin rebuild --show-settings --json
	expect_status 0
	expect_contains "${output//[[:space:]]/}" '"evalHost":{"source":"/etc/rebuild.json","value":"builder"}'
}

# sleeps HOST : sshd there is stopped, and answers nobody until somebody connects to port 9.
sleeps() {
	must_sh_on "$1" 'systemctl stop ssh magic.socket magic.service 2>/dev/null || systemctl stop ssh
		systemctl reset-failed
		systemd-run --quiet --unit=magic --socket-property=ListenStream=9 systemctl start ssh'
}

case_settings_hosts_that_sleep() {
	need_hosts newbuilder
	fresh pi builder newbuilder
	# The first of the list is off, so the second does it, and it is said why.
	sleeps builder
	machine_says '{ "evalHost": [ "builder", "newbuilder" ], "wake": "false" }'
	change_configuration "by the second of a list"
	forget_calls pi
	on pi rebuild switch
	expect_switched
	expect_made_there newbuilder
	expect_matches "$errors" "builder cannot be reached \(ssh: connect to host [^)]* Connection refused\): newbuilder evaluates and builds"
	# None answers. The command starts one of them, which lets no user in for a while: pam_nologin closes the connection. It
	# does so here until it has been tried often enough to see that nobody takes it for an answer.
	sleeps newbuilder
	must_sh_on builder 'echo "System is booting up." >/run/nologin'
	write_on pi /root/wake <<-'END'
		: >/dev/tcp/builder/9 || exit
		echo "the packet is sent"
	END
	machine_says '{ "evalHost": [ "newbuilder", "builder" ], "wake": "token=wake-secret; bash /root/wake", "wakeTimeout": 600 }'
	change_configuration "by one that has woken"
	forget_calls pi
	start lab on pi -- rebuild switch
	expect_within 60 printed "waiting for newbuilder or builder to wake, for at most"
	expect_within 60 builder_has_closed 4
	must_on builder rm /run/nologin
	finish 120
	expect_switched
	expect_made_there builder
	expect_contains "$errors" "the packet is sent"
	expect_matches "$errors" "builder answers, after [0-9]+ s"
	expect_lacks "$errors" wake-secret
	expect_lacks "$errors" "booting up"
	expect_equal "$(file_on pi /etc/motd)" "by one that has woken"
	# One that wakes with another key is not the one that was meant.
	sleeps builder
	# shellcheck disable=SC2016 # the host's shell expands it
	must_sh_on pi 'key=$(grep ^newbuilder, /etc/ssh/ssh_known_hosts)
		sed -i "s|^\(builder,[^ ]* \).*|\1${key#* }|" /etc/ssh/ssh_known_hosts'
	machine_says '{ "evalHost": "builder", "fallback": "local", "wake": "bash /root/wake" }'
	on pi rebuild build
	expect_status 255
	expect_contains "$errors" "error: the host key of builder is unknown or has changed"
}
builder_has_closed() { # TIMES
	sh_on builder 'journalctl --quiet --output=cat | grep -c "Access denied for user builder by PAM"'
	[ "$output" -ge "$1" ]
}
