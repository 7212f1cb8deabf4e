# shellcheck shell=bash
# `--upgrade` where another machine evaluates: the builder finds the newest channels, the Pi gets them with everything
# else, and its profile is set last. A server on the builder's machine plays the site of the releases; it writes down who
# has fetched what.

# shellcheck source=/dev/null
. "$LAB/derivations.sh"

channels=/nix/var/nix/profiles/per-user/root/channels
site=http://10.77.0.2:8000

# given_site [HOST...] : fresh hosts (pi, builder, and these). The Pi has the channels nixos, which is of today, and other.
given_site() {
	# shellcheck disable=SC2086 # names
	fresh pi builder "$@"
	must_on builder mkdir -p /srv/site /srv/nixpkgs /srv/other
	lab on pi tar -C "$channels/nixos/" -c . </dev/null | lab on builder tar -C /srv/nixpkgs -x
	must_on builder chmod -R u+w /srv/nixpkgs
	must_on builder systemd-run --quiet --unit=site --property=StandardError=append:/var/log/site \
		python3 -m http.server --directory /srv/site 8000
	must_sh_on pi "echo '$site/nixos-25.05 nixos' >/root/.nix-channels"
	release nixos nixos-25.05 25.05
	expect_within 20 lab on builder curl -sf "$site/" -o /dev/null
}

# release NAME CHANNEL VERSION : from now on the site has this version of the channel.
release() {
	must_on builder sh -euc '
		case $1 in
		nixos)
			source=/srv/nixpkgs
			printf %s "$3" >$source/.version ;;
		*) source=/srv/other; echo "\"$3\"" >$source/default.nix ;;
		esac
		rm -rf /tmp/tree && mkdir -p /tmp/tree "/srv/site/$2" && cp -r $source "/tmp/tree/$1-$3"
		tar -C /tmp/tree --owner=0 --group=0 --mtime=@1 -cJf "/srv/site/$2/nixexprs.tar.xz.new" "$1-$3"
		mv "/srv/site/$2/nixexprs.tar.xz.new" "/srv/site/$2/nixexprs.tar.xz"' release "$1" "$2" "$3"
	# What was fetched counts as new for an hour.
	must_sh_on builder 'rm -rf /home/*/.cache/rebuild/*/nix-cache'
}

# generation : the channels of the Pi: which generation, and its path.
generation() {
	lab on pi sh -c "readlink $channels; readlink -f $channels" </dev/null
}

# by_hand : what nix-channel makes on the Pi: which generation, and its path. (Unpacking counts as a build.)
by_hand() {
	must_sh_on pi 'rm -rf /root/.cache/nix'
	must_on pi env NIX_CONFIG="max-jobs = 2" nix-channel --update "$@"
	generation
}

fetched_by() { lab on builder grep -c "^$1 .*nixexprs" /var/log/site </dev/null || :; }

# expect_nothing_unpacked_here : the Pi has fetched nothing, and its Nix has set the profile at most.
expect_nothing_unpacked_here() {
	expect_equal "$(fetched_by 10.77.0.1)" 0
	expect_no_evaluation pi
	expect_lacks "$(calls_of pi)" "--install"
}

case_the_builder_finds_the_newest_channel() {
	given_site
	local before after
	must_on pi rebuild switch --eval-on builder
	before=$(generation)
	release nixos nixos-25.05 25.11
	forget_calls pi
	on pi rebuild switch --eval-on builder --upgrade -v
	expect_status 0
	expect_nothing_unpacked_here
	after=$(generation)
	expect_different "$after" "$before"
	expect_contains "$(file_on pi "$channels/nixos/.version")" 25.11
	expect_contains "$(calls_of pi)" "nix-env --profile $channels --set"
	# Nothing of it was sent.
	expect_lacks "$errors" "sending the configuration: 1"
	note_derivation
	# It is the system that the Pi would make of it, and the channel that it would have by hand: no new generation.
	own=$(lab on pi nix-instantiate '<nixpkgs/nixos>' -A config.system.build.toplevel 2>/dev/null </dev/null)
	expect_own_derivation_there builder
	expect_equal "$(by_hand)" "$after"
	# There is nothing newer: nothing changes.
	on pi rebuild switch --eval-on builder --upgrade
	expect_status 0
	expect_contains "$errors" "nothing newer"
	expect_equal "$(generation)" "$after"
	# The builder has that channel as long as the Pi has it.
	must_on builder nix-collect-garbage
	expect_file builder "$(printf '%s\n' "$after" | tail -n 1)"
	# The user there has no channels of their own by this, nor has root.
	expect_no_file builder /home/builder/.nix-defexpr
	expect_no_file builder /home/builder/.local/state/nix/profiles/channels
}

case_a_failed_build_leaves_the_channel() {
	given_site
	local before
	before=$(generation)
	release nixos nixos-25.05 25.11
	must_sh_on pi "sed -i 's/^}/  lab.failBuild = true;\n}/' /etc/nixos/configuration.nix"
	on pi rebuild switch --eval-on builder --upgrade
	expect_failure
	expect_equal "$(generation)" "$before"
	# Nor does a run that only tells change it; but it tells of the new one.
	must_sh_on pi "sed -i '/lab.failBuild/d' /etc/nixos/configuration.nix"
	for verb in dry-build dry-activate; do
		on pi rebuild $verb --eval-on builder --upgrade
		expect_status 0
		expect_contains "$output$errors" 25.11
		expect_equal "$(generation)" "$before"
	done
	types "Activate it" n
	on_tty pi root rebuild switch --eval-on builder --upgrade --ask
	expect_status 1
	expect_equal "$(generation)" "$before"
	must_on pi rebuild build --eval-on builder --upgrade
	expect_contains "$(file_on pi "$channels/nixos/.version")" 25.11
}

case_channels_that_are_kept() {
	given_site
	local after
	must_sh_on pi "echo '$site/other-1 other' >>/root/.nix-channels"
	release other other-1 1
	by_hand >/dev/null
	write_on pi /etc/nixos/configuration.nix <<-'END'
		{ imports = [ ./hardware-configuration.nix ]; networking.hostName = "pi"; environment.etc.seen.text = import <other>; }
	END
	release other other-1 2
	release nixos nixos-25.05 25.11
	must_on builder sh -c ': >/var/log/site'
	forget_calls pi
	on pi rebuild switch --eval-on builder --upgrade -v
	expect_status 0
	expect_equal "$(fetched_by 10.77.0.1)" 0
	expect_no_evaluation pi
	expect_equal "$(file_on pi /etc/seen)" 1
	expect_contains "$(file_on pi "$channels/nixos/.version")" 25.11
	after=$(generation)
	note_derivation
	own=$(lab on pi nix-instantiate '<nixpkgs/nixos>' -A config.system.build.toplevel 2>/dev/null </dev/null)
	expect_own_derivation_there builder
	expect_equal "$(by_hand nixos)" "$after"
	on pi rebuild switch --eval-on builder --upgrade-all
	expect_status 0
	expect_equal "$(file_on pi /etc/seen)" 2
	after=$(generation)
	expect_equal "$(by_hand)" "$after"
}

# The Nix there may be another one, or one without a daemon: the generation is the same.
case_channels_by_another_nix() {
	need_hosts oldbuilder newbuilder solo
	given_site oldbuilder newbuilder solo
	local after version=1
	for builder in oldbuilder newbuilder solo; do
		version=$((version + 1))
		release nixos nixos-25.05 "25.$version"
		on pi rebuild switch --eval-on $builder --upgrade
		expect_status 0
		after=$(generation)
		expect_contains "$(file_on pi "$channels/nixos/.version")" "25.$version"
		expect_equal "$(by_hand)" "$after"
		expect_no_file $builder /home/builder/.nix-defexpr
	done
}

case_channels_of_root_by_somebody_else() {
	given_site
	release nixos nixos-25.05 25.11
	must lab nixconf builder 'extra-platforms = aarch64-linux'
	types "password" "correct horse 'quoted'"
	on_tty pi asker sh -c 'cd && rebuild switch --eval-on plain@builder --upgrade --sudo -S'
	expect_status 0
	expect_contains "$(file_on pi "$channels/nixos/.version")" 25.11
	local after
	after=$(generation)
	expect_equal "$(by_hand)" "$after"
	release nixos nixos-25.05 26.05
	as pi admin sh -c 'cd && rebuild build --eval-on builder --upgrade --sudo --no-lend'
	expect_status 0
	expect_contains "$(file_on pi "$channels/nixos/.version")" 26.05
	# root there gets no channels by this either.
	must_sh_on builder 'mkdir -p /root/.ssh && cp /home/builder/.ssh/authorized_keys /root/.ssh/'
	release nixos nixos-25.05 26.11
	on pi rebuild build --eval-on root@builder --upgrade
	expect_status 0
	expect_contains "$(file_on pi "$channels/nixos/.version")" 26.11
	expect_no_file builder "$channels"
	expect_no_file builder /root/.nix-defexpr
}

case_a_site_that_is_down() {
	given_site
	local before
	before=$(generation)
	must_on builder systemctl stop site
	on pi rebuild switch --eval-on builder --upgrade
	expect_status 0
	expect_contains "$errors" "warning: builder could not update nixos: the channels stay as they are"
	expect_equal "$(generation)" "$before"
}

# If nobody is there who could do it, the Pi does all of it, as ever.
case_channels_without_a_builder() {
	given_site
	release nixos nixos-25.05 25.11
	must_on builder systemctl stop ssh.socket ssh.service
	on pi env NIX_CONFIG="max-jobs = 2" rebuild dry-build --eval-on builder --upgrade --if-unreachable local
	expect_status 0
	expect_contains "$(file_on pi "$channels/nixos/.version")" 25.11
	expect_different "$(fetched_by 10.77.0.1)" 0
}

# An address may have a password in it.
case_the_password_of_a_channel() {
	given_site
	release nixos nixos-25.05 25.11
	must_sh_on pi "sed -i s,//,//me:geheim42@, /root/.nix-channels"
	# shellcheck disable=SC2016 # the host's shell expands it
	must_on builder systemd-run --quiet --unit=watch sh -c 'while :; do
		cat /proc/[0-9]*/cmdline 2>/dev/null | tr "\0" "\n" | grep -a "geheim4[2]" >>/tmp/arguments; done'
	on pi rebuild switch --eval-on builder --upgrade -v
	must_on builder systemctl stop watch
	expect_status 0
	expect_contains "$(file_on pi "$channels/nixos/.version")" 25.11
	expect_equal "$(file_on builder /tmp/arguments)" ""
	sh_on pi 'grep -rl geheim42 /root/.local/state/rebuild /root/.cache/rebuild'
	expect_equal "$output" ""
	sh_on builder 'grep -rl geheim42 /home/builder /tmp /var/tmp --exclude-dir=nix-cache'
	expect_equal "$output" ""
}

# The same for a flake: the inputs are locked anew on the builder, and the lock file comes home.
case_inputs_of_a_flake() {
	given_site
	release other text 1
	must_on builder mv /srv/site/text/nixexprs.tar.xz /srv/site/text.tar.xz
	must_on builder cp /srv/site/text.tar.xz /srv/site/second.tar.xz
	must_on pi mkdir -p /srv/flake
	write_on pi /srv/flake/flake.nix <<-END
		{
		  inputs.nixpkgs.url = "path:$(lab on pi readlink -f $channels/nixos </dev/null)";
		  inputs.text = { url = "$site/text.tar.xz"; flake = false; };
		  inputs.second = { url = "$site/second.tar.xz"; flake = false; };
		  outputs = { nixpkgs, text, second, ... }: {
		    nixosConfigurations.pi = nixpkgs.lib.nixosSystem {
		      system = "aarch64-linux";
		      modules = [ ({ ... }: { environment.etc.seen.text = import text + " " + import second; }) ];
		    };
		  };
		}
	END
	must_on pi rebuild switch --eval-on builder --flake /srv/flake
	expect_equal "$(file_on pi /etc/seen)" "1 1"
	local before
	before=$(file_on pi /srv/flake/flake.lock)
	release other text 2
	must_on builder mv /srv/site/text/nixexprs.tar.xz /srv/site/text.tar.xz
	must_on builder cp /srv/site/text.tar.xz /srv/site/second.tar.xz
	# A locked input stays what it is.
	must_on pi rebuild switch --eval-on builder --flake /srv/flake --upgrade
	expect_contains "$errors" "--recreate-lock-file"
	expect_equal "$(file_on pi /srv/flake/flake.lock)" "$before"
	must_on pi rebuild switch --eval-on builder --flake /srv/flake --update-input text
	expect_equal "$(file_on pi /etc/seen)" "2 1"
	expect_contains "$errors" "wrote /srv/flake/flake.lock"
	must_on pi rebuild switch --eval-on builder --flake /srv/flake --recreate-lock-file
	expect_equal "$(file_on pi /etc/seen)" "2 2"
	expect_equal "$(fetched_by 10.77.0.1)" 0
	expect_equal "$(lab on builder grep -c '^10.77.0.1 ' /var/log/site </dev/null || :)" 0
}

# As a unit of systemd, without a terminal and without the user: by --detach, and as system.autoUpgrade starts it.
case_an_upgrade_without_anybody() {
	given_site
	release nixos nixos-25.05 25.11
	on pi rebuild switch --eval-on builder --upgrade --detach
	expect_status 0
	expect_within 60 is_version 25.11
	expect_within 60 lab on pi sh -c '! systemctl list-units --all | grep -q rebuild-' </dev/null
	release nixos nixos-25.05 26.05
	must_sh_on pi 'echo "{ \"evalHost\": \"builder\" }" >/etc/rebuild.json'
	# shellcheck disable=SC2016 # the host's shell expands it
	must_sh_on pi '. /etc/environment; systemd-run --quiet --wait --unit=nixos-upgrade --property=Type=oneshot \
		--setenv=HOME=/root --setenv=NIX_PATH="$NIX_PATH" $(command -v rebuild) switch --no-build-output --upgrade'
	is_version 26.05 || fail "the channel is $(file_on pi "$channels/nixos/.version")"
	expect_contains "$(profile_of pi)" 26.05
	expect_equal "$(fetched_by 10.77.0.1)" 0
	# A builder that is left alone could not set it.
	on pi rebuild build --detach --upgrade
	expect_status 2
}
is_version() { [ "$(lab on pi cat "$channels/nixos/.version" </dev/null)" = "$1" ]; }
