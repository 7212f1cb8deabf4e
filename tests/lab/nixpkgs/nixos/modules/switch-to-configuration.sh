# shellcheck shell=sh
# The miniature's activation. It notes in /var/log/activation how it was called, then does the few
# things that tests look at. @out@ and @busybox@ are put in by toplevel.nix.
#
# /etc/activation-exit-code   its number becomes the exit code, after everything else was done
# /etc/activation-sleep       seconds to take before anything changes
# /etc/activation-command     run (by sh) in the middle, e.g. to take the network down

b=@busybox@
action=${1-}

case $action in
switch | boot | test | dry-activate) ;;
*)
  echo "Usage: $0 [switch|boot|test|dry-activate]" >&2
  exit 1
  ;;
esac

# The environment is the kernel's record of what this process was given, not what the shell made of it.
{
  echo "== $action @out@/bin/switch-to-configuration"
  echo "called as $0 $*"
  $b sed 's/^/cgroup /' /proc/self/cgroup | $b grep '^cgroup 0:'
  $b tr '\0' '\n' < /proc/$$/environ | $b sort | $b sed 's/^/env /'
} >> /var/log/activation

if [ "$action" = dry-activate ]; then
  echo "would activate the configuration..." >&2
  echo "would link /etc to @out@/etc" >&2
  exit 0
fi

[ ! -e /etc/activation-sleep ] || $b sleep "$($b cat /etc/activation-sleep)"

if [ "$action" = switch ] || [ "$action" = boot ]; then
  echo "updating the boot loader..." >&2
  [ "${NIXOS_INSTALL_BOOTLOADER-}" != 1 ] || echo "installed for @out@" > /boot/loader-installed
  echo @out@ > /boot/loader-entry
fi

if [ "$action" = switch ] || [ "$action" = test ]; then
  echo "activating the configuration..." >&2
  $b ln -sfn @out@/etc /etc/.static.new
  $b mv -T /etc/.static.new /etc/static
  (cd /etc/static && $b find . -type l) | while read -r name; do
    name=${name#./}
    $b mkdir -p "/etc/$($b dirname "$name")"
    $b ln -sfn "/etc/static/$name" "/etc/$name"
  done
  echo "setting up /etc..." >&2
  [ ! -e /etc/activation-command ] || $b sh /etc/activation-command >&2
  $b ln -sfn @out@ /run/.current-system.new
  $b mv -T /run/.current-system.new /run/current-system
fi

code=0
[ ! -e /etc/activation-exit-code ] || code=$($b cat /etc/activation-exit-code)
[ "$code" = 0 ] || echo "warning: the following units failed: lab-made-to-fail.service" >&2
echo "finished $action with $code" >> /var/log/activation
exit "$code"
