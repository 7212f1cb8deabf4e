# shellcheck shell=sh
# What a machine must have whose system is changed. visit.sh says what these functions take.

look_at_target() {
	if [ -e /run/current-system/nixos-version ] || [ -e /etc/NIXOS ]; then fact nixos yes; else fact nixos no; fi
	room store /nix/store
	for place in /boot /boot/firmware /boot/efi /efi; do
		# A directory of the root file system has its room from there.
		[ ! -d "$place" ] || [ "$(stat -c %d "$place")" = "$(stat -c %d /)" ] || room boot "$place"
	done
	look_at_state
	look_at_root
	# The client knows its own.
	[ -n "$rb_system" ] || [ -z "$nix_bin" ] || look_at_settings
}

# look_at_state: whether the directory for the notes of a change can be there, as far as this user sees it.
look_at_state() {
	if [ -d /var/lib/rebuild ] || [ ! -e /var/lib/rebuild ]; then
		place=/var/lib/rebuild
		[ -d "$place" ] || place=/var/lib
		if [ "$(id -u)" != 0 ]; then
			fact state unknown
		elif [ -w "$place" ]; then
			fact state yes
		else
			fact state no
		fi
		room state "$place"
	else
		fact state no
	fi
}

# look_at_root: whether this user is root, or becomes root without being asked for a password, or has the program for it.
look_at_root() {
	case $(id -u):$rb_elevation in
	0:*) fact root is ;;
	*:sudo | *:doas)
		if ! command -v "$rb_elevation" >/dev/null; then
			fact root missing "$rb_elevation"
		elif timeout 20 "$rb_elevation" -n true 2>/dev/null; then
			fact root by "$rb_elevation"
		else
			fact root asks "$rb_elevation"
		fi
		;;
	*:run0) if command -v run0 >/dev/null; then fact root asks run0; else fact root missing run0; fi ;;
	*)
		# Nobody has said how: sudo is what most have.
		if command -v sudo >/dev/null && timeout 20 sudo -n true 2>/dev/null; then fact root could sudo; else fact root no; fi
		;;
	esac
}
