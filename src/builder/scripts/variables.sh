# shellcheck shell=sh
# Which environment variables an evaluation has asked for. Nix's log names every file that is evaluated, whatever it is
# called and wherever it lies. After a successful evaluation, this part searches those files for getEnv. If one asks for
# a variable that was not sent ($rb_environment says which were not), the client hears of it before anything is built.

# listen_in: makes $work/said, which takes Nix's log. The lines about files that are evaluated go to $work/evaluated,
# and only the lines that the client wants to hear go to the client. Sets $listeners, which end with the log.
listen_in() {
	true >"$work/heard"
	[ "$rb_watches" = yes ] || return 0
	rm -f "$work/said" "$work/copy" "$work/shown"
	mkfifo "$work/said" "$work/copy" "$work/shown"
	# Without this option the lines are heard late, but all of them.
	at_once=--line-buffered
	echo x | grep -q "$at_once" x 2>/dev/null || at_once=''
	if [ -z "$holder" ]; then
		{ log_of_interest >"$work/evaluated" || rm -f "$work/heard"; } 3<&- 4<&- 8>&- 9>&- &
	else
		{ log_of_interest || rm -f "$work/heard"; } 3<&- 4<&- 8>&- 9>&- |
			{ tee "$work/evaluated" || rm -f "$work/heard"; } 3<&- 4<&- 8>&- 9>&- | hold_as_it_comes 3<&- 4<&- 8>&- 9>&- &
	fi
	listeners=$!
	# This is no pipeline, so that each process is known by its number and does not wait for a log if the run ends
	# before there is one.
	tee "$work/copy" <"$work/said" >"$work/shown" 3<&- 4<&- 6<&- 8>&- 9>&- &
	listeners="$listeners $!"
	# shellcheck disable=SC2086 # a word, or none
	grep $at_once -a -v -E "^@nix \\{\"action\":\"(msg|start)\",.*\"level\":[$rb_hidden-9],\"" <"$work/shown" 3<&- 4<&- 6<&- 8>&- 9>&- &
	listeners="$listeners $!"
}
log_of_interest() {
	# -a: the log counts as text, whatever bytes others have written in between.
	# shellcheck disable=SC2086 # a word, or none
	grep $at_once -a -F -e '"evaluating file ' -e "instantiated '" -e "copied source '" -e 'is not valid' <"$work/copy" ||
		[ $? = 1 ]
}

# was_heard: whether the whole log was written down and is still there. It is not if the disk is full, or if somebody
# has removed this run's directory, and the view with it.
was_heard() {
	[ -e "$work/heard" ]
}

# files_here: prints where the evaluated files are on this machine, below $state, one a line; names_there turns that
# into the client's paths. As with all lists here, status 1 means that it could not be written whole and must not be
# used: nobody would ask for what it lacks.
files_here() {
	{
		while IFS= read -r name; do
			[ ! -e "$state/trees/$name" ] || [ -e "/nix/store/$name" ] ||
				printf 's|^/nix/store/%s|trees/%s|;t\n' "$name" "$name"
		done <"$share/trees"
		printf 's|^/nix/store/|&|;t\ns|^/|mirrors/%s/|\n' "$mirror"
	} | cat >"$work/places" || return 1
	{
		[ -z "$rb_entry" ] || printf '%s\n' "$rb_entry"
		# Names in < > or « » are of Nix's own expressions, and no files.
		sed -n -e '/"msg":"evaluating file /!d' -e "s/.*\"msg\":\"evaluating file '\\(.*\\)'\"}\$/\\1/" -e 's/\\"/"/g' -e 's/\\\\/\\/g' \
			-e '/^</d' -e '/^«nix-internal»/d' -e p "$work/evaluated"
	} | sort -u >"$work/named" || return 1
	follow_links || return 1
	sort -u "$work/named" | sed -f "$work/places"
}

# follow_links: resolves, in $work/named, the client's links to directories, which lead elsewhere on this machine: those of
# its files, and those that stand first in its store paths, of which its channels are made.
follow_links() {
	{
		(cd "$state/mirrors/$mirror" && find . -type l 2>/dev/null | sed 's|^\.||;s|$|/|') &&
			while IFS= read -r name; do
				[ ! -d "$state/trees/$name" ] || [ -e "/nix/store/$name" ] ||
					find "$state/trees/$name" -mindepth 1 -maxdepth 1 -type l | sed "s|.*/|/nix/store/$name/|;s|\$|/|"
			done <"$share/trees"
	} | cat >"$work/links" || return 1
	[ -s "$work/links" ] || return 0
	rounds=0
	while [ "$rounds" -lt 40 ]; do
		rounds=$((rounds + 1))
		grep -oF -f "$work/links" "$work/named" | sort -u | while IFS= read -r link; do
			leading=${link%/}
			target=$(readlink "$state/mirrors/$mirror$leading" || readlink "$state/trees/${leading#/nix/store/}")
			case $target in
			/*) ;;
			*) target=${link%/*/}/$target ;;
			esac
			printf 's|^%s|%s/|\n' "$(quoted_for_sed "$link")" "$(quoted_for_sed "${target%/}")"
		done | cat >"$work/rules" || return 1
		[ -s "$work/rules" ] || return 0
		sed -f "$work/rules" -e ':again' -e 's|/[^/]*/\.\./|/|;t again' "$work/named" >"$work/followed" || return 1
		! cmp -s "$work/named" "$work/followed" || return 0
		mv "$work/followed" "$work/named"
	done
}
quoted_for_sed() { printf '%s' "$1" | sed 's/[][\\.*^$|&]/\\&/g'; }

names_there() { sed -e 's|^trees/|/nix/store/|' -e "s|^mirrors/$mirror/|/|"; }

# in_files PATTERN-FLAG... : runs grep in the files whose names come on stdin.
in_files() { (cd "$state" && tr '\n' '\0' | LC_ALL=C xargs -0 -r grep -a "$@" -- /dev/null); }

# tell_variables: tells what was found. Sets $told to "yes" if there is something that the client has to decide.
tell_variables() {
	told=''
	[ "$rb_watches" = yes ] || return 0
	tell_home || return 1
	# The client ends the run.
	[ ! -s "$work/home-named" ] || {
		told=yes
		return 0
	}
	files_here >"$work/files" || return 1
	# The first search is for fixed words, which is faster: there are thousands of files.
	in_files -lF -e getEnv -e maybeEnv -e from-env.nix <"$work/files" 2>"$work/unseen" |
		in_files -HE 'getEnv|maybeEnv|from-env\.nix' 2>/dev/null | cat >"$work/uses" || return 1
	# The argument is one whole text, and has nothing in it that Nix would expand.
	literal='(getEnv|maybeEnv|from-env\.nix)[[:space:]]*("[^"$\\]*"|\([[:space:]]*"[^"$\\]*"[[:space:]]*\))'
	# An `inherit` that only passes on names, from something that is a name itself.
	inherit='inherit[[:space:]]*(\([[:space:]]*[A-Za-z0-9_.-]+[[:space:]]*\))?[^;=()]*;'
	grep -a -oE "$literal" "$work/uses" | sed 's/^[^"]*"//;s/".*//' | sort -u >"$work/asked" || return 1
	head -n 1 "$work/exports" | sed 's/^# withheld//' | tr ' ' '\n' | grep . | sort -u >"$work/withheld" || return 1
	comm -12 "$work/asked" "$work/withheld" >"$work/missed" || return 1
	# If the argument is no text, any name in the files could be meant. Two files of a package collection pass on to
	# getEnv what others give to them by name; the search above finds those others.
	sed -n -e 's|/pkgs/top-level/[^/]*$||p' -e 's|/nixos/lib/eval-config\.nix$||p' "$work/files" | sort -u >"$work/collections" || return 1
	{
		# This leaves out comments, but not what looks like a comment in a text that has values in it.
		sed -E -e "s/$literal//g" -e '/^[^:]*:[[:space:]]*#([^$]|\$[^{])*$/d' -e "s/$inherit//g" "$work/uses" |
			own_uses | sed 's/:.*//'
		# A file that cannot be read here may ask for anything.
		sed -n 's/^grep: \(.*\): [^:]*$/\1/p' "$work/unseen"
	} | sort -u | head -n 100 >"$work/computing" || return 1
	[ -s "$work/missed" ] || [ -s "$work/computing" ] || return 0
	told=yes
	sed 's/^/@rebuild asked-for /' "$work/missed"
	[ -s "$work/computing" ] || return 0
	names_there <"$work/computing" | sed 's/^/@rebuild computes /'
	own_words >"$work/told" || return 1
	sed 's/^/@rebuild word /' "$work/told"
}

# own_uses: passes on the lines that count, of those that are left without the literal uses.
own_uses() {
	while IFS= read -r line; do
		is_collections=''
		while IFS= read -r collection; do
			case $line in "$collection"/*) is_collections=yes ;; esac
		done <"$work/collections"
		case $is_collections:$line in
		yes:*/lib/deprecated/misc.nix:* | yes:*/nixos/lib/from-env.nix:*) ;;
		*:*getEnv*) is_inherited "$line" || printf '%s\n' "$line" ;;
		yes:*) ;;
		*maybeEnv* | *from-env.nix*) printf '%s\n' "$line" ;;
		esac
	done
}

# is_inherited FILE:LINE: whether the line has only the name and is one of several lines of an `inherit`.
is_inherited() {
	printf '%s\n' "$1" | grep -a -qE '^[^:]*:[[:space:]]*getEnv[[:space:]]*;?[[:space:]]*$' || return 1
	! (cd "$state" && tr '\n' ' ' <"${1%%:*}") | sed -E -e "s/$inherit//g" -e "s/$literal//g" | grep -a -q getEnv
}

# own_words: prints the words, in all files outside of package collections, that may be a name that was not sent, or a
# piece of one. A name may also come from a file that is no Nix file. git's own files are left out, because their
# samples alone have all letters.
own_words() {
	sed 's|$|/|' "$work/collections" >"$work/prefixes" || return 1
	{
		if [ -s "$work/collections" ]; then
			grep -a -v -F -f "$work/prefixes" "$work/files"
		else
			cat "$work/files"
		fi
		[ "$rb_tell_unread" = no ] || (cd "$state" && find "mirrors/$mirror" -name .git -prune -o -type f ! -perm 0 -size -1024k -print 2>/dev/null)
	} | sort -u | in_files -ohE '[A-Za-z0-9_]+' 2>/dev/null | sort -u >"$work/words" || return 1
	# All pieces of a name: first letters are cut off one by one, then last letters.
	sed -n ':next;p;s/^.//;t next' "$work/withheld" | sed -n ':next;p;s/.$//;t next' | sort -u >"$work/pieces" || return 1
	comm -12 "$work/words" "$work/pieces" || return 1
	! grep -xE 'toUpper|toLower' "$work/words" || {
		tr '[:upper:]' '[:lower:]' <"$work/pieces" | sort -u >"$work/lower" || return 1
		tr '[:upper:]' '[:lower:]' <"$work/words" | sort -u | comm -12 - "$work/lower"
	}
}

# tell_home: tells the first file in which ~ stands for a home, if that may not be the client's home. Nix itself says
# whether a file has such a path.
tell_home() {
	rm -f "$work/home-named"
	[ "$tilde" = yes ] && [ "$rb_watches" = yes ] || return 0
	files_here >"$work/files" || return 1
	# shellcheck disable=SC2088 # as it stands there
	in_files -lF '~/' <"$work/files" 2>/dev/null | while IFS= read -r file; do
		if (cd "$state" && HOME=/nowhere-of-rebuild "$nix_bin/nix-instantiate" --parse "./$file") 2>/dev/null |
			grep -q '/nowhere-of-rebuild/'; then
			printf '%s\n' "$file"
			break
		fi
	done | names_there >"$work/home-named" || return 1
	sed 's/^/@rebuild home-named /' "$work/home-named"
}

# set_home: if HOME is not set for the client's Nix, the user database in the view has to say what the client's says.
# Sets $tilde to "yes" if it cannot.
set_home() {
	tilde=$rb_tilde
	[ -n "$rb_home" ] || return 0
	if [ -f "$state/mirrors/$mirror/etc/passwd" ]; then
		tilde=yes
		return 0
	fi
	user=$(id -u)
	[ "$way:$user" != user:0 ] || user=65533
	{
		printf 'rebuild-client:x:%s:%s::%s:/bin/sh\n' "$user" "$(id -g)" "$rb_home"
		cat /etc/passwd
	} | cat >"$share/passwd" || fail room 1
}
