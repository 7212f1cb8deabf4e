# shellcheck shell=sh
# Runs as the user and becomes root. On stdin, the script for root follows the password.
exec 2>&1

event hello "$(id -u)"
find_elevation
hear_password
if [ "$rb_check" = yes ] && ! may_elevate; then
	tell_other_questions
	event refused
	exit 1
fi
# shellcheck disable=SC2016
elevate_after_password /bin/sh -c 'eval "$(dd bs="$1" count=1 iflag=fullblock 2>/dev/null)"' rebuild "$rb_root_size"
event left
