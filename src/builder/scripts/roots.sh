# shellcheck shell=sh
# What an evaluation has written into the store is kept from a collection of garbage. Nix's daemon keeps it while the
# connection lasts by which it was written. But Nix gives that up at each question about a store path which this store
# does not know, as the client's channel is; a collection at that moment (`min-free`, another user's) takes all of it,
# and a derivation that depends on it cannot be written: "path ... is not valid".
#
# Then a connection of ours, by `nix-store --serve`, asks the daemon to keep what the evaluation had written, be it
# there or not, and it is evaluated again. It writes the same paths: so it comes further each time. What is new is kept,
# too, as soon as the log says it.

# hold_more: after an evaluation that failed. Whether it did so because of a collection; then what that has taken, and
# all that the evaluation had written, is kept from now on.
hold_more() {
	[ "$rb_watches" = yes ] || return 1
	touch "$work/held"
	grep 'is not valid' "$work/evaluated" | sed 's/ is not valid.*//' | grep -oE '[^ ]*$' | store_paths >"$work/lost"
	# What was kept and is not there was taken by nobody.
	LC_ALL=C comm -23 "$work/lost" "$work/held" | grep -q . || return 1
	grep -v '"msg":"evaluating file ' "$work/evaluated" | store_paths | LC_ALL=C sort -u - "$work/held" >"$work/holding"
	mv "$work/holding" "$work/held"
	connect_holder
	# When there is an answer, it has been heard.
	attend cat "$work/answered"
}

# hold_derivation: after an evaluation that came to its end: its derivation is kept until the run ends, and is there; or
# it will be when it is evaluated again. `nix-instantiate` has made a root. `nix eval` makes none, and whatever is
# collected after its end takes what it has written.
hold_derivation() {
	[ "$rb_gives_value" = no ] && [ ! -L "$share/drv" ] || return 0
	touch "$work/held"
	derivation=$(cat "$work/instantiate.out")
	! grep -qxF -e "$derivation" "$work/held" || return 0
	echo "$derivation" | LC_ALL=C sort -u - "$work/held" >"$work/holding"
	mv "$work/holding" "$work/held"
	connect_holder
	attend cat "$work/answered"
	# From now on nobody takes it; but somebody may have.
	[ -e "$derivation" ]
}

store_paths() { grep -oE '/nix/store/[0-9a-z]{32}-[0-9A-Za-z+._?=-]+' | LC_ALL=C sort -u; }

# connect_holder: sets $holder, which keeps the paths in $work/held; one that was there before ends, for nothing is
# evaluated now. On file descriptor 6 it hears of more, and ends with it.
connect_holder() {
	exec 6<&-
	rm -f "$work/to-hold" "$work/answered"
	mkfifo "$work/to-hold" "$work/answered"
	NIX_REMOTE=$remote "$nix_bin/nix-store" --serve --write <"$work/to-hold" 3<&- 4<&- 2>/dev/null | {
		# A greeting, and the beginning of the first answer.
		dd bs=24 count=1 iflag=fullblock of=/dev/null 2>/dev/null
		: >"$work/answered"
		cat >/dev/null
	} 3<&- 4<&- &
	holder=$!
	command exec 6>"$work/to-hold" || fail room 1
	{
		# The greeting, for version 2.6 of the protocol.
		printf '\353\235\014\071\0\0\0\0'
		number 518
		ask_to_hold $(($(wc -l <"$work/held"))) <"$work/held"
	} >&6
}

# ask_to_hold NUMBER: asks which of so many paths, on stdin, are there, and that they stay. In Nix's words, a request is
# numbers of eight bytes, the smallest first, and texts of any length that are filled up with zeros to a multiple of
# eight.
ask_to_hold() {
	# "Which of these are valid", "and keep them", "do not fetch them".
	number 1
	number 1
	number 0
	number "$1"
	while IFS= read -r path; do
		number "${#path}"
		printf %s "$path"
		filled=${#path}
		while [ $((filled % 8)) != 0 ]; do
			printf '\0'
			filled=$((filled + 1))
		done
	done
}
number() {
	byte "$1" && byte $(($1 / 256)) && byte $(($1 / 65536)) && printf '\0\0\0\0\0'
}
byte() {
	# shellcheck disable=SC2059 # in octal
	printf "\\$(($1 / 64 % 4))$(($1 / 8 % 8))$(($1 % 8))"
}

# hold_as_it_comes: what the log on stdin says that was written, which stands last in its line.
hold_as_it_comes() {
	# shellcheck disable=SC2086 # a word, or none
	grep $at_once -v '"msg":"evaluating file ' | while IFS= read -r line; do
		name=${line##*/nix/store/}
		name=${name%%[!0-9A-Za-z+._?=-]*}
		[ "${#name}" -le 33 ] || echo "/nix/store/$name" | ask_to_hold 1
	done >&6 2>/dev/null
}
