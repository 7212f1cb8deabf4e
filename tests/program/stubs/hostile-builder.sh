# shellcheck shell=sh
# The hostile builder: it plays the other side of src/builder and keeps to its protocol as far as it suits it. A play
# (tests/program/hostile) is what follows this text in the stand-in for ssh. It has `say`, `hear_script` and `hear_files`
# (tests/program/stubs/mod.rs) and what is defined here. $DRV and $SYSTEM are an honest derivation and its output.
echo $$ >"ssh-$$.pid"

# As an honest builder, to the evaluation's beginning.
greet() {
	say hello /usr/bin x86_64-linux
	say receiving none
	hear_change >files.tar
	say need
	say evaluating
}

# On, to the end of an honest run that delivers nothing by a socket.
evaluated() { say evaluated "$DRV"; }
built() {
	say building
	say built "$SYSTEM"
}

# nix_error TEXT: as Nix writes it into its log. The text has no " and no backslash.
nix_error() { printf '@nix {"action":"msg","level":0,"msg":"%s"}\n' "$1"; }

# asks_by_error TEXT [MORE...]: the evaluation fails with it; then what the client sends is taken, in files.tar as well.
asks_by_error() {
	nix_error "$1"
	say evaluation-failed 1
	hear_answer
}

# hear_answer: the client's word after a round, in $answer, and what it sends with that. "stop" ends the play, as an honest
# builder does.
hear_answer() {
	read -r answer rest || exit 1
	echo "$answer" >>answers
	[ "$answer" != stop ] || exit 1
	hear_files >environment
	say receiving base
	hear_files >removed
	hear_change >>files.tar
	say need
	say evaluating
}

# flood BYTES: so many of one line, without its end.
flood() { head -c "$1" /dev/zero | tr '\0' x; }

# many NUMBER BYTES BEGINNING END: so many lines of more than so many bytes, each another one.
many() {
	pad=$(flood "$2")
	seq "$1" | sed "s|.*|$3&$pad$4|"
}

# weigh: notes the most memory that the program has held so far, in KiB.
weigh() { sed -n 's/^VmHWM:[^0-9]*\([0-9]*\) kB/\1/p' "/proc/$PPID/status" >memory; }
