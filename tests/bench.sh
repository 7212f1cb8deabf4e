#!/bin/bash
# What `rebuild --eval-on` costs, measured in the lab, beside what it stands in for. Writes a table (markdown).
#
#   tests/bench.sh [OPTION...]
#     --seconds N     what one evaluation is to cost on the builder (default 3)
#     --memory MB     ... and hold in memory meanwhile (default 300)
#     --runs N        measurements of each kind (default 5)
#     --bulk MB       the size of the one path that arrives at last (default 300)
#     --arm64-pi      also on a Pi whose every instruction is emulated (slow: minutes for one evaluation)
#
# The variants take turns, all in one run, so their ratios mean more than their seconds. A slow figure is no failure: the
# exit code is 1 only if the measurements could not be made. REBUILD_PROGRAM names the program; without it the one that
# cargo built for release is taken. docs/benchmark.md says what is counted how.
set -euo pipefail
TESTS=$(cd "$(dirname "$(readlink -f "$0")")" && pwd)
# shellcheck source=/dev/null
. "$TESTS/lab/common.sh"
# shellcheck source=/dev/null
. "$TESTS/lab/machine.sh"

usage() {
	sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0" >&2
	exit 2
}

seconds=3 memory=300 runs=5 bulk=300 arm64_pi=no
while [ $# -gt 0 ]; do
	case $1 in
	--seconds | --memory | --runs | --bulk)
		[[ "${2-}" =~ ^[0-9]+$ ]] || usage
		declare "${1#--}=$2"
		shift
		;;
	--arm64-pi) arm64_pi=yes ;;
	*) usage ;;
	esac
	shift
done
[ "$runs" -gt 0 ] || usage

program=${REBUILD_PROGRAM:-$CACHE/target/release/rebuild}
VARIANTS=(alone eval-on local build-host)
DIRECTORY=/var/tmp/bench # in the hosts

lab() { "$LAB/lab.sh" "$@" </dev/null; }
tell() { printf 'bench: %s\n' "$*" >&2; }

# --- the hosts ----------------------------------------------------------------------------------------

# fresh : both hosts as new, the configuration and what measures in place.
fresh() {
	lab reset pi builder
	"$LAB/lab.sh" install "$program"
	local host
	for host in pi builder; do
		lab put "$host" "$TESTS/bench" $DIRECTORY
		lab on "$host" chmod 755 $DIRECTORY
	done
	lab on pi sed -i 's|imports = .|& ./bench.nix |' /etc/nixos/configuration.nix
	lab on builder chown builder: $DIRECTORY
	configure first
	# The channel too goes to the builder as a copy, and not into its store: there `rebuild` would find it.
	lab on pi tar -C /nix/var/nix/profiles/per-user/root/channels/nixos/ -cf - . |
		"$LAB/lab.sh" on builder -u builder sh -euc "mkdir $DIRECTORY/nixpkgs && tar -xf - -C $DIRECTORY/nixpkgs"
}

# configure TEXT : the configuration on the Pi, and its copy on the builder. Work comes in thousands of hashes, for the
# units of lab.evalCost are too large to calibrate with.
work=0
held=0
size=0
configure() {
	"$LAB/lab.sh" on pi sh -c 'cat >/etc/nixos/bench.nix' <<-NIX
		{
		  lab.evalCost = { memory = $held; };
		  lab.bulkMegabytes = $size;
		  lab.salt = "bench";
		  environment.etc."bench".text = "$1\n";
		  environment.etc."bench-work".text = builtins.foldl' (text: _: builtins.hashString "sha256" text) ""
		    (builtins.genList (i: i) ($work * 1000));
		}
	NIX
	lab on pi tar -C /etc/nixos -cf - . | "$LAB/lab.sh" on builder -u builder \
		sh -euc "mkdir -p $DIRECTORY/etc-nixos && tar -xf - -C $DIRECTORY/etc-nixos"
}

# measure MODE VARIANT : one run; leaves lines "name<TAB>value" in $scratch/measured.
measure() {
	local host=pi command
	local as_builder='setpriv --reuid=builder --regid=builder --init-groups env HOME=/home/builder'
	case $2 in
	alone) host=builder command="$as_builder ./alone.sh" ;;
	evaluate) host=builder command="$as_builder ./alone.sh evaluate" ;;
	local) command=./local.sh ;;
	build-host) command=./build-host.sh ;;
	eval-on) command='/usr/local/bin/rebuild build --eval-on builder' ;;
	esac
	# The lab's watchers (tests/lab/watcher.sh) are no part of this.
	lab on "$host" sh -euc "cd $DIRECTORY
		export PATH=/usr/lib/nix-real:\$PATH
		exec ./measure.pl $1 $command" \
		>"$scratch/measured" 2>"$scratch/errors" || {
		cat "$scratch/errors" >&2
		die "'$command' on $host could not be measured"
	}
}

# --- the Pi's network, seen from outside --------------------------------------------------------------

network_counts() { # connections opened, bytes sent, bytes received
	# shellcheck disable=SC2016 # awk's own
	ip netns exec "$(network_of pi)" sh -c '
		awk "/^Tcp: [0-9]/ { print \$6 }" /proc/net/snmp
		cat /sys/class/net/eth0/statistics/tx_bytes /sys/class/net/eth0/statistics/rx_bytes' 2>/dev/null |
		tr '\n' ' '
}

since() { awk -v a="$1" -v b="$EPOCHREALTIME" 'BEGIN { print b - a }'; }

# --- other work on this machine -----------------------------------------------------------------------

# busy : CPU seconds of this machine so far, less those of the two hosts.
busy() {
	awk -v ticks="$(getconf CLK_TCK)" '
		$1 == "cpu" { total = ($2 + $3 + $4 + $7 + $8 + $9) / ticks }
		$1 == "usage_usec" { ours += $2 / 1e6 }
		END { print total - ours }' /proc/stat "$CGROUP/pi/cpu.stat" "$CGROUP/builder/cpu.stat"
}

# others BEFORE AFTER SECONDS : how many CPUs were busy with something else.
others() { awk -v before="$1" -v after="$2" -v seconds="$3" 'BEGIN { printf "%.2f\n", (after - before) / seconds }'; }
too_many() { awk -v others="$1" 'BEGIN { exit !(others > 0.5) }'; }

# pace : milliseconds for a fixed piece of work. What slows this machine from outside (it may be a virtual one) is seen
# in nothing else.
pace() {
	local i begin=${EPOCHREALTIME/[.,]/}
	for ((i = 0; i < 50000; i++)); do :; done
	echo $(((${EPOCHREALTIME/[.,]/} - begin) / 1000))
}

# wait_for_quiet : until nothing else is at work and the machine is as quick as it has been; in all, not for ever.
patience=300
best=
wait_for_quiet() {
	local before disturbed now said=no
	while :; do
		before=$(busy)
		now=$(pace)
		sleep 0.5
		disturbed=$(others "$before" "$(busy)" "$(awk -v ms="$now" 'BEGIN { print 0.5 + ms / 1000 }')")
		# The pace itself is work of this machine, of one CPU.
		disturbed=$(awk -v d="$disturbed" -v ms="$now" 'BEGIN { print d - ms / (500 + ms) }')
		if [ -z "$best" ] || [ "$now" -lt "$best" ]; then best=$now; fi
		if ! too_many "$disturbed" && [ $((now * 100)) -le $((best * 120)) ]; then break; fi
		[ $patience -gt 0 ] || break
		patience=$((patience - 1))
		[ $said = yes ] || tell "not quiet (others: $disturbed CPUs; pace: $now ms, at best $best), waiting"
		said=yes
		sleep 0.3
	done
	record all all pace "$now"
}

# --- figures ------------------------------------------------------------------------------------------

# record SITUATION VARIANT NAME VALUE
record() { printf '%s\t%s\t%s\t%s\n' "$@" >>"$scratch/figures"; }

record_measured() { # SITUATION VARIANT
	local name value
	while IFS=$'\t' read -r name value; do record "$1" "$2" "$name" "$value"; done <"$scratch/measured"
}

# figure SITUATION VARIANT NAME [median|lowest|highest]
figure() {
	awk -F'\t' -v s="$1" -v v="$2" -v n="$3" '$1 == s && $2 == v && $3 == n { print $4 }' "$scratch/figures" |
		sort -g | awk -v what="${4:-median}" '
			{ value[NR] = $0 }
			END {
				if (NR == 0) { print "-"; exit }
				if (what == "lowest") print value[1]
				else if (what == "highest") print value[NR]
				else if (NR % 2) print value[(NR + 1) / 2]
				else print (value[NR / 2] + value[NR / 2 + 1]) / 2
			}'
}

# scaled FACTOR DIGITS VALUE
scaled() { awk -v f="$1" -v d="$2" -v v="$3" 'BEGIN { if (v == "-") print v; else printf "%.*f\n", d, v * f }'; }
ratio() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.2f\n", a / b }'; }

# timed SITUATION VARIANT PREPARE... : PREPARE and measured; again if the machine was busy with something else.
timed() {
	local attempt before begin disturbed counts_before counts_after
	for attempt in 1 2 3; do
		"${@:3}" "$attempt"
		wait_for_quiet
		read -r -a counts_before <<<"$(network_counts)"
		before=$(busy) begin=$EPOCHREALTIME
		measure time "$2"
		disturbed=$(others "$before" "$(busy)" "$(since "$begin")")
		read -r -a counts_after <<<"$(network_counts)"
		too_many "$disturbed" || break
		tell "$1, $2: disturbed ($disturbed CPUs were busy with something else)"
	done
	! too_many "$disturbed" || record all all disturbed "$1 $2"
	record_measured "$1" "$2"
	record "$1" "$2" connections $((counts_after[0] - counts_before[0]))
	record "$1" "$2" sent $((counts_after[1] - counts_before[1]))
	record "$1" "$2" received $((counts_after[2] - counts_before[2]))
	tell "$1, $2: $(figure_now seconds) s"
}
figure_now() { awk -F'\t' -v n="$1" '$1 == n { printf "%.2f", $2 }' "$scratch/measured"; }

# --- the situations -----------------------------------------------------------------------------------

# calibrate : how much work makes an evaluation cost what is asked.
calibrate() {
	local little much
	held=$memory
	little=$(evaluation_with 500)
	much=$(evaluation_with 2000)
	work=$(awk -v a="$little" -v b="$much" -v wanted="$seconds" 'BEGIN {
		work = int(500 + (wanted - a) * 1500 / (b - a))
		print (work > 0 ? work : 0) }')
	costs=$(evaluation_with "$work")
	tell "$little s with 500 units of work, $much s with 2000; $costs s with $work"
}

evaluation_with() { # WORK : the quickest of three
	work=$1
	configure first
	wait_for_quiet
	for _ in 1 2 3; do
		measure time evaluate
		figure_now seconds
		echo
	done | sort -g | head -n 1
}

first_runs() {
	local variant
	for variant in alone eval-on build-host; do timed first $variant fresh; done
}

# change TEXT ATTEMPT : never what has been built already.
change() { configure "changed: $*"; }

situations() {
	local run variant
	fresh
	# The second run of a configuration leaves out what was not read in the first one; so the third one is unchanged.
	for variant in alone eval-on eval-on build-host; do measure time $variant; done
	record all all derivation "$(lab on builder readlink $DIRECTORY/derivation)"
	[ "$(lab on pi readlink $DIRECTORY/result)" = "$(lab on builder readlink $DIRECTORY/result)" ] ||
		die "the builder alone and rebuild have different results"
	for ((run = 1; run <= runs; run++)); do
		for variant in "${VARIANTS[@]}"; do timed unchanged "$variant" true; done
	done
	for ((run = 1; run <= runs; run++)); do
		for variant in "${VARIANTS[@]}"; do timed changed "$variant" change "$variant $run"; done
	done
}

# The runs that nobody waits for.
looks() {
	local variant
	for variant in eval-on local build-host; do
		change "$variant memory"
		measure memory "$variant"
		record_measured changed "$variant"
		change "$variant programs"
		measure programs "$variant"
		record_measured changed "$variant"
	done
	tell "memory and processes: done"
}

# with_bulk : the one big path is built already, so that only its arrival is seen.
with_bulk() {
	fresh
	lab on builder -u builder sh -c "cd $DIRECTORY && ./alone.sh" >/dev/null 2>"$scratch/errors" || {
		cat "$scratch/errors" >&2
		die "the bulk could not be built"
	}
}

bulk_arrives() {
	local variant
	work=0 held=0 size=$bulk
	for variant in eval-on build-host; do
		timed bulk $variant with_bulk
		with_bulk
		measure memory $variant
		record_measured bulk $variant
	done
}

the_program() {
	local name
	record program rebuild size "$(stat -c %s "$program")"
	for name in rebuild true; do
		lab on pi sh -euc "cd $DIRECTORY && ./measure.pl start \$(command -v $name) --version" >"$scratch/measured"
		record_measured program $name
	done
}

# emulated COMMAND VARIANT : one run, by the clock alone.
emulated() {
	local begin=$EPOCHREALTIME
	lab on arm-pi sh -c "$1" >/dev/null 2>"$scratch/errors" || {
		cat "$scratch/errors" >&2
		die "'$1' failed on the emulated Pi"
	}
	record emulated "$2" seconds "$(since "$begin")"
	tell "emulated, $2: $(figure emulated "$2" seconds) s"
}

emulated_pi() {
	local its_program=$CACHE/target/aarch64-unknown-linux-gnu/release/rebuild
	"$LAB/lab.sh" up arm-pi
	lab on pi tar -C /etc/nixos -cf - . | "$LAB/lab.sh" on arm-pi tar -C /etc/nixos -xf -
	if [ -x "$its_program" ]; then
		"$LAB/lab.sh" install "$its_program"
		emulated "rebuild build --eval-on builder" eval-on # to warm up
		sed -i '/^emulated/d' "$scratch/figures"
		emulated "rebuild build --eval-on builder" eval-on
	fi
	emulated "nix-instantiate '<nixpkgs/nixos>' --attr config.system.build.toplevel" local
}

# --- the report -----------------------------------------------------------------------------------------

declare -A NAMES=([alone]="the builder alone" [eval-on]="\`rebuild build --eval-on\`"
	[local]="evaluation on the Pi" [build-host]="nixos-rebuild's \`--build-host\`")

facts() {
	local version
	version=$(lab on pi rebuild --version)
	printf '%s; %s bytes. ' "$version" "$(stat -c %s "$program")"
	printf 'Nix %s, %s. ' "$(lab on pi nix --version | awk '{ print $NF }')" \
		"$(lab on pi ssh -V 2>&1 | sed 's/,.*//')"
	printf 'All machines are namespaces of one: %s CPUs (%s), %d GB, Linux %s.\n' "$(nproc)" \
		"$(sed -n 's/^model name[[:space:]]*: //p' /proc/cpuinfo | head -n 1)" \
		"$(awk '/^MemTotal/ { print int($2 / 1e6 + 0.5) }' /proc/meminfo)" "$(uname -r)"
	printf 'Asked for: an evaluation of %s s that holds %s MB; on the builder it takes %s s. %s runs of each kind.\n' \
		"$seconds" "$memory" "$costs" "$runs"
	printf 'Pace of this machine: %s ms (%s to %s) for a fixed piece of work. Disturbed in spite of repetition: %s.\n' \
		"$(figure all all pace)" "$(figure all all pace lowest)" "$(figure all all pace highest)" \
		"$(awk -F'\t' '$3 == "disturbed" { n++ } END { print n ? n " measurements" : "none" }' "$scratch/figures")"
}

times() {
	local situation variant alone
	printf '\n### Seconds\n\n| | | median | lowest | highest | of the builder alone |\n|---|---|--:|--:|--:|--:|\n'
	for situation in unchanged changed first; do
		alone=$(figure $situation alone seconds)
		for variant in "${VARIANTS[@]}"; do
			[ "$(figure $situation "$variant" seconds)" != - ] || continue
			printf '| %s | %s | %s | %s | %s | %s |\n' "${SITUATIONS[$situation]}" "${NAMES[$variant]}" \
				"$(seconds_of $situation "$variant" median)" "$(seconds_of $situation "$variant" lowest)" \
				"$(seconds_of $situation "$variant" highest)" \
				"$(ratio "$(figure $situation "$variant" seconds)" "$alone")"
		done
	done
}
declare -A SITUATIONS=([unchanged]="nothing changed" [changed]="one small file changed" [first]="the first run of all")
seconds_of() { scaled 1 2 "$(figure "$1" "$2" seconds "$3")"; }

# row TEXT NAME FACTOR DIGITS COLUMN... : a column is SITUATION/VARIANT.
row() {
	local column
	printf '| %s |' "$1"
	for column in "${@:5}"; do
		printf ' %s |' "$(scaled "$3" "$4" "$(figure "${column%/*}" "${column#*/}" "$2")")"
	done
	printf '\n'
}

costs() {
	local changed=(changed/eval-on changed/build-host changed/local)
	local arriving=(bulk/eval-on bulk/build-host)
	local megabytes=0.0009765625 # of the kernel's kB
	printf '\n### What it costs the Pi\n\n| | %s | %s | %s | %s | %s |\n|---|--:|--:|--:|--:|--:|\n' \
		"${NAMES[eval-on]}" "${NAMES[build-host]}" "${NAMES[local]}" \
		"\`--eval-on\`, $bulk MB arrive" "\`--build-host\`, $bulk MB arrive"
	row "memory: all processes, resident (MiB)" "all rss" $megabytes 1 "${changed[@]}" "${arriving[@]}"
	row "memory: all, shared pages divided (MiB)" "all pss" $megabytes 1 "${changed[@]}" "${arriving[@]}"
	row "memory: all, without files (MiB)" "all anonymous" $megabytes 1 "${changed[@]}" "${arriving[@]}"
	row "memory: \`rebuild\` itself, resident (MiB)" "peak rebuild" $megabytes 1 "${changed[@]}" "${arriving[@]}"
	row "CPU seconds" cpu 1 2 "${changed[@]}" "${arriving[@]}"
	row "... of which in nix-daemon" "cpu of the daemon" 1 2 "${changed[@]}" "${arriving[@]}"
	row "connections to the builder" connections 1 0 "${changed[@]}" "${arriving[@]}"
	row "kB sent" sent 0.001 1 "${changed[@]}" "${arriving[@]}"
	row "kB received" received 0.001 1 "${changed[@]}" "${arriving[@]}"
	row "processes started" processes 1 0 "${changed[@]}" "${arriving[@]}"
	row "programs started" programs 1 0 "${changed[@]}" "${arriving[@]}"
	row "connections to nix-daemon" "daemon connections" 1 0 "${changed[@]}" "${arriving[@]}"
	row "seconds" seconds 1 2 "${changed[@]}" "${arriving[@]}"
	printf '\nWhere "resident" was highest (MiB): one file changed: %s; %s MB arrive: %s. For --build-host: %s; %s.\n' \
		"$(figure changed eval-on composition)" "$bulk" "$(figure bulk eval-on composition)" \
		"$(figure changed build-host composition)" "$(figure bulk build-host composition)"
}

program_table() {
	printf '\n### The program\n\n'
	printf '%s MiB; it starts and ends (--version) in %s ms, /bin/true in %s ms.\n' \
		"$(scaled 9.5367431640625e-7 2 "$(figure program rebuild size)")" \
		"$(scaled 1000 2 "$(figure program rebuild start)")" "$(scaled 1000 2 "$(figure program true start)")"
	[ $arm64_pi = no ] || printf '\nOn the Pi that is all emulated, nothing changed, one run: evaluation there %s s, %s %s s.\n' \
		"$(scaled 1 1 "$(figure emulated local seconds)")" "${NAMES[eval-on]}" \
		"$(scaled 1 1 "$(figure emulated eval-on seconds)")"
}

# aim TEXT VALUE LIMIT
aim() {
	awk -v text="$1" -v value="$2" -v limit="$3" \
		'BEGIN { printf "| %s | %s | %s | %s |\n", text, limit, value, value + 0 <= limit + 0 ? "met" : "**missed**" }'
}

aims() {
	local alone
	alone=$(figure unchanged alone seconds)
	printf '\n### Aims\n\n| | at most | seen | |\n|---|--:|--:|---|\n'
	aim "seconds, nothing changed: times the builder alone" "$(ratio "$(figure unchanged eval-on seconds)" "$alone")" 1.15
	alone=$(figure changed alone seconds)
	aim "seconds, one file changed: times the builder alone" "$(ratio "$(figure changed eval-on seconds)" "$alone")" 1.15
	aim "connections" "$(figure changed eval-on connections highest)" 1
	aim "\`rebuild\` itself while $bulk MB arrive, MiB" "$(scaled 0.0009765625 1 "$(figure bulk eval-on "peak rebuild")")" 10
	aim "all processes while $bulk MB arrive, MiB" "$(scaled 0.0009765625 1 "$(figure bulk eval-on "all rss")")" 80
	aim "the stripped program, MiB" "$(scaled 9.5367431640625e-7 2 "$(figure program rebuild size)")" 4
}

# --- all of it ------------------------------------------------------------------------------------------

main() {
	need_root
	[ -x "$program" ] || die "there is no $program (tests/lab/toolchain.sh cargo build --release --locked)"
	use_lab
	scratch=$(mktemp -d)
	trap 'rm -rf "$scratch"' EXIT
	trap 'exit 130' INT TERM

	# What is measured is one program from the first run to the last, whatever is built meanwhile.
	cp "$program" "$scratch/rebuild"
	program=$scratch/rebuild

	"$LAB/lab.sh" up pi builder
	fresh
	for _ in 1 2 3 4 5; do wait_for_quiet; done # to learn the pace
	the_program
	calibrate
	first_runs
	situations
	looks
	[ $arm64_pi = no ] || emulated_pi
	bulk_arrives
	facts
	times
	costs
	program_table
	aims
}

main
exit 0
