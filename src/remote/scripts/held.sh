# shellcheck shell=sh
# What a job with a record calls itself (records.sh says what a record is). Needs flock and mv; descriptors 8 and 9 are
# the record's. Sets $record.

# hold_record RECORD: the job calls this first of all. If the record is gone, the job ends here.
hold_record() {
	record=$1
	exec 9>>"$record/lock"
	flock 9
	: >"$record/begun"
}

# without_record COMMAND...: does what the job is for. COMMAND does not hold the record, because what it leaves running
# is not the job.
without_record() {
	("$@") 8>&- 9>&-
}

# end_record WORD...: notes how the job ended; the job calls this last of all. It writes into the place that was taken
# for this, and gives it its name in one step.
end_record() {
	printf '%s\n' "$*" 1<>"$record/ending"
	mv -f "$record/ending" "$record/status"
}
