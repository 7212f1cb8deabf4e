# shellcheck shell=bash
# What git knows of a tree beside names and contents, evaluated on a builder: what is clean on the Pi is clean there, by the
# same settings, and a repository goes whole or not at all. As in 51-flakes-there.sh, whose words these are.

# shellcheck source=/dev/null
. "$LAB/cases/51-flakes-there.sh"

# This is what all versions of Nix know of a flake in git, and what two of its files contain.
facts='all="{ rev = self.rev or null; inherit (self) narHash lastModified; one = builtins.readFile ./deep/one; }"'

# expect_clean, expect_dirty : check that the Pi itself takes it for that.
expect_clean() { expect_lacks "$(seen_in pi "$own")" '"rev":null'; }
expect_dirty() { expect_seen '"rev":null'; }

# expect_same_in_place : does the same as expect_same_derivation, but without a copy: what the index says of the files
# holds for these files only.
expect_same_in_place() {
	forget_calls pi
	must lab on pi env -C "$directory" timeout 120 rebuild dry-build --eval-on "${builder:-builder}" -v --flake .
	expect_no_evaluation pi
	ran="$ran
      and before, on the Pi: $(printf '%s' "$last_script" | tail -n 3)"
	note_derivation
	own=$(lab on pi env -C "$directory" nix --extra-experimental-features 'nix-command flakes' eval --raw \
		".#nixosConfigurations.pi.config.system.build.toplevel.drvPath" 2>"$CASE/own" </dev/null) ||
		fail "the Pi's own evaluation failed: $(cat "$CASE/own")"
	expect_own_derivation_there "${builder:-builder}"
}

# The filter is like those of git-crypt and git-lfs (NixOS/nix#5260). Only by the index does git know that the tree is
# clean, because the reading of a file by Nix itself never goes through the filter.
case_git_there_filters() {
	need_hosts oldbuilder newbuilder
	given <<-END
		$facts
		git init -q
		git config filter.turned.clean 'tr a-z n-za-m'
		git config filter.turned.smudge 'tr a-z n-za-m'
		echo 'deep/* filter=turned' >.gitattributes
		mkdir deep && echo hello >deep/one && echo other >other
		find . -path ./.git -prune -o -exec touch -d 2024-05-06T07:08:09Z {} +
		clean_flake <<<"\$all"
		mkdir more && echo more >more/file && touch -d 2024-05-06T07:08:09Z more/file && commit second
	END
	for builder in builder oldbuilder newbuilder; do
		expect_same_in_place
		expect_clean
	done
	# Nix 2.8 runs git, and git runs its filters: if there is no such program, git must not go on without it.
	after <<<'git config filter.turned.smudge /root/turn; git config filter.turned.clean /root/turn
		printf "#!/bin/sh\nexec tr a-z n-za-m\n" >/root/turn; chmod +x /root/turn; git commit -q --allow-empty -m third'
	run lab on pi env -C /srv/config timeout 120 rebuild dry-build --eval-on oldbuilder --flake .
	expect_failure
	expect_contains "$errors" "filter turned failed"
	builder=
	# The file was touched but is equal: to git, but not to libgit2.
	after <<<'touch -d 2024-05-06T08:00:00Z deep/one'
	expect_same_in_place
	# The index has another version, and times do not count.
	after <<<'git update-index --index-version 4 --refresh
		ln deep/one /srv/other-name && rm /srv/other-name; git config core.trustctime false'
	expect_same_in_place
	expect_clean
	# First another file has changed, then this one.
	after <<<'git config --unset core.trustctime; git update-index --index-version 2 --refresh; echo changed >>other'
	expect_same_in_place
	expect_dirty
	expect_seen '"one":"hello'
	after <<<'git checkout -q other; echo hullo >deep/one'
	expect_same_in_place
	expect_dirty
	# What is staged belongs to no commit.
	after <<<'git checkout -q deep/one; echo new >deep/new; touch -d 2024-05-06T07:08:09Z deep/new; git add .'
	expect_same_in_place
	expect_dirty
	after <<<'git commit -qam third; git worktree add -q -f /srv/tree'
	directory=/srv/tree
	after <<<'touch -d 2024-05-06T07:08:09Z deep/one; git update-index --refresh'
	expect_same_in_place
	expect_clean
}

# The settings of git are those of the Pi: with what they include, even if it is private, but without their secrets.
case_git_there_settings() {
	given <<-END
		$facts
		mkdir deep && echo one >deep/one
		clean_flake <<<"\$all"
		mkdir -p -m 700 /root/private
		cat >/root/.gitconfig <<-'GIT'
			[github]
				token = marker-of-a-token
			[url "https://marker-of-a-token@github.com/"]
				insteadOf = https://github.com/
			[core]
				autocrlf = true
			[include]
				path = private/included
				path = /run/secret-of-git
			[includeIf "gitdir:/srv/config/"]
				path = ~/private/on-a-condition
			[includeIf "gitdir:/elsewhere/"]
				path = ~/private/not-there
		GIT
		echo '[user] name = x' >/root/private/included
		echo '[user] email = marker-of-a-token@lab' >/run/secret-of-git
		printf '[core]\n\tattributesFile = ~/private/attributes\n' >/root/private/on-a-condition
		echo '# none' >/root/private/attributes
		git config remote.origin.url https://me:marker-of-a-token@git.lan/x
		printf 'one\r\n' >deep/one
		git add deep/one
	END
	must_on pi sh -c 'chmod 700 /root /root/private; chmod 600 /root/private/* /root/.gitconfig'
	expect_same_in_place
	expect_clean
	expect_not_there marker-of-a-token
	after <<<'echo "deep/one -text" >/root/private/attributes; touch deep/one'
	expect_same_in_place
	expect_dirty
	after <<<'rm /root/.gitconfig; printf "[core]\n\tautocrlf = true\n" >.git/more; git config include.path more; rm -r /root/private'
	expect_same_in_place
	expect_clean
	# git itself cannot read this file.
	after <<<'echo "[core" >.git/more'
	evaluate --flake .
	expect_equal "$own" failed
	expect_failure
	after <<<'git config --unset include.path || sed -i /include/,+1d .git/config'
	must_sh_on pi 'chmod 755 /root'
}

# Files in .ssh or .password-store of a repository belong to the repository.
case_git_there_names_of_secrets() {
	given <<-'END'
		mkdir -p .gnupg .ssh .password-store/web .aws sops
		echo use-agent >.gnupg/gpg.conf
		echo 'me@lab ssh-ed25519 AAAA' >.ssh/allowed_signers
		echo 0123 >.password-store/.gpg-id
		printf '\205\002\014' >.password-store/web/a.gpg
		echo '[default]' >.aws/config
		clean_flake <<<"$all // { tree = builtins.path { path = ./.; name = \"tree\"; }; }"
		echo 'marker-of-a-key' >.ssh/untracked; chmod 600 .ssh/untracked
	END
	expect_same_derivation --flake .
	expect_seen '"dirtyRev":null'
	after <<<'echo >>.password-store/web/a.gpg'
	expect_another_derivation --flake .
	expect_seen '"rev":null'
	expect_not_there marker-of-a-key
	# A classic configuration fetches it.
	must_sh_on pi 'rm -rf /etc/nixos; mkdir -p /etc/nixos
		echo "{ environment.etc.seen.text = builtins.toJSON (let t = builtins.fetchGit /srv/config; in [ (builtins.readDir t) (builtins.readDir (t + \"/.password-store/web\")) ]); }" >/etc/nixos/configuration.nix'
	must lab on pi env -C /etc/nixos timeout 120 rebuild dry-build --eval-on builder -v
	note_derivation
	own=$(lab on pi nix-instantiate '<nixpkgs/nixos>' -A config.system.build.toplevel </dev/null 2>"$CASE/own")
	expect_own_derivation_there builder
	must_sh_on pi 'rm -rf /etc/nixos'
	# The file is a key: the run is refused before anything is sent, with a remedy that works.
	after <<-'END'
		printf -- '-----BEGIN OPENSSH PRIVATE KEY-----\nmarker-of-a-key\n' >.ssh/id_pi && chmod 600 .ssh/id_pi
		git add .ssh/id_pi
	END
	run lab on pi env -C /srv/config timeout 120 rebuild dry-build --eval-on builder --flake .
	expect_failure
	expect_contains "$errors" "git tracks /srv/config/.ssh/id_pi, which is a secret"
	expect_contains "$errors" "git -C /srv/config/.ssh rm -r --cached id_pi"
	expect_not_there marker-of-a-key
	after <<<'git -C /srv/config/.ssh rm -qr --cached id_pi'
	expect_same_derivation --flake .
	expect_not_there marker-of-a-key
}

# /etc is a repository. It tracks files of which the evaluator would otherwise see its own; then a secret, which the
# evaluator never gets; and then a file in a place that always is the evaluator's.
case_git_there_etc() {
	directory=/etc/nixos
	given <<-'END'
		cd /etc && rm -rf .git && git init -q
		cd nixos
		flake <<<'{ inherit (self) narHash; texts = map (name: builtins.readFile (../. + "/${name}")) [ "hosts" "passwd" ]; }'
		git add -f flake.nix ../hosts ../passwd && lock && git add flake.lock && git commit -qm first
	END
	expect_same_in_place
	after <<<'git add -f ../shadow'
	run lab on pi env -C /etc/nixos timeout 120 rebuild dry-build --eval-on builder --flake .
	expect_failure
	expect_contains "$errors" "git tracks /etc/shadow, which is a secret"
	after <<<'git rm -rq --cached ../shadow; mkdir -p /etc/ssl/own && echo x >/etc/ssl/own/x && git add -f ../ssl/own/x'
	run lab on pi env -C /etc/nixos timeout 120 rebuild dry-build --eval-on builder --flake .
	expect_failure
	expect_contains "$errors" "/etc/ssl/own/x"
	must_sh_on pi 'rm -rf /etc/.git /etc/nixos /etc/ssl/own'
}
