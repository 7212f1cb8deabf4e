# shellcheck shell=bash
# `rebuild doctor`: a good builder has no cross; and each thing that is broken on purpose is found, with its remedy.

# doctor HOST [FLAG...] : what the doctor says of HOST; $found has a line "CONDITION VERDICT" for each condition.
doctor() {
	on pi rebuild doctor --eval-on "$1" --json "${@:2}"
	found=$(sed -n -e 's/^ *"condition": "\(.*\)",$/\1/p' -e 's/^ *"verdict": "\(.*\)"$/\1/p' "$CASE/output" | paste -d ' ' - -)
}

# finds CONDITION VERDICT [TEXT] : whether it is among them, and what is seen or to be typed has TEXT in it.
finds() {
	grep -qxF -- "$1 $2" <<<"$found" || fail "expected $1 to be $2: $found"
	[ -z "${3:-}" ] || expect_contains "$output" "$3"
}

case_doctor_of_a_good_builder() {
	fresh
	doctor builder
	expect_status 0
	expect_lacks "$found" ' bad'
	expect_lacks "$found" ' unknown'
	for condition in named programs configuration reached host-key keys script large-packets clock nix daemon platform \
		emulator features cache room tar namespaces access-times noticed forwarding logout memory nixos root state store-room; do
		finds "$condition" good
	done
	# Nothing of it stays there, nor does a process.
	on builder sh -c 'ls -A ~builder/.cache /dev/shm /var/tmp /tmp; pgrep -u builder -a "nix" || echo no process'
	expect_lacks "$output" rebuild-doctor
	expect_lacks "$output" .socket
	expect_contains "$output" 'no process'
	# People get marks, and programs that take only ASCII get words.
	on pi env LC_ALL=C.UTF-8 TERM=linux rebuild doctor --eval-on builder
	expect_contains "$output" "  ✓ builds for the target's system: aarch64-linux"
	on pi env LC_ALL=C.UTF-8 TERM=linux NO_COLOR=1 rebuild doctor --eval-on builder
	expect_contains "$output" "  ok  builds for the target's system: aarch64-linux"
	# It says what to type, and that works.
	expect_contains "$output" 'rebuild build --eval-on builder'
	on pi rebuild dry-build --eval-on builder
	expect_status 0
}

# From nothing: no host, a name that nobody knows, a machine that refuses the keys.
case_doctor_of_a_beginner() {
	fresh
	on pi rebuild doctor
	expect_status 1
	expect_contains "$output" 'rebuild doctor --eval-on HOST'
	doctor nosuch.invalid
	expect_status 1
	grep -qE '^(name|name-server) bad$' <<<"$found" || fail "$found"
	must_on pi rm -rf /root/.ssh/id_ed25519 /root/.ssh/id_ed25519.pub
	doctor builder
	finds keys bad 'this user has no key yet: ssh-keygen'
	must_on pi rm -f /root/.ssh/known_hosts /etc/ssh/ssh_known_hosts
	on pi env NIX_SSHOPTS='-o StrictHostKeyChecking=yes -o UserKnownHostsFile=/dev/null -o GlobalKnownHostsFile=/dev/null' rebuild doctor --eval-on builder --json
	expect_contains "$output" '"condition": "host-key"'
}

case_doctor_of_a_bad_builder() {
	fresh
	# A user whom Nix does not trust cannot make up for a missing setting.
	doctor plain@builder
	expect_status 1
	finds platform bad 'extra-platforms = aarch64-linux'
	finds daemon good 'need not be'
	# Everything at once that goes together: little room, no access times, no namespaces, no forwarding.
	must_sh_on builder 'mkdir -p ~builder/.cache && mount -t tmpfs -o size=20m,mode=777,noatime none ~builder/.cache
		printf "AllowStreamLocalForwarding no\n" >/etc/ssh/sshd_config.d/00-lab.conf'
	refuse_namespaces builder
	doctor builder
	expect_status 1
	finds room bad 'has no room for what an evaluation there reads and writes'
	finds access-times weak noatime
	finds namespaces bad kernel.unprivileged_userns_clone
	finds forwarding weak AllowTcpForwarding
	# The daemon is off.
	must_sh_on builder 'umount ~builder/.cache; systemctl stop nix-daemon.socket nix-daemon.service'
	doctor builder
	expect_status 1
	finds daemon bad 'systemctl start nix-daemon.socket'
	expect_lacks "$found" 'platform bad'
	# Nix is gone.
	must_sh_on builder 'mv /usr/bin/nix-store /usr/bin/gone'
	doctor builder
	finds nix bad 'nixos.org/download'
}

# A missing feature is no missing CPU, in the words of every Nix; and no jobs are none of both.
case_doctor_tells_features_from_cpus() {
	need_hosts oldbuilder newbuilder
	fresh pi builder oldbuilder newbuilder
	# What a build requires is found out by the build itself, and then told apart, too.
	write_on pi /root/parallel.nix <<<'{ config.system.build.toplevel = derivation {
		name = "nixos-system-pi"; system = "aarch64-linux"; builder = "/bin/sh"; requiredSystemFeatures = [ "big-parallel" ];
	}; }'
	for host in oldbuilder builder newbuilder; do
		must_sh_on "$host" 'echo "system-features = benchmark" >>/etc/nix/nix.conf; systemctl restart nix-daemon'
		doctor "$host"
		expect_status 1
		finds platform good
		finds features bad 'lacks the feature big-parallel'
		finds features weak 'kvm, nixos-test'
		finds features good
		on pi rebuild build --eval-on "$host" --file /root/parallel.nix
		expect_failure
		expect_contains "$errors" "error: Nix on $host lacks the feature big-parallel, which a build requires"
		expect_contains "$errors" 'extra-system-features = big-parallel'
		doctor "plain@$host"
		finds platform bad 'extra-platforms = aarch64-linux'
		expect_lacks "$found" features
	done
	must_sh_on builder 'echo "max-jobs = 0" >>/etc/nix/nix.conf; systemctl restart nix-daemon'
	doctor builder
	finds jobs bad 'max-jobs = auto'
}

# Large packets get lost on the way there, or back, over a connection that is open already. (In a login of its own, ssh's
# own large packets are lost, and ssh says that it cannot connect.)
case_doctor_of_a_link_that_loses_large_packets() {
	fresh
	must_sh_on pi 'printf "Host builder\n  ControlMaster auto\n  ControlPath /root/.ssh/master\n  ControlPersist 300\n" >>/root/.ssh/config
		ssh -n builder true'
	for host in pi builder; do
		# Frames of more than 900 bytes do not leave it, and nobody is told.
		must_on "$host" tc qdisc replace dev eth0 root tbf rate 1gbit burst 900 limit 1mb
		doctor builder
		expect_status 1
		finds large-packets bad 'mtu 1280'
		must_on "$host" tc qdisc del dev eth0 root
		must_sh_on pi 'ssh -n -O exit builder || true; ssh -n builder true'
	done
	doctor builder
	finds large-packets good
}

# What is cheap to see is said before anything slow, at each run, and it ends none: what is too little for one build may
# do for another. A daemon that lets nobody in is an end, and nothing has been sent by then.
case_preflight_of_a_run() {
	fresh
	must_sh_on builder 'mkdir -p ~builder/.cache && mount -t tmpfs -o size=40m,mode=777 none ~builder/.cache'
	on pi rebuild build --eval-on builder
	expect_contains "$errors" 'warning: builder has little room in ~/.cache, 3'
	expect_status 0
	fresh
	must_sh_on builder 'systemctl stop nix-daemon.socket nix-daemon.service'
	on pi rebuild build --eval-on builder
	expect_failure
	expect_contains "$errors" 'may not use the Nix there'
	# The configuration's own files have gone, and nothing of its channel.
	expect_lacks "$errors" MB
}
