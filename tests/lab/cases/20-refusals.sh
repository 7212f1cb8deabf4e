# shellcheck shell=bash
# What cannot be done is said in one message that names the host and what to do, and nothing is changed.

remember() {
	before="$(profile_of pi) $(system_of pi)"
	forget_calls pi
}

# Checks that the Pi is as it was: the profile, the running system, no activation, no Nix command.
expect_nothing_changed() {
	local after
	after="$(profile_of pi) $(system_of pi)"
	expect_equal "$after" "$before"
	expect_no_file pi /var/log/activation
	expect_equal "$(calls_of pi)" ""
}

# refused CODE HOST MESSAGE REMEDY [FLAG...]
refused() {
	remember
	on pi rebuild switch --eval-on "$2" "${@:5}"
	expect_status "$1"
	expect_equal "$output" ""
	expect_contains "$errors" "error: $3"
	expect_contains "$errors" "$4"
	expect_lacks "$errors" "panicked"
	expect_lacks "$errors" "parameter not set"
	expect_nothing_changed
}

case_refusals_of_the_connection() {
	fresh
	# There is no name server in the lab. If no name server is asked, the known hosts are all that exist.
	refused 255 nosuchhost "no name server answers this machine, which asks for 'nosuchhost'" ".ssh/config"
	must_sh_on pi "sed -i 's/^hosts:.*/hosts: files/' /etc/nsswitch.conf"
	refused 255 nosuchhost "no machine is known by the name 'nosuchhost'" ".ssh/config"
	must_on builder systemctl stop ssh.service ssh.socket
	refused 255 builder "builder cannot be reached" "--eval-on ''"
	must_on builder systemctl start ssh.service
	must_on builder mv /home/builder/.ssh/authorized_keys /home/builder/.ssh/none
	refused 255 builder "builder refuses this user's keys" "ssh-copy-id builder"
	must_on builder mv /home/builder/.ssh/none /home/builder/.ssh/authorized_keys
	must_sh_on pi ': >/etc/ssh/ssh_known_hosts'
	refused 255 builder "the host key of builder is unknown or has changed" "ssh builder"
}

case_refusal_of_a_pulled_cable() {
	fresh
	must lab cable builder out
	refused 255 builder "builder cannot be reached" "ssh builder true"
	must lab cable builder in
}

case_refusal_of_an_account_without_a_shell() {
	fresh
	must_on builder usermod --shell /usr/sbin/nologin plain
	refused 1 plain@builder "plain@builder does not run our script" "login shell"
}

case_refusal_without_nix() {
	fresh
	must_sh_on builder 'chmod 0 /usr/bin/nix-store; mkdir /root/away; mv /usr/bin/nix /usr/bin/nix-* /root/away'
	refused 127 builder "builder has no Nix" "ssh builder nix-store --version"
}

# The cases: trusted or not, with or without the setting, with or without the emulator.
case_refusals_of_the_cpu() { # alone
	fresh
	refused 1 plain@builder "Nix on plain@builder does not build for aarch64-linux" \
		'boot.binfmt.emulatedSystems = [ "aarch64-linux" ];'
	expect_contains "$errors" "extra-platforms = aarch64-linux"
	must lab emulation off
	remember
	on pi rebuild switch --eval-on builder
	lab emulation on
	expect_status 1
	expect_contains "$errors" "error: builder has no emulator for aarch64-linux"
	expect_contains "$errors" "qemu-user-static"
	expect_nothing_changed
}

# If a file is wrong, Nix says so, with the line, wherever it evaluates; and completion offers nothing.
case_refusal_of_a_syntax_error() {
	fresh
	must_sh_on pi 'cp -r /etc/nixos /etc/nixos.good'
	# A missing quote, a string before a path, and a text that is nested deeper than the parser of this program can go.
	for broken in '  networking.hostName = "pi;' '  imports = [ ./a ${x} ];' "  x = $(printf '[%.0s' $(seq 3000)) ;"; do
		for place in builder ''; do
			must_sh_on pi "printf '{\n%s\n}\n' '$broken' >/etc/nixos/configuration.nix"
			remember
			on pi rebuild switch --eval-on "$place"
			expect_status 1
			expect_contains "$errors" "syntax error"
			expect_contains "$errors" "configuration.nix:"
			expect_lacks "$errors" "panicked"
			expect_equal "$output" ""
			expect_no_file pi /var/log/activation
		done
	done
	must_sh_on pi 'printf "{ outputs = { self }: { nixosConfigurations.pi = 1; x = \"y; }; }" >/etc/nixos/flake.nix'
	must_sh_on pi 'cd /etc/nixos && rebuild --candidates configurations | grep -qxF .#pi'
	must_sh_on pi 'rm -r /etc/nixos && mv /etc/nixos.good /etc/nixos'
}

case_refusal_of_an_evaluation_error() {
	fresh
	must_sh_on pi 'sed -i "s/networking.hostName =/& nosuch +/" /etc/nixos/configuration.nix'
	refused 1 builder "undefined variable 'nosuch'" "at /etc/nixos/configuration.nix:"
	expect_contains "$errors" "error: the evaluation on builder failed"
}

case_refusal_of_a_build_error() {
	fresh
	must_sh_on pi 'sed -i "s/system.stateVersion/lab.failBuild = true; &/" /etc/nixos/configuration.nix'
	refused 1 builder "the build on builder failed" "lab: this build fails on purpose"
	expect_contains "$errors" "log line one of the build that fails"
}

# A result that is no NixOS system stays out of the profile.
case_refusal_of_what_is_no_system() {
	fresh
	# shellcheck disable=SC2016 # the derivation's own
	must_sh_on pi 'mkdir -p /srv/fake/nixos
		echo "{ config.system.build.toplevel = derivation { name = \"no-system\"; system = builtins.currentSystem;
			builder = \"/bin/sh\"; args = [ \"-c\" \"echo >\$out\" ]; }; }" >/srv/fake/nixos/default.nix'
	remember
	on pi rebuild switch --eval-on builder -I nixpkgs=/srv/fake
	expect_status 1
	expect_contains "$errors" "is not a NixOS system: it has no nixos-version"
	expect_nothing_changed
}

case_refusals_before_any_connection() {
	fresh
	remember
	local line
	while IFS='|' read -r line expected; do
		# shellcheck disable=SC2086 # words
		on pi rebuild $line
		expect_failure
		expect_contains "$errors" "$expected"
	done <<-'END'
		switch --eval-on builder --profile-name a/b|is not a file name
		switch --eval-on builder --flake .|there is no flake.nix in
		switch --eval-on -oProxyCommand=true|unexpected argument
		switch --eval-on=-oProxyCommand=true|is not a host name
		switch --eval-hots builder|--eval-host
		swich|switch
	END
	on pi env NIXOS_CONFIG=/nonexistent.nix rebuild switch --eval-on builder
	expect_status 1
	expect_contains "$errors" "the configuration /nonexistent.nix does not exist"
	as pi admin rebuild switch --eval-on builder
	expect_status 1
	expect_contains "$errors" "only root can activate a configuration"
	expect_nothing_changed
}
