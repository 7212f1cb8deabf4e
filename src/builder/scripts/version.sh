# shellcheck shell=sh
# Which version of Nix evaluates, and what it has to be told because of that.

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
