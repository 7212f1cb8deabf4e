# shellcheck shell=bash
# Flakes that are evaluated on the builder: the derivation, and the lock file that is written, are what the Pi's own Nix
# makes of them. Nothing is built but in the last case: `dry-build -v` says the derivation.
#
# No case relies on what another one has left; all cases of a run share one pair of hosts.

# shellcheck source=/dev/null
. "$LAB/derivations.sh"

# given <<SCRIPT : begins a case with an empty $directory (default: /srv/config), in which SCRIPT is run on the Pi.
# SCRIPT has these commands: `flake [NAME] <<EXPRESSION` writes a flake.nix for the host NAME (default: pi) with the
# value of EXPRESSION (as JSON) in /etc/seen; it contains $inputs, if that is set. `lock` makes its lock file, and
# `commit` commits everything.
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

# after <<SCRIPT : makes a change in $directory on the Pi.
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
			lock() { nix flake lock "$@" 2>/tmp/lock || { cat /tmp/lock; exit 1; }; }
			commit() { git add -A && git commit -qm "${1:-more}" --date=2024-03-02T01:00:00Z; }
			clean_flake() { git init -q && flake "$@" && git add . && lock && commit; }
			all='{
			  rev = self.rev or null; shortRev = self.shortRev or null; dirtyRev = self.dirtyRev or null;
			  dirtyShortRev = self.dirtyShortRev or null; revCount = self.revCount or null; inherit (self) narHash lastModified
			  lastModifiedDate; submodules = self.submodules or null; names = builtins.readDir self; path = self.outPath; }'
		END
		printf '%s\n' "$last_script"
	} >"$CASE/script"
	prepare
}

# evaluate [NAME=VALUE...] [FLAG...] : evaluates on the builder first, in a copy of $directory and under its name; then
# on the Pi, in the original. $own is what the Pi's Nix says; $there, $status and $errors are those of `rebuild`.
# $kept_own and $kept_there say what each has left in $directory. A case may set $from, the current directory, $builder,
# and $host, the name of the configuration. It has to give --flake unless it sets $found, the flake that is found
# without it.
evaluate() {
	local environment=() reference=${found:-.} flags=()
	while [[ "${1-}" =~ ^[A-Za-z_]+= ]]; do
		environment+=("$1")
		shift
	done
	must_on pi sh -euc 'rm -rf /srv/.before /srv/.there; cp -a "$1" /srv/.before' copy "$directory"
	forget_calls pi
	run lab on pi env -C "${from:-$directory}" "${environment[@]}" timeout 120 rebuild dry-build --eval-on "${builder:-builder}" -v "$@"
	expect_no_evaluation pi
	ran="$ran
      and before, on the Pi: $(printf '%s' "$last_script" | tail -n 3)"
	note_derivation
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
	expect_own_derivation_there "${builder:-builder}"
	expect_equal "$kept_there" "$kept_own"
}

# expect_same_failure TEXT ... : checks that both fail, for the same reason.
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

# expect_not_there TEXT... : checks that nothing on the builder has it; expect_there TEXT... : checks that its cache of
# the client's files has it.
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
	# A link counts as well, and so does a single file.
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
	# This is a symlink into a checkout elsewhere.
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
	# Without git's word about it, it is read as the files lie there.
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
	# A file becomes executable, a file becomes a link, and a directory becomes a file.
	after <<<'chmod +x deep/er/one'
	expect_another_derivation --flake .
	after <<<'rm way; echo x >way; rm -r "a dir"; ln -s deep "a dir"'
	expect_another_derivation --flake .
}

case_flake_there_as_git_keeps_it() {
	given <<-'END'
		clean_flake <<<"$all"
		mkdir sub && echo one >sub/one && commit second
		git tag -am tagged v1
		git gc -q
	END
	expect_same_derivation --flake .
	expect_seen '"revCount":2' '"dirtyRev":null'
	after <<<'git checkout -q --detach HEAD~1'
	expect_another_derivation --flake .
	expect_seen '"revCount":1'
	after <<<'git checkout -q v1; echo x >>sub/one'
	expect_another_derivation --flake 'git+file:///srv/config'
	expect_seen '"dirtyRev":"'
	expect_another_derivation --flake 'git+file:///srv/config?ref=refs/tags/v1'
	expect_seen '"dirtyRev":null'
	after <<<'git checkout -q sub/one; git update-index --index-version 4'
	expect_same_derivation --flake .
	after <<<'git update-index --index-version 2; git config core.fileMode false; chmod +x sub/one'
	expect_same_derivation --flake .
	# Files elsewhere tell git how files are compared.
	after <<<'git config --unset core.fileMode; git config --global core.fileMode false'
	expect_same_derivation --flake .
	after <<-'END'
		git config --global --unset core.fileMode
		git config --global core.autocrlf true
		chmod -x sub/one; printf 'one\r\n' >sub/one
	END
	expect_same_derivation --flake .
	after <<<'rm /root/.gitconfig; echo "sub/* text eol=crlf" >.git/info/attributes'
	expect_same_derivation --flake .
	after <<<'rm .git/info/attributes; echo "* text eol=crlf" >sub/.gitattributes'
	expect_same_derivation --flake .
}

case_flake_there_other_kinds_of_repository() {
	given <<-'END'
		rm -rf /srv/main /srv/shallow /srv/borrower
		mkdir /srv/main && cd /srv/main
		clean_flake <<<"$all"
		mkdir sub && echo one >sub/one && commit second
		git worktree add -q -f /srv/config -b tree
		cd /srv/config && echo tree >tree && commit third
	END
	expect_same_derivation --flake .
	expect_seen '"revCount":3' '"dirtyRev":null' '"tree":"regular"'
	after <<<'echo more >>tree'
	expect_another_derivation --flake .
	expect_seen '"rev":null'
	directory=/srv/borrower
	given <<<'git clone -q --shared /srv/main .'
	expect_another_derivation --flake .
	expect_seen '"revCount":2' '"dirtyRev":null'
	directory=/srv/shallow
	given <<<'git clone -q --depth 1 file:///srv/main . && sed -i "s/revCount = [^;]*;//" flake.nix'
	evaluate --flake .
	expect_same_derivation --flake .
	after <<<'git commit -qam shallow'
	expect_another_derivation --flake .
	# Only git itself can read a split index, libgit2 cannot.
	directory=/srv/main
	after <<<'git update-index --split-index'
	evaluate --flake .
	expect_equal "$there" "${own#failed}"
}

case_flake_there_in_a_subdirectory() {
	given <<-'END'
		git init -q
		echo outer >text
		mkdir sub && cd sub
		flake <<<"$all // { text = builtins.readFile ../text; }"
		git add .. && lock && commit
	END
	expect_same_derivation --flake './sub'
	expect_seen '"text":"outer'
	expect_same_derivation --flake 'git+file:///srv/config?dir=sub'
	from=/srv/config/sub
	expect_same_derivation --flake .
	from=/
	after <<<'echo changed >text'
	expect_another_derivation --flake 'git+file:/srv/config?dir=sub#pi'
	expect_another_derivation --flake 'path:/srv/config?dir=sub'
	# To be a flake of its own, a path needs a flake.nix.
	after <<<'cp sub/flake.* .; git add flake.nix'
	from=
	evaluate --flake '/srv/config?dir=sub'
	expect_equal "$there" "${own#failed}"
	after <<<'rm flake.*; git rm -q --cached flake.nix'
	expect_same_failure "flake.nix" --flake '/srv/config?dir=sub'
}

# In a large directory nothing is written (view.sh), except in the one of the lock file, and in git's.
case_flake_there_of_many_files() {
	given <<-'END'
		git init -q
		mkdir data
		for number in $(seq 1200); do echo "$number" >"$number"; echo "data $number" >"data/$number"; done
		flake <<<"$all // { data = builtins.readFile ./data/77; }"
		git add .
	END
	expect_same_derivation --flake .
	expect_contains "$kept_there" narHash
	after <<<'commit; git rm -q flake.lock; git commit -qm none'
	expect_same_derivation --flake .
	expect_contains "$kept_there" "1 .A N... 000000 000000 100644"
	after <<<'echo changed >data/77; rm data/78'
	expect_another_derivation --flake .
	expect_same_derivation --flake path:/srv/config
}

case_flake_there_submodules() {
	given <<-'END'
		rm -rf /srv/module
		mkdir /srv/module && cd /srv/module && git init -q
		echo "marker-of-a-module" >file && commit
		cd /srv/config
		clean_flake <<<"$all // { file = if builtins.pathExists ./module/file then builtins.readFile ./module/file else null; }"
		git submodule --quiet add /srv/module module
		commit second
	END
	expect_same_derivation --flake .
	expect_seen '"file":null' '"dirtyRev":null'
	evaluate --flake '.?submodules=1'
	expect_equal "$there" "${own#failed}"
	after <<<'echo "# dirty" >>flake.nix'
	expect_another_derivation --flake .
	expect_another_derivation --flake '.?submodules=1'
	expect_seen marker-of-a-module
	after <<<'echo dirty >>module/file; echo marker-beside-a-module >module/untracked'
	expect_another_derivation --flake '.?submodules=1'
	expect_not_there marker-beside-a-module
	# The submodule is not checked out.
	after <<<'git submodule --quiet deinit -f module'
	expect_another_derivation --flake .
	evaluate --flake '.?submodules=1'
	expect_equal "$there" "${own#failed}"
}

# --- inputs ---------------------------------------------------------------------------------------
case_flake_there_inputs_on_the_pi() {
	given <<-'END'
		rm -rf /root/private /srv/repository /srv/plain /srv/archive.tar.gz
		mkdir -m 700 -p /root/private/deep /srv/repository /srv/plain
		echo '{ outputs = _: { text = builtins.readFile ./deep/text; }; }' >/root/private/flake.nix
		echo private >/root/private/deep/text; chmod 600 /root/private/deep/text
		cd /srv/repository && git init -q
		echo '{ outputs = { self }: { text = [ (self.rev or null) (self.dirtyRev or null) self.lastModified ]; }; }' >flake.nix
		commit
		echo marker-beside-an-input >untracked
		cd /srv/plain && echo plain >file && tar -czf /srv/archive.tar.gz .
		mkdir -p /srv/config/inside && cd /srv/config
		cat >inside/flake.nix <<-'NIX'
			{ inputs.plain = { url = "path:/srv/plain"; flake = false; }; outputs = { self, plain }: { text = builtins.readFile "${plain}/file"; }; }
		NIX
		inputs='
		  inputs.private.url = "path:/root/private";
		  inputs.repository.url = "git+file:///srv/repository";
		  inputs = {
		    inside.url = "path:./inside";
		    archive = { url = "file:///srv/archive.tar.gz"; flake = false; };
		    plain = { type = "path"; path = "/srv/plain"; flake = false; };
		  };'
		clean_flake <<-'NIX'
			{
			  texts = map (name: inputs.${name}.text) [ "private" "repository" "inside" ];
			  archive = builtins.readDir inputs.archive; plain = builtins.readDir inputs.plain;
			  times = map (name: inputs.${name}.lastModified or null) (builtins.attrNames (removeAttrs inputs [ "self" ]));
			}
		NIX
	END
	expect_same_derivation --flake .
	expect_seen private '"plain":{"file":"regular"}' '"archive":{"file":"regular"}'
	expect_not_there marker-beside-an-input
	# The Pi's store no longer has the inputs.
	after <<<'rm flake.lock; echo >>flake.nix; echo other >/root/private/deep/text'
	evaluate --flake .
	expect_status 0
	expect_seen other
	expect_equal "$there" "$own"
	expect_not_there marker-beside-an-input
	# A locked input is taken from the store if it is there, whatever has become of it.
	after <<<'lock; echo newer >/root/private/deep/text; echo >>/srv/repository/flake.nix'
	expect_same_derivation --flake .
	expect_seen other
	after <<<'nix flake update private'
	expect_another_derivation --flake .
	expect_seen newer
	after <<<'nix store delete --ignore-liveness /nix/store/*-source >/dev/null 2>&1 || :'
	expect_same_derivation --flake .
	# An input that is not committed is locked to nothing.
	after <<<'cp flake.lock /srv/lock; git rm -qf --cached flake.lock; rm flake.lock'
	expect_another_derivation --flake .
	expect_contains "$(cat "$CASE/own")" "unlocked input"
	after <<<'git -C /srv/repository checkout -q .; cp /srv/lock flake.lock; git add flake.lock'
	# The input is overridden for one run.
	after <<<'cp -r /root/private /root/other; echo overridden >/root/other/deep/text'
	expect_another_derivation --flake . --override-input private path:/root/other --no-write-lock-file
	expect_seen overridden
	from=/root
	expect_same_derivation --flake /srv/config --override-input private ./other
	# The reference leads into a store, and comes from the store.
	from=
	after <<-'END'
		stored=$(nix store add-path --name source /root/other)
		named=$(nix store add-path --name named /root/other)
		sed -i "s|path:/root/private|path:$stored|; s|git+file:///srv/repository|path:$named|" flake.nix
		rm flake.lock
	END
	evaluate --flake .
	expect_status 0
	expect_equal "$there" "$own"
	expect_equal "$kept_there" "$kept_own"
}

case_flake_there_names_of_the_registries() {
	given <<-'END'
		rm -rf /srv/named /srv/mine
		mkdir -p /srv/named /srv/mine /root/.config/nix
		cd /srv/named && git init -q && echo '{ outputs = _: { text = "of the machine"; }; }' >flake.nix && commit
		cd /srv/mine && echo '{ outputs = _: { text = "of the user"; }; }' >flake.nix
		to() { printf '{"from":{"type":"indirect","id":"%s"},"to":%s}' "$1" "$2"; }
		own='{"type":"git","url":"file:///srv/config"}'
		printf '{"version":2,"flakes":[%s,%s,%s]}' "$(to named '{"type":"git","url":"file:///srv/named"}')" \
			"$(to mine '{"type":"path","path":"/srv/named"}')" "$(to config "$own")" >/etc/nix/registry.json
		printf '{"version":2,"flakes":[%s]}' "$(to mine '{"type":"path","path":"/srv/mine"}')" >/root/.config/nix/registry.json
		chmod 600 /root/.config/nix/registry.json
		printf '{"version":2,"flakes":[%s]}' "$(to all '{"type":"path","path":"/srv/mine"}')" >/srv/all.json
		grep -q flake-registry /etc/nix/nix.conf || printf 'extra-experimental-features = flakes\nflake-registry = /srv/all.json\n' >>/etc/nix/nix.conf
		cd /srv/config
		inputs='inputs.other.url = "flake:mine"; inputs.third.url = "flake:all";'
		clean_flake <<<'[ inputs.named.text inputs.other.text inputs.third.text ]'
		sed -i 's/self, nixpkgs,/self, named, nixpkgs,/' flake.nix && lock && commit again
	END
	from=/root
	expect_same_derivation --flake flake:config
	expect_seen "of the machine" "of the user"
	expect_same_derivation --flake config#pi
	after <<<'rm flake.lock; git add .; git commit -qm "no lock"'
	expect_same_derivation --flake config --no-write-lock-file
	expect_same_failure "registry lookups are not allowed" --flake config --no-registries
	must_sh_on pi 'rm /etc/nix/registry.json /root/.config/nix/registry.json; sed -i "/flake/d" /etc/nix/nix.conf'
}

# --- lock files -----------------------------------------------------------------------------------
case_flake_there_lock_files() {
	given <<-'END'
		rm -rf /srv/input; mkdir /srv/input; echo '{ outputs = _: { text = "one"; }; }' >/srv/input/flake.nix
		git init -q
		inputs='inputs.a.url = "path:/srv/input";'
		flake <<<"$all // { text = inputs.a.text; }" && git add .
	END
	# There is no commit yet.
	expect_same_derivation --flake .
	expect_same_derivation --flake .
	after <<<'git rm -q --cached flake.lock; rm flake.lock; commit'
	# There is no lock file. Then: in a tree that does not ignore it; and in one that has it, unknown to git.
	expect_same_failure "requires lock file changes" --flake . --no-update-lock-file
	expect_same_derivation --flake . --no-write-lock-file
	expect_lacks "$kept_there" narHash
	expect_same_derivation --flake .
	expect_contains "$kept_there" narHash
	expect_contains "$kept_there" "1 .A N... 000000 000000 100644"
	after <<<'git reset -q && cp flake.lock /srv/lock'
	expect_same_derivation --flake .
	after <<<'rm -f flake.lock; echo flake.lock >.gitignore; git add .gitignore'
	evaluate --flake .
	expect_equal "$kept_there" "$kept_own"
	after <<<'rm -f flake.lock .gitignore; git reset -q --hard'
	# The lock file is outdated: it has another input, and one too few.
	after <<<'cp /srv/lock flake.lock; inputs="inputs.b.url = \"path:/srv/input\";"; flake <<<"$all // { text = inputs.b.text; }"; commit'
	expect_same_failure "requires lock file changes" --flake . --no-update-lock-file
	expect_same_derivation --flake . --no-write-lock-file
	expect_same_derivation --flake .
	expect_contains "$kept_there" '"b": {'
	# The lock file is in the words of another version, which says nothing else.
	after <<<'git add . && lock && commit; sed -i "s/^  //" flake.lock; git commit -qam other'
	expect_same_derivation --flake .
	# The lock file is broken.
	after <<<'echo "{" >flake.lock'
	expect_same_failure "parsing" --flake .
	# An evaluation that fails has locked the inputs before it failed.
	after <<<'git reset -q --hard; git rm -qf flake.lock; git commit -qm none; sed -i "s/inputs.b.text/throw \"no text\"/" flake.nix'
	expect_same_failure "no text" --flake .
}

case_flake_there_lock_files_without_git() {
	given <<-'END'
		rm -rf /srv/input; mkdir /srv/input; echo '{ outputs = _: { text = "one"; }; }' >/srv/input/flake.nix
		mkdir sub /srv/config/other
		inputs='inputs.a.url = "path:/srv/input";'
		flake <<<"{ text = inputs.a.text; }"
	END
	expect_same_derivation --flake .
	expect_contains "$kept_there" narHash
	expect_same_derivation --flake path:/srv/config
	after <<<'rm flake.lock'
	expect_same_derivation --flake . --no-write-lock-file
	expect_lacks "$kept_there" narHash
	# The lock file is a link: the file that it leads to is written.
	after <<<'cp flake.nix sub; ln -s ../other/lock sub/flake.lock; echo "{}" >other/lock; touch other/lock'
	evaluate --flake path:/srv/config/sub
	expect_equal "$kept_there" "$kept_own"
}

# --- the rest -------------------------------------------------------------------------------------
case_flake_there_impure() {
	given <<-'END'
		rm -rf /root/outside; mkdir -m 700 /root/outside
		echo '"marker-of-outside"' >/root/outside/file.nix; chmod 600 /root/outside/file.nix
		echo 'marker-of-a-string' >/srv/outside.txt
		clean_flake <<-'NIX'
			{
			  colour = builtins.getEnv "COLOUR"; home = builtins.getEnv "HOME"; system = builtins.currentSystem or "none";
			  file = if builtins.getEnv "COLOUR" == "" then null else import /root/outside/file.nix;
			  text = if builtins.getEnv "COLOUR" == "" then null else builtins.readFile "/srv/outside.txt";
			}
		NIX
	END
	expect_same_derivation COLOUR=red --flake .
	expect_seen '"colour":""' '"home":""' '"system":"none"'
	expect_not_there marker-of-outside marker-of-a-string
	expect_same_derivation COLOUR=red --flake . --impure
	expect_seen '"colour":"red"' '"home":"/root"' '"system":"aarch64-linux"' '"file":"marker-of-outside"' '"text":"marker-of-a-string'
	expect_same_derivation COLOUR=blue --flake . --impure
	expect_seen '"colour":"blue"'
	after <<<'echo "\"other\"" >/root/outside/file.nix'
	expect_another_derivation COLOUR=blue --flake . --impure
}

case_flake_there_get_flake_of_a_classic_configuration() {
	given <<-'END'
		rm -rf /srv/got /srv/repository; mkdir /srv/got /srv/repository
		echo '{ outputs = { self }: { text = "got ${toString self.lastModified}"; }; }' | tee /srv/got/flake.nix >/srv/repository/flake.nix
		cd /srv/repository && git init -q && commit && rev=$(git rev-parse HEAD)
		mkdir -p /etc/nixos
		cat >/etc/nixos/configuration.nix <<-NIX
			{
			  environment.etc.seen.text = builtins.toJSON [
			    (builtins.getFlake "path:/srv/got").text (builtins.getFlake "git+file:///srv/repository?rev=$rev").text
			    (builtins.getFlake (toString /srv/repository)).text (builtins.getFlake "git+file:///srv/repository").text
			  ];
			}
		NIX
	END
	local flags=(--option extra-experimental-features flakes)
	run lab on pi timeout 60 rebuild dry-build --eval-on builder -v "${flags[@]}"
	expect_status 0
	there=$(printf '%s\n' "$errors" | sed -n 's/^derivation: //p')
	must_on pi nix-instantiate '<nixpkgs/nixos>' -A config.system.build.toplevel "${flags[@]}"
	own=$output
	expect_equal "$there $(seen_in builder "$there")" "$own $(seen_in pi "$own")"
}

case_flake_there_a_second_run_sends_nothing() {
	directory=/srv/again
	given <<-'END'
		mkdir deep; echo marker-of-one >deep/one; echo marker-of-two >two
		clean_flake <<<"$all // { one = builtins.readFile ./deep/one; }"
	END
	local reference
	for reference in . path:/srv/again; do
		# A machine that has just started still makes names in /var/tmp that are told.
		for _ in 1 2 3 4; do
			must_sh_on pi "cd /srv/again && rebuild dry-build --eval-on builder -v --no-eval-cache --flake $reference"
			[[ "$errors" != *"builder has the configuration's files already"* ]] || break
		done
		expect_contains "$errors" "builder has the configuration's files already"
		expect_lacks "$errors" "sending /"
		after <<<'echo marker-of-another >deep/one'
		must_sh_on pi "cd /srv/again && rebuild dry-build --eval-on builder -v --no-eval-cache --flake $reference"
		# The index of git is sent, too, because it no longer marks the file as unchanged.
		expect_equal "$(grep -e '^sending /' "$CASE/errors" | grep -v '/.git/index$')" "sending /srv/again/deep/one"
		after <<<'git checkout -q .'
	done
}

# Only the Pi could fetch this input, once: the Pi has it in its store.
case_flake_there_an_input_that_is_private() {
	given <<-'END'
		mkdir /srv/config/source && echo '{ outputs = _: { text = "of a private repository"; }; }' >source/flake.nix
		stored=$(nix store add-path --name source source); hash=$(nix hash path source); rm -r source
		inputs='inputs.private.url = "github:lab/private";'
		flake <<<'[ inputs.private.text inputs.private.rev inputs.private.lastModified ]'
		cat >flake.lock <<-JSON
			{ "nodes": { "private": {
			    "locked": { "lastModified": 5, "narHash": "$hash", "owner": "lab", "repo": "private",
			      "rev": "0123456789012345678901234567890123456789", "type": "github" },
			    "original": { "owner": "lab", "repo": "private", "type": "github" } },
			  "root": { "inputs": { "private": "private" } } }, "root": "root", "version": 7 }
		JSON
	END
	expect_same_derivation --flake . --option download-attempts 1
	expect_seen "of a private repository"
	expect_same_derivation --flake . --option download-attempts 1
}

# The input cannot be fetched. Nothing of the Pi is sent for it, and Nix says why it fails.
case_flake_there_that_is_elsewhere() {
	given <<<'rm -f /root/.config/nix/registry.json; echo marker-of-the-pi >/root/file; echo marker-of-the-pi >file'
	local reference
	for reference in github:lab/nothing https://lab.invalid/x.tar.gz git+https://lab.invalid/x nosuchname; do
		on pi timeout 60 rebuild dry-build --eval-on builder -v --flake "$reference" --option download-attempts 1
		expect_failure
		expect_matches "$errors" "Could not resolve host|cannot find flake"
		expect_lacks "$errors" "sending"
		expect_contains "$errors" "error: the evaluation on builder failed"
	done
	expect_not_there marker-of-the-pi
}

# A tracked secret stays here, so nothing is made from the tree; and nobody asks for a file that is not tracked.
case_flake_there_secrets() {
	given <<-'END'
		mkdir -p .ssh keys
		printf '%s\n' '-----BEGIN OPENSSH PRIVATE KEY-----' marker-of-a-tracked-key >.ssh/id_ed25519
		echo marker-of-a-tracked-key >keys/text
		clean_flake <<<"builtins.attrNames (builtins.readDir ./.)"
		mkdir private && echo marker-of-what-is-ignored >private/key && chmod 700 private
		echo 'marker-of-a-diary' >diary && chmod 600 diary
	END
	evaluate --flake .
	expect_failure
	expect_contains "$errors" "git tracks /srv/config/.ssh/id_ed25519, which is a secret"
	expect_equal "$there" ""
	expect_not_there marker-of-what-is-ignored marker-of-a-diary
	after <<<'git rm -q --cached .ssh/id_ed25519; git commit -qm without'
	expect_same_derivation --flake .
	expect_not_there marker-of-what-is-ignored marker-of-a-diary
	# A string that the flake has from elsewhere names the file, which not every user may read.
	after <<<'chmod 700 . && sed -i "s|builtins.attrNames.*|builtins.readFile (\"/srv/config/\" + \"di\" + \"ary\")|" flake.nix'
	evaluate --flake . --impure
	expect_failure
	expect_contains "$errors" "builder asks for /srv/config/diary"
	expect_not_there marker-of-a-diary
}

case_flake_there_by_odd_ways() {
	given <<-'END'
		rm -rf /srv/link "/srv/odd dir" /srv/bare.git /srv/gitdir
		mkdir links
		ln -s /etc links/absolute; ln -s ../.. links/relative; ln -s nowhere links/dangling; ln -s links way
		ln -s real.nix flake.nix && touch real.nix
		clean_flake <<<"$all // { links = builtins.readDir ./links; }"
		mkdir nested && git -C nested init -q && echo marker-of-a-nested-repository >nested/file
		ln -s config /srv/link
	END
	expect_same_failure "not a directory" --flake /srv/link
	expect_same_derivation --flake /srv/config
	expect_seen '"dirtyRev":null' '"relative":"symlink"'
	from=/srv/link
	expect_same_derivation --flake .
	expect_same_derivation --flake git+file:///srv/link
	expect_not_there marker-of-a-nested-repository
	from=
	after <<<'mv .git /srv/gitdir; ln -s ../gitdir .git'
	evaluate --flake .
	expect_equal "$there" "${own#failed}"
	after <<<'rm .git; echo "gitdir: ../gitdir" >.git'
	evaluate --flake .
	expect_equal "$there" "${own#failed}"
	after <<<'rm .git; mv /srv/gitdir .git; git clone -q --bare . /srv/bare.git'
	directory=/srv/bare.git
	after <<<':'
	evaluate --flake git+file:///srv/bare.git
	expect_equal "$there" "${own#failed}"
	directory="/srv/odd"
	given <<-'END'
		mkdir 'a dir'; cd 'a dir'; clean_flake <<<"$all"
	END
	expect_same_derivation --flake './a dir'
	expect_same_derivation --flake 'git+file:///srv/odd/a%20dir'
	expect_same_derivation --flake 'path:/srv/odd/a%20dir'
}

# The checkout belongs to a user. Then root evaluates it: git on the Pi forbids that, and nothing here has to.
case_flake_there_of_another_user() {
	given <<-'END'
		chmod 711 /home/admin
		rm -rf /home/admin/config; mkdir /home/admin/config; cd /home/admin/config
		clean_flake <<<"$all"
		chown -R admin: .
	END
	evaluate --flake /home/admin/config
	expect_status 0
	expect_contains "$(cat "$CASE/own")" "is not owned by current user"
	local of_root=$there
	must_sh_on pi 'rm -rf /home/admin/.ssh; cp -R /root/.ssh /home/admin/; chown -R admin: /home/admin/.ssh'
	must lab on pi -u admin -- rebuild dry-build --eval-on builder -v --flake /home/admin/config
	there=$(sed -n 's/^derivation: //p' "$CASE/errors")
	must lab on pi -u admin -- nix --extra-experimental-features 'nix-command flakes' eval --raw \
		/home/admin/config#nixosConfigurations.pi.config.system.build.toplevel.drvPath
	expect_equal "$there $of_root" "$output $output"
}

case_flake_there_that_fails() {
	given <<<'clean_flake <<<"self.nothing"'
	expect_same_failure "attribute 'nothing' missing" --flake .
	expect_same_failure "does not provide attribute" --flake .#nosuch
	after <<<'git rm -q --cached flake.nix'
	expect_same_failure "flake.nix" --flake .
	on pi rebuild dry-build --eval-on builder --flake /srv/nowhere
	expect_failure
	expect_contains "$errors" "/srv/nowhere"
	on pi rebuild dry-build --eval-on builder --flake /srv/config --commit-lock-file
	expect_status 2
	expect_contains "$errors" "nix flake lock --commit-lock-file"
}

case_flake_there_switch() {
	given <<-'END'
		cp /etc/nixos/*.nix . 2>/dev/null || :
		clean_flake <<<"$all"
	END
	forget_calls pi
	on pi rebuild switch --eval-on builder --flake /srv/config#pi
	expect_status 0
	expect_no_evaluation pi
	local system=$output
	[ -n "$system" ] || system=$(system_of pi)
	expect_equal "$(profile_of pi)" "$system"
	expect_equal "$(system_of pi)" "$system"
	expect_contains "$(file_on pi "$system/etc/seen")" '"dirtyRev":null'
	must_on pi nix --extra-experimental-features 'nix-command flakes' eval --raw /srv/config#nixosConfigurations.pi.config.system.build.toplevel
	expect_equal "$output" "$system"
}
