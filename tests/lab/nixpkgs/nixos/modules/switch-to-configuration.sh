# shellcheck shell=sh
# The miniature's activation. It notes in /var/log/activation how it was called, then does the few
# things that tests look at. @out@ and @busybox@ are put in by toplevel.nix.
#
# /etc/activation-exit-code   its number becomes the exit code, after everything else was done
# /etc/activation-sleep       seconds to take before anything changes
# /etc/activation-command     run (by sh) in the middle, e.g. to take the network down
# /etc/activation-steps       its number of steps, one a second: each says "step i of N", and notes it. The new /etc is there
#                             by then, /run/current-system is still the old one
#
# The real one dies when it cannot write a message (it ignores SIGPIPE, and a write that fails is a panic), with the machine
# as it is then. So does this one, and notes "could not write MESSAGE".

b=@busybox@
action=${1-}

trap '' PIPE
say() {
  echo "$1" >&2 2> /dev/null || {
    echo "could not write $1" >> /var/log/activation
    exit 101
  }
}

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
  say "would activate the configuration..."
  say "would link /etc to @out@/etc"
  exit 0
fi

[ ! -e /etc/activation-sleep ] || $b sleep "$($b cat /etc/activation-sleep)"

if [ "$action" = switch ] || [ "$action" = boot ]; then
  say "updating the boot loader..."
  [ "${NIXOS_INSTALL_BOOTLOADER-}" != 1 ] || echo "installed for @out@" > /boot/loader-installed
  echo @out@ > /boot/loader-entry
fi

if [ "$action" = switch ] || [ "$action" = test ]; then
  say "activating the configuration..."
  $b ln -sfn @out@/etc /etc/.static.new
  $b mv -T /etc/.static.new /etc/static
  (cd /etc/static && $b find . -type l) | while read -r name; do
    name=${name#./}
    $b mkdir -p "/etc/$($b dirname "$name")"
    $b ln -sfn "/etc/static/$name" "/etc/$name"
  done
  say "setting up /etc..."
  if [ -e /etc/activation-steps ]; then
    steps=$($b cat /etc/activation-steps)
    for step in $($b seq "$steps"); do
      echo "step $step of $steps" >> /var/log/activation
      say "step $step of $steps"
      $b sleep 1
    done
  fi
  [ ! -e /etc/activation-command ] || $b sh /etc/activation-command >&2
  $b ln -sfn @out@ /run/.current-system.new
  $b mv -T /run/.current-system.new /run/current-system
fi

code=0
[ ! -e /etc/activation-exit-code ] || code=$($b cat /etc/activation-exit-code)
[ "$code" = 0 ] || say "warning: the following units failed: lab-made-to-fail.service"
echo "finished $action with $code" >> /var/log/activation
exit "$code"
