# shellcheck shell=sh
# The hostile builder: it plays the other side of src/builder and keeps to its protocol as far as it suits it. A play
# (tests/program/hostile) is what follows this text in the stand-in for ssh. It has `say`, `hear_script` and `hear_files`
# (tests/program/stubs/mod.rs) and what is defined here. $DRV and $SYSTEM are an honest derivation and its output.
echo $$ >"ssh-$$.pid"

# greet: behaves like an honest builder up to the beginning of the evaluation.
greet() {
	say hello /usr/bin x86_64-linux
	say receiving none
	hear_change >files.tar
	say need
	say evaluating
}

# evaluated, built: go on to the end of an honest run that delivers nothing by a socket.
evaluated() { say evaluated "$DRV"; }
built() {
	say building
	say built "$SYSTEM"
}

# nix_error TEXT: writes an error as Nix writes it into its log. The text contains no " and no backslash.
nix_error() { printf '@nix {"action":"msg","level":0,"msg":"%s"}\n' "$1"; }

# asks_by_error TEXT [MORE...]: the evaluation fails with TEXT; then what the client sends is taken, and put into
# files.tar as well.
asks_by_error() {
	nix_error "$1"
	say evaluation-failed 1
	hear_answer
}

# hear_answer: reads the client's word after a round into $answer, and takes what the client sends with it. "stop" ends
# the play, as with an honest builder.
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

# flood BYTES: writes that many bytes of a single line, without its end.
flood() { head -c "$1" /dev/zero | tr '\0' x; }

# many NUMBER BYTES BEGINNING END: writes that many lines of more than that many bytes, each of them different.
many() {
	pad=$(flood "$2")
	seq "$1" | sed "s|.*|$3&$pad$4|"
}

# weigh: notes the most memory that the program has held so far, in KiB. If the program has ended meanwhile, or ends this play in
# the midst of it, the last note stays.
weigh() {
	held=$(sed -n 's/^VmHWM:[^0-9]*\([0-9]*\) kB/\1/p' "/proc/$PPID/status" 2>/dev/null)
	[ -z "$held" ] || { echo "$held" >memory.new && mv memory.new memory; }
}
