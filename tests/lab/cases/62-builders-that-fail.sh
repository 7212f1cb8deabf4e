# shellcheck shell=bash
# A builder whose Nix lies elsewhere, and builders at which something fails that is no affair of the client's: each says
# what, in Nix's words and in ours, and what to do.

# shellcheck source=/dev/null
. "$LAB/derivations.sh"

# Nix is outside of what the view has of the builder: its programs are in a directory with their libraries, or one
# static program has links to it, both in a home that other users cannot look into, or behind scripts. The evaluation
# sees them, and its derivation is the client's own.
case_failing_builders_with_nix_elsewhere() {
	local own there layout
	fresh
	own=$(lab on pi nix-instantiate '<nixpkgs/nixos>' -A config.system.build.toplevel </dev/null 2>/dev/null)
	for layout in directory program home script; do
		# shellcheck disable=SC2016 # the host's shell expands it
		must_on builder sh -euc 'rm -rf /opt/nix /usr/local/bin/nix*
			case $1 in
			directory)
				mkdir -p /opt/nix/bin /opt/nix/lib
				cp /usr/bin/nix /opt/nix/bin/nix
				# A loader would not look here by itself.
				for library in $(ldd /usr/bin/nix | sed -n "s/.* => \(.*libnix[^ ]*\) .*/\1/p"); do cp "$library" /opt/nix/lib/; done
				for name in nix-store nix-instantiate nix-build nix-daemon nix-env; do ln -s nix "/opt/nix/bin/$name"; done
				ln -s /opt/nix/bin/* /usr/local/bin/
				;;
			program)
				mkdir -p /opt/nix
				cp /usr/bin/nix /opt/nix/nix-static-2.26
				for name in nix nix-store nix-instantiate nix-build nix-daemon nix-env; do
					ln -s /opt/nix/nix-static-2.26 "/usr/local/bin/$name"
				done
				;;
			home)
				# Only the ssh user may look into it.
				mkdir -p ~builder/nix/bin && chmod 700 ~builder ~builder/nix
				cp /usr/bin/nix ~builder/nix/bin/nix
				for name in nix-store nix-instantiate nix-build nix-daemon nix-env; do ln -s nix ~builder/nix/bin/$name; done
				chown -R builder: ~builder/nix
				ln -s ~builder/nix/bin/* /usr/local/bin/
				;;
			script)
				mkdir -p /opt/nix/bin
				cp /usr/bin/nix /opt/nix/bin/nix
				for name in nix-store nix-instantiate nix-build nix-daemon nix-env; do ln -s nix "/opt/nix/bin/$name"; done
				for name in nix nix-store nix-instantiate nix-build nix-daemon nix-env; do
					printf "#!/bin/sh\nexport OWN=1\nexec \"/opt/nix/bin/%s\" \"\$@\"\n" "$name" >"/usr/local/bin/$name"
					chmod 755 "/usr/local/bin/$name"
				done
				;;
			esac' sh "$layout"
		on pi rebuild dry-build --eval-on builder -v
		expect_status 0
		there=$(sed -n 's/^derivation: //p' "$CASE/errors" | tail -n 1)
		expect_equal "$there" "$own"
	done
}

# fails MESSAGE REMEDY NIX-WORDS [FLAG...]
fails() {
	on pi rebuild build --eval-on builder "${@:4}"
	expect_status 1
	expect_contains "$errors" "error: $1"
	expect_contains "$errors" "$2"
	expect_contains "$errors" "$3"
	expect_lacks "$errors" "emulator"
	expect_lacks "$errors" "binfmt"
}

# A failure before the first build has nothing to do with emulation.
case_failing_builders_are_no_question_of_emulation() {
	fresh
	must lab nixconf builder 'max-jobs = 0'
	fails "Nix on builder builds nothing" "max-jobs = auto" "nable to start any build"
	# The remedy works.
	on pi rebuild build --eval-on builder --max-jobs auto
	expect_status 0

	fresh
	must_sh_on builder 'printf "#!/bin/sh\nexit 3\n" >/usr/local/bin/hook; chmod 755 /usr/local/bin/hook'
	must lab nixconf builder 'post-build-hook = /usr/local/bin/hook'
	fails "the post-build-hook of Nix on builder fails" "nix show-config" "/usr/local/bin/hook"

	fresh
	must lab nixconf builder 'build-users-group = nobodies'
	must_sh_on builder 'groupadd nobodies'
	fails "Nix on builder has no users to build as" "build-users-group" "nobodies"

	# The error about systems is shown only if Nix speaks of systems.
	fresh
	must_sh_on builder 'sed -i "/extra-platforms/d" /etc/nix/nix.conf; systemctl restart nix-daemon.service'
	on pi rebuild build --eval-on plain@builder
	expect_status 1
	expect_contains "$errors" "error: Nix on plain@builder does not build for aarch64-linux"
}

# If an evaluation was killed, the error names the most likely reason, with the memory of the machine.
case_failing_builders_that_kill_nix() {
	fresh
	must_sh_on pi 'sed -i "\$s/}\$/lab.evalCost = { work = 60; memory = 1; }; }/" /etc/nixos/configuration.nix; tail -n 3 /etc/nixos/configuration.nix'
	start lab on pi -- rebuild build --eval-on builder
	expect_within 30 lab on builder -- pgrep -x nix-instantiate
	must_sh_on builder 'pkill -KILL -x nix-instantiate'
	finish
	expect_status 137
	expect_contains "$errors" "error: Nix on builder was killed, which ended the evaluation: probably builder ran out of memory"
	expect_contains "$errors" "MiB of memory"

	# The build is killed, or the daemon of Nix that builds; then Nix says only that the daemon is gone.
	fresh
	must_sh_on pi "sed -i 's/^  system.stateVersion/  lab.slowBuild = 300; &/' /etc/nixos/configuration.nix"
	start lab on pi -- rebuild build --eval-on builder
	expect_within 60 printed "building slow-build"
	must_sh_on builder 'pkill -KILL -u builder -x nix-store'
	finish
	expect_status 137
	expect_contains "$errors" "error: Nix on builder was killed, which ended the build: probably builder ran out of memory"
	start lab on pi -- rebuild build --eval-on builder
	expect_within 60 printed "building slow-build"
	must_sh_on builder 'main=$(systemctl show -P MainPID nix-daemon.service)
		for process in $(pgrep -x nix-daemon); do [ "$process" = "$main" ] || kill -KILL "$process"; done'
	finish
	expect_status 1
	expect_contains "$errors" "Nix daemon disconnected unexpectedly"
	expect_contains "$errors" "ssh builder sudo journalctl -u nix-daemon"
}

# The ssh configuration is made for a person who types, and the PATH of the login leads nowhere. Neither is in the way
# of this program, nor of the ssh of Nix itself, which fetches if nothing is lent.
case_failing_builders_by_an_ssh_for_persons() {
	fresh
	must_sh_on pi 'printf "\nHost builder\n  RemoteCommand cat\n  SessionType none\n  StdinNull yes\n  RequestTTY force\n  ForkAfterAuthentication yes\n" >>/root/.ssh/config'
	must_sh_on builder 'echo "PATH=/nonexistent" >/home/builder/.bashrc; chown builder: /home/builder/.bashrc'
	on pi ssh -o RemoteCommand=none -o SessionType=default -o RequestTTY=no -o ForkAfterAuthentication=no builder command -v dd
	expect_failure
	on pi rebuild dry-build --eval-on builder
	expect_status 0
	# The PATH has dd, but not what comes after it.
	must_sh_on builder 'mkdir /opt/few; ln -s /usr/bin/dd /opt/few/; echo "PATH=/opt/few" >/home/builder/.bashrc'
	on pi rebuild build --eval-on builder
	expect_status 0
	must_on builder rm /home/builder/.bashrc
	on pi rebuild build --eval-on builder --no-lend
	expect_status 0
	on pi env NIX_SSHOPTS=-n rebuild build --eval-on builder
	expect_status 2
	expect_contains "$errors" "error: NIX_SSHOPTS (-n) has -n or StdinNull, which gives our script no input: nothing runs on builder"
}

# There is no room: small files have a second place, and if there is none, an error says so; nothing is ever done by
# half.
case_failing_builders_without_room() {
	fresh
	must_on builder mount -o remount,size=64k /dev/shm
	on pi rebuild dry-build --eval-on builder
	expect_status 0
	must_on builder mount -t tmpfs -o size=64k,mode=1777 none /var/tmp
	sh_on builder 'cat /dev/zero >/var/tmp/fill'
	on pi rebuild dry-build --eval-on builder
	expect_status 1
	expect_contains "$errors" "error: builder has no room for what an evaluation there reads and writes"
	expect_contains "$errors" "ssh builder df -h"
	expect_lacks "$errors" "I/O error"
}

# A client that vanishes without a word leaves nothing there but its build, if sshd watches over it as with the NixOS
# module; and nothing at all when that has ended.
case_failing_builders_of_a_client_that_vanishes() {
	fresh
	must_sh_on builder 'printf "Match User builder\n  ClientAliveInterval 1\n  ClientAliveCountMax 3\n" >>/etc/ssh/sshd_config
		systemctl restart ssh.service'
	must_sh_on pi "sed -i 's/^  system.stateVersion/  lab.slowBuild = 300; &/' /etc/nixos/configuration.nix"
	start lab on pi -- rebuild build --eval-on builder
	expect_within 60 lab on builder -- pgrep -u builder -f 'nix-store.*--realise'
	cut_between pi builder silent
	expect_within 30 no_login_left
	lab on builder -- pgrep -u builder -f 'nix-store.*--realise' </dev/null >/dev/null || fail "the build has ended"
	# shellcheck disable=SC2016 # the host's shell expands it
	must_sh_on builder 'kill $(cat /home/builder/.cache/rebuild/*/jobs/*/process)'
	expect_within 10 none_left
	join_again pi builder
	kill -KILL -- "-$started"
}
no_login_left() { [ -z "$(lab on builder -- pgrep -u builder -f sshd </dev/null)" ]; }
none_left() {
	[ -z "$(lab on builder -- pgrep -u builder -f 'nix-store|nix copy|sshd' </dev/null)" ] &&
		lab on builder -- sh -c 'set -- /home/builder/.cache/rebuild/*/run.* /dev/shm/rebuild.*; for left; do [ ! -e "$left" ] || exit 1; done' </dev/null
}

# The login may keep its files anywhere, under any name, and give its programs any other variables. If somebody removes
# the files in the middle of a run, the error gives that as the reason, and nothing of what is left counts.
case_failing_builders_with_a_home_of_their_own() {
	local own home
	fresh
	own=$(lab on pi nix-instantiate '<nixpkgs/nixos>' -A config.system.build.toplevel </dev/null 2>/dev/null)
	# A large directory is mounted there by its path.
	must_sh_on pi "touch -d '1 hour' /etc/nixos/configuration.nix; mkdir /etc/nixos/many; cd /etc/nixos/many; seq 1100 | xargs touch"
	for home in 'export TAR_OPTIONS="--exclude=*" GREP_OPTIONS=-v POSIXLY_CORRECT=1 QUOTING_STYLE=c CDPATH=/' \
		'unset HOME' 'export HOME=relative XDG_CACHE_HOME=relative' $'export XDG_CACHE_HOME="/tmp/a\\\\b  c\td"'; do
		write_on builder /home/builder/.bashrc <<<"$home"
		on pi rebuild dry-build --eval-on builder -v
		expect_status 0
		note_derivation
		expect_own_derivation_there builder
		# tar there does not judge the times by the clock of the client.
		expect_lacks "$errors" "in the future"
		expect_lacks "$errors" "mount:"
	done
	must_on builder rm /home/builder/.bashrc
	must_sh_on pi "sed -i 's/system.stateVersion/lab.evalCost.work = 10; &/' /etc/nixos/configuration.nix"
	start lab on pi -- rebuild build --eval-on builder
	expect_within 30 lab on builder -- pgrep -x nix-instantiate
	# What is shut there cannot be removed.
	lab on builder -u builder -- rm -rf /home/builder/.cache/rebuild </dev/null 2>/dev/null || :
	finish
	expect_status 1
	expect_contains "$errors" "error: what builder keeps for this run was taken away there meanwhile: nothing of it counts"
	expect_contains "$errors" "run the same command again"
	on pi rebuild build --eval-on builder
	expect_status 0
}
