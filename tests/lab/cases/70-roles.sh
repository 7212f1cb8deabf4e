# shellcheck shell=bash
# Who evaluates, who builds, who gets it: every combination of here, there and a third machine. Each case sees that the
# right machine is changed and no other, that the result comes to no machine that does not need it, and that it is the
# one that the Pi itself would make. Builders have no key to any client; the Pi and the target may build nothing unless
# the command line says so (-j 2).

# Makes a configuration that nothing was built for yet.
change_configuration() { # MOTD
	must_on pi sed -i "s/text = .*/text = \"$1\\\\n\";/" /etc/nixos/configuration.nix
}

begin() { # MOTD [HOST...]
	need_hosts target "${@:2}"
	fresh pi builder target "${@:2}"
	change_configuration "$1"
	remembered="$(profile_of pi) $(system_of pi)"
	own_derivation=$(lab on pi nix-instantiate '<nixpkgs/nixos>' -A config.system.build.toplevel 2>/dev/null </dev/null)
	forget_calls pi
	forget_calls target
}

# must_rebuild ARGUMENT... : sets $result.
must_rebuild() {
	on pi rebuild "$@"
	expect_status 0
	expect_matches "$output" '^/nix/store/[a-z0-9]{32}-nixos-system-pi-[^[:space:]]*$'
	result=$output
}

has() { lab on "$1" nix-store --check-validity "$2" >/dev/null 2>&1 </dev/null; }
expect_has() { has "$1" "$result" || fail "expected the result on $1"; }
expect_lacks_result() {
	local host
	for host; do ! has "$host" "$result" || fail "the result came to $host, which does not need it"; done
}
expect_same() { # HOST : as it built it
	expect_equal "$(lab on "$1" nix-store --query --deriver "$result" </dev/null)" "$own_derivation"
}
expect_switched() { # HOST
	expect_equal "$(profile_of "$1")" "$result"
	expect_equal "$(system_of "$1")" "$result"
	expect_contains "$(file_on "$1" /var/log/activation)" "== switch $result/bin/switch-to-configuration"
}
expect_pi_unchanged() {
	expect_equal "$(profile_of pi) $(system_of pi)" "$remembered"
	expect_no_file pi /var/log/activation
	expect_no_file pi /root/result
}
expect_nothing_left() {
	local host
	for host; do
		sh_on "$host" 'find /tmp /var/tmp -name "rebuild*"; pgrep -l -x "rebuild|nix-store|nix-instantiate|nix-build|nix|ssh"'
		expect_equal "$output" ""
	done
}

case_roles_target_alone() {
	begin "from here to there"
	must_rebuild switch --target-host target -j 2
	expect_switched target
	expect_pi_unchanged
	expect_lacks_result builder
	expect_same pi
	expect_no_evaluation target
	expect_nothing_left pi target
}

case_roles_build_there_and_activate_on_a_third() {
	begin "built there, for another"
	must_rebuild switch --build-on builder --target-host target
	expect_switched target
	expect_pi_unchanged
	expect_lacks_result pi
	expect_same builder
	expect_contains "$(calls_of pi)" "nix-instantiate <nixpkgs/nixos>"
	expect_nothing_left pi builder target
}

case_roles_evaluate_there_and_activate_on_a_third() {
	begin "evaluated there, for another"
	must_rebuild switch --eval-on builder --target-host target
	# No Nix program ran on the Pi, but to ask how much is to be sent.
	expect_equal "$(calls_of pi)" ""
	expect_no_evaluation target
	expect_switched target
	expect_pi_unchanged
	expect_lacks_result pi
	expect_same builder
	expect_nothing_left pi builder target
}

case_roles_four_machines() {
	begin "each on another" newbuilder
	must_rebuild switch --eval-on builder --build-on newbuilder --target-host target
	expect_equal "$(calls_of pi)" ""
	expect_switched target
	expect_pi_unchanged
	expect_lacks_result pi builder
	expect_same newbuilder
	expect_nothing_left pi builder newbuilder target
	# Dry: nothing is built anywhere.
	change_configuration "each on another, imagined"
	on pi rebuild dry-build --eval-on builder --build-on newbuilder --target-host target
	expect_status 0
	expect_contains "$errors" "etc-motd.drv"
	sh_on newbuilder 'ls -d /nix/store/*-etc-motd | wc -l'
	expect_equal "$output" 1
}

case_roles_evaluate_and_build_on_two() {
	begin "two for one" newbuilder
	must_rebuild switch --eval-on builder --build-on newbuilder
	expect_switched pi
	expect_lacks_result builder
	expect_same newbuilder
	expect_no_evaluation pi
	must_rebuild build --eval-on builder --build-on newbuilder
	expect_equal "$(lab on pi readlink /root/result </dev/null)" "$result"
}

case_roles_evaluate_there_and_build_here() {
	begin "evaluated there, built here"
	must_rebuild switch --eval-on builder --build-on '' -j 2
	expect_switched pi
	expect_lacks_result builder
	expect_same pi
	expect_no_evaluation pi
	on pi rebuild build --eval-on builder --build-on localhost
	expect_status 0
	expect_equal "$(lab on pi readlink /root/result </dev/null)" "$result"
	# This is for a third machine.
	change_configuration "evaluated there, built here, for another"
	must_rebuild switch --eval-on builder --build-on pi --target-host target -j 2
	expect_switched target
	expect_lacks_result builder
	expect_no_evaluation pi
}

case_roles_the_target_builds_for_itself() {
	begin "built where it is used"
	must_rebuild switch --build-on target --target-host target -j 2
	expect_switched target
	expect_pi_unchanged
	expect_lacks_result pi builder
	expect_same target

	change_configuration "evaluated where it is used"
	forget_calls pi
	must_rebuild switch --eval-on target --target-host target -j 2
	expect_switched target
	expect_lacks_result pi builder
	expect_no_evaluation pi

	change_configuration "evaluated there, built where it is used"
	must_rebuild switch --eval-on builder --build-on target --target-host target -j 2
	expect_switched target
	expect_lacks_result pi builder
}

case_roles_this_machine_by_its_names() {
	begin "all of it here"
	local name
	for name in '' localhost pi; do
		on pi rebuild dry-build --eval-on "$name" --build-on "$name" --target-host "$name"
		expect_status 0
		expect_contains "$errors" "etc-motd.drv"
	done
	must_rebuild switch --target-host '' --build-host localhost --eval-host pi -j 2
	expect_switched pi
	expect_lacks_result builder
}

# With a tunnel, or the port of a virtual machine, ssh leads localhost elsewhere: then it is not the machine on which
# the command is typed.
case_roles_a_name_of_this_machine_that_leads_elsewhere() {
	begin "not here"
	local before
	before=$(profile_of pi)
	# The same machine by another address is this machine; the target under the name of this machine is not.
	must_sh_on pi 'printf "\nHost pi\n HostName 10.77.0.1\nHost localhost\n HostName 10.77.0.3\n User root\n HostKeyAlias target\n" >>/root/.ssh/config'
	must_rebuild switch --eval-on builder --target-host localhost
	expect_contains "$errors" "warning: 'localhost' is another machine here: ssh leads it to 10.77.0.3, port 22; this machine is ''"
	expect_switched target
	expect_equal "$(profile_of pi)" "$before"
	must_rebuild switch --eval-on builder --target-host pi
	expect_switched pi
	# If nobody listens, nothing is changed.
	on pi env NIX_SSHOPTS='-p 2222' rebuild switch --target-host pi
	expect_status 255
	expect_contains "$errors" "pi cannot be reached"
}

# Nix sees that everything is there already: nothing is sent twice.
case_roles_one_machine_by_two_names() {
	begin "two names"
	must_sh_on pi 'printf "\nHost other-name\n HostName 10.77.0.2\n User builder\n HostKeyAlias builder\nHost myself\n HostName 10.77.0.1\n User root\n HostKeyAlias pi\n" >>/root/.ssh/config'
	must_rebuild switch --eval-on builder --build-on other-name --target-host target
	expect_switched target
	expect_lacks_result pi
	expect_same builder
	must_rebuild switch --eval-on builder --target-host myself
	expect_switched pi
}

case_roles_the_builder_does_not_reach_the_target() {
	begin "only the Pi reaches it"
	cut_between builder target
	must_rebuild switch --eval-on builder --target-host target
	expect_switched target
	expect_lacks_result pi
}

# The way to the target leads over the builder, which gets no login on the target all the same.
case_roles_the_target_behind_the_builder() {
	begin "only the builder reaches it"
	jump_through pi root builder target
	must_rebuild switch --eval-on builder --target-host target
	expect_switched target
	expect_lacks_result pi
}

case_roles_without_forwarding() {
	begin "nothing is forwarded"
	must_sh_on builder 'echo "DisableForwarding yes" >/etc/ssh/sshd_config.d/forward.conf; systemctl reload ssh'
	must_rebuild switch --eval-on builder --target-host target
	expect_switched target
	expect_lacks_result pi
	change_configuration "nothing is lent"
	must_sh_on builder 'rm /etc/ssh/sshd_config.d/forward.conf; systemctl reload ssh'
	must_rebuild switch --eval-on builder --target-host target --no-lend
	expect_switched target
	expect_lacks_result pi
	# A user whom Nix does not trust, here or there, gets it through the daemon of root all the same.
	change_configuration "nothing is lent, for admin there"
	must_rebuild switch --eval-on builder --target-host admin@target --sudo --no-lend
	expect_switched target
	change_configuration "nothing is lent, for admin here"
	as pi admin rebuild switch --eval-on builder --sudo --no-lend
	expect_status 0
	result=$output
	expect_switched pi
	change_configuration "nothing is lent for a derivation"
	must_rebuild switch --eval-on builder --build-on target --target-host target -j 2 --no-lend
	expect_switched target
}

# A system for another CPU than the client's does not need the emulation of the client's CPU: the probe does not matter.
case_roles_a_system_for_the_builders_own_cpu() { # alone
	begin "cross compiled"
	must_sh_on pi 'cat >/srv/native.nix <<END
		{ config.system.build.toplevel = derivation { name = "native"; system = "x86_64-linux"; builder = "/bin/sh";
		    args = [ "-c" "echo x >\$out" ]; }; }
END'
	must lab emulation off
	on pi rebuild build --file /srv/native.nix --eval-on builder
	lab emulation on
	expect_status 0
	expect_matches "$output" '-native$'
}

# The ssh of Nix itself gets the options of the user, quoted ones too, and the port.
case_roles_options_for_ssh() {
	begin "options with blanks"
	must_sh_on builder 'printf "Port 22\nPort 2222\n" >/etc/ssh/sshd_config.d/port.conf
		systemctl stop ssh.socket; systemctl restart ssh.service'
	must_sh_on pi 'mv /root/.ssh/config /root/.ssh/unused'
	on pi env NIX_SSHOPTS="-o 'User=builder' -o 'SetEnv=A=\"x y\"' -i /root/.ssh/id_ed25519" \
		rebuild switch --eval-on ssh://builder:2222 --no-lend
	expect_status 0
	result=$output
	expect_switched pi
	expect_contains "$(calls_of pi)" "--from ssh://builder --to unix://"
	on pi env NIX_SSHOPTS="-o User='builder" rebuild build --eval-on builder
	expect_status 2
	expect_contains "$errors" "NIX_SSHOPTS"
}

# The configuration of a flake has the name of the machine that gets it. That machine is asked; nixos-rebuild takes
# "default" if it does not answer.
case_roles_a_flake_is_named_by_its_target() {
	begin "named by its target"
	local channel
	channel=$(lab on pi readlink -f /nix/var/nix/profiles/per-user/root/channels/nixos </dev/null)
	must_sh_on pi "mkdir /srv/flake && cp /etc/nixos/*.nix /srv/flake/ && cat >/srv/flake/flake.nix <<'END'
		{ inputs.nixpkgs.url = \"path:$channel\"; outputs = { self, nixpkgs }: { nixosConfigurations =
		  builtins.listToAttrs (map (name: { inherit name; value = nixpkgs.lib.nixosSystem { system = \"aarch64-linux\";
		    modules = [ ./configuration.nix { environment.etc.who.text = name; } ]; }; }) [ \"pi\" \"target\" \"default\" ]); }; }
END"
	must_rebuild switch --flake /srv/flake --eval-on builder --target-host target
	expect_switched target
	expect_equal "$(file_on target /etc/who)" target
	must_rebuild switch --flake /srv/flake#pi --build-on builder --target-host target
	expect_equal "$(file_on target /etc/who)" pi
	cut_between pi target
	forget_calls pi
	on pi rebuild switch --flake /srv/flake --target-host target
	expect_status 255
	expect_contains "$errors" "target cannot be reached"
	expect_no_evaluation pi
}

# There is one login for each host, whatever is said to it.
case_roles_logins() {
	begin "counted"
	must_sh_on target 'journalctl --rotate --vacuum-time=1s >/dev/null 2>&1; true'
	local host before
	declare -A before
	for host in builder target; do before[$host]=$(lab on "$host" sh -c 'journalctl -q -t sshd -t sshd-session | grep -c Accepted' </dev/null); done
	must_rebuild switch --eval-on builder --target-host target
	for host in builder target; do
		sh_on "$host" 'journalctl -q -t sshd -t sshd-session | grep -c Accepted'
		expect_equal "$output" $((before[$host] + 1))
	done
}

# An ssh user there whom Nix does not trust gets the result all the same, through sudo (nixpkgs#299996).
case_roles_an_untrusted_target_user() {
	begin "not trusted there"
	must_rebuild switch --eval-on builder --target-host admin@target --sudo
	expect_switched target
	expect_lacks_result pi
}
