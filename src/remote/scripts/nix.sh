# shellcheck shell=sh
# What Nix there is on this machine.

# find_nix: sets $nix_bin, the directory of Nix's programs with all links resolved (in the view a profile's link would
# lead nowhere), as long as they have their names there: a single static program may have another, and links to it.
# A non-interactive ssh login often has no Nix in its PATH.
find_nix() {
	nix_bin=''
	for candidate in \
		"$(command -v nix-store)" \
		/run/current-system/sw/bin/nix-store \
		/nix/var/nix/profiles/default/bin/nix-store \
		"$HOME/.nix-profile/bin/nix-store" \
		"$HOME/.local/state/nix/profile/bin/nix-store" \
		"/etc/profiles/per-user/${USER:-$(id -un)}/bin/nix-store" \
		/usr/local/bin/nix-store; do
		[ -x "$candidate" ] || continue
		nix_bin=$(readlink -f "$candidate")
		nix_bin=${nix_bin%/*}
		[ -x "$nix_bin/nix-store" ] || nix_bin=$(readlink -f "${candidate%/*}")
		break
	done
	[ -n "$nix_bin" ] || fail no-nix 127
}

# ask_version, know_version: $nix_version, learnt while other things are done.
ask_version() {
	"$nix_bin/nix-store" --version >"$work/version" 3<&- 4<&- &
	asker=$!
}
know_version() {
	wait "$asker" || fail no-nix 127
	# "nix-store (Nix) 2.26.3", "nix-store (Lix, like Nix) 2.93.0"
	nix_version=$(cat "$work/version")
	nix_version=${nix_version##* }
}

# nix_at_least MAJOR MINOR
nix_at_least() {
	major=${nix_version%%.*}
	minor=${nix_version#*.}
	minor=${minor%%[!0-9]*}
	[ "$major" -gt "$1" ] || { [ "$major" -eq "$1" ] && [ "$minor" -ge "$2" ]; }
}

# obey_settings: what the client's command line sets, for the programs of Nix that this shell runs from now on. By the
# environment, because arguments can be read by every user of this machine; Nix takes it after its files, and tells it
# to its daemon, as it does with a command line.
obey_settings() {
	NIX_CONFIG="${NIX_CONFIG:-}
$rb_settings"
	export NIX_CONFIG
}

# with_system_flags COMMAND...: evaluate for the client's system. eval-system came with 2.20; before, Nix takes it with
# no more than a warning and then evaluates for the wrong system, and `system` also changes what this machine believes
# that it can build, so that its own system must be named again.
with_system_flags() {
	if nix_at_least 2 20; then
		"$@" --option eval-system "$rb_evaluated_system"
	else
		"$@" --option system "$rb_evaluated_system" --option extra-platforms "$native_system"
	fi
}
