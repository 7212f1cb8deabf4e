//! E21: every wait has a limit or a word, and ends at a signal.

use std::time::{Duration, Instant};

use super::{LIMIT, Play, at_once};

const SWITCH: &str = "switch --eval-on builder --no-lend";

/// The other end is closed, and ssh stays: whatever was said before.
#[test]
fn an_ssh_that_stays_is_ended() {
    let plays = [
        (":", "ssh did not end"),
        ("greet", "ssh did not end"),
        (
            "greet; nix_error 'error: no'; say evaluation-failed 1; read -r word",
            "the evaluation on builder failed",
        ),
        ("greet; evaluated; built; say no-socket; say finished", ""),
    ];
    at_once(plays, |(acts, text)| {
        let play = Play::new("E21", &format!("hear_script; {acts}; exec sleep 1000 >&- 2>&-"));
        // All has been said.
        if text.is_empty() {
            play.ends("build --eval-on builder --no-lend");
        } else {
            play.fails(SWITCH, text);
        }
    });
}

#[test]
fn a_signal_ends_every_wait() {
    let plays = [
        // It never answers, it answers no more, it does not take what it asks for, it cannot hear.
        ": >here; exec sleep 1000",
        "hear_script; : >here; exec sleep 1000 >&- 2>&-",
        "hear_script; say hello /usr/bin x; : >here; exec sleep 1000",
        "hear_script; say hello /usr/bin x; : >here; exec sleep 1000 >&- 2>&-",
        "hear_script; say hello /usr/bin x; say receiving none; : >here; exec sleep 1000",
        "hear_script; greet; : >here; kill -STOP $$",
    ];
    at_once(plays, |acts| {
        let play = Play::new("E21", acts);
        // More than a pipe holds.
        play.stage.write("etc/nixos/big", &"x".repeat(1_000_000));
        play.stage.write("etc/nixos/hardware.nix", "{ big = ./big; }");
        let mut running = play.stage.start(SWITCH);
        play.stage.wait_for("here");
        let begin = Instant::now();
        let (signal, code) = if acts.contains("hear_script") {
            ("INT", 130)
        } else {
            ("TERM", 143)
        };
        running.signal(signal);
        let run = running.finish_within(LIMIT).unwrap();
        // 5 s are the other side's.
        assert!(begin.elapsed() < Duration::from_secs(20), "{acts}");
        assert_eq!(run.code, code, "{acts}: {}", run.stderr);
        play.nothing_is_changed();
        play.no_ssh_is_left();
    });
}

/// Before the greeting and after it.
#[test]
fn a_silent_builder_is_waited_for_with_a_word() {
    let plays = [
        (": >here; exec sleep 1000", "waiting for builder: no answer yet\n"),
        (
            "hear_script; say hello /usr/bin x; : >here; exec sleep 1000",
            "waiting for builder: it has answered, and is silent since\n",
        ),
    ];
    at_once(plays, |(acts, word)| {
        let play = Play::new("E21", acts);
        let mut running = play.stage.start_at_terminal(SWITCH);
        running.wait_for_text(word.trim_end());
        running.running.signal("INT");
        let run = running.finish();
        assert_eq!(run.code, 130, "{}", run.stderr);
        play.no_ssh_is_left();
    });
}
