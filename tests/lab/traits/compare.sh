#!/bin/bash
# compare.sh TABLE... : runs on a client of the lab, as root. Each line of a table is one trait of a configuration: it is set up,
# `rebuild dry-build --eval-on builder` says which derivation it is, then the client's own Nix does. Ends with 1 if there was a
# difference.
#
#   same WHAT SET-UP WORD... [=> TEXT]      the same derivation; with TEXT: which has read TEXT, so the trait is really there
#   refused TEXT WHAT SET-UP WORD...        the client's own Nix has one, and rebuild refuses, with TEXT; for what docs/limits.md has
#   failing TEXT WHAT SET-UP WORD...        both fail, and both with TEXT
#
# WORDs are what stands after `rebuild dry-build --eval-on builder`. SET-UP is a piece of bash, run in the empty /srv/t; the
# directory and the environment that it ends in are those of both sides. What it writes to the directories of $OWN is gone
# with the trait. It has these words beside bash's:
#
#   seen EXPRESSION        ./default.nix, for `-f .`: a derivation with the value of EXPRESSION, as JSON: quick to evaluate
#   flake EXPRESSION       ./flake.nix with the same; EXPRESSION may use self and inputs, and $inputs stands in it
#   system EXPRESSION      /etc/nixos/configuration.nix, a whole (miniature) system with the same in /etc/seen
#   repo                   all that is here becomes a repository with one commit; commit: another one
#   lock                   makes ./flake.lock
#   as USER                from here on it is they who ask
#   "$facts"               what Nix knows of a flake's tree, as an EXPRESSION
#
# An archive, a bare repository or another thing that Nix fetches needs a name of its own: for an hour, Nix takes
# whatever has the same name for what it has fetched before.
#
# TRAITS, an extended regular expression, selects the traits whose names match it.
set -uo pipefail

# Each trait has these directories for itself, on top of the client's.
OWN="/root /etc /srv /home /opt /mnt /var/lib /var/log /usr/local /nix/var/nix/profiles"
SCRATCH=/run/traits

# --- the words of a set-up ------------------------------------------------------------------------
value() { printf 'derivation { name = "seen"; system = "aarch64-linux"; builder = "/bin/sh"; seen = builtins.toJSON (\n%s\n); }' "$1"; }
seen() { printf '{ config.system.build.toplevel = %s; }\n' "$(value "$1")" >default.nix; }
flake() {
	printf '{ %s outputs = inputs@{ self, ... }: { nixosConfigurations.pi.config.system.build.toplevel = %s; }; }\n' \
		"${inputs-}" "$(value "$1")" >flake.nix
}
system() {
	rm -f /etc/nixos/configuration.nix
	printf '{ config, lib, pkgs, ... }: { environment.etc.seen.text = builtins.toJSON (\n%s\n); }\n' "$1" >/etc/nixos/configuration.nix
}
git() {
	GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@lab GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@lab \
		command git -c init.defaultBranch=main -c protocol.file.allow=always -c advice.detachedHead=false "$@"
}
# The commit's message has the trait's name. Otherwise two traits that commit the same in one second would have one
# revision, and the builder's Nix would use for the second what it knows of the revision from the first.
commit() { git add -A && git commit -qm "${1:-more} of $what"; }
repo() { git init -q && commit first; }
lock() { nix flake lock; }
nix() { command nix --extra-experimental-features 'nix-command flakes' "$@"; }
as() {
	asking=(setpriv "--reuid=$1" "--regid=$1" --init-groups)
	HOME=$(getent passwd "$1" | cut -d: -f6) USER=$1 LOGNAME=$1
	chmod 755 "$HOME"
	cp -R /root/.ssh/. "$HOME/.ssh/" && chown -R "$1:" "$HOME/.ssh"
}

# What all versions of Nix know of a flake's tree.
facts='{ rev = self.rev or null; dirty = self.dirtyRev or null; count = self.revCount or null; inherit (self) narHash lastModified;
	modules = self.submodules or null; tree = builtins.readDir self; }'

# --- one trait ------------------------------------------------------------------------------------
same() { trait same "" "$@"; }
refused() { trait refused "$@"; }
failing() { trait failing "$@"; }

trait() { # VERB TEXT WHAT SET-UP WORD...
	[[ "$3" =~ ${TRAITS:-} ]] || return 0
	count=$((count + 1))
	[ "$(jobs -pr | wc -l)" -lt "${LANES:-2}" ] || wait -n
	report "$@" &
}

report() {
	local report
	report=$(unshare --mount --propagation private bash "$0" --one "$@" 2>&1) && return
	echo "$3" >>"$failures"
	printf 'DIFFERENT: %s\n    set up: %s\n    words: %s\n%s\n' "$3" "$4" "${*:5}" "$report" | sed '2,$s/^[ \t]*/      /'
}

own_directories() {
	local directory of
	mkdir -p "$SCRATCH"
	mount -t tmpfs traits "$SCRATCH"
	for directory in $OWN; do
		of=$SCRATCH/${directory//\//-}
		mkdir -p "$of/upper" "$of/work" "$directory"
		chown --reference="$directory" "$of/upper" && chmod --reference="$directory" "$of/upper"
		mount -t overlay -o "lowerdir=$directory,upperdir=$of/upper,workdir=$of/work" traits "$directory"
	done
	rm -rf /srv/t && mkdir /srv/t && cd /srv/t || exit
}

one() {
	local verb=$1 text=$2 what=$3 set_up=$4 sees='' words=()
	shift 4
	while [ $# -gt 0 ]; do
		case $1 in
		"=>") sees=$2 && shift 2 ;;
		*) words+=("$1") && shift ;;
		esac
	done
	own_directories
	asking=()
	trap 'cat "$SCRATCH/set-up"; echo "its set-up fails"' EXIT
	set -e
	eval "$set_up" >"$SCRATCH/set-up" 2>&1 </dev/null
	set +e
	trap - EXIT
	keep "$SCRATCH/before"
	there
	keep "$SCRATCH/there"
	bring_back "$SCRATCH/before"
	own
	keep "$SCRATCH/own"
	"expect_$verb"
	diff -r "$SCRATCH/own" "$SCRATCH/there" || differ "left behind in $PWD: the Pi's own (<) is not what rebuild leaves (>)"
}

# keep : saves what an evaluation may change in a flake.
keep() {
	local of
	mkdir "$1"
	for of in flake.lock .git/index; do [ ! -f "$of" ] || { cp -p "$of" "$1/${of##*/}"; }; done
	# The index counts only as far as git status shows it.
	[ "$1" = "$SCRATCH/before" ] || [ ! -e "$1/index" ] || command git -c safe.directory='*' status --porcelain=v2 >"$1/index" 2>/dev/null
}
bring_back() {
	[ -e "$1/flake.lock" ] || rm -f flake.lock
	[ ! -e "$1/flake.lock" ] || cmp -s "$1/flake.lock" flake.lock || cp -p "$1/flake.lock" flake.lock
	[ ! -e "$1/index" ] || cmp -s "$1/index" .git/index || cp -p "$1/index" .git/index
}

there() {
	local evaluated
	: >/var/log/nix-calls
	"${asking[@]}" timeout 60 rebuild dry-build --eval-on builder -v "${words[@]}" >"$SCRATCH/output" 2>"$SCRATCH/errors" </dev/null
	status_there=$?
	drv_there=$(sed -n 's/^derivation: //p' "$SCRATCH/errors" | tail -n 1)
	evaluated=$(sed 's/^nix --extra-experimental-features nix-command flakes /nix /' /var/log/nix-calls |
		grep -E '^(nix-instantiate|nix-build|nix (build|eval|flake|shell|develop))( |$)' |
		grep -v -e '--find-file' -e 'builtins.nixPath')
	[ -z "$evaluated" ] || differ "rebuild has evaluated on the Pi: $evaluated"
}

# own : evaluates the same words with the client's own Nix.
own() {
	local file='' attribute='' reference='' flags=()
	set -- "${words[@]}"
	while [ $# -gt 0 ]; do
		case $1 in
		-f | --file) file=$2 && shift 2 ;;
		-A | --attr) attribute=$2. && shift 2 ;;
		--flake) reference=$2 && shift 2 ;;
		*) flags+=("$1") && shift ;;
		esac
	done
	if [ -n "$attribute" ] && [ -z "$file" ]; then file=.; fi
	if [ -n "$reference" ]; then
		[[ "$reference" == *"#"* ]] || reference=$reference#pi
		set -- nix --extra-experimental-features 'nix-command flakes' eval --raw \
			"${reference%%#*}#nixosConfigurations.\"${reference#*#}\".config.system.build.toplevel.drvPath" "${flags[@]}"
	elif [ -n "$file" ]; then
		[ ! -e "$file/system.nix" ] || file=$file/system.nix
		set -- nix-instantiate "$file" -A "${attribute}config.system.build.toplevel" "${flags[@]}"
	else
		set -- nix-instantiate '<nixpkgs/nixos>' -A config.system.build.toplevel "${flags[@]}"
	fi
	drv_own=$("${asking[@]}" "$@" 2>"$SCRATCH/errors-own" </dev/null)
	status_own=$?
}

# --- what is expected -----------------------------------------------------------------------------
# seen_in STORE DERIVATION
seen_in() {
	# shellcheck disable=SC2016 # the other shell's
	"$1" sh -c 'seen=$(nix-store --query --requisites "$1" | grep -e "-etc-seen.drv$")
		if [ -n "$seen" ]; then nix-store --query --binding text "$seen"; else nix-store --query --binding seen "$1"; fi' \
		seen "$2" 2>&1 </dev/null
}
here() { "$@"; }
on_builder() { command env -u NIX_REMOTE HOME=/root ssh builder "${*@Q}"; }

expect_same() {
	local seen
	[ "$status_own" = 0 ] || differ "the Pi's own evaluation fails" own
	if [ "$drv_there" != "$drv_own" ] || [ "$status_there" != 0 ]; then
		echo "own:   $drv_own, with $(seen_in here "$drv_own")"
		[ -z "$drv_there" ] || echo "there: $drv_there, with $(seen_in on_builder "$drv_there")"
		differ "not the same derivation; rebuild ended with $status_there"
	fi
	[ -n "$sees" ] || return 0
	seen=$(seen_in here "$drv_own")
	[[ "$seen" == *"$sees"* ]] || differ "it has not read '$sees' but: $seen"
}
expect_refused() {
	[ "$status_own" = 0 ] || differ "the Pi's own evaluation fails: it is none that only rebuild refuses" own
	expect_failed_there
}
expect_failing() {
	[ "$status_own" != 0 ] || differ "the Pi's own evaluation does not fail"
	grep -qF -- "$text" "$SCRATCH/errors-own" || differ "the Pi's own evaluation does not say '$text'" own
	expect_failed_there
}
expect_failed_there() {
	case $status_there in 0 | 124) differ "rebuild ended with $status_there" ;; esac
	[ -z "$drv_there" ] || differ "there is a derivation: $drv_there"
	grep -qF -- "$text" "$SCRATCH/errors" || differ "rebuild does not say '$text'"
}

differ() { # WHAT [own] : ends the trait
	printf '%s\n' "$1"
	if [ "${2-}" = own ]; then
		tail -n 12 "$SCRATCH/errors-own"
	else
		grep -v -e '^evaluating file' -e '^sending ' -e '^\$ ' "$SCRATCH/errors" | tail -n 12
	fi
	exit 1
}

# --- all of them ----------------------------------------------------------------------------------
if [ "${1-}" = --one ]; then
	shift
	one "$@"
	exit
fi
count=0
failures=$(mktemp)
# This makes sure that the client is not new to the builder at each trait.
rebuild dry-build --eval-on builder >/dev/null 2>&1 </dev/null || echo "not even the configuration of the lab evaluates there"
for table; do
	# shellcheck source=/dev/null
	. "$table"
done
wait
printf '%d traits, %d different\n' "$count" "$(wc -l <"$failures")"
[ "$count" -gt 0 ] && [ ! -s "$failures" ]
