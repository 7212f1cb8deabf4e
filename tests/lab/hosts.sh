# shellcheck shell=bash
# The hosts of the lab, one line each: add a line and `lab.sh up NAME` makes it. Sourced, never run.
#
# ROLE says how the host is furnished (setup-ROLE.sh). NIX says whether there is a daemon for all users, or a store that
# one user owns ("single"). "default" hosts are those of a plain `lab.sh up`.

HOSTS='
# name      address     suite     arch   role     nix     when
pi          10.77.0.1   trixie    amd64  client   daemon  default
builder     10.77.0.2   trixie    amd64  builder  daemon  default
target      10.77.0.3   trixie    amd64  client   daemon  asked
arm-pi      10.77.0.4   trixie    arm64  client   daemon  asked
oldbuilder  10.77.0.5   bookworm  amd64  builder  daemon  asked
newbuilder  10.77.0.6   sid       amd64  builder  daemon  asked
solo        10.77.0.7   trixie    amd64  builder  single  asked
oldpi       10.77.0.8   bookworm  amd64  client   daemon  asked
newpi       10.77.0.9   sid       amd64  client   daemon  asked
'

host_table() { printf '%s\n' "$HOSTS" | grep -v -e '^#' -e '^$'; }

# The others start no processes, because every command in a host asks them.

# host_names [WHEN]
host_names() {
	local name when
	while read -r name _ _ _ _ _ when; do
		case $name in '' | '#') continue ;; esac
		[ -n "${1:-}" ] && [ "$1" != "$when" ] || printf '%s\n' "$name"
	done <<<"$HOSTS"
}

# host_field NAME COLUMN : prints it; nothing if there is no such host.
host_field() {
	local name address suite arch role nix
	while read -r name address suite arch role nix _; do
		[ "$name" = "$1" ] || continue
		case $2 in
		address) printf '%s\n' "$address" ;;
		suite) printf '%s\n' "$suite" ;;
		arch) printf '%s\n' "$arch" ;;
		role) printf '%s\n' "$role" ;;
		nix) printf '%s\n' "$nix" ;;
		esac
		return
	done <<<"$HOSTS"
}

# hosts_of_role ROLE
hosts_of_role() {
	local name role
	while read -r name _ _ _ role _; do [ "$role" != "$1" ] || printf '%s\n' "$name"; done <<<"$HOSTS"
}

is_host() {
	local name
	while read -r name _; do [ "$name" != "$1" ] || return 0; done <<<"$HOSTS"
	return 1
}
