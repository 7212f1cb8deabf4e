# shellcheck shell=bash
# shellcheck disable=SC2016 # the hosts' shells expand it
# A disk that becomes full, on the builder and on the Pi.

# shellcheck source=/dev/null
. "$LAB/moments.sh"

# without_room MESSAGE... : a switch fails with these words; nothing is changed here and nothing remains.
without_room() {
	on pi timeout 120 rebuild switch --eval-on builder
	expect_failure
	expect_equal "$output" ""
	local text
	for text; do expect_contains "$errors" "$text"; done
	nothing_remains
	expect_as_before
}
# with_room : now there is; the run goes on with what was made before.
with_room() {
	on pi timeout 120 rebuild switch --eval-on builder
	expect_status 0
	expect_lacks "$errors" "building large"
	expect_switched
	nothing_remains
}
configured() {
	number=$((number + 1))
	configure "${1:-}"
	before="$(profile_of pi) $(system_of pi)"
	must_sh_on pi 'rm -f /var/log/activation'
}
large() {
	for name in large-a large-b; do
		echo "environment.etc.$name.source = pkgs.run \"$name-$number\" { } \"dd if=/dev/urandom of=\$out bs=1000000 count=8 2>/dev/null\";"
	done
}

# What is sent goes to the cache of the builder's user; what is built, to a directory of the daemon's.
case_faults_of_a_full_builder() {
	given_machines
	must_sh_on pi 'head -c 12000000 /dev/urandom >/etc/nixos/blob'
	configured 'environment.etc.blob.source = ./blob;'
	must_sh_on builder 'cd ~builder/.cache/rebuild/pi-*/; mkdir /srv/kept; cp -a . /srv/kept
		mount -t tmpfs -o size=5m,mode=700,uid=builder,gid=builder none "$PWD"; cp -a /srv/kept/. ~builder/.cache/rebuild/pi-*/'
	note_what_is_there
	without_room "error: builder could not unpack the files it was sent" "is its disk full?"
	must_sh_on builder 'umount ~builder/.cache/rebuild/pi-*/'
	note_what_is_there
	with_room

	configured "environment.etc.wide.source = pkgs.run \"wide-$number\" { } \"dd if=/dev/zero of=wide bs=1000000 count=8; cp wide \$out\";"
	must_on builder mount -t tmpfs -o size=4m,mode=1777 none /tmp
	note_what_is_there
	without_room "No space left on device" "error: the build on builder failed" "is builder's disk full? see: ssh builder df -h /nix /tmp"
	must_on builder umount /tmp
	note_what_is_there
	with_room
}

case_faults_of_a_full_pi() {
	given_machines
	# Its store has room for one of the two large paths.
	configured "$(number=$((number + 1)) && large)"
	must_sh_on pi 'mkdir /srv/above; mount -t tmpfs -o size=12m none /srv/above; mkdir /srv/above/new /srv/above/work
		mount -t overlay -o lowerdir=/nix/store,upperdir=/srv/above/new,workdir=/srv/above/work none /nix/store
		systemctl restart nix-daemon.service'
	note_what_is_there
	without_room "No space left on device" "builder → this machine: it did not arrive whole, nothing was changed" "is this machine's disk full? see: df -h /nix"
	must_sh_on pi 'systemctl stop nix-daemon.service nix-daemon.socket; umount -l /nix/store; umount -l /srv/above
		systemctl start nix-daemon.socket nix-daemon.service
		nix-store --verify --check-contents || :'
	note_what_is_there
	with_room

	# Its /tmp has no room for anything.
	configured
	must_on pi mount -t tmpfs -o nr_inodes=1,mode=1777 none /tmp
	note_what_is_there
	without_room "No space left on device" "/tmp"
	must_on pi umount /tmp
	note_what_is_there
	with_room

	# The change cannot be noted.
	configured
	must_on pi mount -t tmpfs -o nr_inodes=1 none /var/lib/rebuild
	note_what_is_there
	without_room "df /var/lib/rebuild"
	must_on pi umount /var/lib/rebuild
	note_what_is_there
	with_room

	# The list of what was read cannot be kept: the next run is slower for it, and no more.
	configured
	must_sh_on pi 'mount -t tmpfs -o nr_inodes=1 none /root/.cache/rebuild'
	note_what_is_there
	with_room
}
