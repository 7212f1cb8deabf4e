#!/bin/bash
[ -n "${BASH_VERSION-}" ] || exec bash "$0" "$@" # for: sh tests/…
# Shows `rebuild switch --eval-on builder --diff` on two machines made for it, from a fresh clone on a Debian
# machine, as root:
#
#   tests/demo.sh              builds the program and the machines, shows it, takes them away
#   tests/demo.sh --shell      ... and leaves you in a shell on the Pi before that
#   tests/demo.sh --keep       ... and leaves the machines up (tests/lab/lab.sh on pi; tests/lab/lab.sh down)
#   tests/demo.sh --arm64-pi   with a Pi whose own programs are arm64 too, all emulated (slow)
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."

pi=pi
shell=no
keep=no
for argument; do
	case $argument in
	--shell) shell=yes ;;
	--keep) keep=yes ;;
	--arm64-pi) pi=arm-pi ;;
	*) sed -n '3,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0" >&2 && exit 2 ;;
	esac
done

lab=tests/lab/lab.sh
program=/var/cache/rebuild-lab/target/release/rebuild

bold='' plain=''
if [ -t 1 ]; then bold=$(printf '\033[1m') plain=$(printf '\033[0m'); fi

finish() {
	local code=$?
	if [ $keep = yes ]; then
		printf '\nThe machines stay up: %s on %s; %s down\n' "$lab" "$pi" "$lab"
	else
		"$lab" down 2>/dev/null || true
	fi
	exit $code
}

tell() { printf '\n%s# %s%s\n' "$bold" "$1" "$plain"; }

# As if typed on the Pi.
type_on_pi() {
	printf '%s[root@%s:~]#%s %s\n' "$bold" "$pi" "$plain" "$1"
	"$lab" on "$pi" bash -c "$1"
}

. tests/lab/common.sh
use_lab
tests/lab/packages.sh
if [ $pi = arm-pi ]; then
	triple=aarch64-unknown-linux-gnu
	program=${program/release/$triple/release}
	tests/lab/toolchain.sh --arm64 cargo build --release --locked --target $triple
else
	tests/lab/toolchain.sh cargo build --release --locked
fi
trap finish EXIT
trap 'exit 130' INT TERM
"$lab" up "$pi" builder
"$lab" reset "$pi" builder
"$lab" install "$program"

tell "The Pi: its Nix is one for aarch64-linux and may not build anything. What it runs now:"
type_on_pi 'grep -E "^(system|max-jobs)" /etc/nix/nix.conf'
type_on_pi 'readlink -f /nix/var/nix/profiles/system /run/current-system'
type_on_pi 'nix-env --list-generations -p /nix/var/nix/profiles/system'
type_on_pi 'cat /etc/motd'

tell "A change to its configuration, another message and another package:"
type_on_pi "sed -i 's/Welcome to/This was evaluated and built elsewhere for/; s/cow/duck-1.2/; s/moo/quack/' /etc/nixos/configuration.nix"
type_on_pi "tail -n +7 /etc/nixos/configuration.nix"

tell "One command. The builder is an x86-64 machine, reached by ssh and nothing else:"
type_on_pi ': >/var/log/nix-calls # from here on, every Nix command of the Pi is noted'
type_on_pi 'time rebuild switch --eval-on builder --diff'

tell "All that its own Nix commands were asked to do (no evaluation, no build):"
type_on_pi 'cat /var/log/nix-calls'

tell "What the Pi runs now:"
type_on_pi 'readlink -f /nix/var/nix/profiles/system /run/current-system'
type_on_pi 'nix-env --list-generations -p /nix/var/nix/profiles/system'
type_on_pi 'cat /etc/motd'
type_on_pi 'duck-1.2; hello'
type_on_pi 'cat /run/current-system/system; echo'

tell "How it was activated, by a job of the machine's own that no broken link would stop:"
type_on_pi 'grep -v ^env /var/log/activation'

if [ $shell = yes ]; then
	tell "A shell on the Pi (exit ends it):"
	"$lab" on "$pi" || true
fi
