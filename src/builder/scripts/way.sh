# shellcheck shell=sh
# As whom this machine makes the view and handles files that are shut: as somebody whom modes do not stop.

# find_way: sets $way to "user" (in a user namespace of our own); or, if this user may not make one, to "root" if they
# are root, or to "sudo" if they may become root without a password.
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

# powerless COMMAND...: runs it as somebody whom modes stop.
powerless() {
	case $way:$(id -u) in
	user:0) unshare --user --map-user=65533 --map-group=65533 -- "$@" ;;
	root:*) setpriv --inh-caps=-all --bounding-set=-all -- "$@" ;;
	*) "$@" ;;
	esac
}

# apart COMMAND...: becomes COMMAND, run as somebody whom modes do not stop, with mounts of its own and a process group
# of its own. The group is needed to end it: sudo passes on no signal from its own group, and sudo or strace may be gone
# before the process that it runs.
apart() {
	case $way in
	user) set -- unshare --user --map-root-user --mount -- "$@" ;;
	sudo) set -- sudo -n -- unshare --mount -- "$@" ;;
	*) set -- unshare --mount -- "$@" ;;
	esac
	exec setsid "$@"
}
