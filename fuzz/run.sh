#!/bin/sh
# fuzz/run.sh TARGET [FLAG...]: gives a target of src/fuzz to libFuzzer, which begins with its corpus in fuzz/corpus and adds
# to it. FLAGs are libFuzzer's: -max_total_time=600. Ends at the first input that is read wrongly, and names its file.
set -eu
cd "$(dirname "$0")"
[ $# -gt 0 ] || { sed -n '2,3s/^# //p' "$0" >&2; exit 2; }
REBUILD_FUZZ_TARGET=$1
export REBUILD_FUZZ_TARGET
shift
corpus=corpus/$(printf %s "$REBUILD_FUZZ_TARGET" | tr -c 'A-Za-z0-9\n' -)
mkdir -p "$corpus"
# What cargo-fuzz sets, less the sanitizers, which need a nightly Rust: there is no `unsafe` here.
RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1" \
	nice cargo build --release --target "$(rustc -vV | sed -n 's/^host: //p')"
exec "target/$(rustc -vV | sed -n 's/^host: //p')/release/rebuild-fuzz" "$corpus" "$@"
