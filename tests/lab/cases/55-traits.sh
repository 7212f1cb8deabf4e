# shellcheck shell=bash
# The same derivation, trait by trait: the tables of ../traits, a line each. For some of them alone:
#
#   TRAITS='worktree|sparse' tests/lab/cases.sh 55-traits
#
# A new one is a line there; ../traits/compare.sh says how it is written.

compare() { # TABLE
	if [ ! -e "${CASE%/*}/hosts-of-55-traits" ]; then
		fresh
		must lab put pi "$LAB/traits" /var/cache/traits
		: >"${CASE%/*}/hosts-of-55-traits"
	fi
	run lab on pi env TRAITS="${TRAITS:-}" bash /var/cache/traits/compare.sh "/var/cache/traits/$1.tbl"
	echo "$output" | tail -n 1
	[ "$status" = 0 ] || [[ "$output" == "0 traits"* ]] || {
		printf '%s\n' "$output" "$errors" >&2
		exit 1
	}
}

case_traits_of_files() { compare files; }
case_traits_of_the_environment() { compare environment; }
case_traits_of_flakes() { compare flakes; }
