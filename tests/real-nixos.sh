#!/bin/bash
# The same derivation with real NixOS: a small configuration is evaluated with each nixpkgs TREE, on the lab's Pi itself
# and by `rebuild dry-build --eval-on builder`. Writes a table (markdown).
#
#   tests/real-nixos.sh [--times N] TREE...
#
# At last come N turns (5) of the three that are compared: an ordinary user's own prompt on the builder with one option
# changed, the same by `rebuild`, and `rebuild` with nothing changed. Of these the table has medians, and their ratios.
#
# A TREE is the plain files of a nixpkgs of any year; this script downloads nothing, and nothing of a tree stays in the
# repository. One that lacks what is too large for small copies of nixpkgs (the Haskell packages), or the module for
# Hyper-V, gets a stand-in from the configuration. It becomes the Pi's channel, brought in by the Pi's own nix-channel.
#
# The exit code is 1 if a derivation is another one than the Pi's own, or if the Pi evaluated or unpacked something for
# `rebuild`; the figures fail nothing, and those before the turns are of single runs. REBUILD_PROGRAM names the program; without it the
# one that cargo built for release is taken.
#
# A tree has tens of thousands of files, and for some minutes after as many were deleted, which a reset of the lab does,
# ext4 creates files slowly. For the seconds of the first run, mount a tmpfs of 4 GB on /var/lib/rebuild-lab-NAME before,
# and set REBUILD_LAB=NAME.
set -euo pipefail
TESTS=$(cd "$(dirname "$(readlink -f "$0")")" && pwd)
# shellcheck source=/dev/null
. "$TESTS/lab/common.sh"

usage() {
	sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0" >&2
	exit 2
}
times=5
if [ "${1-}" = --times ]; then
	[[ "${2-}" =~ ^[1-9][0-9]*$ ]] || usage
	times=$2
	shift 2
fi
[ $# -gt 0 ] || usage
for tree; do
	[[ "$tree" != -* ]] || usage
	[ -e "$tree/nixos/default.nix" ] || die "$tree is no nixpkgs: it has no nixos/default.nix"
done

program=${REBUILD_PROGRAM:-$CACHE/target/release/rebuild}
DIRECTORY=/var/tmp/bench # in the hosts
CHANNEL=/nix/var/nix/profiles/per-user/root/channels/nixos
SYSTEM=("<nixpkgs/nixos>" --attr config.system.build.toplevel)

lab() { "$LAB/lab.sh" "$@" </dev/null; }
write_on() { "$LAB/lab.sh" on "$1" sh -c "cat >$2"; } # HOST FILE, from stdin
tell() { printf 'real-nixos: %s\n' "$*" >&2; }

# --- the Pi's channel and configuration ---------------------------------------------------------------

# fresh : both hosts as new, with what measures.
fresh() {
	lab reset pi builder
	"$LAB/lab.sh" install "$program"
	local host
	for host in pi builder; do
		lab put "$host" "$TESTS/bench" $DIRECTORY
		lab on "$host" chmod 755 $DIRECTORY
	done
	lab on builder chown builder: $DIRECTORY
}

# install_channel TREE VERSION : as nix-channel does it on NixOS: profile, its link, the environment, the store path. Not
# compressed, whatever the name says: Nix looks at the contents.
install_channel() {
	local archive=/tmp/channel/nixos-$2/nixexprs.tar.xz
	tar -C "$1" --transform "s|^\.|nixos-$2|" --owner=0 --group=0 -cf - . |
		"$LAB/lab.sh" on pi sh -euc "mkdir -p ${archive%/*} && cat >$archive"
	# That machine may build nothing; Nix calls the unpacking of a channel a build.
	lab on pi env NIX_CONFIG='max-jobs = 2' sh -euc "nix-channel --add file://${archive%/*} nixos
		nix-channel --update
		rm -r /tmp/channel" >"$scratch/errors" 2>&1 || failed "the channel could not be installed"
}

# configure TREE VERSION [TEXT]
configure() {
	write_on pi /etc/nixos/configuration.nix <<-NIX
		{ config, pkgs, ... }:
		{
		  imports = [ ./hardware-configuration.nix ./stand-ins.nix ];
		  boot.loader.grub.enable = false;
		  boot.loader.generic-extlinux-compatible.enable = true;
		  networking.hostName = "pi";
		  services.openssh.enable = true;
		  users.users.me = { isNormalUser = true; extraGroups = [ "wheel" ]; };
		  environment.systemPackages = [ pkgs.git pkgs.htop pkgs.vim ];
		  environment.etc."motd".text = "Welcome to \${config.networking.hostName}${3:+, $3}.\n";
		  system.stateVersion = "$2";
		}
	NIX
	# As nixos-generate-config writes it, which names the platform since 22.11.
	local platform=
	if grep -q 'hostPlatform = .*mkOption' "$1/nixos/modules/misc/nixpkgs.nix"; then
		platform='nixpkgs.hostPlatform = "aarch64-linux";'
	fi
	write_on pi /etc/nixos/hardware-configuration.nix <<-NIX
		{ ... }:
		{
		  boot.initrd.availableKernelModules = [ "usbhid" ];
		  fileSystems."/" = { device = "/dev/disk/by-label/NIXOS_SD"; fsType = "ext4"; };
		  $platform
		}
	NIX
	stand_ins "$1" | write_on pi /etc/nixos/stand-ins.nix
}

# stand_ins TREE : a module with what a reduced tree lacks.
stand_ins() {
	local modules=$1/nixos/modules haskell=$1/pkgs/development/haskell-modules/hackage-packages.nix
	echo '{ lib, ... }: {'
	if [ -e "$modules/hardware/facter/virtualisation.nix" ] && [ ! -e "$modules/virtualisation/hyperv-guest.nix" ]; then
		echo 'options.virtualisation.hypervGuest = lib.mkOption { type = lib.types.anything; default = { }; };'
	fi
	if [ "$(stat -c %s "$haskell")" -lt 1000 ]; then
		echo 'config.nixpkgs.overlays = [ (final: prev: {'
		local name
		for name in shellcheck shellcheck-minimal; do
			echo "$name = final.hello // { compiler.bootstrapAvailable = false; };"
		done
		echo '}) ];'
	fi
	echo '}'
}

# --- measuring ----------------------------------------------------------------------------------------

failed() {
	cat "$scratch/errors" >&2
	die "$1"
}

# wait_for_quiet : until three quarters of this machine are idle, but no longer than two minutes.
wait_for_quiet() {
	local before after deadline=$((SECONDS + 120))
	while [ $SECONDS -lt $deadline ]; do
		before=$(head -n 1 /proc/stat)
		sleep 0.5
		after=$(head -n 1 /proc/stat)
		if printf '%s\n' "$before" "$after" | awk '
			{ idle[NR] = $5 + $6; for (i = 2; i <= 9; i++) all[NR] += $i }
			END { exit idle[2] - idle[1] < 0.75 * (all[2] - all[1]) }'; then
			return
		fi
	done
	tell "others are at work: seconds mean little now"
}

declare -A cpu_before
# measure HOST MODE COMMAND : with bench/measure.pl; leaves lines "name<TAB>value" in $scratch/measured, and what the
# command says in ./output and ./errors there.
measure() {
	wait_for_quiet
	cpu_before=([pi]=$(cpu_of_host pi) [builder]=$(cpu_of_host builder))
	lab on "$1" sh -euc "cd $DIRECTORY; exec ./measure.pl $2 $3" >"$scratch/measured" 2>"$scratch/errors" ||
		failed "'$3' failed on $1"
}
measured() { awk -F'\t' -v n="$1" '$1 == n { print $2 }' "$scratch/measured"; }

# record ROW VALUE : a cell of this tree's column.
record() { printf '%s\t%s\t%s\n' "$column" "$1" "$2" >>"$scratch/figures"; }
# record_seconds ROW HOST : and the CPU seconds of a whole host meanwhile, which other work disturbs less.
record_seconds() {
	record "$1" "$(awk -v s="$(measured seconds)" -v a="${cpu_before[$2]}" -v b="$(cpu_of_host "$2")" \
		'BEGIN { printf "%.2f (%.2f)", s, b - a }')"
	tell "$column: $1: $(cell "$column" "$1")"
}

cpu_of_host() { awk '$1 == "usage_usec" { print $2 / 1e6 }' "$CGROUP/$1/cpu.stat"; }
bytes_sent() { ip netns exec "$(network_of pi)" cat /sys/class/net/eth0/statistics/tx_bytes 2>/dev/null; }

# expect_own ROW DERIVATION : it is the Pi's own.
wrong=0
expect_own() {
	[ "$2" != "$derivation" ] || return 0
	wrong=1
	record "$1" "**another derivation**"
	tell "$column: $1: expected $derivation, saw ${2:-none}"
}

# on_the_pi : what all others are held against. The first time its derivations are written as well.
on_the_pi() {
	local instantiate="/usr/lib/nix-real/nix-instantiate '${SYSTEM[0]}' ${SYSTEM[*]:1} --add-root $DIRECTORY/derivation"
	measure pi time "$instantiate"
	record_seconds "${ROWS[local first]}" pi
	measure pi time "$instantiate"
	record_seconds "${ROWS[local]}" pi
	measure pi memory "$instantiate"
	record "${ROWS[memory]}" "$(measured "peak nix-instantiate" | awk '{ printf "%.0f", $1 / 1024 }')"
	derivation=$(lab on pi readlink $DIRECTORY/derivation)
}

# rebuild ROW : one run of the program, with what it must give and what it must not do.
rebuild() {
	local row=${ROWS[$1]} before calls
	lab on pi sh -c ': >/var/log/nix-calls'
	before=$(bytes_sent)
	measure pi time "/usr/local/bin/rebuild dry-build --eval-on builder -v"
	record_seconds "$row" builder
	evaluated=yes
	! lab on pi grep -q '^unchanged: not evaluated' $DIRECTORY/errors || evaluated=no
	[ "$1" != first ] || record "${ROWS[sent]}" "$(awk -v b="$before" -v a="$(bytes_sent)" 'BEGIN { printf "%.1f", (a - b) / 1e6 }')"
	expect_own "$row" "$(lab on pi sed -n 's/^derivation: //p' $DIRECTORY/errors)"
	# How much the channel takes is asked of the Pi's database, before it is sent.
	calls=$(lab on pi sh -c 'grep -v "^nix-store --query --size " /var/log/nix-calls || :')
	[ -z "$calls" ] || {
		wrong=1
		programs+="${calls%% *} "
		tell "$column: $row: the Pi ran: $calls"
	}
}

# into_the_store : the channel as valid paths of the builder's store, where the ssh user is trusted; what `rebuild` has
# kept of it is forgotten, so that it needs no overlay.
into_the_store() {
	lab on pi nix-copy-closure --to builder "$(lab on pi readlink -f "${CHANNEL%/*}")" 2>"$scratch/errors" ||
		failed "the channel could not be imported"
	lab on builder sh -c 'rm -rf /home/builder/.cache/rebuild/*/trees'
}

# the_builder_alone : with the channel at the same place and at hand, and the configuration as a copy.
the_builder_alone() {
	copy_configuration
	measure builder time "setpriv --reuid=builder --regid=builder --init-groups env HOME=/home/builder sh ./evaluate.sh"
	record_seconds "${ROWS[alone]}" builder
	expect_own "${ROWS[alone]}" "$(lab on builder readlink $DIRECTORY/derivation)"
}

# turns TREE VERSION : the three that are compared.
turns() {
	local turn
	for ((turn = 1; turn <= times; turn++)); do
		configure "$1" "$2" "turn $turn"
		own_prompt
		derivation=$(lab on builder readlink $DIRECTORY/derivation)
		rebuild changed
		keep_turn changed
		[ "$evaluated" = yes ] || wrong_turn "a change was not evaluated"
		rebuild unchanged
		keep_turn unchanged
		[ "$evaluated" = no ] || wrong_turn "nothing changed, and it was evaluated"
	done
	local prompt changed unchanged
	prompt=$(median prompt) changed=$(median changed) unchanged=$(median unchanged)
	record "${ROWS[prompt]}" "$prompt"
	record "${ROWS[changed]}" "$changed ($(ratio "$changed" "$prompt"))"
	record "${ROWS[unchanged]}" "$unchanged ($(ratio "$unchanged" "$prompt"))"
}
keep_turn() { printf '%s\t%s\t%s\n' "$column" "$1" "$(measured seconds)" >>"$scratch/turns"; }
median() {
	awk -F'\t' -v c="$column" -v n="$1" '$1 == c && $2 == n { print $3 }' "$scratch/turns" | sort -g |
		awk '{ value[NR] = $0 } END { printf "%.2f", (value[int((NR + 1) / 2)] + value[int(NR / 2) + 1]) / 2 }'
}
ratio() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.2f", a / b }'; }
wrong_turn() {
	wrong=1
	tell "$column: $1"
}

# own_prompt : what an ordinary user on the builder waits for there, with the channel in its store and the configuration as
# a copy: the evaluation, and what would be built.
own_prompt() {
	copy_configuration
	measure builder time "setpriv --reuid=builder --regid=builder --init-groups env HOME=/home/builder sh ./prompt.sh"
	keep_turn prompt
	tell "$column: prompt: $(measured seconds)"
}
copy_configuration() {
	lab on pi tar -C /etc/nixos -cf - . | "$LAB/lab.sh" on builder -u builder \
		sh -euc "mkdir -p $DIRECTORY/etc-nixos && tar -xf - -C $DIRECTORY/etc-nixos"
	write_on builder $DIRECTORY/evaluate.sh <<-END
		NIX_PATH=nixpkgs=$channel/nixos:nixos-config=$DIRECTORY/etc-nixos/configuration.nix
		export NIX_PATH
		exec nix-instantiate '${SYSTEM[0]}' ${SYSTEM[*]:1} --add-root $DIRECTORY/derivation --option eval-system aarch64-linux
	END
	write_on builder $DIRECTORY/prompt.sh <<-END
		sh ./evaluate.sh && exec nix-store --realise --dry-run \$(readlink $DIRECTORY/derivation)
	END
}

# --- each tree ------------------------------------------------------------------------------------------

# as_channel TREE
as_channel() {
	local version channel derivation programs='' run evaluated
	version=$(cat "$1/lib/.version" 2>/dev/null || cat "$1/.version")
	column="$version, channel"
	columns+=("$column")
	fresh
	install_channel "$1" "$version"
	configure "$1" "$version"
	channel=$(dirname "$(lab on pi readlink -f $CHANNEL)")
	on_the_pi
	for run in first second third; do rebuild $run; done
	into_the_store
	the_builder_alone
	rebuild imported
	turns "$1" "$version"
	record "${ROWS[programs]}" "${programs:-none}"
}

# as_flake TREE: the same tree as an input (`path:`) of a flake comes here, as a column of its own, as soon as `rebuild`
# takes flakes to the builder. A tree before 20.09 has no flake.nix.

ORDER=("local first" local memory first sent second third imported alone prompt changed unchanged programs)
declare -A ROWS=(["local first"]="evaluation on the Pi, the first" [local]="evaluation on the Pi, again"
	[memory]="... its memory, MiB" [first]="\`rebuild dry-build --eval-on\`, the first" [sent]="... MB sent"
	[second]="... nothing changed" [third]="... once more" [imported]="... the channel in the builder's store"
	[prompt]="turns: the builder's own prompt, one option changed" [changed]="turns: \`rebuild\`, one option changed (ratio)"
	[unchanged]="turns: \`rebuild\`, nothing changed (ratio)"
	[alone]="the builder alone, the channel in its store" [programs]="Nix programs that the Pi ran for \`rebuild\`")

# cell COLUMN ROW : the last word on it, for a wrong derivation is noted after the seconds.
cell() { awk -F'\t' -v c="$1" -v r="$2" '$1 == c && $2 == r { value = $3 } END { print value }' "$scratch/figures"; }

report() {
	local key name
	printf 'Seconds of single runs; in brackets CPU seconds of the host that evaluates, which other work disturbs less.\n\n| |'
	printf ' %s |' "${columns[@]}"
	printf '\n|---|'
	for name in "${columns[@]}"; do printf -- '--:|'; done
	printf '\n'
	for key in "${ORDER[@]}"; do
		printf '| %s |' "${ROWS[$key]}"
		for name in "${columns[@]}"; do printf ' %s |' "$(cell "$name" "${ROWS[$key]}")"; done
		printf '\n'
	done
	if [ $wrong = 0 ]; then
		printf '\nAll derivations are those of the Pi itself.\n'
	else
		printf '\n**Not as on the Pi itself**: see above.\n'
	fi
}

need_root
[ -x "$program" ] || die "there is no $program (tests/lab/toolchain.sh cargo build --release --locked)"
use_lab
# shellcheck source=/dev/null
. "$LAB/machine.sh" # network_of
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
trap 'exit 130' INT TERM
cp "$program" "$scratch/rebuild"
program=$scratch/rebuild

"$LAB/lab.sh" up pi builder
columns=()
for tree; do as_channel "$tree"; done
report
exit $wrong
