# shellcheck shell=bash
# Jobs on the builder that are asked about apart from the run that began them: `rebuild status`, `attach` and `cancel`.

# shellcheck source=/dev/null
. "$LAB/moments.sh"

# status_of FILTER : what `rebuild status --json` says.
status_of() {
	on pi rebuild status --eval-on builder --json
	expect_status 0
	printf '%s' "$output" | python3 -c 'import json, sys; print(eval(sys.argv[1], {"jobs": json.load(sys.stdin)["machines"][0]["jobs"]}))' "$1"
}

# A run is killed during its build: the build is told with what the real Nix says of its progress, it can be followed, and
# it is ended, with nothing that remains.
case_jobs_that_a_killed_run_leaves() {
	given_machines
	reach build
	must_on pi pkill -KILL -x rebuild
	finish 10
	forget_the_minute
	expect_equal "$(status_of '[(job["running"], job["state"], job["followed"]) for job in jobs if job["running"]]')" \
		"[(True, 'building', False)]"
	# At least what is held, and the system of it, are still to be built.
	expect_matches "$(status_of '[(job["builds"]["done"] < job["builds"]["expected"], job["builds"]["running"] > 0) for job in jobs if job["running"]]')" \
		"^\[\(True, True\)\]$"
	on pi rebuild status --eval-on builder
	expect_status 0
	expect_matches "$output" "builds [0-9]+ of [0-9]+  for [0-9]"

	start lab on pi -- rebuild attach --eval-on builder
	expect_within 60 printed "building held"
	expect_equal "$(status_of '[job["followed"] for job in jobs if job["running"]]')" "[True]"
	interrupt
	finish 10
	expect_status 130
	expect_contains "$errors" "builder goes on with it; to end it: rebuild cancel --eval-on builder"
	expect_equal "$(status_of 'len([job for job in jobs if job["running"]])')" 1

	on pi rebuild cancel --eval-on builder
	expect_status 0
	expect_contains "$errors" "on builder was ended"
	expect_equal "$(status_of 'jobs[0]["state"]')" "cancelled"
	nothing_remains
	expect_as_before
}

# The build of a run that is gone ends by itself, while somebody watches: the next run brings home what it has made.
case_jobs_that_are_watched_to_their_end() {
	given_machines
	reach build
	must_on pi pkill -TERM -x rebuild
	finish 10
	start lab on pi -- rebuild attach --eval-on builder
	expect_within 60 printed "building held"
	let_go
	finish 60
	expect_status 0
	expect_contains "$errors" "this brings it home: rebuild switch --eval-on builder"
	expect_equal "$(status_of 'jobs[0]["state"]')" "built"
	expect_as_before
	on pi rebuild switch --eval-on builder
	expect_status 0
	expect_switched
	expect_equal "$(begun first) $(begun held)" "1 1"
	nothing_remains
}
