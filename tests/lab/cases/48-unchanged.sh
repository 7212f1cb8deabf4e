# shellcheck shell=bash
# A question that was answered is not asked again (src/builder/scripts/unchanged.sh), by each age of Nix; whatever changes is
# evaluated, and gives the Pi's own derivation; and what an evaluation saw besides the question is not remembered.

# shellcheck source=/dev/null
. "$LAB/classic.sh"

# A run may remember after the first one that needs nothing new, so the third one has to.
MOST_RUNS=3

# is_unchanged : whether the last run was not evaluated. What it said and what it did have to agree.
is_unchanged() { [[ "$errors" == *"unchanged: not evaluated"* ]]; }

# settle [WORD...] : evaluates, with the words of `evaluate`, until a run is unchanged.
settle() {
	local number
	for ((number = 1; number <= MOST_RUNS; number++)); do
		evaluate "$@"
		expect_status 0
		expect_own_derivation_there "${builder:-builder}"
		! is_unchanged || return 0
	done
	fail "expected it to be unchanged after $MOST_RUNS runs"
}

# expect_evaluated [WORD...] : the next run evaluates, and gives the Pi's own derivation.
expect_evaluated() {
	evaluate "$@"
	expect_status 0
	! is_unchanged || fail "expected an evaluation"
	expect_own_derivation_there "${builder:-builder}"
}

# expect_never_remembered : however often it is run, it is evaluated.
expect_never_remembered() {
	local number
	for ((number = 0; number <= MOST_RUNS; number++)); do
		evaluate
		expect_status 0
		! is_unchanged || fail "expected an evaluation each time"
	done
}

unchanged_questions() {
	given <<-'END'
		echo one >text
		echo '{ environment.etc.more.text = "more"; }' >more.nix
		reads <<-'NIX'
			[ (builtins.readFile ./text) (builtins.pathExists ./perhaps) (builtins.getEnv "COLOUR") ]
		NIX
		sed -i 's/^{ config.*/&\n  imports = [ .\/more.nix ];/' configuration.nix
	END
	settle COLOUR=blue
	local first=$there
	# It is the same for each verb, and the result of a build is the same, too.
	run lab on pi env -C /etc/nixos COLOUR=blue timeout 120 rebuild build --eval-on "$builder" -v
	expect_status 0
	note_derivation
	expect_equal "$there" "$first"
	after <<<'echo "# a comment" >>more.nix'
	expect_evaluated COLOUR=blue
	expect_equal "$there" "$first"
	settle COLOUR=blue
	after <<<'echo two >text'
	expect_evaluated COLOUR=blue
	expect_different "$there" "$first"
	settle COLOUR=blue
	after <<<'touch -d "2001-02-03" text'
	expect_evaluated COLOUR=blue
	settle COLOUR=blue
	after <<<'touch perhaps'
	expect_evaluated COLOUR=blue
	settle COLOUR=blue
	expect_evaluated COLOUR=red
	settle COLOUR=red
	local flag known=$there
	for flag in --no-eval-cache --refresh --verify-eval; do
		run lab on pi env -C /etc/nixos COLOUR=red timeout 120 rebuild dry-build --eval-on "$builder" -v "$flag"
		expect_status 0
		! is_unchanged || fail "expected an evaluation"
		note_derivation
		expect_equal "$there" "$known"
	done
	# Somebody collects the builder's garbage.
	settle COLOUR=red
	must_sh_on "$builder" 'rm -rf /home/builder/.cache/rebuild/*/results/*; nix-collect-garbage >/dev/null 2>&1'
	expect_no_file "$builder" "$there"
	expect_evaluated COLOUR=red
}

case_unchanged_questions() {
	local builder=builder
	unchanged_questions
}

case_unchanged_questions_of_other_nixes() {
	local builder
	need_hosts oldbuilder newbuilder
	# Other cases have them collect garbage all the time.
	fresh builder oldbuilder newbuilder
	for builder in oldbuilder newbuilder; do
		unchanged_questions
	done
}

case_unchanged_what_is_not_in_the_question() {
	local builder
	need_hosts oldbuilder newbuilder
	# Other cases have them collect garbage all the time.
	fresh builder oldbuilder newbuilder
	for builder in builder oldbuilder newbuilder; do
		given <<-'END'
			mkdir -p /srv/fetched/x && echo text >/srv/fetched/x/file && tar -C /srv/fetched -czf /etc/nixos/x.tar.gz x
		END
		given_expression 'toString (builtins.currentTime > 1000)'
		expect_never_remembered
		given_expression 'toString (builtins.pathExists "/proc/version")'
		expect_never_remembered
		given_expression 'builtins.readFile (builtins.fetchTarball file:///etc/nixos/x.tar.gz + "/file")'
		expect_never_remembered
		given_expression 'toString (builtins.${"current" + "Time"} > 1000)'
		expect_never_remembered
		given_expression 'toString (__currentTime > 1000)'
		expect_never_remembered
		# With its hash it is the same each time.
		must_sh_on pi 'nix-hash --type sha256 --base32 /srv/fetched/x'
		given_expression "builtins.readFile (builtins.fetchTarball { url = file:///etc/nixos/x.tar.gz; sha256 = \"$output\"; } + \"/file\")"
		settle
	done
}

case_unchanged_flakes() {
	local builder
	need_hosts newbuilder
	for builder in builder newbuilder; do
		fresh pi builder newbuilder
		must_sh_on pi 'mkdir -p /srv/flake && cd /srv/flake && cp /etc/nixos/*.nix . && echo one >text
			nixpkgs=$(readlink -f /nix/var/nix/profiles/per-user/root/channels/nixos)
			cat >flake.nix <<-NIX
				{
				  inputs.nixpkgs.url = "path:$nixpkgs";
				  outputs = { nixpkgs, ... }: {
				    nixosConfigurations.pi = nixpkgs.lib.nixosSystem {
				      system = "aarch64-linux";
				      modules = [ ./configuration.nix { environment.etc.seen.text = builtins.readFile ./text; } ];
				    };
				  };
				}
			NIX'
		local number unchanged=''
		for number in 1 2 3 4; do
			run lab on pi timeout 120 rebuild dry-build --flake /srv/flake#pi --eval-on "$builder" -v
			expect_status 0
			! is_unchanged || unchanged="$unchanged $number"
		done
		expect_matches "$unchanged" ' 4$'
		# The first run locks it.
		expect_lacks " $unchanged " ' 1 '
		must_sh_on pi 'echo two >/srv/flake/text'
		run lab on pi timeout 120 rebuild dry-build --flake /srv/flake#pi --eval-on "$builder" -v
		expect_status 0
		! is_unchanged || fail "expected an evaluation"
		run lab on pi timeout 120 rebuild dry-build --flake /srv/flake#pi --eval-on "$builder" --refresh
		expect_status 0
		! is_unchanged || fail "expected an evaluation"
	done
}

# What was made of the same question is still here, so the builder is not needed.
case_unchanged_and_the_builder_is_off() {
	local builder=builder number system
	fresh
	for ((number = 1; number <= MOST_RUNS; number++)); do
		run lab on pi timeout 120 rebuild switch --eval-on builder
		expect_status 0
	done
	is_unchanged || fail "expected it to be unchanged by now"
	# A switch makes links anew, and a generation more; that is no other question. Another /etc is one, once.
	must_sh_on pi 'sed -i "s/moo/mooo/" /etc/nixos/configuration.nix'
	run lab on pi timeout 120 rebuild switch --eval-on builder
	expect_status 0
	! is_unchanged || fail "expected an evaluation"
	for ((number = 1; number <= 2; number++)); do
		run lab on pi timeout 120 rebuild switch --eval-on builder
		expect_status 0
	done
	is_unchanged || fail "expected it to be unchanged after a switch"
	system=$(system_of pi)
	cut_between pi builder
	run lab on pi timeout 120 rebuild switch --eval-on builder
	expect_status 0
	expect_contains "$errors" "builder cannot be reached"
	is_unchanged || fail "expected a word"
	expect_equal "$output" "$system"
	expect_equal "$(system_of pi)" "$system"
	run lab on pi timeout 120 rebuild switch --eval-on builder --refresh
	expect_failure
	must_sh_on pi 'echo "# another comment" >>/etc/nixos/configuration.nix'
	run lab on pi timeout 120 rebuild switch --eval-on builder
	expect_failure
	expect_contains "$errors" "builder cannot be reached"
	expect_equal "$(system_of pi)" "$system"
	join_again pi builder
}
