#!/bin/bash
# Tests nix/forget-cache.sh with real directories, as the user of a builder: what stays, and what goes.
set -euo pipefail
script=$(cd "$(dirname "$(readlink -f "$0")")/.." && pwd)/forget-cache.sh

# It does not run as root, whom no mode stops, but as a user whose files are shut, in a directory of its own.
if [ "$(id -u)" = 0 ]; then
	directory=$(mktemp -d)
	trap 'rm -rf "$directory"' EXIT
	cp "$script" "$directory/forget-cache.sh"
	cp "$0" "$directory/test"
	chown -R 65534:65534 "$directory"
	setpriv --reuid=65534 --regid=65534 --clear-groups -- bash "$directory/test" "$directory"
	exit
fi

cd "$1"
script=$PWD/forget-cache.sh
cache=$PWD/cache
passed=0

# entry NAME KIB DAYS-AGO
entry() {
	mkdir -p "$cache/$1"
	head -c "$(($2 * 1024))" /dev/zero >"$cache/$1/file"
	chmod 000 "$cache/$1/file"
	touch -d "$3 days ago" "$cache/$1"
}

fresh() {
	[ ! -d cache ] || { chmod -R u+rwX cache && rm -r cache; }
	mkdir cache
}

# expect WHAT NAME... : checks that these entries are left, and that nothing is half removed.
expect() {
	local left
	left=$(cd "$cache" && find . -mindepth 2 \( -path './*/trees/*' -o -path './*/mirrors/*' -o -name nix-cache \) -prune -print | sort | tr '\n' ' ')
	[ "$left" = "$(for name in "${@:2}"; do echo "./$name"; done | sort | tr '\n' ' ')" ] || { echo "forget-cache: $1: $left is left" >&2; exit 1; }
	[ -z "$(find "$cache" -name '.forgotten*')" ] || { echo "forget-cache: $1: something is left on the way" >&2; exit 1; }
	passed=$((passed + 1))
}

fresh
entry pi/trees/old 1000 9
entry pi/trees/new 1000 1
entry zero/mirrors/middle 1000 5
"$script" "$cache" 4M >/dev/null
expect "all fits" pi/trees/old pi/trees/new zero/mirrors/middle
"$script" "$cache" 2500K >/dev/null
expect "the oldest goes, whosever it is" pi/trees/new zero/mirrors/middle
"$script" "$cache" 1500K >/dev/null
expect "the next oldest goes" pi/trees/new
"$script" "$cache" 1K >/dev/null
expect "nothing fits"

fresh
entry pi/mirrors/old 1000 9
mkdir -p "$cache/pi/mirrors/new"
ln "$cache/pi/mirrors/old/file" "$cache/pi/mirrors/new/file" 2>/dev/null ||
	unshare --user --map-root-user ln "$cache/pi/mirrors/old/file" "$cache/pi/mirrors/new/file"
"$script" "$cache" 1200K >/dev/null
expect "a file with two names counts once" pi/mirrors/old pi/mirrors/new

fresh
entry pi/trees/shut 1000 1
mkdir "$cache/pi/trees/shut/directory"
chmod 000 "$cache/pi/trees/shut/directory"
"$script" "$cache" 1K >/dev/null
expect "what is shut goes as well"

fresh
entry pi/trees/old 1000 9
entry pi/trees/other 1000 8
entry pi/nix-cache 1000 7
entry zero/trees/old 1000 6
mkdir "$cache/pi/run.12345678"
printf '%s\n' mirrors/none trees/old nix-cache >"$cache/pi/run.12345678/claims"
# The run lives, however long it takes.
touch -d '3 days ago' "$cache/pi/run.12345678"
exec 8>"$cache/pi/run.12345678/lock"
flock 8
"$script" "$cache" 1K >/dev/null
expect "what a run uses stays" pi/trees/old pi/nix-cache
exec 8>&-
"$script" "$cache" 1K >/dev/null
expect "what a killed run has left protects nothing"

# A run that is about to claim what it uses is waited for.
fresh
entry pi/trees/old 1000 9
mkdir "$cache/pi/run.12345678"
exec 7>"$cache/pi/lock" 8>"$cache/pi/run.12345678/lock"
flock 7
flock 8
"$script" "$cache" 1K >/dev/null 7>&- 8>&- &
# This waits until the script waits for the lock; not every machine can say that it does.
tries=0
while [ "$tries" -lt 40 ] && kill -0 "$!" && ! grep -q -e '-> FLOCK' /proc/locks; do
	tries=$((tries + 1))
	sleep 0.05
done
echo trees/old >"$cache/pi/run.12345678/claims"
exec 7>&-
wait "$!"
expect "what is said to be used in the last moment stays" pi/trees/old
exec 8>&-

fresh
entry pi/nix-cache 1000 0
ln -s /nix/store/result "$cache/pi/result"
touch -d '9 days ago' "$cache/pi"
entry zero/trees/new 1000 5
"$script" "$cache" 1500K >/dev/null
expect "Nix's own cache is as old as the client's last run" zero/trees/new
[ -L "$cache/pi/result" ] || { echo "forget-cache: the last result is forgotten" >&2; exit 1; }

"$script" "$PWD/no-cache" 1K
! "$script" "$cache" much 2>/dev/null || { echo "forget-cache: 'much' is a size" >&2; exit 1; }
echo "forget-cache: $passed passed"
