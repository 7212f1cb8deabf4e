# shellcheck shell=bash
# The same derivation: whatever a classic configuration reads, and by whatever name, the evaluation on the builder makes
# of it what the Pi's own Nix makes of it. One case for each trait. Nothing is built: `dry-build -v` says the derivation.
#
# No case relies on what another one has left. All cases of a run share one pair of hosts, because in practice, too, a
# builder has seen other configurations of the same Pi before.

# shellcheck source=/dev/null
. "$LAB/derivations.sh"

# given <<SCRIPT : begins a case with an empty /etc/nixos, in which SCRIPT is run on the Pi. SCRIPT has a command `reads
# <<EXPRESSION`, which writes a configuration with the value of EXPRESSION (as JSON) in /etc/seen.
given() {
	local script
	script=$(cat)
	if [ ! -e "${CASE%/*}/hosts-of-classic" ]; then
		fresh
		: >"${CASE%/*}/hosts-of-classic"
	fi
	after <<<"cd / && rm -rf /etc/nixos && mkdir /etc/nixos && cd /etc/nixos
$script"
}

# after <<SCRIPT : makes a change in /etc/nixos on the Pi.
after() {
	last_script=$(cat)
	{
		cat <<-'END'
			cd /etc/nixos
			reads() {
				printf '{ config, lib, pkgs, ... }: {\n  environment.etc.seen.text = builtins.toJSON (\n%s\n  );\n}\n' "$(cat)" >configuration.nix
			}
		END
		printf '%s\n' "$last_script"
	} >"$CASE/script"
	prepare pi sh
}

# take_words [-u NAME] [NAME=VALUE...] [FLAG...] : puts them into the caller's $environment, as words for `env`, and
# $flags.
take_words() {
	if [ "${1-}" = -u ]; then
		environment+=("--unset=$2")
		shift 2
	fi
	while [[ "${1-}" =~ ^[A-Za-z_]+= ]]; do
		environment+=("$1")
		shift
	done
	flags=("$@")
}

# evaluate [-u NAME] [NAME=VALUE...] [FLAG...] : evaluates on the builder first, so that nothing which the Pi's own
# evaluation leaves behind can help; then on the Pi, with the same environment (without NAME) and flags. $own is what
# the Pi's Nix says; $there, $status and $errors are those of `rebuild`. A case may set $directory (default:
# /etc/nixos), $builder (default: builder), $anew (--no-eval-cache: even if nothing has changed) and $in_between, a command
# that is run in between.
evaluate() {
	local environment=() flags=()
	take_words "$@"
	set -- "${flags[@]}"
	forget_calls pi
	run lab on pi env -C "${directory:-/etc/nixos}" "${environment[@]}" \
		timeout 120 rebuild dry-build --eval-on "${builder:-builder}" -v ${anew:+"$anew"} "$@"
	expect_no_evaluation pi
	ran="$ran
      and before, on the Pi: $(printf '%s' "$last_script" | tail -n 3)"
	note_derivation
	${in_between:-:}
	own=$(lab on pi env -C "${directory:-/etc/nixos}" "${environment[@]}" \
		nix-instantiate '<nixpkgs/nixos>' -A config.system.build.toplevel "$@" 2>"$CASE/own" </dev/null) ||
		fail "the Pi's own evaluation failed: $(cat "$CASE/own")"
}

# expect_same_derivation [NAME=VALUE...] [FLAG...]
expect_same_derivation() {
	evaluate "$@"
	expect_status 0
	expect_own_derivation_there builder
}

# expect_same_or_refusal TEXT ... : checks that both give the same derivation, or that the run fails with a message that
# contains TEXT; it must never give another one.
expect_same_or_refusal() {
	local named=$1
	shift
	evaluate "$@"
	if [ "$status" = 0 ] && [[ "$errors" == *"warning: the configuration names $named"* ]]; then
		return
	elif [ "$status" = 0 ]; then
		expect_equal "$there $(seen_in builder "$there")" "$own $(seen_in pi "$own")"
	else
		expect_contains "$errors" "$named"
		expect_equal "$there" ""
	fi
}

# shellcheck disable=SC2016 # the Pi's shell's
fetch_what_was_made() {
	lab on pi sh -c 'nix-copy-closure --from builder $(ssh builder "ls -d /nix/store/*-made-for-classic")' </dev/null 2>"$CASE/fetched" || true
}

# --- what is sent, and what is not ----------------------------------------------------------------
# tap : everything that leaves the Pi through ssh is written down as well, in /srv/tap/sent, when $tapped is among the words
# for `evaluate`. (Should the program learn to compress, expect_sent will say so.)
tap() {
	must_sh_on pi 'mkdir -p /srv/tap; : >/srv/tap/sent'
	write_on pi /srv/tap/ssh <<-'END'
		#!/bin/bash
		case " $* " in
		*" -G "* | *" -O "*) exec /usr/bin/ssh "$@" ;;
		*) exec /usr/bin/ssh "$@" < <(exec tee -a /srv/tap/sent) ;;
		esac
	END
	must_on pi chmod 755 /srv/tap/ssh
	tapped=PATH=/srv/tap:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin
}

forget_sent() { must_sh_on pi ': >/srv/tap/sent'; }

sent_bytes() { lab on pi stat -c %s /srv/tap/sent </dev/null; }

expect_sent() { lab on pi grep -qF -- "$1" /srv/tap/sent </dev/null || fail "expected that this was sent: $1"; }

# expect_kept TEXT... : checks that it has not left the Pi, and that nothing on the builder has it. This reads the
# builder's cache, its temporary files and its store.
expect_kept() {
	local text
	for text; do
		! lab on pi grep -qF -- "$text" /srv/tap/sent </dev/null || fail "expected that this is not sent: $text"
		sh_on builder "grep -rlF -- '$text' /home/builder /var/tmp /tmp /nix/store"
		expect_equal "$output" ""
	done
}

# given_expression EXPRESSION : makes a configuration with that text in /etc/seen, and nothing else.
given_expression() {
	last_script="echo '$1'"
	must_on pi sh -euc "printf '{ environment.etc.seen.text = %s; }\n' \"\$1\" >/etc/nixos/configuration.nix" write "$1"
}
