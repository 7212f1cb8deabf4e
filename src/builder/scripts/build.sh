# shellcheck shell=sh
# From a derivation to its output. With it goes emulation.sh.
#
# Takes
#   rb_system                 the client's system
#   rb_settings               Nix settings of the client's command line, as lines of a nix.conf
#   rb_probe                  a program of that system, in octal escapes (emulation.sh); empty if there is none to try
#   with_client_build_flags   flags of `nix-store --realise`
#   $nix_bin, $native_system, $state, $work, $share, $code   (session.sh)
# Gives
#   $out                      the output, after `build`; it is rooted below $state/results
# Says
#   platform, building, built

# obey_settings: what the client's command line sets, for the programs of Nix that this shell runs from now on. By the
# environment, because arguments can be read by every user of this machine; Nix takes it after its files, and tells it
# to its daemon, as it does with a command line.
obey_settings() {
	NIX_CONFIG="${NIX_CONFIG:-}
$rb_settings"
	export NIX_CONFIG
}

realise() {
	obey_settings
	with_client_build_flags with_platform_flags exec "$nix_bin/nix-store" --log-format internal-json --realise "$@"
}

# build DERIVATION: sets $out. The result is rooted here under its derivation's name, which only runs of the same
# derivation share, and stays so for a while (forget_results), so that it can be fetched again. `start_probe`
# (emulation.sh) comes before it.
build() {
	end_probe "$1"
	event building
	rooted=results/${1##*/}
	echo "$rooted" | claim || exit 1
	mkdir -p "$state/$rooted"
	root=$state/$rooted/result
	attend realise "$1" --add-root "$root" >"$work/roots"
	[ "$code" -ne 137 ] || tell_memory
	[ "$code" -eq 0 ] || fail build "$code"
	# There is one for each output, which have their names behind it, but not "out".
	[ -L "$root" ] || root=$(head -n 1 "$work/roots")
	out=$(readlink "$root")
	is_promised "$1" || fail result 1
	event built "$out"
}

# is_promised DERIVATION: whether $out is an output of it. The derivation's file has them first; where they are not
# known beforehand, Nix says them. The client compares what it knows of the derivation, which may be its name alone.
is_promised() {
	[ -n "$out" ] || return 1
	outputs=$(head -c 8000 "$1" 2>/dev/null)
	case ${outputs%%],*} in *"\",\"$out\",\""*) return 0 ;; esac
	"$nix_bin/nix-store" --query --outputs "$1" | grep -qxF -e "$out"
}

# build_dry DERIVATION: says what a build would mean.
build_dry() {
	emulation=native
	event building
	attend realise "$1" --dry-run >/dev/null
	[ "$code" -eq 0 ] || fail build "$code"
}

# forget_results: results are rooted for a week, so that a run that was broken off finds again what was built; the last
# few for longer, and not more than some.
forget_results() {
	newest=$(ls -t "$state/results")
	{
		printf '%s\n' "$newest" | tail -n +33
		find "$state/results" -mindepth 1 -maxdepth 1 -mtime +7 | sed 's:.*/::' |
			grep -vxF -e "$(printf '%s\n' "$newest" | head -n 4)"
	} | forget results
}
