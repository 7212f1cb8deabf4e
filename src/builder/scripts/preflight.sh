# shellcheck shell=sh
# What is looked at before anything slow, in the connection that there is: only what costs no round trip and no time that
# anybody would notice. Nothing here ends a run, because what is too little for one build may do for another; the client
# warns (src/builder/preflight.rs). `rebuild doctor` looks at everything else.

# preflight: sees to it that a job may outlive the login (logout.sh). Tells how many KiB are free for what is kept here, and in the store.
preflight() {
	outlive_logout
	free=$(df -Pk "$state" /nix/store 2>/dev/null | while read -r _ _ _ kib _; do
		case $kib in '' | *[!0-9]*) ;; *) printf ' %s' "$kib" ;; esac
	done)
	# If df tells of one of them alone, nobody knows of which.
	case $free in
	' '*' '*) event room "${free# }" ;;
	esac
}
