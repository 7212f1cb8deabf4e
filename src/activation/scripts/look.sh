# shellcheck shell=sh
# The first look at the target. It changes nothing and needs no rights.
exec 2>&1

event host "$(uname -n)"
event user "$(id -un)"
# This machine may have no Nix. That is only noted here; the client complains if the run needs Nix.
find_nix_or_none
event nix "$nix_bin"
# readlink alone prints the path of a link that is not there.
system_at() {
	[ ! -e "$1" ] || readlink -f "$1"
}
event current "$(system_at /run/current-system)" "$(system_at /nix/var/nix/profiles/system)"
# How much is free, in KiB, where a system and its kernels go.
df -Pk /nix/store /boot 2>/dev/null | while read -r _ _ _ kib _ place; do
	case $kib in '' | *[!0-9]*) ;; *) event room "$kib" "$place" ;; esac
done
event hello "$(id -u)"

# The connection stays as long as the client holds it, for the commands that share it.
read -r _
event finished
