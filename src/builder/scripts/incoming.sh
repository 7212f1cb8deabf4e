# shellcheck shell=sh
# What the client sends after the script: streams of counted pieces, on file descriptor 3.

# frames: writes the client's next stream to stdout. A frame is its size in bytes on a line, then so many bytes; a size
# of 0 ends the stream. A broken link ends it too (status 1), but then the reader (tar) sees a stream without its end.
# Status 2: the reader did not take all of it, because it had enough or the disk is full. dd needs fullblock, because a
# pipe may give less than is asked for. head would not do, because it may read more.
frames() {
	taken=0
	while IFS= read -r size <&3; do
		[ "$size" != 0 ] || return "$taken"
		dd bs="$size" count=1 iflag=fullblock 2>/dev/null <&3 || taken=2
	done
	return 1
}

# take FILE: writes the client's next stream to FILE, all of it or the run ends: half of an environment would be another
# environment.
take() {
	true >"$1" || fail room 1
	frames >"$1" || {
		[ $? = 2 ] || fail link 255
		fail room 1
	}
}

# unpack DIRECTORY: unpacks the client's next stream of files. tar alone would take a stream that ends between two files
# for a whole one.
unpack() {
	true >"$work/incoming" || fail room 1
	{ frames || [ $? = 2 ] && rm "$work/incoming"; } | (cd "$1" && exec tar -xf -) || fail unpack "$?"
	[ ! -e "$work/incoming" ] || fail link 255
}
