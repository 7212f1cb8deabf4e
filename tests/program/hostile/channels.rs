//! `--upgrade`: the other machine finds the newest channels, and its word becomes the profile of root's channels here.

use super::Play;

const GENERATION: &str = "/nix/store/44444444444444444444444444444444-user-environment";

/// What a builder does in its first session, its second, and its third.
fn play(acts: &str) -> Play {
    let play = Play::new(
        "#15",
        &format!("GENERATION={GENERATION}; hear_script; echo >>talks; talk=$(wc -l <talks)\n{acts}"),
    );
    play.stage.stub(
        "nix-channel",
        "[ \"$1\" != --list ] || echo 'nixos https://me:secret@h/nixos-25.05'",
    );
    play
}

const UPDATES: &str = "say hello /usr/bin x86_64-linux; say channels $GENERATION; say finished";

const WORKS: &str = "greet; evaluated; built; say no-socket; say finished";

#[test]
fn an_honest_builders_channels_are_set_last() {
    let acts = format!(
        "case $talk in 1) {UPDATES} ;; 2) {WORKS} ;; *) say hello /usr/bin x; say no-socket; say finished ;; esac"
    );
    let play = play(&acts);
    play.stage.stub("nix-copy-closure", "case \"$*\" in *user-environment*) mkdir -p /nix/store/44444444444444444444444444444444-user-environment ;; esac");
    let run = play.ends("switch --eval-on builder --upgrade");
    let calls = play.stage.calls();
    let at = |beginning: &str| calls.iter().position(|call| call.starts_with(beginning));
    let set = at("nix-env --profile /nix/var/nix/profiles/per-user/root/channels --set").unwrap();
    let (asked, changed) = (at("nix-channel --list").unwrap(), at("systemd-run").unwrap());
    assert!(asked < set && set < changed, "{calls:?}");
    assert_eq!(at("nix-channel --update"), None, "{calls:?}");
    // The address is no word of a command, and nobody says it.
    assert!(
        !calls.join(" ").contains("secret") && !run.stderr.contains("secret"),
        "{calls:?}{}",
        run.stderr
    );
    assert!(play.stage.read("script").contains("$rb_socket"));
}

/// What cannot be updated is no reason to stop.
#[test]
fn a_builder_that_cannot_update_them() {
    let acts = format!("case $talk in 1) say hello /usr/bin x; say channels; say finished ;; *) {WORKS} ;; esac");
    let play = play(&acts);
    play.stage.stub("nix", "");
    let run = play.ends("build --eval-on builder --upgrade");
    assert!(
        run.stderr
            .contains("warning: builder could not update nixos: the channels stay as they are"),
        "{}",
        run.stderr
    );
    play.nothing_is_changed();
}

#[test]
fn channels_that_are_none() {
    let hello = "say hello /usr/bin x86_64-linux";
    for (said, text) in [
        ("say channels /etc/passwd", "as the channels is none"),
        ("say channels $SYSTEM", "as the channels is none"),
        ("say channels $GENERATION.drv", "as the channels is none"),
        ("say channels $GENERATION/nixos", "as the channels is none"),
        ("say finished", "says 'finished' out of turn"),
        ("say channels $GENERATION; say channels $GENERATION", "says 'channels"),
        ("say built $SYSTEM", "says 'built"),
        ("say building", "says 'building' out of turn"),
        ("say evaluated $DRV", "says 'evaluated"),
        ("say channels $GENERATION; say evaluated $DRV", "says 'evaluated"),
        ("say copying", "says 'copying' out of turn"),
        ("say channels $GENERATION; say copying", "says 'copying' out of turn"),
        ("say need x", "says 'need"),
    ] {
        for line in [
            "switch --eval-on builder --upgrade",
            "dry-build --eval-on builder --upgrade-all",
        ] {
            play(&format!("{hello}; {said}")).fails(line, text);
        }
    }
}

/// Nobody has asked for channels in an evaluation, nor without the flag.
#[test]
fn channels_out_of_turn() {
    for acts in [
        "greet; say channels $GENERATION",
        "say hello /usr/bin x; say channels $GENERATION",
    ] {
        play(acts).fails("switch --eval-on builder --no-lend", "says 'channels");
    }
    let acts = format!("case $talk in 1) {UPDATES} ;; *) greet; say channels $GENERATION ;; esac");
    play(&acts).fails("switch --eval-on builder --upgrade", "says 'channels");
}

/// Whatever is said of them: what has not come is not set, and the system that was made with it is not activated.
#[test]
fn channels_that_do_not_come() {
    for last in ["say no-socket; say finished", "say copying; say copied; say finished"] {
        let acts = format!("case $talk in 1) {UPDATES} ;; 2) {WORKS} ;; *) say hello /usr/bin x; {last} ;; esac");
        let play = play(&acts);
        play.stage.stub("nix", "");
        play.fails("switch --eval-on builder --upgrade", "has not arrived");
    }
}
