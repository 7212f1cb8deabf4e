# shellcheck shell=sh
# How this user becomes root. client_sudo is sudo with the client's options for it.

# Separates the password from what follows it on stdin. If no program asked for the password, it is still on stdin, and
# COMMAND must not read it. Nothing may follow the password before a program has asked for it, because sudo-rs 0.2.5
# swallows what comes together with it. So the client waits for "ready" and then says "go" (src/remote/daemon.rs).
# shellcheck disable=SC2016 # for another shell
after_password='echo "@rebuild ready"; while IFS= read -r line && [ "$line" != "@rebuild go" ]; do :; done; line=; exec "$@"'

# hear_password: reads the password, one line on stdin, if the client sends one. Only this variable holds it: `read` and
# `printf` are the shell's own, so it never stands in an argument, an environment or a file.
password=''
hear_password() {
	[ "$rb_password" = no ] || IFS= read -r password
}

# elevate COMMAND...: runs COMMAND as root, with the few variables that activation may see, and with this shell's stdin.
elevate() {
	# sudo stands outside of env, so that it does not matter what it does to the environment.
	set -- /usr/bin/env -i PATH="$PATH" \
		${LOCALE_ARCHIVE+"LOCALE_ARCHIVE=$LOCALE_ARCHIVE"} ${NIXOS_NO_CHECK+"NIXOS_NO_CHECK=$NIXOS_NO_CHECK"} \
		NIXOS_INSTALL_BOOTLOADER="$rb_install_bootloader" "$@"
	case $rb_elevation in
	sudo) client_sudo "$@" ;;
	doas) doas "$@" ;;
	run0) elevate_by_run0 "$@" ;;
	none) "$@" ;;
	*)
		echo "this script does not know how to become root by $rb_elevation" >&2
		return 1
		;;
	esac
}

# elevate_after_password COMMAND...: the same, but COMMAND reads only what comes on stdin after the password.
elevate_after_password() {
	elevate /bin/sh -c "$after_password" rebuild "$@"
}

# may_elevate: whether the user can become root. The password is offered only once, so that a wrong one counts as one
# attempt.
may_elevate() {
	if [ -n "$password" ] && [ "$rb_elevation" = sudo ]; then
		printf '%s\n' "$password" | elevate true
	else
		elevate true </dev/null
	fi
}

# polkit asks an agent for the password, and without a desktop there is no agent: polkit-stdin-agent answers with what
# it is given. It reads the password from a descriptor of its own, so that it takes nothing of what follows on stdin.
elevate_by_run0() {
	if [ "$rb_password" = yes ]; then
		agent=$rb_system/sw/bin/polkit-stdin-agent
		[ -x "$agent" ] || agent=polkit-stdin-agent
		printf '%s\n' "$password" | "$agent" --password-fd=3 -- run0 -- "$@" 3<&0 <&4
	elif [ "$rb_terminal" = yes ] && command -v pkttyagent >/dev/null; then
		# run0 starts such an agent itself, but only if its stdin is a terminal. The agent serves one process, here the
		# shell that then becomes run0, and closes its stdout when it is ready.
		# shellcheck disable=SC2016
		/bin/sh -c ': "$(pkttyagent --process "$$" --notify-fd 1 </dev/tty 2>/dev/tty &)"; exec run0 -- "$@"' rebuild "$@"
	else
		run0 -- "$@"
	fi
} 4<&0

# tell_other_questions: names the modules of PAM that may ask for something other than a password (a touch of a key, a
# code), as far as PAM's files say. Modules that take a password, or ask for nothing, are left out.
tell_other_questions() {
	case $rb_elevation in
	run0) service=polkit-1 ;;
	*) service=$rb_elevation ;;
	esac
	others=$(modules_of_pam "$service" 4 | sort -u | tr '\n' ' ')
	[ -z "$others" ] || event asks "${others% }"
}
modules_of_pam() { # SERVICE DEPTH
	[ "$2" -gt 0 ] || return 0
	place=/etc/pam.d
	[ -e "$place/$1" ] || place=/usr/lib/pam.d
	[ -r "$place/$1" ] || return 0
	# "auth required /lib/pam_x.so", "auth [success=1 default=ignore] pam_x.so", "auth include x", "@include x"
	sed -nE -e 's/^@include[[:space:]]+([A-Za-z0-9_-]+).*/@\1/p;t' \
		-e 's/^-?auth[[:space:]]+(include|substack)[[:space:]]+([A-Za-z0-9_-]+).*/@\2/p;t' \
		-e 's/^-?auth[[:space:]]+(\[[^]]*\]|[a-z]+)[[:space:]]+([^[:space:]]*\/)?(pam_[A-Za-z0-9_-]+)\.so.*/\3/p' "$place/$1" |
		while IFS= read -r module; do
			case $module in
			@*) modules_of_pam "${module#@}" $(($2 - 1)) ;;
			pam_unix* | pam_deny | pam_permit | pam_env | pam_faildelay | pam_faillock | pam_rootok | pam_succeed_if | pam_nologin | \
				pam_wheel | pam_cap | pam_group | pam_mount | pam_sss | pam_ldap | pam_krb5 | pam_winbind | pam_systemd_home | \
				pam_gnome_keyring | pam_kwallet*) ;;
			*) echo "$module" ;;
			esac
		done
}

# find_elevation: says which program is missing, if one is.
find_elevation() {
	case $rb_elevation in
	none) return ;;
	run0)
		if [ "$rb_password" = yes ] && [ ! -x "$rb_system/sw/bin/polkit-stdin-agent" ]; then
			command -v polkit-stdin-agent >/dev/null || {
				tell_other_questions
				event missing polkit-stdin-agent
			}
		fi
		;;
	esac
	command -v "$rb_elevation" >/dev/null || event missing "$rb_elevation"
}
