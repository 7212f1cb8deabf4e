# shellcheck shell=sh
# Can this machine build for the client's system? Nix does not look at binfmt, and binfmt does not look at Nix. So Nix
# builds a derivation whose builder is a tiny program of that system (rb_probe, some hundred bytes): this tests the setting, the
# emulator, the sandbox and /etc/nix/machines at once. /bin/sh as the builder would prove nothing, because it is a
# program of this machine's own system.

# attempt LOG [OPTION...]: makes one build, with the flags of the real one, and never of the same derivation twice. It
# requires $probe_features, as quoted words, if a doctor sets them. It runs in the background and is waited for, so that
# it can be ended with the run.
attempt() {
	log=$1
	shift
	build_probe "$@" >/dev/null 2>"$log" &
	building=$!
	wait "$building"
}
build_probe() {
	obey_settings
	# What a killed nix-build leaves goes with the run.
	export TMPDIR="$share"
	with_client_build_flags exec "$nix_bin/nix-build" --no-out-link --option substitute false "$@" --expr "
		derivation {
		  name = \"rebuild-emulation-probe\";
		  system = \"$rb_system\";
		  builder = $share/emulation-probe;
		  salt = \"${record##*/}\";
		  requiredSystemFeatures = [ $probe_features ];
		}"
}

# is_of_systems LOG: whether Nix says there that it does not build for this system. Only this failure is a reason to try
# the build in another way, or to speak of emulators.
is_of_systems() {
	grep -qE "is required to build|Required system:|may not have all required system" "$1"
}

# probe: writes its answer to $work/probe: "native" (this machine's settings suffice), "option" (it works if we give
# extra-platforms, which Nix accepts from trusted users), "no-platform", "room" (the disk is full), or "no" with the
# reason in $work/probe-log.
probe() {
	building='' probe_features=''
	trap '[ -z "$building" ] || kill -TERM "$building" 2>/dev/null; exit 1' TERM
	printf '%b' "$rb_probe" 2>/dev/null >"$share/emulation-probe" || {
		echo room >"$work/probe"
		return
	}
	chmod 0700 "$share/emulation-probe"
	verdict=no
	if attempt "$work/probe-log"; then
		verdict=native
	elif is_of_systems "$work/probe-log"; then
		if attempt "$work/probe-log" --option extra-extra-platforms "$rb_system"; then
			verdict=option
		elif is_of_systems "$work/probe-log"; then
			verdict=no-platform
		fi
	fi
	echo "$verdict" >"$work/probe"
}

# start_probe: starts the probe beside the evaluation, so that it costs no time. Sets $prober.
start_probe() {
	prober=''
	if [ "$rb_system" = "$native_system" ] || [ -z "$rb_probe" ]; then
		echo native >"$work/probe"
		return
	fi
	probe 3<&- 4<&- 8>&- 9>&- &
	prober=$!
	ends_with_run "$prober"
}

# find_platform DERIVATION: sets $platform to the system on which the derivation builds. Mostly this is the client's.
# But a client may make the system of a machine with another CPU, or make its own by cross compilation; then the probe
# says nothing about it.
find_platform() {
	platform=$rb_system
	# A derivation file has its system between the list of its sources and its builder.
	if [ -e "$1" ] && ! grep -qF "],\"$rb_system\",\"" "$1"; then
		platform=$("$nix_bin/nix-store" --query --binding system "$1" 2>/dev/null)
		[ -n "$platform" ] || platform=$rb_system
	fi
}

# end_probe DERIVATION: ends the run with the reason if the answer is no; sets $emulation and $platform otherwise.
end_probe() {
	[ -z "$prober" ] || {
		wait "$prober"
		has_ended "$prober"
	}
	emulation=$(cat "$work/probe")
	find_platform "$1"
	if [ "$platform" != "$rb_system" ]; then
		event platform "$platform" "$native_system"
		emulation=native
		! is_presumed "$platform" || emulation=option
	fi
	case $emulation in
	native | option) return 0 ;;
	no-platform) fail no-platform 1 ;;
	room | '') fail room 1 ;;
	esac
	case $(cat "$work/probe-log") in
	*'Exec format error'*) fail no-emulator 1 ;;
	esac
	# The user sees Nix's own words first, and then ours.
	cat "$work/probe-log"
	case $(cat "$work/probe-log") in
	# Nix 2.26, 2.34
	*'nable to start any build'* | *'local builds are disabled'*) fail probe-jobs 1 ;;
	*'No space left on device'* | *'Disk quota exceeded'*) fail probe-space 1 ;;
	*'Read-only file system'*) fail probe-read-only 1 ;;
	*'build users'* | *'build-users-group'*) fail probe-users 1 ;;
	esac
	! is_of_hook "$work/probe-log" || fail probe-hook 1
	fail probe 1
}

# is_of_hook LOG: whether the program failed that Nix on this machine runs after each build. The setting post-build-hook
# names it.
is_of_hook() {
	hook=$("$nix_bin/nix" --extra-experimental-features nix-command show-config 2>/dev/null | sed -n 's/^post-build-hook = //p')
	[ -n "$hook" ] && grep -qF -e "$hook" "$1"
}

# with_platform_flags COMMAND...: runs it, with extra-platforms if the probe has shown that it is needed.
with_platform_flags() {
	if [ "$emulation" = option ]; then
		"$@" --option extra-extra-platforms "$platform"
	else
		"$@"
	fi
}
