# shellcheck shell=sh
# How this user becomes root. client_sudo is sudo with the client's options for it.

# What stands between the password and what follows it on stdin. If nobody asked for the password, it is still there and
# must not become somebody's input; and nothing may follow before it was asked for, since sudo-rs 0.2.5 swallows what
# comes together with it. So the client waits for the one word and then says the other (src/daemon.rs).
# shellcheck disable=SC2016 # for another shell
after_password='echo "@rebuild ready"; while IFS= read -r line && [ "$line" != "@rebuild go" ]; do :; done; line=; exec "$@"'

# hear_password: the password's one line on stdin, if one is sent. It lives in this variable alone, for `read` and `printf`
# are the shell's own: no argument, environment or file ever holds it.
password=''
hear_password() {
	[ "$rb_password" = no ] || IFS= read -r password
}

# elevate COMMAND...: as root, with the few variables that activation may see, and with this shell's stdin.
elevate() {
	# sudo stands outside of env, so that it does not matter what it does to the environment.
	set -- /usr/bin/env -i PATH="$PATH" \
		${LOCALE_ARCHIVE+"LOCALE_ARCHIVE=$LOCALE_ARCHIVE"} ${NIXOS_NO_CHECK+"NIXOS_NO_CHECK=$NIXOS_NO_CHECK"} \
		NIXOS_INSTALL_BOOTLOADER="$rb_install_bootloader" "$@"
	case $rb_elevation in
	sudo) client_sudo "$@" ;;
	doas) doas "$@" ;;
	run0) elevate_by_run0 "$@" ;;
	*) "$@" ;;
	esac
}

# elevate_after_password COMMAND...: the same, with what comes on stdin after the password.
elevate_after_password() {
	elevate /bin/sh -c "$after_password" rebuild "$@"
}

# may_elevate: whether it works. The password is offered once and then no more, so that a wrong one counts as one.
may_elevate() {
	if [ -n "$password" ] && [ "$rb_elevation" = sudo ]; then
		printf '%s\n' "$password" | elevate true
	else
		elevate true </dev/null
	fi
}

# polkit asks an agent for the password, and there is none without a desktop: this one answers with what it is given. On a
# descriptor of its own, so that it takes nothing of what follows on stdin.
elevate_by_run0() {
	if [ "$rb_password" = yes ]; then
		agent=$rb_system/sw/bin/polkit-stdin-agent
		[ -x "$agent" ] || agent=polkit-stdin-agent
		printf '%s\n' "$password" | "$agent" --password-fd=3 -- run0 -- "$@" 3<&0 <&4
	elif [ "$rb_terminal" = yes ] && command -v pkttyagent >/dev/null; then
		# run0 starts such an agent itself, but not where its stdin is no terminal. It stands for one process, which then
		# becomes run0, and closes its stdout when it is ready.
		# shellcheck disable=SC2016
		/bin/sh -c ': "$(pkttyagent --process "$$" --notify-fd 1 </dev/tty 2>/dev/tty &)"; exec run0 -- "$@"' rebuild "$@"
	else
		run0 -- "$@"
	fi
} 4<&0

# find_elevation: says which program is missing, if one is.
find_elevation() {
	case $rb_elevation in
	none) return ;;
	run0)
		if [ "$rb_password" = yes ] && [ ! -x "$rb_system/sw/bin/polkit-stdin-agent" ]; then
			command -v polkit-stdin-agent >/dev/null || event missing polkit-stdin-agent
		fi
		;;
	esac
	command -v "$rb_elevation" >/dev/null || event missing "$rb_elevation"
}
