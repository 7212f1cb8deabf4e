# shellcheck shell=sh
# As whom this side makes the view, and handles files that are shut: as one whom modes do not stop.

# find_way: sets $way. "user": in a user namespace of our own; where nobody may make one, "root" for whoever is, or
# "sudo" for whoever may become it without a password.
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

# powerless COMMAND...: as one whom modes stop.
powerless() {
	case $way:$(id -u) in
	user:0) unshare --user --map-user=65533 --map-group=65533 -- "$@" ;;
	root:*) setpriv --inh-caps=-all --bounding-set=-all -- "$@" ;;
	*) "$@" ;;
	esac
}

# apart COMMAND...: becomes COMMAND, as such a one and with mounts of its own. Also in a process group of its own: sudo
# passes on no signal that comes from its own, and it or strace may be gone before what it runs.
apart() {
	case $way in
	user) set -- unshare --user --map-root-user --mount -- "$@" ;;
	sudo) set -- sudo -n -- unshare --mount -- "$@" ;;
	*) set -- unshare --mount -- "$@" ;;
	esac
	exec setsid "$@"
}
