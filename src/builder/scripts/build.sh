# shellcheck shell=sh
# From a derivation to its output. With it goes emulation.sh.
#
# Takes
#   rb_system                 the client's system
#   rb_settings               Nix settings of the client's command line, as lines of a nix.conf
#   rb_probe                  a program of that system, in octal escapes (emulation.sh); empty if there is none to try
#   with_client_build_flags   flags of `nix-store --realise`
#   $nix_bin, $native_system, $state, $work, $share, $record, $code   (session.sh)
# Gives
#   $out                      the output, after `build`; it is rooted below $state/results
# Says
#   platform, building, built

# obey_settings: passes the settings of the client's command line to the programs of Nix that this shell runs from now
# on. They go by the environment, because every user of this machine can read arguments. Nix reads the variable after
# its files, and passes the settings on to its daemon, as it does with those of a command line.
obey_settings() {
	NIX_CONFIG="${NIX_CONFIG:-}
$rb_settings"
	export NIX_CONFIG
}

realise() {
	obey_settings
	with_client_build_flags with_platform_flags exec "$nix_bin/nix-store" --log-format internal-json --realise "$@"
}

# build DERIVATION: builds it and sets $out. A GC root with the derivation's name holds the result; only runs of the
# same derivation share it. It stays for a while (forget_results), so that the result can be fetched again.
# `start_probe` (emulation.sh) comes before this.
build() {
	begin_building "$1"
	end_probe "$1"
	event building
	rooted=results/${1##*/}
	echo "$rooted" | claim || exit 1
	mkdir -p "$state/$rooted"
	root=$state/$rooted/result
	attend realise "$1" --add-root "$root" >"$work/roots"
	[ "$code" -ne 137 ] || tell_memory
	[ "$code" -eq 0 ] || fail build "$code"
	# There is one root for each output. Its name ends with the output's name, unless that is "out".
	[ -L "$root" ] || root=$(head -n 1 "$work/roots")
	out=$(readlink "$root")
	is_promised "$1" || fail result 1
	event built "$out"
	end_record built "$1" "$out"
}

# probe_and_build DERIVATION: the same of a derivation that was there before.
probe_and_build() {
	start_probe
	build "$1"
}

# is_promised DERIVATION: whether $out is an output of it. The derivation's file begins with its outputs; if they are
# not known before the build, Nix names them. The client checks $out as well, with what it knows of the derivation,
# which may be only the name.
is_promised() {
	[ -n "$out" ] || return 1
	outputs=$(head -c 8000 "$1" 2>/dev/null)
	case ${outputs%%],*} in *"\",\"$out\",\""*) return 0 ;; esac
	"$nix_bin/nix-store" --query --outputs "$1" | grep -qxF -e "$out"
}

# build_dry DERIVATION: tells what would be built and fetched.
build_dry() {
	emulation=native
	event building
	attend realise "$1" --dry-run >/dev/null
	[ "$code" -eq 0 ] || fail build "$code"
}

# forget_results: a result keeps its root for a week, so that a run that was broken off finds again what was built. The
# last 4 keep it for longer, and never more than 32 do.
forget_results() {
	newest=$(ls -t "$state/results")
	{
		printf '%s\n' "$newest" | tail -n +33
		find "$state/results" -mindepth 1 -maxdepth 1 -mtime +7 | sed 's:.*/::' |
			grep -vxF -e "$(printf '%s\n' "$newest" | head -n 4)"
	} | forget results
}
