# shellcheck shell=bash
# The hosts that are made when asked for: whether they are what the other cases take them for.

# expect_nix HOST VERSION : checks the version on the host, and as its clients or users meet it.
expect_nix() {
	must_on "$1" nix-store --version
	expect_contains "$output" "(Nix) $2"
	must_on "$1" systemctl is-system-running
	expect_equal "$output" running
}

case_lab_clients_with_other_nix() {
	need_hosts oldpi newpi builder
	expect_nix oldpi 2.8.
	expect_nix newpi 2.34.
	for client in oldpi newpi; do
		must_on "$client" readlink -f /nix/var/nix/profiles/per-user/root/channels/nixos
		expect_matches "$output" '^/nix/store/[a-z0-9]{32}-nixos-25\.05\.'
		expect_equal "$(system_of "$client")" "$(profile_of "$client")"
		# The machine runs what its configuration says.
		must_on "$client" nix-build --no-out-link '<nixpkgs/nixos>' -A config.system.build.toplevel
		expect_equal "$output" "$(system_of "$client")"
		on "$client" nix-build --no-out-link -E \
			'derivation { name = "x"; system = "aarch64-linux"; builder = "/bin/sh"; }'
		expect_failure
		must_on "$client" ssh builder id -un
		expect_equal "$output" builder
	done
}

case_lab_clients_with_other_nix_become_root() {
	need_hosts oldpi newpi pi
	fresh oldpi newpi
	local client
	for client in oldpi newpi; do
		must_on pi ssh "admin@$client" sudo -n id -u
		expect_equal "$output" 0
		must_on pi ssh "doer@$client" doas id -u
		expect_equal "$output" 0
		must_sh_on pi "echo \"correct horse 'quoted'\" | ssh asker@$client sudo --stdin --prompt= id -u"
		expect_equal "$output" 0
	done
	must_on pi ssh runner@newpi run0 id -u
	expect_equal "$output" 0
	must_on newpi /usr/lib/cargo/bin/sudo --version
	expect_contains "$output$errors" sudo-rs
	# The host is older than run0 and sudo-rs.
	on oldpi sh -c 'command -v run0 sudo-rs'
	expect_failure
}

case_lab_builders_with_other_nix() {
	need_hosts oldbuilder newbuilder pi
	expect_nix oldbuilder 2.8.
	expect_nix newbuilder 2.34.
	for builder in oldbuilder newbuilder; do
		must_on pi ssh "$builder" id -un
		expect_equal "$output" builder
		for user in builder plain fishy cshy; do
			must_on pi ssh "$user@$builder" nix-instantiate --eval -E 1+1
			expect_equal "$output" 2
			must_on pi ssh "$user@$builder" unshare --user --map-root-user --mount true
		done
	done
}

case_lab_builder_without_a_daemon() {
	need_hosts solo pi
	expect_nix solo 2.26.
	expect_no_file solo /nix/var/nix/daemon-socket
	must_on pi ssh solo nix --extra-experimental-features nix-command store info
	expect_contains "$output$errors" "Store URL: local"
	# shellcheck disable=SC2016 # $out is the build's
	must_on pi ssh solo "nix-build --no-out-link -E '"'
		derivation { name = "x"; system = "x86_64-linux"; builder = "/bin/sh"; args = [ "-c" "echo >$out" ]; }'"'"
	must_on solo stat -c %U "$output"
	expect_equal "$output" builder
	on pi ssh plain@solo nix-instantiate -E 1
	expect_failure
	expect_contains "$errors" "Permission denied"
}
