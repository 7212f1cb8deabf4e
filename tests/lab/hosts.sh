# shellcheck shell=bash
# The hosts of the lab, one line each: add a line and `lab.sh up NAME` makes it. Sourced, never run.
#
# ROLE says how it is furnished (setup-ROLE.sh); "default" hosts are those of a plain `lab.sh up`.

HOSTS='
# name      address     suite   arch   role     when
pi          10.77.0.1   trixie  amd64  client   default
builder     10.77.0.2   trixie  amd64  builder  default
target      10.77.0.3   trixie  amd64  client   asked
arm-pi      10.77.0.4   trixie  arm64  client   asked
oldbuilder  10.77.0.5   bookworm amd64 builder  asked
'

host_table() { printf '%s\n' "$HOSTS" | grep -v -e '^#' -e '^$'; }

# host_names [WHEN]
host_names() { host_table | awk -v when="${1:-}" 'when == "" || $6 == when { print $1 }'; }

# host_field NAME COLUMN
host_field() {
	case $2 in
	address) set -- "$1" 2 ;;
	suite) set -- "$1" 3 ;;
	arch) set -- "$1" 4 ;;
	role) set -- "$1" 5 ;;
	esac
	host_table | awk -v name="$1" -v column="$2" '$1 == name { print $column }'
}

is_host() { [ -n "$(host_field "$1" role)" ]; }
