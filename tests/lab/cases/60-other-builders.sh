# shellcheck shell=bash
# Builders that are not as one wishes them: another Nix, no namespaces, no daemon, other programs, other people's. The
# derivation is the client's own, or there is a clear word.

# given [CLIENT] <<SCRIPT : an empty /etc/nixos on the client ($client from now on; else pi), in which SCRIPT is run. SCRIPT
# has a command `reads`, that reads an expression and writes a configuration with its value (as JSON) in /etc/seen.
given() {
	client=${1:-pi}
	{
		cat <<-'END'
			rm -rf /etc/nixos
			mkdir /etc/nixos
			cd /etc/nixos
			reads() {
				printf '{ config, lib, pkgs, ... }: {\n  environment.etc.seen.text = builtins.toJSON (\n%s\n  );\n}\n' "$(cat)" >configuration.nix
			}
		END
		cat
	} >"$CASE/script"
	ran="the case's own script on $client"
	lab on "$client" sh -eu <"$CASE/script" >"$CASE/output" 2>"$CASE/errors" || status=$? fail "$client could not be prepared"
}

# expect_same_derivation BUILDER [FLAG...] : as the client's own Nix makes; $own.
expect_same_derivation() {
	evaluates_to_something "$@"
	own_derivation "${@:2}"
	[ "$there" = "$own" ] || fail "expected the client's own derivation: $own
      where /etc/seen is: $(seen_in "$client" "$own")
    saw: $there
      where /etc/seen is: $(seen_in "${1#*@}" "$there")"
}
evaluates_to_something() { # BUILDER [FLAG...]
	forget_calls "$client"
	must lab on "$client" env -C /etc/nixos timeout 180 rebuild dry-build --eval-on "$1" -v "${@:2}"
	there=$(sed -n 's/^derivation: //p' "$CASE/errors" | tail -n 1)
	expect_no_evaluation "$client"
}
own_derivation() { # [FLAG...]
	if [ "${1-}" = --flake ]; then
		own=$(lab on "$client" env -C /etc/nixos nix --extra-experimental-features 'nix-command flakes' \
			eval --raw "${2%%#*}#nixosConfigurations.${2#*#}.config.system.build.toplevel.drvPath" "${@:3}" 2>"$CASE/own" </dev/null)
	else
		own=$(lab on "$client" env -C /etc/nixos \
			nix-instantiate '<nixpkgs/nixos>' -A config.system.build.toplevel "$@" 2>"$CASE/own" </dev/null)
	fi || fail "the own evaluation of $client failed: $(cat "$CASE/own")"
}

# shellcheck disable=SC2016 # the host's shell's
seen_in() { # HOST DERIVATION
	lab on "$1" sh -c 'seen=$(nix-store --query --requisites "$1" | grep -e "-etc-seen.drv$") &&
		nix-store --query --binding text "$seen"' seen "$2" 2>&1 </dev/null || true
}
# expect_seen TEXT... : so the client itself has read it.
expect_seen() {
	local seen text
	seen=$(seen_in "$client" "$own")
	for text; do expect_contains "$seen" "$text"; done
}

# --- programs that are not there ------------------------------------------------------------------
case_other_builders_without_pivot_root() {
	need_hosts newbuilder
	fresh pi newbuilder
	must_sh_on newbuilder 'rm -f /usr/bin/pivot_root /usr/sbin/pivot_root; ! command -v pivot_root'
	given <<-'END'
		echo '[ (builtins.readDir ./.) (builtins.pathExists "/srv/none") (builtins.readDir "/srv") ]' | reads
	END
	expect_same_derivation newbuilder
}
