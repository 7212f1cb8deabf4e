#!/bin/bash
# The machine's emulation of arm64 programs: binfmt.sh on | off | forget
#
# on      register qemu-aarch64 with the flags POF (F: the kernel keeps the emulator open, so that
#         it also works inside roots that do not contain it) and switch it on
# off     switch it off, as a test of "this builder cannot emulate"
# forget  unregister it, if the lab was the one that registered it
set -euo pipefail
. "$(dirname "$0")/common.sh"

binfmt=/proc/sys/fs/binfmt_misc
entry=$binfmt/qemu-aarch64
mark=/run/rebuild-lab/registered-binfmt

register() {
	local line
	[ -e $binfmt/register ] || mount -t binfmt_misc binfmt_misc $binfmt 2>/dev/null || {
		modprobe binfmt_misc 2>/dev/null || true
		mount -t binfmt_misc binfmt_misc $binfmt || die "this kernel has no binfmt_misc"
	}
	if [ -e $entry ]; then
		grep -q '^flags:.*F' $entry && return
		echo -1 >$entry
	fi
	line=$(grep -h '^:qemu-aarch64:' /usr/lib/binfmt.d/qemu-aarch64*.conf | head -n 1)
	[ -n "$line" ] || die "qemu-user-static has no binfmt line for aarch64"
	printf '%s:POF\n' "${line%:*}" >$binfmt/register
	mkdir -p /run/rebuild-lab
	touch $mark
}

# See roots.sh.
nobody_needs_it() {
	mkdir -p /run/rebuild-lab
	exec 7>/run/rebuild-lab/emulation.lock
	flock --nonblock 7
}

case ${1:-} in
on)
	register
	echo 1 >$entry
	;;
off)
	[ "${CASE_IS_ALONE:-alone}" = alone ] || die "a case that switches the emulation off has to be alone (cases.sh)"
	nobody_needs_it || die "an arm64 root is being made: emulation is needed"
	[ ! -e $entry ] || echo 0 >$entry
	;;
forget)
	nobody_needs_it || exit 0
	[ ! -e $mark ] || [ ! -e $entry ] || echo -1 >$entry
	rm -f $mark
	;;
*) die "binfmt.sh on | off | forget" ;;
esac
