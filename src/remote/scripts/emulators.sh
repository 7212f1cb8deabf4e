# shellcheck shell=sh
# What the kernel has registered for the programs of another CPU.

# names_of_emulator SYSTEM: under which names an emulator for SYSTEM may be registered: NixOS's, and that of the
# distributions, which is qemu's name for the CPU.
names_of_emulator() {
	cpu=${1%%-*}
	case $1 in
	armv?l-* | armv?tel-*) cpu=arm ;;
	i?86-*) cpu=i386 ;;
	powerpc*-*) cpu=ppc${cpu#powerpc} ;;
	mips64-linuxabin32) cpu=mipsn32 ;;
	mips64el-linuxabin32) cpu=mipsn32el ;;
	esac
	echo "$1 qemu-$cpu"
}
