# shellcheck shell=bash
# Configurations that are files, evaluated on the builder; and --verify-eval, which evaluates on both.

TOPLEVEL=config.system.build.toplevel

# expect_same [FLAG...] -- WORD... : checks that what `rebuild` with these flags evaluates on the builder is what the
# Pi's own nix-instantiate makes of WORDS.
expect_same() {
	local flags=() own there
	while [ "$1" != -- ]; do flags+=("$1") && shift; done
	shift
	forget_calls pi
	run lab on pi env -C /srv/hosts rebuild dry-build --eval-on builder -v "${flags[@]}"
	expect_status 0
	expect_no_evaluation pi
	there=$(sed -n 's/^derivation: //p' "$CASE/errors")
	own=$(lab on pi env -C /srv/hosts nix-instantiate "$@" 2>/dev/null </dev/null)
	expect_equal "$there" "$own"
}

# Makes two configurations in a directory of hosts; one of them is what the whole directory evaluates to, as well.
make_hosts() {
	must_sh_on pi 'mkdir -p /srv/hosts/parts && cp /etc/nixos/*.nix /srv/hosts/ && cd /srv/hosts
		echo "{ lib, ... }: { environment.etc.motd.text = lib.mkForce \"other\"; }" >parts/other.nix
		cat >default.nix <<-"NIX"
			let system = part: import <nixpkgs/nixos/lib/eval-config.nix> { modules = [ ./configuration.nix ] ++ part; }; in
			system [ ] // { hosts = builtins.mapAttrs (name: _: system [ (./parts + "/${name}") ]) (builtins.readDir ./parts); }
		NIX'
}

case_files_and_what_is_found() {
	fresh
	make_hosts
	local other='hosts."other.nix"'
	expect_same --file /srv/hosts -- /srv/hosts --attr $TOPLEVEL
	expect_same --file ./default.nix --attr "$other" -- ./default.nix --attr "$other.$TOPLEVEL"
	# nixpkgs#493229: in a directory that is named, and in the current one, a system.nix comes first.
	expect_same --attr "$other" -- default.nix --attr "$other.$TOPLEVEL"
	must_sh_on pi "cd /srv/hosts && echo 'import ./default.nix // { hosts.named = (import ./default.nix).$other; }' >system.nix"
	expect_same --file /srv/hosts --attr hosts.named -- system.nix --attr "hosts.named.$TOPLEVEL"
	expect_same --attr hosts.named -- system.nix --attr "hosts.named.$TOPLEVEL"
	must_sh_on pi 'cd /srv/hosts && rm system.nix && mv default.nix all.nix'
	must_on pi ln -s ../../srv/hosts/all.nix /etc/nixos/system.nix
	expect_same -- /etc/nixos/system.nix --attr $TOPLEVEL
	expect_same --attr "$other" -- /etc/nixos/system.nix --attr "$other.$TOPLEVEL"
	must_sh_on pi 'cp -r /srv/hosts /srv/elsewhere && mv /srv/elsewhere/all.nix /srv/elsewhere/default.nix'
	must_on pi sed -i 's/"other"/"elsewhere"/' /srv/elsewhere/parts/other.nix
	expect_same -I nixos-system=/srv/elsewhere --attr "$other" -- \
		-I nixos-system=/srv/elsewhere '<nixos-system>' --attr "$other.$TOPLEVEL"
	must_on pi rm /etc/nixos/system.nix
	expect_same --file '<nixpkgs/nixos>' -- '<nixpkgs/nixos>' --attr $TOPLEVEL

	on pi rebuild dry-build --eval-on builder --file /srv/none.nix
	expect_status 1
	expect_contains "$errors" "the configuration /srv/none.nix does not exist"
	on pi rebuild dry-build --eval-on builder --file '<none>'
	expect_status 1
	expect_contains "$errors" "<none> is not in the Nix search path"
}

case_verify_eval() {
	fresh
	on pi rebuild switch --eval-on builder --verify-eval
	expect_status 0
	expect_contains "$errors" "evaluating here first, to compare"

	# Each machine has its own file here.
	must_on pi sed -i '$s|}|  environment.etc.now.text = if builtins.pathExists "/usr/local/bin/rebuild" then "here" else "there";\n}|' /etc/nixos/configuration.nix
	must_on pi nix-instantiate '<nixpkgs/nixos>' -A $TOPLEVEL
	local before
	before=$(profile_of pi)
	on pi rebuild switch --eval-on builder --verify-eval --option substitute false
	expect_status 1
	expect_contains "$errors" "builder evaluates to another system than this machine; nothing was changed here"
	expect_matches "$errors" 'here:  /nix/store/[a-z0-9]{32}-nixos-system-pi-[^ ]*\.drv'
	expect_matches "$errors" 'there: /nix/store/[a-z0-9]{32}-nixos-system-pi-[^ ]*\.drv'
	expect_equal "$(profile_of pi)" "$before"
	sh_on builder 'sleep 0.5; ls -d /home/builder/.cache/rebuild/*/run.* /var/tmp/rebuild.* /dev/shm/rebuild.* 2>/dev/null; pgrep -l nix-instantiate'
	expect_equal "$output" ""
}
