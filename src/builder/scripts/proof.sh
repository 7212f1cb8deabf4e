# shellcheck shell=sh
# Whether a mirror is what the client means: the client makes the same sum of what it has collected
# (src/sources/proof.rs).

# is_proven DIRECTORY: whether its sum is $proof, or the client has no proof ("none"). If not, says `damaged`.
is_proven() {
	[ "$proof" != none ] || return 0
	# shellcheck disable=SC2016 # that shell's
	[ "$(own sh -c 'cd "$1" && eval "$2"' sh "$1" "$prove")" != "$proof" ] || return 0
	event damaged
	return 1
}

# The SHA-256 of three lists in the order of the names' bytes: the names, each after a letter that says what it is;
# where the links lead; and the sums of the files whose content was sent, which are the ones with leave to write. A few
# processes do all of it. (find has no brackets here: inside of them, busybox never runs an action that ends in `+`.)
# shellcheck disable=SC2016 # for another shell
prove='
	LC_ALL=C
	export LC_ALL
	{
		find . -mindepth 1 \
			-type d ! -perm -400 -exec printf "D%s\0" {} + -o \
			-type d -exec printf "d%s\0" {} + -o \
			-type f ! -perm -400 -exec printf "S%s\0" {} + -o \
			-type f -perm -100 -exec printf "x%s\0" {} + -o \
			-type f -exec printf "f%s\0" {} + -o \
			-type l -exec printf "l%s\0" {} + -o \
			-exec printf "o%s\0" {} + | sort -z
		printf "\0"
		if readlink -z -- /proc/self/cwd /proc/self/cwd >/dev/null 2>&1; then
			find . -type l -print0 | sort -z | xargs -0 -r readlink -z --
		else
			find . -type l -print0 | sort -z | xargs -0 -r -n 1 sh -c "readlink -n -- \"\$1\"; printf \"\\\\0\"" sh
		fi
		printf "\0"
		find . -type f -perm -600 -print0 | sort -z | xargs -0 -r sha256sum | sed -n "s/^\\\\*\([0-9a-f]\{64\}\)  .*/\1/p"
	} | sha256sum | cut -c 1-64'
