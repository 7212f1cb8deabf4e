# shellcheck shell=bash
# The log that a run keeps for bug reports: with a real Nix, a real sshd and a real sudo it has what happened, and no
# secret.

# expect_log PATH PART... : checks that the last run has named this log and that it has these parts; leaves $log.
expect_log() {
	expect_equal "$(tail -n 1 "$CASE/errors")" "log: $1"
	log=$(file_on pi "$1")
	expect_equal "$(lab on pi stat -c '%a %U' "$1" "${1%/*}" </dev/null)" "600 ${run_by:-root}
700 ${run_by:-root}"
	for part in "${@:2}"; do expect_contains "$log" "$part"; done
}

case_log_of_a_failing_switch_tells_hop_and_cause_and_no_secret() {
	local logs=/root/.local/state/rebuild/logs log secret part
	fresh
	# Secrets of all kinds: in nix.conf, in netrc, in the environment, in an address, typed. The configuration says each,
	# so both machines' Nix repeats it.
	must_sh_on pi '
		echo "access-tokens = github.com=of-the-settings" >>/etc/nix/nix.conf
		echo "machine cache.example login me password of-the-netrc" >/etc/nix/netrc
		echo "builtins.trace (\"token \" + builtins.getEnv \"FORGE_TOKEN\" + \" of-the-settings\") (
			builtins.trace \"https://me:of-an-address@h of-the-netrc\" \"x\")" >/etc/nixos/said.nix
		sed -i "s|system.stateVersion|environment.etc.seen.text = import ./said.nix; lab.failBuild = true; &|" /etc/nixos/configuration.nix'
	on pi env FORGE_TOKEN=of-the-variable rebuild switch --eval-on builder
	expect_failure
	# The terminal has it, so what follows shows something.
	expect_contains "$errors" "of-the-variable"
	expect_lacks "$errors" "No such process"
	expect_log $logs/1.log "command: rebuild switch --eval-on builder" "evaluator: There" " phase: Building (builder)" \
		" builder says: evaluated /nix/store/" "[left out: FORGE_TOKEN]" \
		"> lab: this build fails on purpose" "error: the build on builder failed
            failed: exit status 1
"
	for secret in of-the-settings of-the-variable of-an-address of-the-netrc; do expect_lacks "$log" "$secret"; done

	# The activation of this machine, by another user, with a password.
	must_sh_on pi 'sed -i "s/lab.failBuild = true;//" /etc/nixos/configuration.nix; echo 4 >/etc/activation-exit-code'
	types "password" "correct horse 'quoted'"
	on_tty pi asker rebuild switch --sudo --eval-on builder
	expect_status 4
	tr -d '\r' <"$CASE/output" >"$CASE/errors"
	run_by=asker expect_log "/home/asker/.local/state/rebuild/logs/1.log" ' phase: Activating("switch")' " failed: exit status 4"
	expect_lacks "$log" "correct horse"

	# A machine that cannot be reached: ssh's own words are there.
	on pi rebuild switch --eval-on nobody@builder
	expect_status 255
	expect_log $logs/2.log " phase: Connecting (nobody@builder)" "ssh to nobody@builder: " "Permission denied" " failed: exit status 255"

	# What cannot be written disturbs nothing.
	must_sh_on pi 'rm /etc/activation-exit-code; rm -r /root/.local/state/rebuild/logs; ln -s /etc /root/.local/state/rebuild/logs'
	on pi rebuild switch --eval-on builder
	expect_status 0
	expect_no_file pi /etc/1.log
}
