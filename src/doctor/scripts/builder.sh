# shellcheck shell=sh
# What an evaluator or a builder must have. visit.sh says what these functions take.

# These stand in for what the runs' own scripts take.
obey_settings() { :; }
# A build that never ends (a machine of /etc/nix/machines that does not answer) must not keep the doctor.
with_client_build_flags() {
	shift
	exec timeout 60 "$@"
}

look_at_builder() {
	room store /nix/store
	room tmp "${TMPDIR:-/tmp}"
	look_at_socket
	[ -n "$nix_bin" ] || return 0
	look_at_daemon
	make_place || return 0
	[ "$let_in" = yes ] || return 0
	look_at_settings
	look_at_binfmt
	look_at_builds
}

look_at_evaluator() {
	! command -v tar >/dev/null || fact has tar
	! command -v strace >/dev/null || fact has strace
	room shm /dev/shm
	[ -n "$nix_bin" ] || return 0
	[ -n "$let_in" ] || look_at_daemon
	make_place || return 0
	room cache "$cache"
	look_at_way
	look_at_times
}

# look_at_logout: whether work goes on after the connection, by what a run does for that (logout.sh).
look_at_logout() {
	looks logout
	try_to_outlive
	case $outlives in
	unknown) ;;
	no) fact logout no "$login" ;;
	*) fact logout "$outlives" ;;
	esac
}

# look_at_socket: whether sshd has made the socket, and for this user alone.
look_at_socket() {
	[ -n "$rb_socket" ] || return 0
	if [ ! -S "$rb_socket" ]; then
		fact forwards no
	elif [ "$(stat -c '%u %a' "$rb_socket")" = "$(id -u) 600" ]; then
		fact forwards yes
	else
		fact forwards open
	fi
}

# look_at_daemon: whether the daemon lets this user in ("yes", "refused", "silent"), or there is none and the store is
# the user's own ("own") or somebody else's ("none").
look_at_daemon() {
	looks daemon
	let_in=yes answer=''
	if [ -S /nix/var/nix/daemon-socket/socket ]; then
		code=0
		answer=$(NIX_REMOTE=daemon timeout 20 "$nix_bin/nix-store" --check-validity --print-invalid \
			/nix/store/00000000000000000000000000000000-none 2>&1 >/dev/null) || code=$?
		case $code in
		0) fact daemon yes ;;
		124 | 143) fact daemon silent ;;
		*)
			fact daemon refused "$(printf '%s\n' "$answer" | tail -n 1)"
			let_in=no
			;;
		esac
		[ "$code" = 0 ] || let_in=no
		[ "$let_in" = no ] || look_at_trust
	elif [ -w /nix/var/nix/db ]; then
		fact daemon own
	else
		fact daemon none
		let_in=no
	fi
}

# look_at_trust: what the daemon says of this user, if it says it (Nix 2.15 and newer).
look_at_trust() {
	answer=$(NIX_REMOTE=daemon timeout 20 "$nix_bin/nix" --extra-experimental-features nix-command store ping --json 2>/dev/null) || return 0
	case $answer in
	*'"trusted":true'* | *'"trusted":1'*) fact trusted yes ;;
	*'"trusted":false'* | *'"trusted":0'*) fact trusted no ;;
	esac
}

# make_place: sets $cache, $work and $share, as a run would; fails if they cannot be made.
make_place() {
	[ -z "$work" ] || return 0
	find_home
	mkdir -p "$cache" 2>/dev/null
	work=$(mktemp -d "$cache/rebuild-doctor.XXXXXXXX" 2>/dev/null) || {
		fact no-place "$cache"
		return 1
	}
	for place in /dev/shm /var/tmp; do
		share=$(mktemp -d "$place/rebuild-doctor.XXXXXXXX") && head -c 1048576 /dev/zero >"$share/room" && return 0
		[ -z "$share" ] || rm -rf "$share"
		share=''
	done 2>/dev/null
	fact no-share
	return 1
}

# fail STAGE CODE: parts of the runs' scripts call this.
fail() {
	fact no-place "$1"
	exit "$2"
}

look_at_way() {
	(
		fail() {
			fact way none
			exit 0
		}
		event() { fact "$@"; }
		find_way
	)
}

# look_at_times: whether reading a file changes its access time, which is long ago here.
look_at_times() {
	: >"$work/began"
	echo >"$work/read"
	touch -a -t 200001010000 "$work/read" 2>/dev/null && touch -t 201001010000 "$work/began" || return 0
	cat "$work/read" >/dev/null
	if [ -n "$(find "$work/read" -anewer "$work/began")" ]; then fact times yes; else fact times no; fi
}

# look_at_settings: the settings of Nix that decide what it builds. `config show` came with 2.20.
look_at_settings() {
	for words in 'config show' show-config; do
		# shellcheck disable=SC2086 # words
		settings=$("$nix_bin/nix" --extra-experimental-features nix-command $words 2>/dev/null) && break
	done || return 0
	printf '%s\n' "$settings" |
		grep -E '^(system|extra-platforms|system-features|max-jobs|builders|sandbox|post-build-hook) = ' |
		while IFS= read -r line; do fact setting "${line%% = *}" "${line#* = }"; done
}

# look_at_binfmt: what the kernel has registered for the CPU, under Debian's name or NixOS's: whether the emulator is
# opened beforehand (flag F), so that a sandbox needs no file of it.
look_at_binfmt() {
	for name in $(names_of_emulator "$rb_system"); do
		[ -r "/proc/sys/fs/binfmt_misc/$name" ] || continue
		flags=$(sed -n 's/^flags: *//p' "/proc/sys/fs/binfmt_misc/$name")
		program=$(sed -n 's/^interpreter *//p' "/proc/sys/fs/binfmt_misc/$name")
		there=yes
		[ -e "$program" ] || there=no
		fact binfmt "${flags:--}" "$there" "$program"
		return
	done
}

# look_at_builds: whether Nix builds a small program of that system, and then whether it does so for each of the
# features that nixpkgs' builds ask for. The probe's own words say how (emulation.sh).
look_at_builds() {
	prober='' record=$share
	: "${rb_system:=$native_system}"
	[ -n "$rb_probe" ] || return 0
	looks emulator
	probe 3<&-
	# What Nix says of a failure goes out as text.
	emulation=$(
		exec 9>&1 >&2
		fail() {
			echo
			echo "$1" >&9
			exit 0
		}
		end_probe /nonexistent
		echo "$emulation" >&9
	)
	fact builds "$emulation" "$rb_system"
	case $emulation in
	native | option) ;;
	*)
		fact said "$(tr '\n' ' ' <"$work/probe-log" | cut -c 1-300)"
		return 0
		;;
	esac
	looks features
	options=''
	[ "$emulation" = native ] || options="--option extra-extra-platforms $rb_system"
	if has_features big-parallel kvm nixos-test benchmark; then
		for feature in big-parallel kvm nixos-test benchmark; do fact feature "$feature" yes; done
		return
	fi
	for feature in big-parallel kvm nixos-test benchmark; do
		if has_features "$feature"; then
			fact feature "$feature" yes
		elif lacks_features "$work/features"; then
			fact feature "$feature" no
		fi
	done
}

# lacks_features LOG: whether Nix says there that a feature is missing. The system itself is not, because the small build
# has succeeded. The last words are those of 2.34, which has other ones for a system.
lacks_features() {
	is_of_systems "$1" || grep -qE 'missing system features|Required features:' "$1"
}

# has_features FEATURE...: whether Nix builds what requires all of them.
has_features() {
	probe_features=''
	for required; do probe_features="$probe_features \"$required\""; done
	# shellcheck disable=SC2086 # words
	attempt "$work/features" $options
}
