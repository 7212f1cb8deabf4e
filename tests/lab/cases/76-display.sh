# shellcheck shell=bash
# What a person sees: on a terminal that is really drawn, on simple ones, and where there is none.

# configure MOTD [NIX [PACKAGE...]] : makes the Pi's configuration with more in it, of which nothing was built yet.
configure() {
	local name list=
	for name in "${@:3}"; do list="$list (pkgs.writeProgram \"$name\" \"echo $name\")"; done
	must_sh_on "${client:-pi}" 'cd /etc/nixos; [ -e plain ] || cp configuration.nix plain; cp plain configuration.nix'
	[ -z "$list" ] || must_on "${client:-pi}" sed -i "s/(pkgs.writeProgram .*/$list/" /etc/nixos/configuration.nix
	must_on "${client:-pi}" sed -i "s/text = .*/text = \"$1\\n\"; ${2:-}/" /etc/nixos/configuration.nix
}

# Prints those lines of all screens seen that were live: from the spinner down.
live_lines() { awk -v mark="$SPINNER" '/^--$/ { live = 0; next } $0 ~ "^" mark " " { live = 1 } live' "$frames"; }
# expect_seen EXTENDED-REGULAR-EXPRESSION : checks that some screen had it in a live line.
expect_seen() { live_lines | grep -aE -- "$1" >/dev/null || fail "was never seen live: $1
$(live_lines | sort -u | head -n 60)"; }
# Checks that no live line goes on in the next one, and that there is only one display at a time.
expect_live_lines_fit() { # COLUMNS
	local widest wrong
	widest=$(live_lines | LC_ALL=C.UTF-8 wc -L)
	[[ $widest -gt 20 && $widest -lt $1 ]] || fail "the live lines are up to $widest wide, of $1: $(live_lines | sort -u | head -n 60)"
	wrong=$(live_lines | grep -avE "^($SPINNER [a-z]|  [^ ]).* ([0-9]+ (s|min|h)|more|builds)\$" || true)
	expect_equal "$wrong" ""
	awk -v mark="$SPINNER" '/^--$/ { if (live > 1) bad = 1; live = 0; next } $0 ~ mark { live++ } END { exit bad }' "$frames" ||
		fail "more than one display at once: $(cat "$frames")"
}
# Checks that it is what a simple terminal or a file can show: text, in lines.
expect_plain_text() { # TEXT
	expect_lacks "$1" $'\033'
	expect_lacks "$1" $'\r'
	expect_lacks "$1" $'\b'
}

case_display_on_a_terminal() {
	fresh
	must lab nixconf builder "max-jobs = 2"
	local columns
	for columns in 120 80 56; do
		configure "$columns columns" "lab.slowBuild = 3; lab.bulkMegabytes = 150; lab.salt = \"$columns\";" \
			"a-program-with-quite-a-long-name-1.$columns" "b-$columns"
		at_screen "$columns" pi root rebuild switch --eval-on builder --diff
		screen_ends 120
		expect_status 0
		expect_live_lines_fit "$columns"
		expect_seen "^$SPINNER evaluating on builder +[0-9]+ s$"
		expect_seen "^$SPINNER building [0-9]+ of [0-9]+ on builder +[0-9]+ s$"
		expect_seen "^  slow-build +emulated  builder  [0-9]+ s$"
		expect_seen "^$SPINNER receiving [0-9]+ of [0-9]+ paths, [0-9.]+ of [0-9.]+ MB"
		expect_seen "^$SPINNER activating \(switch\) +[0-9]+ s$"
		# This text stays on the screen.
		local text
		text=$(printf %s "$output" | tr -s ' \n' ' ')
		expect_matches "$text" 'connecting to builder\.\.\. '
		expect_matches "$text" 'sent [0-9]+ files?, [0-9.]+ k?B '
		expect_matches "$text" "these [0-9]+ derivations will be built: "
		expect_matches "$text" "(added|changed): .*a-program-with-quite-a-long-name [^ ]*( → )?1\.$columns"
		expect_matches "$text" "built [0-9]+, received [0-9]+ paths \\([0-9.]+ MB\\); (sent in [0-9.]+ s, )?evaluated in [0-9.]+ s, built in [0-9.]+ s, received in [0-9.]+ s, activated in [0-9.]+ s "
		expect_contains "$output" "Done. The new configuration is"
		expect_contains "$output" "$(profile_of pi)"
	done
}

# The link has 16 Mbit/s: the display shows how fast it comes, and how long it will take.
case_display_of_the_rate() {
	fresh
	configure "slow link" "lab.bulkMegabytes = 6;"
	lab slow builder 16mbit
	at_screen 80 pi root rebuild build --eval-on builder
	screen_ends 60
	expect_status 0
	expect_live_lines_fit 80
	expect_seen "^$SPINNER receiving [0-9]+ of [0-9]+ paths, [0-9.]+ of 6\.[0-9] MB, [12]\.[0-9] MB/s, [1-4] s left +[0-9]+ s$"
	expect_matches "$output" 'received [0-9]+ paths \(6\.[0-9] MB\)'
}

# There is nothing but text if that is asked for, or if nothing else can be shown; and stdout gets the path.
case_display_without_a_live_line() {
	fresh
	local how path number=0
	for how in TERM=dumb TERM= NO_COLOR=1 CI=true "" -L --quiet; do
		number=$((number + 1))
		configure "without a live line, $number"
		case $how in
		-* | "") on_tty pi root env TERM=xterm sh -c "stty cols 80 rows 24; exec rebuild build --eval-on builder --diff $how >/tmp/path" ;;
		*) on_tty pi root env TERM=xterm "$how" sh -c "stty cols 80 rows 24; exec rebuild build --eval-on builder --diff >/tmp/path" ;;
		esac
		expect_status 0
		path=$(file_on pi /tmp/path)
		expect_matches "$path" '^/nix/store/[a-z0-9]{32}-nixos-system-pi-[^[:space:]]*$'
		case $how in
		"" | -L) # These do have one: the test sees what it looks for.
			expect_contains "$output" $'\033[2K'
			;;
		--quiet)
			expect_plain_text "$output"
			expect_lacks "$output" "building etc-motd"
			expect_lacks "$output" "evaluated in"
			;;
		*)
			expect_plain_text "$output"
			expect_contains "$output" $'\nbuilding etc-motd...\n'
			expect_matches "$output" $'\nbuilt [0-9]+, received [0-9]+ paths? \\([0-9.]+ [kM]?B\\); '
			;;
		esac
	done
	# There is no terminal at all, with the work here and there.
	for how in "--eval-on builder" "-j 2" "-j 2 --quiet" "--eval-on builder -L" "--eval-on builder -v"; do
		number=$((number + 1))
		configure "no terminal, $number"
		# shellcheck disable=SC2086 # words
		on pi env TERM=xterm-256color rebuild build --diff $how
		expect_status 0
		expect_matches "$output" '^/nix/store/[a-z0-9]{32}-nixos-system-pi-[^[:space:]]*$'
		expect_plain_text "$errors"
		case $how in *--quiet) ;; *) expect_contains "$errors" $'\nbuilding etc-motd...\n' ;; esac
	done
}

case_display_of_build_logs() {
	fresh
	configure "logs" 'lab.slowBuild = 2;'
	on pi rebuild build --eval-on builder -L
	expect_status 0
	expect_contains "$errors" $'\nslow-build> working, second 1 of 2\nslow-build> working, second 2 of 2\n'
	configure "logs here" 'lab.slowBuild = 2; lab.salt = "here";'
	at_screen 80 pi root rebuild build -j 2 -L
	screen_ends
	expect_status 0
	expect_live_lines_fit 80
	expect_contains "$output" $'\nslow-build> working, second 1 of 2\nslow-build> working, second 2 of 2\n'
}

# Checks that the end of its log is shown, and a command for all of it that works as it stands.
expect_explained() { # NAME OF-THE-LOG
	# Nix itself shows it, or this program where Nix does not.
	expect_matches "$seen" $'\n(the last [0-9]+ lines? of the log of '"$1"$':\n>|error: [^\n]*'"$1"$'.drv[^\n]*\n *(Reason: [^\n]*\n *Output paths:\n[^>]*\n *)?[Ll]ast [0-9]+ log lines:\n *>) '
	expect_matches "$seen" $'\n *> '"$2"$'\n'
	local command
	# There is one command, for this machine.
	command=$(printf '%s\n' "$seen" | sed -n -e "s/^ *the whole log: \(.*-$1\.drv.*\)/\1/p" -e '/For full logs, run:/{n;p}' |
		grep -e "-$1\.drv" | sed 's/^ *//')
	expect_different "$command" ""
	expect_equal "$(printf '%s\n' "$command" | wc -l)" 1
	sh_on pi "$command"
	expect_status 0
	expect_contains "$output" "$2"
}
case_display_of_a_failed_build() {
	fresh
	configure "a failure" "lab.failBuild = true;"
	local where
	for where in "--eval-on builder" "-j 2" "--build-on builder"; do
		# shellcheck disable=SC2086 # words
		on pi rebuild switch $where
		expect_failure
		expect_equal "$output" ""
		seen=$errors
		expect_plain_text "$seen"
		expect_explained fails-on-purpose "lab: this build fails on purpose"
	done
	at_screen 80 pi root rebuild switch --eval-on builder
	screen_ends
	expect_failure
	seen=$output
	expect_explained fails-on-purpose "log line three of the build that fails"
}

case_display_of_two_failures() {
	fresh
	configure "two failures"
	must_on pi sed -i 's/(pkgs.writeProgram .*/(pkgs.run "one-bad" { } "echo bad to the bone; exit 1") (pkgs.run "two-bad" { } "sleep 1; echo bad as well; exit 2")/' \
		/etc/nixos/configuration.nix
	local where
	for where in "--eval-on builder" "-j 2"; do
		# shellcheck disable=SC2086 # words
		on pi rebuild build $where --keep-going
		expect_failure
		expect_equal "$output" ""
		seen=$errors
		expect_explained one-bad "bad to the bone"
		expect_explained two-bad "bad as well"
	done
	at_screen 56 pi root rebuild build --eval-on builder --keep-going
	screen_ends
	expect_failure
	expect_seen ", 1 failed on builder"
	expect_live_lines_fit 56
}

# The output is Nix's own.
case_display_left_to_nix() {
	fresh
	configure "raw"
	on pi rebuild build -j 2 --log-format raw
	expect_status 0
	expect_matches "$output" '^/nix/store/[a-z0-9]{32}-nixos-system-pi-[^[:space:]]*$'
	expect_matches "$errors" $'\nbuilding \'/nix/store/[a-z0-9]{32}-etc-motd.drv\'...\n'
	expect_lacks "$errors" "@nix"
	configure "bar"
	on_tty pi root env TERM=xterm sh -c 'stty cols 80; exec rebuild build -j 2 --log-format bar-with-logs'
	expect_status 0
	expect_contains "$output" "built"
	expect_lacks "$output" "⠋"
	configure "json"
	on pi rebuild build -j 2 --log-format internal-json
	expect_status 0
	expect_contains "$errors" '@nix {"action":"start"'
}

# Without a terminal, a long silence is broken by a message.
case_display_of_a_sign_of_life() {
	fresh
	configure "slow" "lab.slowBuild = 35;"
	on pi rebuild build --eval-on builder
	expect_status 0
	expect_matches "$errors" $'\nstill building [0-9]+ of [0-9]+ on builder: slow-build \\(3[0-9] s\\)\n'
	expect_plain_text "$errors"
	expect_equal "$(grep -c '^still ' "$CASE/errors")" 1
}

case_display_after_ctrl_c() {
	fresh
	local where before
	before="$(profile_of pi) $(system_of pi)"
	for where in "--eval-on builder" "-j 2"; do
		configure "never" "lab.slowBuild = 600; lab.salt = \"$where\";"
		# shellcheck disable=SC2086 # words
		at_screen 80 pi root rebuild switch $where
		expect_within 60 screen_shows "  slow-build "
		# What is typed meanwhile does not move the display; neither does the ^C that the terminal itself shows.
		press Enter x Enter
		sleep 0.5
		press C-c
		screen_ends 15
		expect_status 130
		expect_lacks "$output" "slow-build  "
		expect_lacks "$output" "^C"
		# The Nix on this machine gets the signal, too.
		expect_lacks "${output/error: interrupted by the user/}" "error"
		expect_equal "$(profile_of pi) $(system_of pi)" "$before"
		expect_within 10 nobody_works
	done
}
nobody_works() { ! lab on pi sh -c 'pgrep -x rebuild || pgrep -x ssh || pgrep -x nix-build || ps -eo args | grep -q "[w]orking, second"' </dev/null; }

# Checks the numbers of builds, in the words of each Nix.
expect_sensible_counts() {
	expect_status 0
	expect_live_lines_fit 80
	local built most
	built=$(sed -n 's/^built \([0-9]*\)[,;].*/\1/p' "$CASE/output")
	[ "${built:-0}" -ge 4 ] || fail "expected some builds in the last line"
	# Nix 2.34 expects one build too many for a moment.
	live_lines | sed -nE "s/^$SPINNER building ([0-9]+) of ([0-9]+).*/\2 \3/p" | sort -u >"$CASE/counts"
	[ -s "$CASE/counts" ] || fail "no count was ever seen: $(live_lines | sort -u)"
	most=$(cut -d' ' -f2 "$CASE/counts" | sort -n | tail -n 1)
	awk -v built="$built" '$1 > $2 || $2 > built + 1 { exit 1 }' "$CASE/counts" ||
		fail "built $built, and these counts were seen: $(cat "$CASE/counts")"
	[ "$most" -ge "$built" ] || fail "built $built, and never more than $most were expected"
	expect_seen "^  slow-build +(emulated  )?([a-z]+  )?[0-9]+ s$"
}
case_display_of_other_builders() {
	need_hosts oldbuilder newbuilder
	fresh pi oldbuilder newbuilder
	local builder
	for builder in oldbuilder newbuilder; do
		configure "$builder" "lab.slowBuild = 2; lab.bulkMegabytes = 2; lab.salt = \"$builder\";" one two three
		at_screen 80 pi root rebuild build --eval-on $builder
		screen_ends
		expect_sensible_counts
		expect_seen "^  slow-build +emulated  $builder  [0-9]+ s$"
		expect_matches "$output" 'received [0-9]+ paths \([23]\.[0-9] MB\)'
	done
}
case_display_of_other_clients() {
	need_hosts oldpi newpi
	fresh oldpi newpi builder
	local client
	# Nix 2.8 asks its own program for a builder under another name, which the lab has removed.
	must_on oldpi ln -s nix /usr/lib/nix-real/build-remote
	for client in oldpi newpi; do
		configure "$client" "lab.slowBuild = 2;" one two three
		at_screen 80 $client root rebuild build -j 2
		screen_ends
		expect_sensible_counts
		configure "$client" "lab.failBuild = true;"
		on $client rebuild build -j 2
		expect_failure
		expect_contains "$errors" "lab: this build fails on purpose"
	done
}
