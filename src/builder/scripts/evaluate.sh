# shellcheck shell=sh
# From the client's files to a derivation, or to a value. With it go way.sh, incoming.sh, kept-files.sh, proof.sh,
# mirror.sh, releases.sh, version.sh, trace.sh, variables.sh, unchanged.sh, heap.sh and roots.sh; view.sh goes as the value of a word. `evaluate` talks with the client about
# what is missing and receives the files. `evaluate_closed` and `look` evaluate with what has come, and do not listen to
# the client.
#
# Takes
#   rb_system                the client's system
#   rb_evaluated_system      the system that the evaluation is told
#   rb_settings              Nix settings of the client's command line, as lines of a nix.conf
#   rb_nix_conf              the settings of the client's files that an evaluation obeys, as the text of a nix.conf
#   rb_registry              the client's registry of flakes, as the text of a registry.json; empty if there is none
#   rb_gives_value           "yes" if the evaluation gives a value, "no" if it gives a derivation
#   rb_lock                  the lock file that the evaluation may write; empty if there is none
#   rb_need                  what is needed of the client's files (`receive`)
#   rb_releases              where this machine may fetch some of these itself: in each line a store path's name, a channel's
#                            name, and an address (releases.sh)
#   rb_most_kept             how many KiB of the client's store paths are kept here at most
#   rb_tell_unread           whether the client is told what was sent and not read
#   rb_watches               whether it is looked at which variables the evaluation reads; a pure one reads none
#   rb_known                 the derivation that the client remembers as the answer to this question; empty if there is none
#   rb_standing              this machine's standing when it gave that answer (unchanged.sh)
#   rb_remembers             "yes" if the client may remember this answer
#   rb_entry                 the file that is evaluated first; empty if it is not known
#   rb_louder                flags by which Nix says in its log which files it evaluates
#   rb_hidden                messages of this level, and of higher ones, are kept from the client
#   rb_home                  the client's home, where HOME does not say it; otherwise empty
#   rb_tilde                 "yes" if ~ cannot be made the client's home here
#   rb_environment           the client's variables, as text for a shell (src/builder/evaluation.rs)
#   rb_directory             the client's current directory, quoted for that shell
#   rb_view_script           view.sh
#   with_client_evaluation   the words of the evaluation: a program of Nix and its arguments
#   with_client_look         those of a look, which keeps nothing
#   $nix_bin, $native_system, $state, $work, $share, $came_to   (session.sh)
# Gives
#   $drv                     the derivation, if it is to give one; a root in $share, or a helper, holds it
#   $code                    the exit status of the last evaluation
#   $way                     as whom the view is made, after `find_way`
#   $listeners               who reads the log of an evaluation
# Says
#   way, receiving, damaged, fetching, fetched, unfetched, need, nix, untraced, evaluating, refused, collected,
#   asked-for, computes, word, variables, home-named, evaluation-failed, looked, timeless, looked-around, unread, lock-line, reads, reads-any, memorable,
#   unmemorable, anew, unchanged, evaluated, value

# find_daemon: sets $remote to the daemon with which an evaluation in the view talks. It needs one, because the store
# that it sees is not the store that is written to. If Nix is this user's alone, a daemon is started for this run; it
# trusts the user, who owns the store. What it says of each connection would come in between what the run counts for the
# client; what it says of the work, it says to those who are connected.
find_daemon() {
	remote=daemon
	[ ! -S /nix/var/nix/daemon-socket/socket ] || return 0
	[ -w /nix/var/nix/db ] || fail no-daemon 1
	remote=unix://$share/daemon
	NIX_DAEMON_SOCKET_PATH=$share/daemon "$nix_bin/nix-daemon" --option trusted-users "$(id -un)" \
		3<&- 4<&- >/dev/null 2>&1 &
	ends_with_run "$!"
	tries=0
	until [ -S "$share/daemon" ]; do
		tries=$((tries + 1))
		[ "$tries" -lt 200 ] || fail no-daemon 1
		sleep 0.05
	done
}

# be_let_in: checks once, after an evaluation that failed, that the daemon accepts this user. It may refuse them
# although its socket is there.
be_let_in() {
	[ -z "$is_let_in" ] || return 0
	NIX_REMOTE=$remote "$nix_bin/nix-store" --check-validity --print-invalid \
		/nix/store/00000000000000000000000000000000-none >/dev/null 2>&1 || fail no-daemon 1
	is_let_in=yes
}

# write_environment: writes the environment for the evaluation: the client's variables, but this machine's programs,
# daemon and cache.
write_environment() {
	environment=$(print_environment) || fail room 1
	write "$environment" "$share/environment"
	write "$rb_nix_conf" "$share/nix.conf"
	# Nix reads what the command line sets after that, and passes it to the daemon, too.
	write "$rb_settings" "$share/user.conf"
	[ -z "$rb_registry" ] || write "$rb_registry" "$share/registry.json"
	mkdir -p "$share/tmp" "$share/cache" "$share/trace" "$state/nix-cache" || fail room 1
	write "$rb_view_script" "$work/view.sh"
	find_lent
}

print_environment() {
	# On NixOS, this is where the programs really are: the view has no /run.
	printf 'export PATH=%s\n' "$nix_bin:$(readlink -f /run/current-system/sw || :)/bin:/usr/bin:/bin"
	# Without this variable, Nix would take the view's writable /nix/var/nix for a store of its own.
	echo "export NIX_REMOTE=$remote"
	print_heap
	echo "export NIX_CONF_DIR=$share NIX_USER_CONF_FILES=$share/user.conf XDG_CACHE_HOME=$share/cache TMPDIR=$share/tmp"
	# The path without links, because in the view the links that lead there are the client's.
	for bundle in /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-bundle.crt /etc/pki/tls/certs/ca-bundle.crt; do
		[ ! -e "$bundle" ] || {
			echo "export NIX_SSL_CERT_FILE=$(readlink -f "$bundle")"
			break
		}
	done
	# The client's current directory is needed for relative paths in NIX_PATH and -I. The variables that this shell sets
	# by changing to it are not the client's.
	printf 'cd %s 2>/dev/null || :\nunset PWD OLDPWD SHLVL\n' "$rb_directory"
	cat "$work/exports"
}

# find_lent: if the directory of Nix's programs is not in the view, sets $lent to the one in which the view has them.
# Such a directory lies outside of /usr, /bin and the store (/opt/nix). Each program is mounted in $share/nix, with the
# libraries beside it, because its own path belongs to the client, who may have something else there.
find_lent() {
	lent=''
	for program in nix-instantiate nix; do
		[ -x "$nix_bin/$program" ] || continue
		real=$(readlink -f "$nix_bin/$program")
		follow_script
		case $nix_bin/:$real in
		/usr/*:/usr/* | /bin/*:/bin/* | /usr/*:/nix/store/* | /nix/store/*:/nix/store/*) continue ;;
		esac
		lent=$share/nix/bin
		mkdir -p "$lent"
		: >"$lent/$program"
		printf '%s %s none bind 0 0\n' "$real" "$lent/$program"
		[ "$program" = nix-instantiate ] || continue
		for libraries in lib lib64; do
			[ -d "${real%/*/*}/$libraries" ] || continue
			mkdir -p "$share/nix/$libraries"
			printf '%s %s none bind 0 0\n' "${real%/*/*}/$libraries" "$share/nix/$libraries"
		done
	done >"$share/lent"
	[ -z "$lent" ] || echo "export LD_LIBRARY_PATH=$share/nix/lib:$share/nix/lib64" >>"$share/environment"
}

# follow_script: if $real is a script that starts a $program by its path, sets $real to that program. A script in the
# store is left alone, because the view has the store anyway.
follow_script() {
	case $real in /nix/store/*) return 0 ;; esac
	first=''
	IFS= read -r first <"$real" || :
	case $first in '#!'*) ;; *) return 0 ;; esac
	started=$(sed -n "s:^\(.*[ \"'=]\)*\(/[^ \"'=]*/$program\)\([ \"'].*\)*\$:\2:p" "$real" | tail -n 1)
	[ ! -x "$started" ] || real=$(readlink -f "$started")
}

# in_view MODE PROGRAM ARGUMENT...: runs a program of Nix in a view (view.sh). Each time the view is a new one, whatever
# the last one has done to its files.
in_view() {
	how=$1
	program=${lent:-$nix_bin}/$2
	shift 2
	set -- "$program" --log-format internal-json "$@"
	# shellcheck disable=SC2086 # words
	[ "$how" = open ] || set -- $tracer "$@"
	apart /bin/sh "$work/view.sh" "$how" "$way" "$(id -u)" "$(id -g)" "$(id -G | tr ' ' ,)" \
		"$state/mirrors/$mirror" "$work/mirror" "$rb_lock" "$share" "$state" "$own_places" "$@"
}

instantiate() {
	[ "$1" = nix ] || [ "$rb_gives_value" = yes ] || set -- "$@" --add-root "$share/drv"
	# shellcheck disable=SC2086 # words: so that Nix names the files that it evaluates
	[ "$rb_watches" != yes ] || set -- "$@" $rb_louder
	with_presumed_platform_flags with_system_flags in_view closed "$@"
}

# with_presumed_platform_flags COMMAND...: runs it with the flags for builds that the evaluation itself asks for, which
# may come before the probe has ended.
with_presumed_platform_flags() {
	if is_presumed "$rb_system"; then
		"$@" --option extra-extra-platforms "$rb_system"
	else
		"$@"
	fi
}

# A look builds nothing, because what it reads is not yet what the client has.
look() {
	with_system_flags in_view open "$@" --option allow-import-from-derivation false
}

# tell_lock: sends the flake's lock file to the client if the evaluation has written it, even if its content is the
# same: Nix then has made it known to git.
tell_lock() {
	if [ -n "$rb_lock" ] && [ -f "$work/mirror$rb_lock" ] &&
		[ "$(stat -c %y "$work/mirror$rb_lock")" != "$(stat -c %y "$state/mirrors/$mirror$rb_lock" 2>/dev/null)" ]; then
		sed 's/^/@rebuild lock-line /' "$work/mirror$rb_lock"
		# Ends the last line, if the file does not.
		echo
	fi
}

# adopt [fixed:]STORE-PATH-NAME...: adds these paths to this store, and lists them in $work/adopted. A flake's input is
# locked to the path that the client's store has of it, or is such a path itself; a pinned download ("fixed:") may not be
# found elsewhere. Nix uses such a path only if this store has it as well. Every user can add it, because its name is
# made of its content.
adopt() {
	for name; do
		case $name in
		large:* | whole:*) continue ;;
		fixed:* | *-source) name=${name#fixed:} ;;
		*) continue ;;
		esac
		[ ! -e "$state/trees/$name" ] || echo "/nix/store/$name"
	done >>"$work/adopted"
	adopt_again
}

# adopt_again: adds those of the adopted paths that this store does not have, or has no longer. A path that cannot be
# added is adopted no longer.
adopt_again() {
	[ -s "$work/adopted" ] || return 0
	# shellcheck disable=SC2046 # words
	"$nix_bin/nix-store" --check-validity --print-invalid $(LC_ALL=C sort -u "$work/adopted") 2>/dev/null >"$work/missing" || :
	while IFS= read -r path; do
		add_to_store "${path##*/}" </dev/null && continue
		grep -vxF -e "$path" "$work/adopted" >"$work/adopting" || :
		mv "$work/adopting" "$work/adopted"
	done <"$work/missing"
}

# add_to_store STORE-PATH-NAME: adds one of the client's paths to this store.
add_to_store() {
	mkdir "$work/added"
	recursive='' added=0
	[ ! -d "$state/trees/$1" ] || recursive=--recursive
	{
		cp -al "$state/trees/$1" "$work/added/${1#*-}" &&
			"$nix_bin/nix-store" --add-fixed $recursive sha256 "$work/added/${1#*-}" >/dev/null
	} || added=1
	rm -rf "$work/added"
	return "$added"
}

# evaluate_closed: evaluates with what has come to $state and $share. Gives $code, $work/instantiate.out, and
# $work/evaluated, which names the files that were evaluated. Evaluates once more each time that garbage was collected
# meanwhile, or right after it (roots.sh).
evaluate_closed() {
	while :; do
		listen_in
		attend with_client_evaluation instantiate >"$work/instantiate.out"
		if [ "$code" -eq 0 ]; then
			hold_derivation && return 0
		else
			hold_more || return 0
		fi
		event collected
		own rm -rf "$work/mirror"
	done
}

# take_known: the derivation that the client remembers is the one of this evaluation, too.
take_known() {
	drv=$rb_known
	event unchanged "$drv"
	[ "$then_do" = build_nothing ] || detach take_and_build "$probe_with" "$then_do"
}
take_and_build() {
	"$1"
	"$2" "$drv"
}

# closed_round BEFORE AFTER: the job of a closed evaluation (detached.sh). BEFORE begins with it. AFTER is what is done with
# the derivation.
closed_round() {
	holder='' is_let_in=''
	"$1"
	hold_before
	evaluate_closed
	was_heard || fail room 1
	tell_refused
	if [ "$code" -eq 0 ] && [ -z "$refused" ]; then
		tell_variables || fail room 1
		if [ -n "$told" ]; then
			event variables
			leave_holder
			end_record asked "$code"
		else
			conclude_evaluation "$2"
		fi
	else
		[ "$code" -ne 137 ] || tell_memory
		[ "$code" -ne 0 ] || code=1
		be_let_in
		tell_home || fail room 1
		event evaluation-failed "$code"
		end_record asked "$code"
	fi
}

# good_round BEFORE AFTER: the job that goes on with an evaluation about which the client was asked.
good_round() {
	holder=''
	"$1"
	hold_again || fail gone 1
	conclude_evaluation "$2"
}

# conclude_evaluation AFTER: the evaluation counts.
conclude_evaluation() {
	tell_what_was_not_read
	tell_lock
	tell_memorable
	if [ "$rb_gives_value" = yes ]; then
		event value "$(head -c 1000000 "$work/instantiate.out")"
		end_record valued
	else
		drv=$(cat "$work/instantiate.out")
		[ ! -L "$drv" ] || drv=$(readlink "$drv")
		event evaluated "$drv"
		"$1" "$drv"
	fi
}

# build_nothing DERIVATION: an AFTER that does nothing more.
build_nothing() {
	leave_holder
	end_record made "$1"
}

# evaluate BEFORE AFTER: sets $drv, or tells the value; $out too, if AFTER builds. The client's files that are not here are
# shut (view.sh). So an evaluation that comes to its end has seen what it would see on the client, and one that looks at
# more fails and says at what. The client reads the errors. Then it sends what is missing ("closed", to evaluate again), or
# first wants to know everything that the evaluation would look at ("open"), or gives up ("stop"). After a closed
# evaluation that has asked for variables that were not sent, it may also say that it counts ("good").
evaluate() {
	mode=closed probe_with=$1 then_do=$2 fetched_now=''
	ask_version
	find_daemon
	! is_unchanged || {
		take_known
		forget_daily
		return
	}
	write "$rb_environment" "$work/exports"
	forget_before_boot
	# shellcheck disable=SC2086 # words: digest, base, proof, trees
	receive $rb_need
	know_version
	event nix "$nix_version"
	know_honesty
	# shellcheck disable=SC2086 # words
	set -- $rb_need
	while :; do
		# The first three words are the digest, the base's digest and the proof.
		shift 3
		hold_before
		adopt "$@"
		write_environment
		set_home
		event evaluating
		watch_what_is_fetched
		touch "$work/began"
		if [ "$mode" = closed ]; then
			detach closed_round "$probe_with" "$then_do"
			case $came_to in asked\ *) ;; *) break ;; esac
		else
			attend with_client_look look >/dev/null
			tell_what_was_read
			event looked-around
		fi
		IFS= read -r answer <&3 || answer=stop
		[ "$answer" != good ] || {
			detach good_round "$probe_with" "$then_do"
			break
		}
		[ "$answer" != stop ] || {
			tell_lock
			exit "${code:-1}"
		}
		# shellcheck disable=SC2086 # words: mode, digest, base, proof, trees
		set -- $answer
		mode=$1
		shift
		take "$work/exports"
		own rm -rf "$work/mirror"
		receive "$@"
	done
	note_compared
	forget_daily
}
