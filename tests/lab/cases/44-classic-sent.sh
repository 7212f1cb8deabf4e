# shellcheck shell=bash
# What of a classic configuration is sent, what never is, and whose it is. See classic.sh.

# shellcheck source=/dev/null
. "$LAB/classic.sh"

case_classic_what_is_not_read_is_not_sent() {
	given <<-'END'
		mkdir -p /root/.ssh /root/other parts
		echo 'marker-of-unread' >unread.txt
		echo 'marker-of-private' >private.txt
		chmod 600 private.txt
		echo 'marker-of-a-key' >/root/.ssh/id_x
		chmod 600 /root/.ssh/id_x
		echo 'marker-of-another-directory' >/root/other/file
		echo 'marker-of-an-unread-part' >parts/unread.nix
		echo '"marker-of-what-is-read"' >parts/read.nix
		echo 'marker-of-what-a-filter-leaves-out' >parts/left-out
		reads <<-'NIX'
			[ (builtins.readDir ./.) (builtins.readDir "/root/other") (builtins.pathExists (./. + "/private.txt"))
			  (builtins.pathExists "/root/.ssh/id_x") (builtins.readFileType (./. + "/unread.txt")) (import (./parts + "/read.nix"))
			  (builtins.filterSource (path: _: baseNameOf path == "read.nix") ./parts) (toString ./.) ]
		NIX
	END
	tap
	expect_same_derivation "$tapped" SECRET=marker-of-a-variable AWS_SECRET_ACCESS_KEY=marker-of-another-variable
	expect_seen 'true,true,"regular","marker-of-what-is-read"'
	expect_sent marker-of-what-is-read
	expect_kept marker-of-unread marker-of-private marker-of-a-key marker-of-another-directory marker-of-an-unread-part \
		marker-of-what-a-filter-leaves-out marker-of-a-variable marker-of-another-variable
}

# The error is clear, and no system is made without the secrets.
case_classic_secrets_that_are_read_are_refused() {
	local expression marker=marker-of-a-secret
	given <<-END
		mkdir -p /root/.ssh config/.ssh /root/.gnupg
		grep -q $marker /etc/shadow || echo "$marker:*:1::::::" >>/etc/shadow
		echo $marker | tee /root/.ssh/id_x /root/.netrc /root/.gnupg/key config/.ssh/id_x >/dev/null
		chmod 600 /root/.ssh/id_x /root/.netrc
		ln -sfn /etc/shadow looks-harmless
	END
	tap
	while IFS='|' read -r named expression; do
		given_expression "$expression"
		evaluate "$tapped"
		expect_failure
		expect_contains "$errors" "$named"
		expect_matches "$errors" "never leaves this machine|is never sent|is not sent"
		expect_equal "$there" ""
	done <<-'END'
		/etc/shadow|builtins.hashString "md5" (builtins.readFile /etc/shadow)
		/etc/shadow|builtins.readFile ("/etc/" + "shadow")
		/etc/shadow|builtins.readFile ./looks-harmless
		/root/.ssh/id_x|builtins.readFile (builtins.getEnv "HOME" + "/.ssh/id_x")
		/root/.ssh/id_x|"${/root/.ssh}"
		/root/.netrc|"${~/.netrc}"
		/etc/nixos/config/.ssh/id_x|"${./config}"
	END
	expect_kept $marker
	# It may be known that they exist.
	given_expression '(toString (map builtins.pathExists [ "/etc/shadow" /root/.ssh/id_x "/root/.gnupg/key" ./looks-harmless ]))'
	expect_same_or_refusal /etc/shadow
	after <<<'sed -i /marker/d /etc/shadow'
}

# Only root may read this file, it is outside of the configuration, and no literal names it.
case_classic_private_files_that_only_strings_name() {
	given <<-'END'
		mkdir -p -m 700 /root/vault
		echo 'text of the vault' >/root/vault/text
		chmod 600 /root/vault/text
		echo '{ environment.etc.seen.text = builtins.readFile ("/root/vault" + "/text"); }' >configuration.nix
	END
	expect_same_or_refusal /root/vault/text
	given_expression 'builtins.toJSON [ (builtins.readDir "/root/vault") (builtins.pathExists "/root/vault/text") ]'
	expect_same_or_refusal /root/vault
	# In /etc/nixos it belongs to the configuration.
	after <<-'END'
		echo 'text beside it' >private
		chmod 600 private
	END
	given_expression 'builtins.readFile ("/etc/nixos" + "/private")'
	expect_same_derivation
	expect_seen "text beside it"
}

case_classic_big_files_and_results_beside_it() {
	given <<-'END'
		mkdir images
		truncate -s 300M big.img images/big.img
		ln -s "$(readlink -f /run/current-system)" result
		echo small >images/small
		reads <<-'NIX'
			[ (builtins.readDir ./.) (builtins.pathExists ./big.img) (toString ./.) (builtins.readFileType ./result)
			  (builtins.filterSource (path: _: baseNameOf path != "big.img") ./images) ]
		NIX
	END
	tap
	expect_same_derivation "$tapped"
	expect_seen '"big.img":"regular"' 'true,"/etc/nixos","symlink"'
	[ "$(sent_bytes)" -lt 20000000 ] || fail "expected less to be sent than $(sent_bytes) bytes"
	sh_on builder 'find /home/builder /var/tmp /tmp -size +50M'
	expect_equal "$output" ""
	after <<<'rm -r images big.img'
}

case_classic_a_second_run_sends_nothing() {
	given <<-'END'
		mkdir parts /srv/again
		echo '"marker-of-the-first-part"' >parts/first.nix
		echo '"marker-of-the-second-part"' >parts/second.nix
		echo 'marker-of-a-string' >/srv/again/text
		reads <<-'NIX'
			[ "marker-of-the-configuration" (import ./parts/first.nix) (import ./parts/second.nix) (builtins.readFile "/srv/again/text") ]
		NIX
	END
	tap
	local markers=(marker-of-the-configuration marker-of-the-first-part marker-of-the-second-part marker-of-a-string) marker before
	expect_same_derivation "$tapped"
	for marker in "${markers[@]}"; do expect_sent "$marker"; done
	before=$own
	forget_sent
	expect_same_derivation "$tapped"
	expect_equal "$own" "$before"
	for marker in "${markers[@]}"; do
		! lab on pi grep -qF "$marker" /srv/tap/sent </dev/null || fail "expected that this is not sent again: $marker"
	done
	# The script for the other machine and the names are sent, and no more.
	[ "$(sent_bytes)" -lt 100000 ] || fail "expected less to be sent again than $(sent_bytes) bytes"
	# If something changes, only the change is sent.
	after <<<'echo "\"marker-of-a-change\"" >parts/first.nix'
	forget_sent
	expect_another_derivation "$tapped"
	expect_sent marker-of-a-change
	! lab on pi grep -qF marker-of-the-second-part /srv/tap/sent </dev/null || fail "expected that only the change is sent"
}

# --- between two runs -----------------------------------------------------------------------------
# Whatever the builder keeps, it never gives an old answer.
case_classic_nothing_old_is_seen() {
	given <<-'END'
		mkdir -p thing /srv/old
		echo one >/srv/old/file
		touch -d 2001-01-01T00:00:00Z /srv/old/file
		echo in >thing/inside
		reads <<-'NIX'
			let see = path:
			  if !builtins.pathExists path then "nothing"
			  else if builtins.pathExists (toString path + "/") then builtins.readDir path
			  else builtins.readFile path;
			in map see [ "/srv/old/file" ./thing (./. + "/new") "/srv/old/new" ] ++ [ ./thing ]
		NIX
	END
	expect_same_derivation
	local change
	while IFS= read -r change; do
		after <<<"$change"
		expect_another_derivation
	done <<-'END'
		echo two >/srv/old/file; touch -d 2001-01-01T00:00:00Z /srv/old/file
		echo three >/srv/old/three; touch -d 2001-01-01T00:00:00Z /srv/old/three; mv /srv/old/three /srv/old/file
		rm /srv/old/file
		mkdir /srv/old/file; touch /srv/old/file/one /srv/old/file/two
		rm /srv/old/file/one
		rm -r /srv/old/file; ln -s /etc/hostname /srv/old/file
		ln -sfn /etc/nixos/thing /srv/old/file
		rm -r thing; echo "a file now" >thing
		chmod +x thing
		rm thing; mkdir thing; echo in >thing/inside; mkdir thing/empty
		echo out >new; touch /srv/old/new
		mv new newer; mkdir new
		mv thing new/; mkdir thing
	END
}

# Another Pi, or another user of this Pi, has the same names: their files are not mixed up.
case_classic_another_user() {
	given <<-'END'
		chmod 755 /etc/nixos
		reads <<-'NIX'
			[ (builtins.getEnv "HOME") (builtins.getEnv "USER") (import ~/mine.nix) (builtins.pathExists "/home/admin/only") ]
		NIX
		echo '"of root"' >/root/mine.nix
		echo '"of admin"' >/home/admin/mine.nix
		touch /home/admin/only
		chown admin: /home/admin/mine.nix
		cp -R /root/.ssh /home/admin/
		chown -R admin: /home/admin/.ssh
	END
	expect_same_derivation
	expect_seen '["/root","root","of root",true]'
	must lab on pi -u admin -- env -C /etc/nixos rebuild dry-build --eval-on builder -v
	there=$(sed -n 's/^derivation: //p' "$CASE/errors" | tail -n 1)
	must lab on pi -u admin -- nix-instantiate '<nixpkgs/nixos>' -A config.system.build.toplevel
	expect_equal "$there" "$output"
	own=$output
	expect_seen '["/home/admin","admin","of admin",true]'
}

# For this user, the Nix there does what it does for everybody: paths that are named by their content may come from
# anyone, paths that were built may not.
case_classic_a_user_whom_the_builder_does_not_trust() {
	must lab nixconf builder 'extra-platforms = aarch64-linux'
	given <<-'END'
		mkdir -p site/empty /srv/untrusted
		echo page >site/index.html
		echo 'by a string' >/srv/untrusted/text
		thing=$(nix-store --add /srv/untrusted)
		cat >configuration.nix <<-NIX
			{
			  environment.etc.site.source = ./site;
			  environment.etc.thing.source = builtins.storePath "$thing";
			  environment.etc.seen.text = builtins.readFile "/srv/untrusted/text" + builtins.toJSON (builtins.pathExists "/srv/untrusted");
			}
		NIX
	END
	builder=plain@builder
	expect_same_derivation
	expect_seen "by a string" true
	given_expression "builtins.storePath (builtins.readFile /srv/untrusted/system)"
	after <<<"readlink -f /run/current-system | tr -d '\\n' >/srv/untrusted/system"
	expect_same_or_refusal nixos-system-pi
}

# If no file says when it was read (noatime), a look tells nothing. Then what is missed is sent one file at a time, but
# not for long.
case_classic_where_no_access_times_are_kept() {
	given <<-'END'
		mkdir modules site
		for name in a b c d e f g h; do
			echo "{ environment.etc.\"of-$name\".text = \"$name\"; }" >modules/$name.nix
			echo "page $name" >site/$name
		done
		cat >configuration.nix <<-'NIX'
			{ imports = map (name: ./modules + "/${name}") (builtins.attrNames (builtins.readDir ./modules));
			  environment.etc.site.source = ./site; }
		NIX
	END
	must_sh_on builder 'mount --bind /home/builder /home/builder && mount -o remount,bind,noatime /home/builder'
	expect_same_derivation
	must_on builder umount -l /home/builder
}
