# shellcheck shell=sh
# Finds the system that the client means and checks that it is a NixOS system. It changes nothing and needs no rights.
exec 2>&1 </dev/null

# compare SYSTEM: compares it with the system that runs. Nix's lines are passed on unchanged, because each version of
# Nix writes them a little differently.
compare() {
	if [ ! -e /run/current-system ]; then
		event no-current
		return
	fi
	current=$(readlink -f /run/current-system)
	find_nix
	difference=$(compare_by_nix store diff-closures "$current" "$1") || {
		event incomparable
		return
	}
	event compared "$current"
	[ -z "$difference" ] || printf '%s\n' "$difference" | while IFS= read -r line; do event difference "$line"; done
	# Nix answers in the order of the paths' names.
	compare_by_nix path-info --closure-size "$current" "$1" | while read -r path size; do event closure "$size" "$path"; done
}
compare_by_nix() {
	"$nix_bin/nix" --extra-experimental-features 'nix-command flakes' "$@"
}

# tell_next_boot SYSTEM: tells which parts of SYSTEM are not in use before a boot, and the versions of both kernels (-
# for one without a kernel).
tell_next_boot() {
	booted=$(readlink -f /run/booted-system) && [ -d "$booted" ] || return 0
	changed=''
	for part in kernel kernel-modules initrd; do
		[ "$(place_of "$booted/$part")" = "$(place_of "$1/$part")" ] || changed="$changed $part"
	done
	parameters=$(parameters_of "$booted")
	[ "$parameters" = "$(parameters_of "$1")" ] || changed="$changed kernel-params"
	# shellcheck disable=SC2086 # words
	[ -z "$changed" ] || event next-boot "$(kernel_version "$booted")" "$(kernel_version "$1")" $changed
}
# A container's system has no kernel.
place_of() {
	[ ! -e "$1" ] || readlink -f "$1"
}
parameters_of() {
	[ ! -r "$1/kernel-params" ] || cat "$1/kernel-params"
}
kernel_version() {
	set -- "$1"/kernel-modules/lib/modules/*
	case ${1##*/} in
	'' | *[!A-Za-z0-9._+~-]*) set -- - - ;;
	esac
	if [ $# = 1 ]; then echo "${1##*/}"; else echo -; fi
}

inspect() {
	event hello "$(id -u)"
	system=$rb_system
	if [ -n "$rb_profile" ]; then
		system=$(previous_generation) || {
			event no-previous
			return
		}
		[ -e "$system" ] || {
			event gone "$system"
			return
		}
	fi
	if [ "$rb_careless" = no ]; then
		for file in nixos-version bin/switch-to-configuration; do
			[ -e "$system/$file" ] || {
				event lacks "$file"
				return
			}
		done
	fi
	if [ -n "$rb_specialisation" ] && [ ! -e "$system/specialisation/$rb_specialisation/bin/switch-to-configuration" ]; then
		for directory in "$system/specialisation"/*/; do
			directory=${directory%/}
			[ ! -d "$directory" ] || event has-specialisation "${directory##*/}"
		done
		event no-specialisation
		return
	fi
	[ "$rb_diff" = no ] || compare "$system"
	[ "$rb_next_boot" = no ] || tell_next_boot "$system${rb_specialisation:+/specialisation/$rb_specialisation}"
	event found "$system"
}

inspect
event finished
