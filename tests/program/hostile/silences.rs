//! E21: every wait has a limit or a word, and ends at a signal.

use std::time::{Duration, Instant};

use super::{LIMIT, Play, at_once};

const SWITCH: &str = "switch --eval-on builder --no-lend";

/// The other end is closed, but ssh stays, whatever was said before.
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
        // It stays with its streams, too.
        (
            "greet; evaluated; built; say no-socket; say finished; exec sleep 1000",
            "",
        ),
    ];
    at_once(plays, |(acts, text)| {
        let play = Play::new("E21", &format!("hear_script; {acts}; exec sleep 1000 >&- 2>&-"));
        // An empty text means that everything has been said.
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
        // The builder never answers; it stops answering; it does not take what it asks for; it cannot hear.
        ": >here; exec sleep 1000",
        "hear_script; : >here; exec sleep 1000 >&- 2>&-",
        "hear_script; say hello /usr/bin x; : >here; exec sleep 1000",
        "hear_script; say hello /usr/bin x; : >here; exec sleep 1000 >&- 2>&-",
        "hear_script; say hello /usr/bin x; say receiving none; : >here; exec sleep 1000",
        "hear_script; greet; : >here; kill -STOP $$",
    ];
    at_once(plays, |acts| {
        let play = Play::new("E21", acts);
        // The file is larger than a pipe.
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
        // Of these, 5 s are the other side's.
        assert!(begin.elapsed() < Duration::from_secs(20), "{acts}");
        assert_eq!(run.code, code, "{acts}: {}", run.stderr);
        play.nothing_is_changed();
        play.no_ssh_is_left();
    });
}

/// The builder is silent before the greeting, and after it.
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

/// If a builder has shown that it lives and then falls silent, the user is told, and told again when it returns. A
/// builder that only lives, or that never said that it does, causes no message.
#[test]
fn a_builder_that_falls_silent_is_told_before_ssh_gives_up() {
    let alive = "alive() { echo '@rebuild alive' >&2; }; alive; hear_script; greet; alive";
    let plays = [
        // The silence lasts until the message is there: the test says when.
        (
            format!("{alive}; until [ -e go ]; do sleep 0.05; done; alive; until [ -e go-on ]; do sleep 0.05; done"),
            true,
        ),
        (format!("{alive}; for n in 1 2 3 4; do sleep 2.5; alive; done"), false),
        ("hear_script; greet; sleep 10".to_owned(), false),
    ];
    at_once(plays, |(acts, is_silent)| {
        let play = Play::new("E21", &format!("{acts}; evaluated; built; say no-socket; say finished"));
        let mut running = play.stage.start_at_terminal("build --eval-on builder --no-lend");
        if is_silent {
            running.wait_for_text("nothing has come from builder for 8 s");
            play.stage.write("go", "");
            running.wait_for_text("builder is heard again, after ");
            play.stage.write("go-on", "");
        }
        let run = running.finish();
        assert_eq!(run.code, 0, "{}", run.stderr);
        let said = ["nothing has come", "is heard again"].map(|words| run.stderr.matches(words).count());
        assert_eq!(said, [usize::from(is_silent); 2], "{}", run.stderr);
        assert!(!run.stderr.contains("alive"), "{}", run.stderr);
        play.no_ssh_is_left();
    });
}

/// The words that say that it lives are no news, and nothing can hide behind them: a signal is heard among them, and
/// they are kept nowhere.
#[test]
fn a_builder_that_lives_and_lives_gains_nothing() {
    let play = Play::new(
        "E21",
        "hear_script; greet; yes '@rebuild alive' | head -n 500000 >&2; weigh
         evaluated; built; say no-socket; say finished",
    );
    let run = play.ends("build --eval-on builder --no-lend");
    assert!(!run.stderr.contains("alive"), "{}", run.stderr.len());
    assert!(play.memory() < 48 << 20, "{}", play.memory());

    let play = Play::new("E21", "hear_script; greet; yes '@rebuild alive' >&2 & : >here; wait");
    let mut running = play.stage.start("build --eval-on builder --no-lend");
    play.stage.wait_for("here");
    running.signal("INT");
    assert_eq!(running.finish_within(LIMIT).unwrap().code, 130);
    // In the stream of events this word is not a known event.
    let acts = "hear_script; greet; say alive; exec sleep 1000";
    Play::new("E21", acts).fails(SWITCH, "says 'alive'");
}
