//! D14: whatever a builder says that its evaluation misses, it gets nothing that the configuration does not name and not
//! everybody may read.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::Play;

const SWITCH: &str = "switch --eval-on builder --no-lend";
const SECRET: &str = "the-secret-itself";

/// The evaluation fails with one text after the other, and looks around between.
fn asks(texts: &[String]) -> Play {
    let mut acts = "hear_script; greet".to_owned();
    for text in texts {
        acts.push_str("\nasks_by_error \"");
        acts.push_str(text);
        acts.push('"');
        // A look, if one is wanted.
        acts += "\n[ \"$answer\" != open ] || { say looked-around; hear_answer; }";
    }
    acts += "\nasks_by_error 'error: no more'; exit 1";
    let play = Play::new("D14", &acts);
    hide_secrets(&play);
    play
}

fn hide_secrets(play: &Play) {
    for name in ["home/.bash_history", "etc/private/key"] {
        play.stage.write(name, SECRET);
        let shut = fs::Permissions::from_mode(0o600);
        fs::set_permissions(play.stage.path(name), shut).unwrap();
    }
    // All else may be read by everybody, the way to it as well.
    fs::set_permissions(play.stage.path(""), fs::Permissions::from_mode(0o755)).unwrap();
}

fn is_sent(play: &Play) -> bool {
    let sent = fs::read(play.stage.path("files.tar")).unwrap();
    sent.windows(SECRET.len()).any(|part| part == SECRET.as_bytes())
}

fn gets_nothing(texts: &[String]) -> String {
    let play = asks(texts);
    let run = play.fails(SWITCH, "the evaluation on");
    assert!(!is_sent(&play), "{texts:?}");
    // That the play was one: the client has answered, be it that it gives up.
    let answers = play.stage.read("answers");
    assert!(
        answers.starts_with("open") || answers.starts_with("stop"),
        "{texts:?}: {answers}"
    );
    run.stderr
}

fn lookup(name: &str) -> String {
    format!("error: file '{name}' was not found in the Nix search path (add it using $NIX_PATH or -I)")
}

#[test]
fn by_a_name_that_leads_out_of_the_search_path() {
    let stage = "$STAGE";
    for name in [
        format!("../../../../../../..{stage}/home/.bash_history"),
        format!("{stage}/home/.bash_history"),
        format!("nixos-config/{stage}/home/.bash_history"),
        "nixpkgs/../home/.bash_history".to_owned(),
        format!("nixpkgs/{stage}/home/.bash_history"),
        "nixos-config/../../private/key".to_owned(),
    ] {
        let stderr = gets_nothing(&[lookup(&name)]);
        assert!(stderr.contains("no file of the configuration has"), "{stderr}");
    }
}

#[test]
fn by_other_words_for_a_path() {
    let way = |path: &str| format!("$STAGE/{path}");
    for text in [
        format!("error: opening file '{}': Permission denied", way("home/.bash_history")),
        format!(
            "error: opening file '{}': Permission denied",
            way("etc/nixos/../private/key")
        ),
        format!(
            "error: opening file '/proc/self/root{}': Permission denied",
            way("home/.bash_history")
        ),
        format!(
            "error: opening file '/.elsewhere{}': Permission denied",
            way("home/.bash_history")
        ),
        format!("error: opening file '{}': Permission denied", way("public/link")),
        format!(
            "error: opening file '{}': Permission denied",
            way("public/way/.bash_history")
        ),
        format!("error: could not find repository at '{}'", way("home/.bash_history/..")),
        format!("error: could not find repository at '{}'", way("public")),
    ] {
        let play = asks(&[text.clone(), text.clone()]);
        play.stage.write("public/.git/HEAD", "x");
        play.stage.write("public/.git/commondir", "../../home");
        play.stage
            .sh("ln -s ../home/.bash_history public/link; ln -s ../home public/way");
        play.fails(SWITCH, "the evaluation on");
        assert!(!is_sent(&play), "{text}");
    }
}

/// By the events of a look, and of strace; and what is nobody's to wait at.
#[test]
fn by_what_was_looked_at() {
    let acts = "hear_script; greet
        set -- $STAGE/home/.bash_history $STAGE/etc/nixos/../private/key $STAGE/pipe $STAGE/pipe.nix /dev/tty /nix/store
        for path; do
            say \"refused stat(\\\"$path\\\", 0x1)\"
            say \"unread $path\"
        done
        asks_by_error \"error: opening file '$STAGE/pipe': Permission denied\"
        for path; do say \"looked $path\"; done
        say looked-around; hear_answer
        asks_by_error 'error: no more'";
    let play = Play::new("D14", acts);
    hide_secrets(&play);
    play.stage.sh("mkfifo pipe pipe.nix");
    play.fails(SWITCH, "the evaluation on");
    assert!(!is_sent(&play));
}

/// Of the store, only what the evaluation can know of.
#[test]
fn by_the_name_of_a_store_path() {
    // That is there, and no link but one of /run leads to it.
    let other = crate::SYSTEM.replace("00000000000000000000000000000000", "22222222222222222222222222222222");
    let stderr = gets_nothing(&[format!("error: path '{other}' is not valid")]);
    assert!(stderr.contains("which nothing that was sent names"), "{stderr}");
}
