# shellcheck shell=sh
# As whom this side makes the view, and handles files that are shut: as one whom modes do not stop.

# find_way: sets $way. "user": in a user namespace of our own; where nobody may make one, "root" for whoever is, or "sudo"
# for whoever may become it without a password.
find_way() {
	PATH=$PATH:/usr/sbin:/sbin:/run/wrappers/bin
	if unshare --user --map-root-user --mount -- unshare --user --map-user=1 --map-group=1 true; then
		way=user
	elif [ "$(id -u)" = 0 ] && unshare --mount -- setpriv --inh-caps=-all --bounding-set=-all true; then
		way=root
	elif sudo -n -- unshare --mount -- setpriv --inh-caps=-all --bounding-set=-all true; then
		way=sudo
	else
		fail no-namespaces 1
	fi 2>/dev/null
	event way "$way"
}

# own COMMAND...: as one whom modes do not stop, for what is not here of a mirror has mode 000.
own() {
	case $way in
	user) unshare --user --map-root-user -- "$@" ;;
	sudo) sudo -n -- "$@" ;;
	*) "$@" ;;
	esac
}

# apart COMMAND...: becomes COMMAND, as such a one and with mounts of its own.
apart() {
	case $way in
	user) exec unshare --user --map-root-user --mount -- "$@" ;;
	# In a session of its own: sudo does not pass on a signal that comes from its own process group.
	sudo) exec setsid sudo -n -- unshare --mount -- "$@" ;;
	*) exec unshare --mount -- "$@" ;;
	esac
}

# end_now PROCESS: with all that sudo has started for it, for sudo cannot pass that on.
end_now() {
	[ "$way" != sudo ] || [ "$1" != "$child" ] || sudo -n -- /bin/sh -c 'kill -s KILL -- "-$1"' kill "$1"
	kill -s KILL "$1"
}

# end_all PROCESS...: and waits for them. Nix does not hear what it is told while it computes, so that it is not asked
# for ever.
end_all() {
	[ $# -gt 0 ] || return 0
	for process; do kill -s TERM "$process"; done
	(
		tries=0
		while [ "$tries" -lt 15 ]; do
			sleep 0.1
			tries=$((tries + 1))
		done
		for process; do end_now "$process"; done
	) &
	killer=$!
	for process; do wait "$process"; done
	kill -KILL "$killer"
	wait "$killer"
} 2>/dev/null
