# shellcheck shell=bash
# What the cases of the same derivation have in common: what `rebuild` says it is, what the client's own Nix says, and
# where they differ. Sourced by files of cases/.
#
# $there is the derivation that `rebuild -v` printed, and $own is the client's own one. A case's configuration writes
# what it has read to /etc/seen, as JSON. $client is pi unless a case says otherwise.

# note_derivation : after a `run` of rebuild with -v, sets $there, and takes the list of evaluated files out of $errors.
note_derivation() {
	sed -i '/^evaluating file/d' "$CASE/errors"
	errors=$(cat "$CASE/errors")
	there=$(sed -n 's/^derivation: //p' "$CASE/errors" | tail -n 1)
}

# expect_own_derivation_there BUILDER
expect_own_derivation_there() {
	[ "$there" = "$own" ] || fail "expected the client's own derivation: $own
      where /etc/seen is: $(seen_in "${client:-pi}" "$own")
    saw: $there
      where /etc/seen is: $(seen_in "$1" "$there")"
}

# expect_another_derivation ... : does the same as the file's expect_same_derivation, and checks that the derivation is
# not the one of before: what was changed is read.
expect_another_derivation() {
	local before=$own
	expect_same_derivation "$@"
	expect_different "$own" "$before"
}

# expect_seen TEXT... : checks that the client itself has read it (with expect_same_derivation, so has the builder).
expect_seen() {
	local seen text
	seen=$(seen_in "${client:-pi}" "$own")
	for text; do expect_contains "$seen" "$text"; done
}

seen_in() { # HOST DERIVATION
	lab on "$1" sh -c 'seen=$(nix-store --query --requisites "$1" | grep -e "-etc-seen.drv$") &&
		nix-store --query --binding text "$seen"' seen "$2" 2>&1 </dev/null || true
}

# prepare [HOST [SHELL]] : runs $CASE/script there, which prepares the case.
prepare() {
	ran="the case's own script on ${1:-pi}"
	lab on "${1:-pi}" "${2:-bash}" -eu <"$CASE/script" >"$CASE/output" 2>"$CASE/errors" || status=$? fail "${1:-pi} could not be prepared"
}
