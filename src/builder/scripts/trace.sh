# shellcheck shell=sh
# A Nix that does not say when it may not look. Before 2.26 `pathExists` inside of what is shut is just false. What such
# a one was refused is seen by strace, and the client is told instead of being given a result. Only questions whether
# there is something are watched: to be refused a file's content is an error in every version, or the affair of a
# library or of another program that Nix runs.

# know_honesty: sets $tracer, the words before a closed evaluation that write what it was refused to
# $work/trace/refused; none where Nix itself says it. One expression tells, once for each version.
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
		# With it, all that is no question about a file costs nothing.
		if $tracer --seccomp-bpf -o "$work/trace/refused" true; then
			tracer="$tracer --seccomp-bpf"
		elif ! $tracer -o "$work/trace/refused" true; then
			tracer=''
		fi
	fi 2>/dev/null
	if [ -n "$tracer" ]; then
		# As the view has it.
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

# tell_refused: sets $refused, "yes" if there is something to tell.
tell_refused() {
	refused=''
	[ -n "$tracer" ] || return 0
	# What is gone tells nothing, nor does what has no end: a disk was full, which strace says and goes on.
	[ -e "$work/trace/refused" ] || fail gone 1
	[ "$code" -ne 0 ] || tail -n 1 "$work/trace/refused" | grep -q ' +++$' || fail room 1
	! grep -q ' = -1 EACCES ' "$work/trace/refused" || refused=yes
	sed -n 's/^[0-9]* *\(.*\) = -1 EACCES .*/@rebuild refused \1/p' "$work/trace/refused" | sort -u
}
