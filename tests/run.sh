#!/bin/bash
[ -n "${BASH_VERSION-}" ] || exec bash "$0" "$@" # for: sh tests/…
# All tests, from a fresh clone on a Debian machine with nothing but git, as root:
#
#   tests/run.sh                      everything
#   tests/run.sh unit                 formatting, lints, unit tests, shell scripts, Nix files: no lab
#   tests/run.sh lab [CASE...]        build, then the lab's cases (all, a file of tests/lab/cases, or single ones), in two
#                                     labs side by side, because most cases wait more than they compute
#
# --keep leaves the lab up afterwards, for a look (tests/lab/lab.sh on pi).
# What is made on the way stays in /var/cache/rebuild-lab, so a second run is quick.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."

keep=no
part=all
while [ $# -gt 0 ]; do
	case $1 in
	--keep) keep=yes ;;
	all | unit | lab) part=$1 && shift && break ;;
	*) sed -n '3,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0" >&2 && exit 2 ;;
	esac
	shift
done

[ "$(id -u)" = 0 ] || { echo "tests/run.sh: the lab makes network namespaces and mounts: run it as root" >&2; exit 1; }
exec </dev/null

toolchain=tests/lab/toolchain.sh
lab=tests/lab/lab.sh
program=/var/cache/rebuild-lab/target/release/rebuild
current=
begin=$SECONDS

step() { # WHAT COMMAND...
	local started=$SECONDS
	current=$1
	shift
	printf '\n=== %s\n' "$current"
	"$@"
	printf -- '--- %s: %d s\n' "$current" $((SECONDS - started))
	current=
}

finish() {
	local code=$?
	[ -z "$current" ] || printf -- '--- FAILED: %s\n' "$current"
	# Not while it is still somebody else's.
	if [ -n "${REBUILD_LAB_IS_OURS:-}" ] && [ $keep = no ]; then
		"$lab" down 2>/dev/null || code=1
	fi
	if [ $code = 0 ]; then
		printf '\nall passed, in %d s\n' $((SECONDS - begin))
	else
		printf '\nFAILED, after %d s\n' $((SECONDS - begin))
	fi
	exit $code
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

make_roots() {
	tests/lab/roots.sh toolchain
	[ "$part" = lab ] || tests/lab/roots.sh nix
	[ "$part" = unit ] || {
		tests/lab/roots.sh host trixie amd64
		tests/lab/roots.sh busybox
	}
}

check_scripts() {
	local scripts
	# The clone may belong to another user than root.
	mapfile -d '' -t scripts < <(git -c safe.directory='*' ls-files -z -- '*.sh' .ci/run)
	[ ${#scripts[@]} -gt 0 ] || { echo "git lists no shell scripts here" >&2; return 1; }
	"$toolchain" shellcheck "${scripts[@]}"
}

# Every reader of outside data gets mutations for a second or so, each time the same ones; CONTRIBUTING.md says how to give it
# others, and hours.
fuzz() {
	# As fuzz/run.sh compiles it for libFuzzer.
	"$toolchain" cargo rustc --locked --lib --profile check -- --cfg fuzzing -D warnings &&
		"$toolchain" env "REBUILD_FUZZ_SECONDS=${REBUILD_FUZZ_SECONDS:-1}" "REBUILD_FUZZ_SEED=${REBUILD_FUZZ_SEED:-1}" \
			cargo test --locked --lib fuzz::driver::nothing -- --nocapture
}

run_cases() {
	REBUILD_PROGRAM=$program tests/lab/cases.sh --labs 2 "$@"
}

step "install the Debian packages that the lab needs" tests/lab/packages.sh
step "make the Debian roots" make_roots
if [ "$part" != lab ]; then
	step "formatting" "$toolchain" cargo fmt --check
	step "lints" "$toolchain" cargo clippy --all-targets --locked -- -D warnings
	step "documentation" "$toolchain" env "RUSTDOCFLAGS=-D warnings" \
		cargo doc --no-deps --document-private-items --locked
	step "unit tests" "$toolchain" cargo test --locked
	step "fuzzing" fuzz
	step "shell scripts" check_scripts
	step "Nix files" "$toolchain" --nix tests/nix-files.sh
	step "emulation probes" "$toolchain" sh tests/probes.sh
	step "emulation probes, run" sh tests/probes.sh --run
fi
[ "$part" != unit ] || exit 0
step "build" "$toolchain" cargo build --release --locked
. tests/lab/common.sh
use_lab
step "lab: up" "$lab" up
step "lab: fresh hosts" "$lab" reset
step "lab: install" "$lab" install "$program"
step "lab: cases" run_cases "$@"
