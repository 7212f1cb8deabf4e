# shellcheck shell=bash
# Flakes that are evaluated on the builder: the derivation, and the lock file that is written, are what the Pi's own Nix
# makes of them. Nothing is built but in the last case: `dry-build -v` says the derivation.
#
# No case counts on what another one has left; all of a run share one pair of hosts.

# given <<SCRIPT : a case begins, with an empty $directory (else /srv/config) in which SCRIPT is run on the Pi. It has
# commands: `flake [NAME] <<EXPRESSION` writes a flake.nix for the host NAME (else pi) with the value of EXPRESSION (as
# JSON) in /etc/seen; $inputs, if set, stands in it. `lock` makes its lock file, `commit` commits all there is.
given() {
	local script
	script=$(cat)
	if [ ! -e "${CASE%/*}/hosts-of-51-flakes" ]; then
		fresh
		: >"${CASE%/*}/hosts-of-51-flakes"
	fi
	: "${directory:=/srv/config}"
	must_sh_on pi "rm -rf $directory && mkdir -p $directory"
	after <<<"$script"
}

# after <<SCRIPT : a change, made in $directory on the Pi.
after() {
	last_script=$(cat)
	{
		printf 'cd %s\n' "$directory"
		cat <<-'END'
			export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@lab GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@lab
			export GIT_CONFIG_COUNT=2 GIT_CONFIG_KEY_0=init.defaultBranch GIT_CONFIG_VALUE_0=main
			export GIT_CONFIG_KEY_1=protocol.file.allow GIT_CONFIG_VALUE_1=always
			channel=$(readlink -f /nix/var/nix/profiles/per-user/root/channels/nixos)
			nix() { command nix --extra-experimental-features 'nix-command flakes' "$@"; }
			flake() {
				cat >flake.nix <<-NIX
					{
					  inputs.nixpkgs.url = "path:$channel";
					  ${inputs:-}
					  outputs = inputs@{ self, nixpkgs, ... }: {
					    nixosConfigurations."${1:-pi}" = nixpkgs.lib.nixosSystem {
					      system = "aarch64-linux";
					      modules = [ ({ config, lib, pkgs, ... }: { environment.etc.seen.text = builtins.toJSON (
					$(cat)
					      ); }) ];
					    };
					  };
					}
				NIX
			}
			lock() { nix flake lock "$@" 2>/dev/null; }
			commit() { git add -A && git commit -qm "${1:-more}" --date=2024-03-02T01:00:00Z; }
			clean_flake() { git init -q && flake "$@" && git add . && lock && commit; }
			all='{
			  rev = self.rev or null; shortRev = self.shortRev or null; dirtyRev = self.dirtyRev or null;
			  dirtyShortRev = self.dirtyShortRev or null; revCount = self.revCount or null; inherit (self) narHash lastModified
			  lastModifiedDate; submodules = self.submodules or null; names = builtins.readDir self; path = self.outPath; }'
		END
		printf '%s\n' "$last_script"
	} >"$CASE/script"
	ran="the case's own script on the Pi"
	lab on pi bash -eu <"$CASE/script" >"$CASE/output" 2>"$CASE/errors" || status=$? fail "the Pi could not be prepared"
}

# evaluate [NAME=VALUE...] [FLAG...] : on the builder first, in a copy of $directory and under its name; then on the Pi, in
# what was there before. $own is what the Pi's Nix says; $there, $status and $errors are those of `rebuild`. What each has
# left in $directory is in $kept_own and $kept_there. A case may set $from, the current directory, and $host, the name of the
# configuration, and has to say --flake unless it sets $found, the flake that is found of itself.
evaluate() {
	local environment=() reference=${found:-.} flags=()
	while [[ "${1-}" =~ ^[A-Za-z_]+= ]]; do
		environment+=("$1")
		shift
	done
	must_on pi sh -euc 'rm -rf /srv/.before /srv/.there; cp -a "$1" /srv/.before' copy "$directory"
	forget_calls pi
	run lab on pi env -C "${from:-$directory}" "${environment[@]}" timeout 120 rebuild dry-build --eval-on builder -v "$@"
	expect_no_evaluation pi
	ran="$ran
      and before, on the Pi: $(printf '%s' "$last_script" | tail -n 3)"
	sed -i '/^evaluating file/d' "$CASE/errors"
	errors=$(cat "$CASE/errors")
	there=$(sed -n 's/^derivation: //p' "$CASE/errors" | tail -n 1)
	kept_there=$(left_behind)
	while [ $# -gt 0 ]; do
		if [ "$1" = --flake ]; then
			reference=$2
			shift 2
		else
			flags+=("$1")
			shift
		fi
	done
	[[ "$reference" == *"#"* ]] || reference="$reference#${host:-pi}"
	lab on pi sh -euc 'mv "$1" /srv/.there && mv /srv/.before "$1"' restore "$directory" </dev/null
	own=$(lab on pi env -C "${from:-$directory}" "${environment[@]}" nix --extra-experimental-features 'nix-command flakes' eval --raw \
		"${reference%%#*}#nixosConfigurations.\"${reference#*#}\".config.system.build.toplevel.drvPath" "${flags[@]}" \
		2>"$CASE/own" </dev/null) || own=failed
	kept_own=$(left_behind)
}

# What an evaluation may leave in a flake's directory.
# shellcheck disable=SC2016 # the Pi's shell's
left_behind() {
	lab on pi sh -c 'cd "$1" && cat flake.lock; ls -ARl --time-style=+ . | grep lock
		[ ! -e .git ] || { git status --porcelain=v2; git log --format=%s; }' left "$directory" 2>&1 </dev/null | sed 's/^total.*//'
}

# expect_same_derivation [NAME=VALUE...] [FLAG...]
expect_same_derivation() {
	evaluate "$@"
	[ "$own" != failed ] || fail "the Pi's own evaluation failed: $(cat "$CASE/own")"
	expect_status 0
	[ "$there" = "$own" ] || fail "expected the Pi's own derivation: $own
      where /etc/seen is: $(seen_in pi "$own")
    saw: $there
      where /etc/seen is: $(seen_in builder "$there")"
	expect_equal "$kept_there" "$kept_own"
}

# expect_another_derivation ... : the same on both, and not the one of before.
expect_another_derivation() {
	local before=$own
	expect_same_derivation "$@"
	expect_different "$own" "$before"
}

# expect_same_failure TEXT ... : both fail, for the same reason.
expect_same_failure() {
	local text=$1
	shift
	evaluate "$@"
	expect_equal "$own" failed
	expect_contains "$(cat "$CASE/own")" "$text"
	expect_failure
	expect_contains "$errors" "$text"
	expect_equal "$kept_there" "$kept_own"
}

# expect_seen TEXT... : so the Pi itself has read it.
expect_seen() {
	local seen text
	seen=$(seen_in pi "$own")
	for text; do expect_contains "$seen" "$text"; done
}

# shellcheck disable=SC2016 # the host's shell's
seen_in() { # HOST DERIVATION
	lab on "$1" sh -c 'seen=$(nix-store --query --requisites "$1" | grep -e "-etc-seen.drv$") &&
		nix-store --query --binding text "$seen"' seen "$2" 2>&1 </dev/null || true
}

# expect_not_there TEXT... : nothing on the builder has it; expect_there TEXT... : its cache of our files has.
expect_not_there() {
	local text
	for text; do
		sh_on builder "grep -rlF -- '$text' /home/builder /var/tmp /tmp /nix/store"
		expect_equal "$output" ""
	done
}
expect_there() {
	local text
	for text; do must_sh_on builder "grep -rqF -- '$text' /home/builder/.cache/rebuild"; done
}

# --- which flake ----------------------------------------------------------------------------------
case_flake_there_without_git() {
	given <<-'END'
		mkdir -p deep/er empty
		echo one >deep/er/one
		ln -s one deep/er/link
		ln -s /nowhere dangling
		chmod +x deep/er/one
		echo content >"$(printf 'odd \n"name*')"
		flake <<<'{ inherit (self) lastModified narHash; path = "${self}"; rev = self.rev or null; one = builtins.readFile ./deep/er/one; }'
		lock
		find . -exec touch -h -d 2024-05-06T07:08:09Z {} +
		touch -d 2024-05-06T08:00:00Z deep/er
	END
	expect_same_derivation --flake .
	expect_seen '"lastModified":1714982400,'
	expect_same_derivation --flake /srv/config#pi
	expect_same_derivation --flake "path:/srv/config"
	from=/srv/config/deep/er
	expect_same_derivation --flake ../..#pi
	expect_same_derivation --flake .
	from=
	# A link counts as well, and one file alone.
	after <<<'touch -h -d 2024-05-06T09:00:00Z dangling'
	expect_another_derivation --flake .
	expect_seen '"lastModified":1714986000,'
	after <<<'touch -d 2024-05-06T10:00:00Z empty'
	expect_another_derivation --flake .
	expect_seen '"lastModified":1714989600,'
	after <<<'echo two >deep/er/one; touch -d 2024-05-06T07:08:09Z deep/er/one'
	expect_another_derivation --flake .
	after <<<'rm -r empty; touch -d 2024-05-06T07:08:09Z .'
	expect_another_derivation --flake .
	after <<<'chmod -x deep/er/one'
	expect_another_derivation --flake .
}

case_flake_there_found_in_etc_nixos() {
	directory=/etc/nixos from=/root found=/etc/nixos
	given <<-'END'
		cd /etc/nixos
		clean_flake <<<"$all"
	END
	expect_same_derivation
	expect_seen '"dirtyRev":null'
	# A symlink into a checkout elsewhere.
	directory=/srv/checkout found=/srv/checkout/machines
	given <<-'END'
		git init -q
		mkdir machines && cd machines
		flake <<<"$all"
		git add . && lock && commit
		rm -rf /etc/nixos && mkdir /etc/nixos && ln -s ../../srv/checkout/machines/flake.nix /etc/nixos/flake.nix
	END
	expect_same_derivation
	expect_seen '"dirtyRev":null'
	after <<<'echo "# dirty" >>machines/flake.nix; rm /etc/nixos/flake.nix; ln -s /srv/checkout/machines/flake.nix /etc/nixos/'
	expect_another_derivation
	expect_seen '"rev":null'
	must_sh_on pi 'rm -rf /etc/nixos'
}

# --- git ------------------------------------------------------------------------------------------
case_flake_there_clean_and_dirty() {
	given <<-'END'
		mkdir -p deep/er private
		echo one >deep/er/one
		echo 'of root alone' >private/file
		chmod 700 private; chmod 600 private/file
		ln -s one deep/er/link
		ln -s deep/er way
		echo x >"$(printf 'odd \n"name*')"
		mkdir 'a dir' && echo x >'a dir/a file' && chmod +x 'a dir/a file'
		clean_flake <<<"$all // { one = builtins.readFile ./deep/er/one; private = builtins.readFile ./private/file; }"
		echo two >deep/er/two && commit second
		mkdir -p untracked/deep
		echo 'marker-of-the-untracked' | tee untracked/deep/file untracked.nix deep/er/untracked >/dev/null
		echo ignored >.git/info/exclude; mkdir ignored; echo marker-of-the-untracked >ignored/file
	END
	expect_same_derivation --flake .
	expect_seen '"revCount":2' '"dirtyRev":null' '"private":"of root alone'
	expect_lacks "$(seen_in pi "$own")" '"rev":null'
	expect_not_there marker-of-the-untracked
	from=/srv/config/deep/er
	expect_same_derivation --flake ../..#pi
	expect_same_derivation --flake .
	from=
	expect_same_derivation --flake git+file:///srv/config
	# Without git's word for it: as the files lie there.
	after <<<'echo changed >deep/er/one'
	expect_another_derivation --flake .
	expect_seen '"dirtyShortRev":"' '"rev":null' '"one":"changed'
	after <<<'echo staged >staged; git add staged'
	expect_another_derivation --flake .
	expect_seen '"staged":"regular"'
	after <<<'echo intended >deep/intended; git add -N deep/intended'
	expect_another_derivation --flake .
	after <<<'rm deep/er/two'
	expect_another_derivation --flake .
	after <<<'git rm -rq --cached "a dir"'
	expect_another_derivation --flake .
	expect_lacks "$(seen_in pi "$own")" '"a dir"'
	expect_not_there marker-of-the-untracked
	after <<<'git add -A . && git reset -q untracked untracked.nix && git commit -qm third && rm -r ignored'
	expect_another_derivation --flake .
	# A file that is executable now, a file that is a link now, a directory that is a file now.
	after <<<'chmod +x deep/er/one'
	expect_another_derivation --flake .
	after <<<'rm way; echo x >way; rm -r "a dir"; ln -s deep "a dir"'
	expect_another_derivation --flake .
}
