# shellcheck shell=bash
# What the builder can do with what it is given: the lent socket, and the lock file.

# socket_there : prints the path of the forwarded socket on the builder, once there is one.
socket_there() { lab on builder sh -c 'ls /tmp/rebuild-*.socket' </dev/null 2>/dev/null; }

# holds COUNT PATH : connects COUNT times to a socket on the builder, and keeps the connections open; a run that waited
# for their end would not end. Their process writes what becomes of each: "end" or "open".
holds() {
	cat >"$CASE/holds" <<-'END'
		use Socket;
		my ($count, $path) = @ARGV;
		my @held;
		for (1 .. $count) {
			socket(my $socket, PF_UNIX, SOCK_STREAM, 0) or die;
			connect($socket, pack_sockaddr_un($path)) ? push(@held, $socket) : print "refused\n";
		}
		open(my $ready, ">", "/tmp/holding") or die;
		close $ready;
		for my $socket (@held) { sysread($socket, my $byte, 1) ? print "open\n" : print "end\n"; }
	END
	lab on builder -u builder -- perl - "$@" <"$CASE/holds"
}

# Checks the modes on both machines with the most careless umask. Connections of other users wait beside the one of the
# run: they get nothing, and do not keep the run from ending.
case_lent_to_one_connection_of_one_user() {
	fresh
	must_sh_on pi "sed -i 's/system.stateVersion/lab.slowBuild = 3; &/' /etc/nixos/configuration.nix"
	start lab on pi -- sh -c 'umask 000; cd /tmp; exec rebuild build --eval-on builder'
	expect_within 30 socket_there
	socket=$(socket_there)
	must_on builder stat -c '%a %U' "$socket"
	expect_equal "$output" "600 builder"
	must_sh_on pi 'stat -c %a /tmp/rebuild.*; stat -c %a /tmp/rebuild.*/nix-daemon'
	expect_equal "$output" $'700\n600'
	as builder plain perl -MSocket -e 'socket(S, PF_UNIX, SOCK_STREAM, 0); exit !connect(S, pack_sockaddr_un(shift))' "$socket"
	expect_status 1
	# The login of this user there is the one that may connect. Its first connection is answered, and says nothing; the
	# others are refused, and so is the one of the run.
	holds 3 "$socket" >"$CASE/held" &
	finish 60
	[ "$status" != 0 ] || fail "the run's own connection was the fourth, and was answered"
	expect_contains "$errors" "it did not arrive whole"
	wait %?holds 2>/dev/null || true
	expect_lacks "$(cat "$CASE/held")" "open"
	run lab on pi sh -c 'ls -d /tmp/rebuild* 2>/dev/null; pgrep -x "rebuild|ssh"'
	expect_equal "$output" ""
}

# Neither the ssh agent nor the display goes along, whatever the configuration of ssh says: sshd there starts ~/.ssh/rc
# with what is forwarded.
case_lent_neither_agent_nor_display() {
	fresh
	must_sh_on builder '
		mkdir -p ~builder/.ssh
		echo "echo \"\${SSH_AUTH_SOCK:-no agent} \${DISPLAY:-no display}\" >>/tmp/forwarded; cat >/dev/null" >~builder/.ssh/rc
		chown -R builder: ~builder/.ssh'
	must_sh_on pi '
		printf "Host builder\n  ForwardAgent yes\n  ForwardX11 yes\n" >/tmp/forwards
		[ ! -e ~/.ssh/config ] || cat ~/.ssh/config >>/tmp/forwards
		mkdir -p ~/.ssh && mv /tmp/forwards ~/.ssh/config && chmod 600 ~/.ssh/config'
	must_sh_on pi 'eval "$(ssh-agent)" >/dev/null; ssh builder true; rebuild dry-build --eval-on builder; code=$?; kill "$SSH_AGENT_PID"; exit $code'
	# The first line is of the plain ssh, and shows that there was something to forward.
	seen=$(file_on builder /tmp/forwarded)
	expect_lacks "$(head -n 1 <<<"$seen")" "no agent"
	expect_equal "$(tail -n +2 <<<"$seen" | sort -u)" "no agent no display"
}

# On a full disk, the former lock file stays.
case_lent_lock_file_on_a_full_disk() {
	fresh
	must_sh_on pi '
		mkdir -p /srv/small /srv/input; mount -t tmpfs -o size=64k none /srv/small
		echo "{ outputs = _: { text = \"one\"; }; }" >/srv/input/flake.nix
		cd /srv/small
		cat >flake.nix <<-NIX
			{
			  inputs.a.url = "path:/srv/input";
			  inputs.nixpkgs.url = "path:$(readlink -f /nix/var/nix/profiles/per-user/root/channels/nixos)";
			  outputs = { self, nixpkgs, a }: {
			    nixosConfigurations.pi = nixpkgs.lib.nixosSystem { system = "aarch64-linux"; modules = [ { environment.etc.seen.text = a.text; } ]; };
			  };
			}
		NIX
		printf "{\n  \"nodes\": {\n    \"root\": {}\n  },\n  \"root\": \"root\",\n  \"version\": 7\n}\n" >flake.lock
		cp flake.lock /srv/former
		dd if=/dev/zero of=full bs=4k 2>/dev/null || :'
	on pi rebuild dry-build --eval-on builder --flake path:/srv/small
	[ "$status" != 0 ] || fail "there was room"
	expect_contains "$errors" "cannot write /srv/small/flake.lock: No space left on device"
	must_sh_on pi 'cmp /srv/small/flake.lock /srv/former; ls -A /srv/small; rm /srv/small/full'
	expect_equal "$output" $'flake.lock\nflake.nix\nfull'
	# If there is room, it is written, and the run says so.
	must_on pi rebuild dry-build --eval-on builder --flake path:/srv/small
	expect_contains "$errors" "wrote /srv/small/flake.lock: the inputs as builder locks them"
	must_sh_on pi 'cat /srv/small/flake.lock; umount /srv/small'
	expect_contains "$output" narHash
}
