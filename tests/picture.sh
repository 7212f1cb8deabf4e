#!/bin/bash
# Makes docs/run.svg from a real run in the lab: what is seen on the Pi while `rebuild switch --eval-on builder --diff` brings
# it a changed configuration. By hand, as root, with the lab down or one of its own (REBUILD_LAB=picture tests/picture.sh):
#
#   tests/picture.sh                   docs/run.svg: 100 columns, on dark
#   tests/picture.sh OUT.svg [COLUMNS [dark|light]]
#   tests/picture.sh --stills DIRECTORY   each screen of it as a picture of its own, to be looked at
#
# tmux is the terminal; tests/picture.py draws what it shows, with Python's `rich`, from PyPI into a venv in the lab's cache.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."
. tests/lab/common.sh
need_root
use_lab

stills=
if [ "${1-}" = --stills ]; then stills=$2 && set --; fi
out=${1:-docs/run.svg} columns=${2:-100} theme=${3:-dark}
lab=tests/lab/lab.sh
rows=28
command="rebuild switch --eval-on builder --diff"

venv=$CACHE/picture
if ! "$venv/bin/python" -c 'import rich' 2>/dev/null; then
	python3 -m venv "$venv"
	"$venv/bin/pip" --quiet install 'rich>=13,<16'
fi

tests/lab/toolchain.sh cargo build --release --locked
"$lab" up pi builder
"$lab" reset pi builder
"$lab" install "$CACHE/target/release/rebuild"
scratch=$(mktemp -d)
server=$scratch/tmux
trap 'tmux -S "$server" kill-server 2>/dev/null || true; rm -rf "$scratch"' EXIT

# Nix on Debian builds one after another; a builder would be set up like this.
"$lab" nixconf builder "max-jobs = 4"
# As many a Pi is connected.
"$lab" slow builder 100mbit

# Packages that are work for an emulated CPU, of so many megabytes: real builds, of nothing in particular.
configure() { # NAME-VERSION=MEGABYTES...
	local package list=
	for package; do
		list="$list
    (pkgs.run \"${package%=*}\" { } ''
      mkdir -p \"\$out/bin\"
      \"\$builder\" head -c ${package#*=}000000 /dev/urandom >\"\$out/bin/${package%%-*}\"
      for turn in 1 2 3 4 5 6 7 8 9; do \"\$builder\" sha512sum \"\$out/bin/${package%%-*}\"; done
    '')"
	done
	# shellcheck disable=SC2016 # the host's shell's
	"$lab" on pi sh -euc 'cd /etc/nixos
		[ -e plain ] || cp configuration.nix plain
		awk -v list="$1" "/pkgs.writeProgram/ { print list; next } { print }" plain >configuration.nix' configure "$list"
}

say "the system before"
configure camera-1.3=2 sensors-2.0=2 weather-0.9=1
"$lab" on pi rebuild switch --eval-on builder </dev/null >/dev/null 2>"$scratch/before" || { cat "$scratch/before" && exit 1; }
configure camera-1.4=14 garden-3.1=22 sensors-2.1=9 weather-1.0=5

say "the run"
cat >"$scratch/run" <<-END
	#!/bin/bash
	printf '\033[1m[root@pi:~]#\033[0m %s\n' "$command"
	"$PWD/$lab" on pi -- $command
	echo \$? >"$scratch/status"
	exec sleep 600
END
chmod 755 "$scratch/run"
tmux -S "$server" -f /dev/null new-session -d -x "$columns" -y "$rows" env TERM=xterm-256color "$scratch/run" ';' \
	set -g status off ';' resize-window -x "$columns" -y "$rows"
begin=$EPOCHREALTIME
frames=() last=
over=no
while [ $over != yes ]; do
	# Once more after the end.
	[ ! -s "$scratch/status" ] || { over=yes && sleep 0.5; }
	now=$(((${EPOCHREALTIME/[.,]/} - ${begin/[.,]/}) / 1000))
	file=$scratch/frame-$now
	tmux -S "$server" capture-pane -e -p | awk '$0 == "" { blank++; next } { while (blank) { print ""; blank-- } print }' >"$file"
	# A turn of the spinner is no news.
	seen=$(sed 's/\(⠋\|⠙\|⠹\|⠸\|⠼\|⠴\|⠦\|⠧\|⠇\|⠏\)/⠋/' "$file" | sha256sum)
	if [ "$seen" != "$last" ] && [ -s "$file" ]; then
		frames+=("$((now / 1000)).$(printf %03d $((now % 1000)))=$file")
		last=$seen
	fi
	sleep 0.1
done
status=$(cat "$scratch/status")
[ "$status" = 0 ] || { cat "$file" && die "the run failed ($status)"; }

# A few of them are enough, the first and the last among them.
most=24 chosen=()
for ((i = 0; i < most; i++)); do
	at=$((i * (${#frames[@]} - 1) / (most - 1)))
	[ "$i" -gt 0 ] && [ "$at" = "$before" ] || chosen+=("${frames[at]}")
	before=$at
done
if [ -n "$stills" ]; then
	mkdir -p "$stills"
	number=0
	for frame in "${chosen[@]}"; do
		number=$((number + 1))
		for theme in dark light; do
			"$venv/bin/python" tests/picture.py "$stills/$(printf %02d $number)-$theme.svg" "$columns" $theme "$frame"
		done
	done
	say "drawn: $stills ($number screens)"
else
	"$venv/bin/python" tests/picture.py "$out" "$columns" "$theme" "${chosen[@]}"
	say "drawn: $out ($(stat -c %s "$out") bytes, ${#chosen[@]} screens of ${#frames[@]})"
fi
