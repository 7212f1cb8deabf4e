# shellcheck shell=sh
# Some versions of Nix do not say when they may not look. Before 2.26, `pathExists` inside of what is shut is just
# false. With such a version, strace shows what Nix was refused, and the client is told of it instead of getting a
# result. strace watches only questions whether something exists. If Nix is refused a file's content, that is an error
# in every version, or the affair of a library or of another program that Nix runs.

# know_honesty: sets $tracer to the words that stand before a closed evaluation and write what it was refused to
# $work/trace/refused; empty if Nix itself says it. One expression shows which it is, once for each version.
know_honesty() {
	tracer=''
	case $(cat "$work/version") in
	*Lix*) ;;
	*) ! nix_at_least 2 26 || return 0 ;;
	esac
	answer=$state/honesty-$nix_version
	[ -s "$answer" ] || write "$(ask_honesty)" "$answer"
	case $(cat "$answer") in
	honest) return 0 ;;
	silent) ;;
	*) fail room 1 ;;
	esac
	if program=$(command -v strace); then
		tracer="$(readlink -f "$program") -f -q -y -Z -e trace=%%stat,/^readlink"
		# With this option, calls that ask nothing about files cost nothing.
		if $tracer --seccomp-bpf -o "$work/trace/refused" true; then
			tracer="$tracer --seccomp-bpf"
		elif ! $tracer -o "$work/trace/refused" true; then
			tracer=''
		fi
	fi 2>/dev/null
	if [ -n "$tracer" ]; then
		# This is the file's path in the view.
		tracer="$tracer -o $share/trace/refused --"
	else
		event untraced "$nix_version"
	fi
}

ask_honesty() {
	mkdir -m 000 "$share/shut"
	case $(powerless "$nix_bin/nix-instantiate" --eval --expr "builtins.pathExists $share/shut/x" 2>&1) in
	false) echo silent ;;
	*) echo honest ;;
	esac
	rmdir "$share/shut"
}

# tell_refused: tells what was refused. Sets $refused to "yes" if there was something to tell.
tell_refused() {
	refused=''
	[ -n "$tracer" ] || return 0
	# A file that is gone tells nothing, nor does one without its end: if the disk is full, strace says so and goes on.
	[ -e "$work/trace/refused" ] || fail gone 1
	[ "$code" -ne 0 ] || tail -n 1 "$work/trace/refused" | grep -q ' +++$' || fail room 1
	! grep -q ' = -1 EACCES ' "$work/trace/refused" || refused=yes
	sed -n 's/^[0-9]* *\(.*\) = -1 EACCES .*/@rebuild refused \1/p' "$work/trace/refused" | sort -u
}
