# shellcheck shell=sh
# The first word of a doctor's visit. It is small enough for any link, so that the client knows that it is in, and that a
# script which does not come after that got lost for its size.
printf '@rebuild hello\n'
eval "$(dd bs="$rb_size" count=1 iflag=fullblock 2>/dev/null)"
