# shellcheck shell=sh
# What a job calls itself, of which there is a record (records.sh says what that is). Needs flock and mv; descriptors 8 and
# 9 are the record's. Sets $record.

# hold_record RECORD: first of all. Where the record is gone, the job ends here.
hold_record() {
	record=$1
	exec 9>>"$record/lock"
	flock 9
	: >"$record/begun"
}

# without_record COMMAND...: what the job does. It does not hold the record: what it leaves running is not the job.
without_record() {
	("$@") 8>&- 9>&-
}

# end_record WORD...: what the job came to, last of all. Into the place that was taken for it, and in one step.
end_record() {
	printf '%s\n' "$*" 1<>"$record/ending"
	mv -f "$record/ending" "$record/status"
}
