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

# host_names [WHEN]
host_names() { host_table | awk -v when="${1:-}" 'when == "" || $7 == when { print $1 }'; }

# host_field NAME COLUMN
host_field() {
	case $2 in
	address) set -- "$1" 2 ;;
	suite) set -- "$1" 3 ;;
	arch) set -- "$1" 4 ;;
	role) set -- "$1" 5 ;;
	nix) set -- "$1" 6 ;;
	esac
	host_table | awk -v name="$1" -v column="$2" '$1 == name { print $column }'
}

# hosts_of_role ROLE
hosts_of_role() { host_table | awk -v role="$1" '$5 == role { print $1 }'; }

is_host() { [ -n "$(host_field "$1" role)" ]; }
