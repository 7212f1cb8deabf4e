# shellcheck shell=sh
# Every applet of busybox as a function: there is nothing in PATH while building.
for applet in cat chmod cp cut dd dirname env find grep head id ln ls mkdir mv readlink rm sed seq sleep sort touch tr uname wc
do
  eval "$applet() { \"$builder\" $applet \"\$@\"; }"
done
