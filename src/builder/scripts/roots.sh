# shellcheck shell=sh
# Protects what an evaluation has written into the store from a collection of garbage. Nix's daemon protects it as long
# as the connection lasts by which it was written. But Nix closes that connection at each question about a store path
# that this store does not know, and the client's channel is such a path. A collection at that moment (`min-free`,
# another user's) takes everything, and a derivation that depends on it cannot be written: "path ... is not valid".
#
# Then a connection of ours, by `nix-store --serve`, asks the daemon to protect what the evaluation had written, whether
# it is still there or not, and the evaluation is repeated. It writes the same paths, so it comes further each time.
# What is new is protected as well, as soon as the log names it.
#
# A path that was adopted (evaluate.sh) was written by no evaluation, and Nix does not protect what it finds in the
# store. So a collection takes it at any moment, and the evaluation fails at whatever it reads there. It is protected in
# the same way and added again.

# hold_more: whether an evaluation failed because of a collection. If so, protects from now on what the collection has
# taken, everything else that the evaluation had written, and what was adopted.
hold_more() {
	touch "$work/held" "$work/adopted" "$work/evaluated"
	find_lost | LC_ALL=C sort -u >"$work/lost"
	# If a path was protected already, no collection has taken it.
	LC_ALL=C comm -23 "$work/lost" "$work/held" | grep -q . || return 1
	grep -v '"msg":"evaluating file ' "$work/evaluated" | store_paths |
		LC_ALL=C sort -u - "$work/adopted" "$work/held" >"$work/holding"
	mv "$work/holding" "$work/held"
	hold_before
	adopt_again
}

# find_lost: tells the paths that a collection may have taken: those of which the log says so, and those that were
# adopted and are gone.
find_lost() {
	grep 'is not valid' "$work/evaluated" | sed 's/ is not valid.*//' | grep -oE '[^ ]*$' | store_paths || :
	while IFS= read -r path; do
		[ -e "$path" ] || [ -L "$path" ] || echo "$path"
	done <"$work/adopted"
}

# leave_holder: what a job protects stays protected until the run itself has ended, because the run goes on with the
# derivation. A process that waits for the run's lock keeps file descriptor 6 open for so long.
leave_holder() {
	flock "$work/lock" true >/dev/null 2>&1 4<&- 7>&- 8>&- 9>&- &
}

# hold_derivation: protects the derivation of a successful evaluation until the run ends. Fails if it is gone already;
# then the evaluation has to be repeated. `nix-instantiate` has made a root. `nix eval` makes none, so a collection
# after its end takes what it has written.
hold_derivation() {
	[ "$rb_gives_value" = no ] && [ ! -L "$share/drv" ] || return 0
	touch "$work/held"
	derivation=$(cat "$work/instantiate.out")
	! grep -qxF -e "$derivation" "$work/held" || return 0
	echo "$derivation" | LC_ALL=C sort -u - "$work/held" >"$work/holding"
	mv "$work/holding" "$work/held"
	hold_before
	# From now on no collection takes it, but one may have taken it before.
	[ -e "$derivation" ]
}

# hold_before: if something was taken earlier in this run, what is listed in $work/held is protected by this process, too.
hold_before() {
	[ -s "$work/held" ] || return 0
	connect_holder
	# As soon as there is an answer, the daemon has heard the question.
	attend cat "$work/answered"
}

# hold_again: what an earlier job of this run has written is kept by this one, too. Status 1: it is gone.
hold_again() {
	hold_before
	[ ! -s "$work/held" ] || [ -e "$(cat "$work/instantiate.out")" ]
}

store_paths() { grep -oE '/nix/store/[0-9a-z]{32}-[0-9A-Za-z+._?=-]+' | LC_ALL=C sort -u; }

# connect_holder: starts $holder, which protects the paths in $work/held. An earlier holder ends, which is safe because
# nothing is evaluated now. The holder hears of more paths on file descriptor 6, and ends when it is closed.
connect_holder() {
	exec 6<&-
	rm -f "$work/to-hold" "$work/answered"
	mkfifo "$work/to-hold" "$work/answered"
	NIX_REMOTE=$remote "$nix_bin/nix-store" --serve --write <"$work/to-hold" 3<&- 4<&- 7>&- 8>&- 9>&- 2>/dev/null | (
		# A group of commands would keep copies of what is closed, in dash, and with them the run's lock.
		exec 3<&- 4<&- 7>&- 8>&- 9>&-
		# Waits for the greeting and the beginning of the first answer.
		dd bs=24 count=1 iflag=fullblock of=/dev/null 2>/dev/null
		: >"$work/answered"
		cat >/dev/null
	) &
	holder=$!
	command exec 6>"$work/to-hold" || fail room 1
	{
		# The greeting, for version 2.6 of the protocol.
		printf '\353\235\014\071\0\0\0\0'
		number 518
		ask_to_hold $(($(wc -l <"$work/held"))) <"$work/held"
	} >&6
}

# ask_to_hold NUMBER: asks which of the NUMBER paths on stdin are valid, and asks to protect them. In Nix's protocol, a
# request consists of numbers of eight bytes, the lowest byte first, and of texts that are filled up with zeros to a
# multiple of eight bytes.
ask_to_hold() {
	# The three numbers mean: which of these are valid; protect them; do not fetch them.
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

# hold_as_it_comes: protects each path that the log on stdin says was written. The path stands last in its line.
hold_as_it_comes() {
	# shellcheck disable=SC2086 # a word, or none
	grep $at_once -v '"msg":"evaluating file ' | while IFS= read -r line; do
		name=${line##*/nix/store/}
		name=${name%%[!0-9A-Za-z+._?=-]*}
		[ "${#name}" -le 33 ] || echo "/nix/store/$name" | ask_to_hold 1
	done >&6 2>/dev/null
}
