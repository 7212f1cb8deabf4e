# shellcheck shell=sh
# Which version of Nix evaluates, and which flags it needs because of that.

# ask_version, await_version, know_version: ask for $nix_version and wait for it; other things are done meanwhile. As soon
# as it is there, $work/version has what Nix says.
ask_version() {
	"$nix_bin/nix-store" --version >"$work/version" 3<&- 4<&- &
	asker=$!
}
await_version() {
	[ -z "$asker" ] || wait "$asker" || fail no-nix 127
	asker=''
}
know_version() {
	await_version
	# "nix-store (Nix) 2.26.3", "nix-store (Lix, like Nix) 2.93.0"
	nix_version=$(cat "$work/version")
	nix_version=${nix_version##* }
}

# nix_at_least MAJOR MINOR: whether $nix_version is that version or a newer one.
nix_at_least() {
	major=${nix_version%%.*}
	minor=${nix_version#*.}
	minor=${minor%%[!0-9]*}
	[ "$major" -gt "$1" ] || { [ "$major" -eq "$1" ] && [ "$minor" -ge "$2" ]; }
}

# with_system_flags COMMAND...: runs it with the flags to evaluate for the client's system. eval-system came with 2.20.
# An older Nix only warns of it and then evaluates for the wrong system, so it gets `system`. That also changes what
# this machine believes it can build, so its own system must be named again.
with_system_flags() {
	if nix_at_least 2 20; then
		"$@" --option eval-system "$rb_evaluated_system"
	else
		"$@" --option system "$rb_evaluated_system" --option extra-platforms "$native_system"
	fi
}
