#!/bin/sh
# Assembles the emulation probes, and says whether the ones in the repository are what their sources say.
#   tests/probes.sh           compares; exit status 1 if one differs
#   tests/probes.sh --write   writes them
set -eu
cd "$(dirname "$0")/../src/builder/probes"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

aarch64-linux-gnu-as -o "$scratch/probe.o" aarch64.s
# --nmagic: one segment, not aligned to pages: 416 bytes instead of 66,000.
aarch64-linux-gnu-ld --nmagic --strip-all -o "$scratch/aarch64.elf" "$scratch/probe.o"

if [ "${1-}" = --write ]; then
	cp "$scratch/aarch64.elf" .
else
	cmp "$scratch/aarch64.elf" aarch64.elf
	echo "probes: aarch64.elf is what aarch64.s says" >&2
fi
