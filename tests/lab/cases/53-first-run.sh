# shellcheck shell=bash
# The first run of a client with a channel: what comes from the release site, and what is sent. The host `target` is that
# site. It has the tarball of which the Pi's own Nix has made its channel.

# shellcheck source=/dev/null
. "$LAB/derivations.sh"

SITE=http://target:8000
NAME=nixos-25.05.1234.abcdef0

# begin_first_run [BUILDER] : the Pi and a builder that knows nothing of it, and the site.
begin_first_run() {
	need_hosts target "${1:-builder}"
	fresh pi target "${1:-builder}"
	client=pi
	tree=$(lab on pi readlink -f /nix/var/nix/profiles/per-user/root/channels/nixos </dev/null)
	tree=${tree%/nixos}
	must_sh_on target "mkdir -p /srv/site/nixos/25.05/$NAME"
	lab on pi sh -c 'cat /nix/store/*-nixexprs.tar.xz' </dev/null |
		write_on target "/srv/site/nixos/25.05/$NAME/nixexprs.tar.xz"
	# shellcheck disable=SC2016 # the host's shell expands it
	must_sh_on target 'systemd-run --quiet --unit=site $(echo /nix/store/*-nixos-25.05*/nixos/bin/busybox) httpd -f -vv -p 8000 -h /srv/site'
	must_sh_on target 'for try in 1 2 3 4 5 6 7 8 9; do ss -ltn | grep -q :8000 && exit 0; sleep 0.3; done; exit 1'
}

# first_run BUILDER : evaluates there, and compares the derivation with the Pi's own.
first_run() {
	run lab on pi env REBUILD_RELEASE_SITE=$SITE timeout 180 rebuild dry-build --eval-on "$1" -v --refresh
	expect_status 0
	note_derivation
	[ -n "$own" ] || own=$(lab on pi nix-instantiate '<nixpkgs/nixos>' -A config.system.build.toplevel 2>"$CASE/own" </dev/null)
	expect_own_derivation_there "$1"
}

expect_nothing_left() {
	local host
	for host in pi builder; do
		sh_on "$host" 'find /tmp /var/tmp /dev/shm /home/builder/.cache/rebuild -name "rebuild.*" -o -name "run.*"
			pgrep -l -x "rebuild|nix-store|nix-instantiate|nix-prefetch-url|timeout|unshare|tar|dd"'
		expect_equal "$output" ""
	done
}

requests() { lab on target sh -c 'journalctl -u site -o cat | grep -c nixexprs || :' </dev/null; }

# expect_fetched BUILDER / expect_sent BUILDER : how the channel has come there.
expect_fetched() {
	expect_contains "$errors" "$1 fetches $NAME itself"
	expect_contains "$errors" "$tree has the same hash there and here"
	expect_lacks "$errors" "sending $tree"
	must_on "$1" nix-store --check-validity "$tree"
	expect_equal "$(trees_of "$1")" ""
}
expect_sent() {
	expect_contains "$errors" "sending $tree"
	sh_on "$1" "ls -d $tree"
	expect_failure
}
# Prints the channels that have come as files.
trees_of() { lab on "$1" sh -c 'ls -d /home/builder/.cache/rebuild/*/trees/*-nixos-* 2>/dev/null || :' </dev/null; }

case_first_run_fetches_the_release() {
	local own='' tree host
	begin_first_run
	first_run builder
	expect_fetched builder
	expect_nothing_left
	# It is kept there from then on, whatever is collected, and is asked for once.
	must_on builder nix-collect-garbage
	first_run builder
	expect_lacks "$errors" "itself"
	expect_lacks "$errors" "sending"
	expect_equal "$(requests)" 1

	# Other Nixes there: older, newer, and one of a single user.
	for host in oldbuilder newbuilder solo; do
		need_hosts "$host"
		fresh "$host"
		first_run "$host"
		expect_fetched "$host"
	done
	# A client that has no name there leaves nothing of it, and a system is built.
	fresh builder
	run lab on pi env REBUILD_RELEASE_SITE=$SITE HOME=/nonexistent rebuild switch --eval-on builder
	expect_status 0
	expect_contains "$errors" "builder fetches $NAME itself"
}

case_first_run_without_the_release() {
	local own='' tree before
	begin_first_run
	# Something else is at the address.
	must_sh_on target "cd /srv/site && mkdir -p t/$NAME && echo '{ }' >t/$NAME/default.nix && tar -C t -cJf nixos/25.05/$NAME/nixexprs.tar.xz $NAME"
	first_run builder
	expect_contains "$errors" "builder could not fetch it, so it is sent: what is there is another one"
	expect_sent builder
	# Nothing is there.
	fresh builder
	must_sh_on target 'rm -r /srv/site/nixos'
	first_run builder
	expect_contains "$errors" "HTTP error 404"
	expect_sent builder
	before=$(requests)
	must_sh_on builder 'chmod -R u+w /home/builder/.cache/rebuild/*/trees; rm -r /home/builder/.cache/rebuild/*/trees/*'
	first_run builder
	expect_sent builder
	expect_lacks "$errors" "itself"
	expect_equal "$(requests)" "$before"
	# Nobody answers at all: that is waited for a few seconds.
	fresh builder
	cut_between builder target silent
	SECONDS=0
	first_run builder
	expect_sent builder
	[ "$SECONDS" -lt 40 ] || fail "it took $SECONDS s"
	join_again builder target
	# It is switched off.
	fresh builder
	run lab on pi rebuild dry-build --eval-on builder -v --release-site ''
	expect_status 0
	expect_lacks "$errors" "itself"
	expect_sent builder
}

# Ctrl-C and a broken link while the site says nothing more.
case_first_run_is_interrupted() {
	local own='' tree
	begin_first_run
	must lab slow target 8kbit
	run lab on pi env REBUILD_RELEASE_SITE=$SITE timeout --signal=INT --kill-after=60 8 rebuild dry-build --eval-on builder
	expect_failure
	expect_contains "$errors" "builder fetches $NAME itself"
	expect_nothing_left
	must lab slow target full
	first_run builder
	expect_fetched builder
}
