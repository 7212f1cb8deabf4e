# shellcheck shell=sh
# An unchanged question is not asked again. The client's question is a digest of all that it sends (src/builder/question.rs).
# Beside what is in that digest, an evaluation can see only this machine itself ($standing), what changes with the time
# (`builtins.currentTime`), and the network. So the client may remember an answer if the evaluation has seen neither of
# the last two, and has not read this machine's own places.

# The places of which the view has this machine's own (view.sh).
own_places='/bin /sbin /lib /lib32 /lib64 /libx32 /usr /dev /proc /sys
	/nix/var/nix/daemon-socket /etc/static
	/etc/alternatives /etc/ssl /etc/pki /etc/ca-certificates /etc/resolv.conf /etc/hosts /etc/nsswitch.conf
	/etc/passwd /etc/group /etc/ld.so.cache /etc/ld.so.conf /etc/ld.so.conf.d'

# know_standing: sets $standing to a word for this machine as an evaluation sees it: which Nix, which boot, and what is in
# its own places. Of a directory it is what lies right in it, with the times: whoever adds a program, or replaces one,
# changes the time of its directory.
know_standing() {
	standing=$({
		readlink -f "$nix_bin/nix-instantiate" "$nix_bin/nix"
		cat "$work/version" /proc/sys/kernel/random/boot_id
		for place in $own_places; do
			case $place in
			/dev | /proc | /sys | /nix/*) ;;
			*)
				if [ -d "$place/" ]; then
					stat -c '%n %i %Y %Z' "$place/" "$place"/*
				elif [ -f "$place" ]; then
					echo "$place"
					cat "$place"
				fi
				;;
			esac
		done
	} 2>/dev/null | sha256sum | cut -c 1-40)
}

# is_unchanged: whether this machine is as it was when the client's question was answered, and still has the derivation
# that was the answer. From then on, the derivation is held.
is_unchanged() {
	[ -n "$rb_known" ] || return 1
	await_version
	know_standing
	[ "$standing" = "$rb_standing" ] || {
		event anew standing
		return 1
	}
	write "$rb_known" "$work/held"
	hold_before
	! NIX_REMOTE=$remote "$nix_bin/nix-store" --check-validity "$rb_known" >/dev/null 2>&1 || return 0
	rm -f "$work/held"
	event anew gone
	return 1
}

# watch_what_is_fetched: before an evaluation, makes everything in Nix's cache look unread for long. Nix looks there for
# whatever it fetches without a hash, even if it then takes what it has.
watch_what_is_fetched() {
	[ "$rb_remembers" = yes ] || return 0
	find "$state/nix-cache" -maxdepth 2 -type f -exec touch -a -t 200001010000 {} + 2>/dev/null
}

# tell_memorable: tells the client whether it may remember the derivation of this evaluation, and which variables belong
# to its question. A pure evaluation sees neither time nor variables, and fetches nothing without a hash.
tell_memorable() {
	[ "$rb_remembers" = yes ] && [ "$rb_gives_value" = no ] || return 0
	if [ "$rb_watches" = yes ]; then
		is_of_the_question || {
			event unmemorable "$why_not"
			return 0
		}
		# No other name can be a variable's.
		grep -xE '[A-Za-z_][A-Za-z0-9_]*' "$work/asked" | sed 's/^/@rebuild reads /'
		[ ! -s "$work/computing" ] || event reads-any
	fi
	know_standing
	event memorable "$standing"
}

# is_of_the_question: whether the evaluation has seen nothing that is not in the question: nothing was fetched without a
# hash, and no file that was evaluated asks for the time or reads places of this machine's own. If not, $why_not says why.
is_of_the_question() {
	why_not=access-times
	keeps_access_times || return 1
	# A file that cannot be searched may have anything in it.
	why_not=unsearchable
	! grep -q '^grep: ' "$work/unseen" || return 1
	# Another run of this client has this cache, too, and what it makes look unread has another change time.
	why_not=download
	fetched=$(find "$state/nix-cache" -maxdepth 2 -type f \( -anewer "$work/began" -o -newer "$work/began" -o -cnewer "$work/began" \)) ||
		return 1
	[ -z "$fetched" ] || return 1
	# With the client's own, Nix's cache would be elsewhere.
	! grep -q '^export XDG_CACHE_HOME=' "$work/exports" || return 1
	why_not=impure-name
	names_of_impure && mentions_none_of "$work/impure" <"$work/files" || return 1
	why_not=own-file
	written_by_users >"$work/of-users" && lies_with_the_client || return 1
	why_not=builtins
	! takes_builtins_whole || return 1
	why_not=own-place
	! may_read_own_places
}

# names_of_impure: writes to $work/impure the names that Nix has only where an evaluation need not be pure, but for that of
# the system, which is in the question. Nix itself says them, once for each version. Each is also there as __NAME.
names_of_impure() {
	answer=$state/impure-names-$nix_version
	[ -s "$answer" ] || {
		ask_names false >"$work/names-impure" && ask_names true >"$work/names-pure" || return 1
		LC_ALL=C comm -23 "$work/names-impure" "$work/names-pure" | grep -vx currentSystem |
			sed 'p;s/^/__/' >"$work/impure" || return 1
		write "$(cat "$work/impure")" "$answer"
	}
	cat "$answer" >"$work/impure"
}
ask_names() {
	powerless "$nix_bin/nix-instantiate" --option pure-eval "$1" --eval --strict --json \
		--expr 'builtins.attrNames builtins' 2>/dev/null | tr -d '[]" \n' | tr ',' '\n' | LC_ALL=C sort -u | grep .
}

# mentions_none_of NAMES: whether none of the files that come on stdin has one of these names outside of a comment.
mentions_none_of() {
	[ -s "$1" ] || return 1
	in_files -Fwf "$1" 2>/dev/null | without_comments | grep -q . && return 1
	return 0
}
without_comments() { sed -E '/^[^:]*:[[:space:]]*#([^$]|\$[^{])*$/d'; }

# written_by_users: prints those of the evaluated files that are in no nixpkgs. (A package collection of the user's may look
# like one, but has not the modules.)
written_by_users() {
	while IFS= read -r collection; do
		case $collection in
		/*) place=$collection ;;
		*) place=$state/$collection ;;
		esac
		[ ! -e "$place/nixos/lib/eval-config.nix" ] || printf '%s\n' "$collection"
	done <"$work/collections" | sed 's/[][\\.*^$]/\\&/g;s|.*|^&/|' >"$work/prefixes" || return 1
	if [ -s "$work/prefixes" ]; then
		grep -a -v -f "$work/prefixes" "$work/files" || [ $? = 1 ]
	else
		cat "$work/files"
	fi
}

# lies_with_the_client: whether each of these files is one of the client's, or in the store.
lies_with_the_client() {
	while IFS= read -r file; do
		case $file in
		/*) ;;
		*) [ -e "$state/$file" ] || return 1 ;;
		esac
	done <"$work/of-users"
}

# takes_builtins_whole: whether one of them uses all builtins at once (`builtins.${name}`, `attrValues builtins`), so that
# no name needs to stand in it.
takes_builtins_whole() {
	in_files -Hw builtins <"$work/of-users" 2>/dev/null | without_comments | sed -E -e 's/^[^:]*://' \
		-e 's/(with|inherit[[:space:]]*\()[[:space:]]*builtins//g' -e 's/builtins([[:space:]]*\?|\.[A-Za-z_])//g' |
		grep -qw builtins
}

# may_read_own_places: whether the user's files may read a place of this machine's own, or one that changes with each
# generation of the client's system (src/sources/generations.rs): one of them has such a place as a text, and one of them
# reads what it does not name as a path (`readFile ./x`). (A path without quotes the client has seen itself; and whatever is
# imported is an evaluated file.)
may_read_own_places() {
	reads_by_text && names_own_places
}
readers='(__)?(readFile|readDir|readFileType|pathExists|hashFile|filterSource|findFile|fetchTree|fetchGit)'
readers="$readers|builtins\\.path|__path|importJSON|importTOML|fileContents|cleanSource[A-Za-z]*|sourceByRegex|sourceFilesBySuffices"
readers="$readers|listFilesRecursive"
reads_by_text() {
	# Whatever begins with `/. +` is a path that a text makes.
	made='/\.[[:space:]]*\+'
	in_files -hE "$readers|$made" <"$work/of-users" 2>/dev/null |
		sed -E -e '/^[[:space:]]*#/d' -e "s#($readers)[[:space:]]*\\(?[[:space:]]*(\\.\\.?|~)?/[A-Za-z0-9_]#/#g" |
		grep -qE "(^|[^A-Za-z0-9_])($readers)([^A-Za-z0-9_]|\$)|$made"
}

# names_own_places: whether a file of the user's, of whatever kind, has the name of such a place in it. Devices of disks
# stand in every configuration, and are mounted, not read.
names_own_places() {
	# shellcheck disable=SC2086 # words
	all_places=$(echo $own_places /nix/store /nix/var/nix/profiles /run | tr ' ' '|' | sed 's/\./\\./g')
	named="(^|[^A-Za-z0-9_./-])($all_places)([^A-Za-z0-9_]|\$)"
	{
		cat "$work/of-users"
		[ "$rb_tell_unread" = no ] || (cd "$state" &&
			find "mirrors/$mirror" -name .git -prune -o -type f ! -perm 0 ! -name '*.nix' -size -1024k -print 2>/dev/null)
	} | in_files -hE "$named" 2>/dev/null | sed -E 's#/dev/disk/by-[a-z]+/##g' | grep -qE "$named"
}
