# shellcheck shell=bash
# Configurations that are no classic ones, evaluated on the Pi itself: flakes, and files with --file and --attr. The Pi
# may build nothing: what is built here is built with max-jobs from the command line, by the emulated busybox, or on the
# builder. The flake's nixpkgs is the Pi's channel, so a flake gives the derivation that the classic configuration gives.

NEW_NIX="nix --extra-experimental-features nix-command flakes"
TOPLEVEL=config.system.build.toplevel

# Makes a flake with the Pi's configuration in DIRECTORY on the Pi, for the names that follow.
make_flake() { # DIRECTORY NAME...
	local directory=$1 name channel
	shift
	channel=$(lab on pi readlink -f /nix/var/nix/profiles/per-user/root/channels/nixos </dev/null)
	must_sh_on pi "mkdir -p '$directory' && cd '$directory' && [ -e configuration.nix ] || cp /etc/nixos/*.nix ."
	{
		echo "{ inputs.nixpkgs.url = \"path:$channel\";"
		echo "outputs = { self, nixpkgs }: let at = motd: nixpkgs.lib.nixosSystem { system = \"aarch64-linux\";"
		echo "modules = [ ./configuration.nix ({ lib, ... }: lib.mkIf (motd != null) {"
		echo "environment.etc.motd.text = lib.mkForce motd; }) ]; }; in { nixosConfigurations = {"
		for name; do
			if [ "$name" = pi ]; then echo "pi = at null;"; else printf '"%s" = at "%s\\n";\n' "$name" "$name"; fi
		done
		echo "}; }; }"
	} | write_on pi "$directory/flake.nix"
}

# rebuild FLAG... : runs it on the Pi; sets $result, and $calls to the Nix commands that it ran.
rebuild() {
	forget_calls pi
	on pi rebuild "$@"
	result=$output
	# The form of the log belongs to the display.
	calls=$(calls_of pi | sed 's/ --log-format internal-json//')
}

must_rebuild() {
	rebuild "$@"
	expect_status 0
	expect_matches "$result" '^/nix/store/[a-z0-9]{32}-nixos-system-pi-[^[:space:]]*$'
}

classic_system() {
	lab on pi nix-build '<nixpkgs/nixos>' -A "$TOPLEVEL" --no-out-link </dev/null
}

case_flake_in_etc_nixos() {
	fresh pi
	make_flake /etc/nixos pi
	must_rebuild build
	expect_equal "$calls" \
		"$NEW_NIX build --print-out-paths /etc/nixos#nixosConfigurations.\"pi\".$TOPLEVEL"
	expect_equal "$result" "$(classic_system)"
	expect_equal "$(lab on pi readlink /root/result </dev/null)" "$result"
	expect_file pi /etc/nixos/flake.lock

	# The classic configuration is beside it.
	must_rebuild build --no-flake
	expect_contains "$calls" "nix-build <nixpkgs/nixos> "
}

# To Nix, the flake is where the file is, not where the link is.
case_flake_by_a_symlink() {
	fresh pi
	make_flake "/srv/my config" pi
	must_on pi ln -s "/srv/my config/flake.nix" /etc/nixos/flake.nix
	must_rebuild build
	expect_equal "$calls" \
		"$NEW_NIX build --print-out-paths /srv/my config#nixosConfigurations.\"pi\".$TOPLEVEL"
	expect_equal "$result" "$(system_of pi)"
	expect_no_file pi /etc/nixos/flake.lock
}

case_flake_switch() {
	fresh pi
	make_flake /srv/config pi other.lan
	must_rebuild switch --flake /srv/config#other.lan --option max-jobs 2 --show-trace
	expect_equal "$(printf %s "$calls" | sed 's|/tmp/rebuild.[^/]*/|ROOTS/|')" \
		"$NEW_NIX build --print-out-paths /srv/config#nixosConfigurations.\"other.lan\".$TOPLEVEL --out-link ROOTS/result --option max-jobs 2 --show-trace
nix-env -p /nix/var/nix/profiles/system --set $result"
	expect_equal "$(profile_of pi)" "$result"
	expect_equal "$(system_of pi)" "$result"
	expect_equal "$(file_on pi /etc/motd)" other.lan
	expect_contains "$(file_on pi /var/log/activation)" "== switch $result/bin/switch-to-configuration"
	expect_no_file pi /root/result
}

case_flake_dry_build() {
	fresh pi
	make_flake /srv/config pi other
	must_sh_on pi 'cd /srv/config && rebuild dry-build --flake .#other'
	expect_equal "$output" ""
	expect_contains "$errors" "will be built"
	expect_contains "$errors" "etc-motd.drv"
	sh_on pi 'ls -d /nix/store/*-etc-motd | xargs grep -l other'
	expect_failure
	expect_no_file pi /srv/config/result
}

# The repository has changes. Files in it that git does not know are not seen. From a subdirectory, Nix finds the
# repository.
case_flake_in_a_repository() {
	fresh pi
	make_flake /srv/config/nixos pi
	# shellcheck disable=SC2016 # the Pi's shell's
	must_sh_on pi 'cd /srv/config && git init -q && git add . && export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=b
		GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=b git commit -qm first
		sed -i "s|imports = .|& ./new.nix |" nixos/configuration.nix && echo "{ }" >nixos/new.nix'
	rebuild build --flake /srv/config/nixos
	expect_failure
	expect_contains "$errors" "new.nix"
	must_sh_on pi 'cd /srv/config && git add -N nixos/new.nix'
	must_rebuild build --flake 'git+file:///srv/config?dir=nixos#pi'
	expect_equal "$result" "$(system_of pi)"
	must_sh_on pi 'cd /srv/config/nixos && rebuild build --flake'
	expect_equal "$output" "$result"
}

case_flake_flags() {
	fresh pi
	make_flake /srv/config pi
	# Without --impure there is no environment.
	must_sh_on pi 'sed -i "s|text = .*|text = \"Welcome to pi.\\\\n\" + builtins.getEnv \"COLOUR\";|" \
		/srv/config/configuration.nix'
	must_rebuild build --flake /srv/config --no-write-lock-file
	expect_equal "$result" "$(system_of pi)"
	expect_no_file pi /srv/config/flake.lock
	on pi env COLOUR=red rebuild build --flake /srv/config --impure --option max-jobs 2
	expect_status 0
	expect_contains "$(file_on pi "$output/etc/motd")" red
	# This is another nixpkgs, with a release of its own.
	# shellcheck disable=SC2016 # the Pi's shell's
	must_sh_on pi 'cp -R "$(readlink -f /nix/var/nix/profiles/per-user/root/channels/nixos)" /srv/nixpkgs &&
		chmod -R u+w /srv/nixpkgs && printf .mine >/srv/nixpkgs/.version-suffix'
	rebuild dry-build --flake /srv/config --override-input nixpkgs path:/srv/nixpkgs
	expect_status 0
	expect_contains "$errors" "25.05.mine"
	# What Nix makes of the other flags is its own affair: this only checks that Nix accepts them in their places.
	must_rebuild build --flake /srv/config#pi -v --quiet -j 0 --cores 1 --log-format raw -k -K --fallback -L -I x=/y \
		--builders '' --accept-flake-config --refresh --no-registries --offline --no-net
}

case_flake_build_host() {
	fresh
	make_flake /srv/config pi other
	must_rebuild build --flake /srv/config#other --build-on builder -L -Q --no-write-lock-file
	expect_contains "$calls" "$NEW_NIX eval --raw /srv/config#nixosConfigurations.\"other\".$TOPLEVEL.drvPath"
	expect_contains "$calls" "$NEW_NIX copy --no-check-sigs --to unix:///tmp/rebuild."
	expect_lacks "$calls" "nix-copy-closure --from"
	expect_lacks "$calls" "$NEW_NIX build"
	expect_equal "$(lab on pi readlink /root/result </dev/null)" "$result"
	# nixos-rebuild leaves a link in the login directory there as well. This program's link is in the cache, and keeps what
	# was built.
	expect_matches "$(lab on builder sh -c 'cd ~builder && find . -xdev -name result -type l' </dev/null)" \
		'^./.cache/rebuild/pi-[0-9a-f]{16}/results/[^/]*.drv/result$'
	expect_equal "$(file_on pi "$result/etc/motd")" other
	local own
	own=$(lab on pi nix --extra-experimental-features 'nix-command flakes' eval --raw \
		"/srv/config#nixosConfigurations.other.$TOPLEVEL.drvPath" </dev/null)
	expect_equal "$(lab on builder nix-store --query --deriver "$result" </dev/null)" "$own"

	rebuild dry-build --flake /srv/config#pi --build-on builder
	expect_status 0
	expect_equal "$output" ""
}

# The run shows the errors of a flake, and ends with its exit status.
case_flake_that_fails() {
	fresh pi
	make_flake /srv/config pi
	local before
	before="$(profile_of pi) $(system_of pi)"
	rebuild switch --flake /srv/config#nosuch
	expect_status 1
	expect_contains "$errors" "does not provide attribute"
	rebuild switch --flake /nonexistent
	expect_status 1
	must_sh_on pi 'sed -i "s/system.stateVersion/lab.failBuild = true; &/" /srv/config/configuration.nix'
	rebuild switch --flake /srv/config --option max-jobs 2
	expect_failure
	expect_contains "$errors" "fails-on-purpose"
	rebuild switch --flake /srv/config --build-on builder
	expect_failure
	expect_contains "$errors" "lab: this build fails on purpose"
	expect_equal "$(profile_of pi) $(system_of pi)" "$before"
	expect_no_file pi /var/log/activation
}

case_file_and_attr() {
	fresh
	must_sh_on pi 'mkdir -p /srv/hosts && cp /etc/nixos/*.nix /srv/hosts'
	write_on pi /srv/hosts/default.nix <<-'END'
		let at = module: import <nixpkgs/nixos/lib/eval-config.nix> { modules = [ ./configuration.nix module ]; };
		in at { } // { hosts.other = at ({ lib, ... }: { environment.etc.motd.text = lib.mkForce "other\n"; }); }
	END
	must_rebuild build --file /srv/hosts
	expect_equal "$calls" "nix-build /srv/hosts --attr $TOPLEVEL"
	expect_equal "$result" "$(system_of pi)"
	must_rebuild switch --file /srv/hosts/default.nix --attr hosts.other --option max-jobs 2
	expect_contains "$calls" "nix-build /srv/hosts/default.nix --attr hosts.other.$TOPLEVEL --out-link /tmp/rebuild."
	expect_equal "$(file_on pi /etc/motd)" other
	must_rebuild boot -f /srv/hosts -A hosts.other --build-on builder
	expect_contains "$calls" "nix-instantiate /srv/hosts --attr hosts.other.$TOPLEVEL --add-root /"

	# These are found: /etc/nixos/system.nix; <nixos-system> comes before it; with --attr, ./system.nix comes before both.
	must_on pi ln -s /srv/hosts/default.nix /etc/nixos/system.nix
	must_rebuild build
	expect_contains "$calls" "nix-build /etc/nixos/system.nix --attr $TOPLEVEL"
	must_rebuild build --attr hosts.other
	expect_contains "$calls" "nix-build /etc/nixos/system.nix --attr hosts.other.$TOPLEVEL"
	must_rebuild build -I nixos-system=/srv/hosts
	expect_contains "$calls" "nix-build <nixos-system> --attr $TOPLEVEL"
	must_on pi cp /srv/hosts/default.nix /srv/hosts/system.nix
	forget_calls pi
	must_sh_on pi 'cd /srv/hosts && rebuild build -A hosts.other'
	expect_contains "$(calls_of pi)" "nix-build system.nix --attr hosts.other.$TOPLEVEL"
	must_rebuild build --file '<nixpkgs/nixos>'
	expect_contains "$calls" "nix-build <nixpkgs/nixos> --attr $TOPLEVEL"

	# A flake comes before everything that is found, and --attr and --file come before the flake.
	make_flake /etc/nixos pi
	must_rebuild build
	expect_contains "$calls" "$NEW_NIX build --print-out-paths /etc/nixos#"
	must_rebuild build --attr hosts.other
	expect_contains "$calls" "nix-build /etc/nixos/system.nix"
}
