#!/bin/sh
# Assembles the emulation probes, and says whether the ones in the repository are what their sources say.
#   tests/probes.sh           compares; exit status 1 if one differs
#   tests/probes.sh --write   writes them
#   tests/probes.sh --run     runs each by qemu-user, if it is installed here, as the kernel would
# A probe whose assembler is not installed is named and left out. $REBUILD_ALL_PROBES makes that an error.
set -eu
cd "$(dirname "$0")/../src/builder/probes"
mode=${1:---compare}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# The probe, its source, binutils' prefix, the flags of as, the format for ld, and qemu-user's name for the CPU.
probes='
aarch64      aarch64      aarch64-linux-gnu       -                     aarch64linux     aarch64
aarch64_be   aarch64_be   aarch64-linux-gnu       -EB                   aarch64linuxb    aarch64_be
arm          arm          arm-linux-gnueabihf     -                     armelf_linux_eabi arm
x86_64       x86_64       x86_64-linux-gnu        --64                  elf_x86_64       x86_64
i686         i686         x86_64-linux-gnu        --32                  elf_i386         i386
riscv64      riscv64      riscv64-linux-gnu       -march=rv64i          elf64lriscv      riscv64
riscv32      riscv32      riscv64-linux-gnu       -march=rv32i,-mabi=ilp32 elf32lriscv   riscv32
powerpc64le  powerpc64    powerpc64-linux-gnu     -a64,-mlittle         elf64lppc        ppc64le
powerpc64    powerpc64    powerpc64-linux-gnu     -a64,-mbig            elf64ppc         ppc64
powerpc      powerpc      powerpc64-linux-gnu     -a32,-mbig            elf32ppclinux    ppc
s390x        s390x        s390x-linux-gnu         -                     elf64_s390       s390x
mips         mips         mips64-linux-gnuabi64   -EB,-32,-mips2        elf32btsmip      mips
mipsel       mips         mips64-linux-gnuabi64   -EL,-32,-mips2        elf32ltsmip      mipsel
mips64       mips64       mips64-linux-gnuabi64   -EB,-64               elf64btsmip      mips64
mips64el     mips64       mips64-linux-gnuabi64   -EL,-64               elf64ltsmip      mips64el
mips64n32    mips64n32    mips64-linux-gnuabi64   -EB,-n32              elf32btsmipn32   mipsn32
mips64eln32  mips64n32    mips64-linux-gnuabi64   -EL,-n32              elf32ltsmipn32   mipsn32el
sparc64      sparc64      sparc64-linux-gnu       -64                   elf64_sparc      sparc64
sparc        sparc        sparc64-linux-gnu       -32                   elf32_sparc      sparc
alpha        alpha        alpha-linux-gnu         -                     elf64alpha       alpha
loongarch64  loongarch64  loongarch64-linux-gnu   -                     elf64loongarch   loongarch64
'

# assemble PROBE SOURCE PREFIX FLAGS FORMAT. --nmagic: one segment, not aligned to pages: 416 bytes instead of 66,000.
assemble() {
	flags=$(echo "$4" | tr , ' ')
	[ "$flags" != - ] || flags=''
	# shellcheck disable=SC2086 # words
	"$3-as" $flags -o "$scratch/$1.o" "$2.s" &&
		"$3-ld" -m "$5" --nmagic --strip-all -o "$scratch/$1.elf" "$scratch/$1.o"
}

# run PROBE QEMU: whether it makes the directory, and ends with mkdir's error where it cannot.
run() {
	qemu=$(command -v "qemu-$2-static") || {
		echo "probes: no qemu-$2-static: $1 was not run" >&2
		return 0
	}
	made=$scratch/made-$1
	install -m 755 "$1.elf" "$scratch/$1.elf"
	env -i first=1 outer=2 "out=$made" last=3 "$qemu" "$scratch/$1.elf" || :
	[ -d "$made" ] || {
		echo "probes: $1.elf does not make its directory" >&2
		return 1
	}
	code=0
	env -i "out=$made" "$qemu" "$scratch/$1.elf" || code=$?
	[ "$code" -eq 17 ] || {
		echo "probes: $1.elf ends with $code where its directory is there already, and not with EEXIST" >&2
		return 1
	}
}

failed=0
while read -r probe source prefix flags format qemu; do
	[ -n "$probe" ] || continue
	if [ "$mode" = --run ]; then
		run "$probe" "$qemu" || failed=1
		continue
	fi
	command -v "$prefix-as" >/dev/null || {
		echo "probes: no $prefix-as: $probe.elf was not compared" >&2
		[ -z "${REBUILD_ALL_PROBES-}" ] || failed=1
		continue
	}
	assemble "$probe" "$source" "$prefix" "$flags" "$format" || {
		failed=1
		continue
	}
	if [ "$mode" = --write ]; then
		cp "$scratch/$probe.elf" .
	elif cmp "$scratch/$probe.elf" "$probe.elf"; then
		echo "probes: $probe.elf is what $source.s says" >&2
	else
		failed=1
	fi
done <<EOF
$probes
EOF
exit "$failed"
