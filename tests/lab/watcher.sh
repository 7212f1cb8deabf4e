#!/bin/sh
# Stands in for a Nix command on a client of the lab: notes the call, then becomes the real command. So a test can prove
# who evaluated, and that nothing else was asked of a weak machine.
name=${0##*/}
printf '%s\n' "$name $*" >>/var/log/nix-calls 2>/dev/null
exec "/usr/lib/nix-real/$name" "$@"
