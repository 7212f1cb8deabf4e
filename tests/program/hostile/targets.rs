//! D16, D18, E21 on the other channel: the machine that is changed says too much, too little or nothing. It cannot be
//! kept from lying about itself. But what it says counts only if it was asked, and costs neither memory nor a hang.

use std::time::{Duration, Instant};

use super::{LIMIT, at_once};
use crate::SYSTEM;
use crate::stubs::{Run, Running, Stage};

/// The numbers of the logins in a `switch`.
const LOOK: usize = 1;
const CHANGE: usize = 4;

const SWITCH: &str = "switch --rollback --target-host target";

/// What a first look gets for an answer.
const LOOKED: &str = "say host target; say user root; say nix /bin; say current /x /x; say hello 0";

/// Returns a target that plays `acts` in the login with this number, and behaves in all others like an honest one.
fn target(login: usize, acts: &str) -> Stage {
    let stage = Stage::new();
    stage.host("target", "exit 255");
    let told = "say hello 0; say root; say nothing; say finished".to_owned();
    let inspected = format!("say hello 0; say found {SYSTEM}; say finished");
    let changed = "say hello 0; say root; say begun; say ended activation 0; say finished".to_owned();
    for (number, honest) in (1..).zip([LOOKED.to_owned(), told, inspected, changed]) {
        let acts = if number == login { acts } else { &honest };
        stage.write(
            &format!("target/login-{number}"),
            &format!("{}\n{acts}\nexit 1\n", super::BUILDER),
        );
    }
    stage
}

#[test]
fn an_honest_target_is_believed() {
    let stage = target(0, "");
    let run = finish(stage.start(SWITCH), &stage, "");
    assert_eq!((run.code, run.stdout), (0, format!("{SYSTEM}\n")), "{}", run.stderr);
}

fn no_ssh_is_left(stage: &Stage, acts: &str) {
    let left = stage.sh("for file in ssh-*.pid; do [ ! -e \"/proc/$(cat \"$file\")\" ] || cat \"$file\"; done");
    assert_eq!(left, "", "{acts}");
}

fn finish(running: Running, stage: &Stage, acts: &str) -> Run {
    let run = running.finish_within(LIMIT);
    assert!(run.is_some(), "{acts} hangs");
    no_ssh_is_left(stage, acts);
    run.unwrap()
}

fn fails(login: usize, acts: &str, text: &str) -> (Stage, Run) {
    let stage = target(login, acts);
    let run = finish(stage.start(SWITCH), &stage, acts);
    assert!(run.code > 0 && run.stdout.is_empty(), "{acts}: {}", run.stderr);
    assert!(
        run.stderr.contains("error: target ") && run.stderr.contains(text),
        "{acts}: {}",
        run.stderr
    );
    (stage, run)
}

#[test]
fn an_end_of_what_was_not_begun_is_none() {
    for (acts, text) in [
        (
            "say hello 0; say ended activation 0",
            "speaks of the change before root does",
        ),
        (
            "say hello 0; say root; say ended activation 0",
            "which it has not begun",
        ),
        (
            "say hello 0; say root; say begun; say ended profile 0",
            "says 'ended profile 0' out of turn",
        ),
        (
            "say hello 0; say root; say begun; say ended whatever 0",
            "says 'ended whatever 0' out of turn",
        ),
        (
            "say hello 0; say root; say no-such-word",
            "says 'no-such-word' out of turn",
        ),
    ] {
        fails(CHANGE, &format!("{acts}; exec sleep 1000"), text);
    }
    fails(
        LOOK,
        "say hello 0; exec sleep 1000",
        "says 'hello' before its name out of turn",
    );
}

/// This is the counterpart of the builder's test.
#[test]
fn an_ssh_that_stays_is_ended() {
    at_once([":", "say host target; say user root"], |acts| {
        let acts = format!("{acts}; exec sleep 1000 >&- 2>&-");
        fails(LOOK, &acts, "closed the connection, and ssh did not end");
    });
}

#[test]
fn a_signal_ends_every_wait() {
    for acts in [
        ": >here; exec sleep 1000",
        ": >here; exec sleep 1000 >&- 2>&-",
        ": >here; kill -STOP $$",
        &format!("{LOOKED}; : >here; kill -STOP $$"),
    ] {
        let stage = target(LOOK, acts);
        let mut running = stage.start(SWITCH);
        stage.wait_for("here");
        let begin = Instant::now();
        running.signal("INT");
        let run = finish(running, &stage, acts);
        assert!(begin.elapsed() < Duration::from_secs(20), "{acts}");
        assert_eq!(run.code, 130, "{acts}: {}", run.stderr);
    }
}

/// After the greeting, sudo may wait for a network directory that does not answer.
#[test]
fn a_silent_target_is_waited_for_with_a_word() {
    for (login, acts, word) in [
        (LOOK, "exec sleep 1000", "no answer yet"),
        (
            LOOK + 1,
            "say hello 0; exec sleep 1000",
            "it has answered, and is silent since",
        ),
    ] {
        let stage = target(login, acts);
        let mut running = stage.start_at_terminal(SWITCH);
        running.wait_for_text(&format!("waiting for target: {word}"));
        running.running.signal("INT");
        assert_eq!(running.finish().code, 130);
        no_ssh_is_left(&stage, acts);
    }
}

/// An activation may say nothing for a long time while its machine says that it lives; it may even be restarting the
/// network.
#[test]
fn a_target_that_falls_silent_while_it_is_changed_is_told() {
    let end = "say ended activation 0; say finished";
    let plays = [
        (
            "say alive; until [ -e go ]; do sleep 0.05; done; say alive; until [ -e go-on ]; do sleep 0.05; done",
            true,
        ),
        ("for n in 1 2 3 4; do say alive; sleep 2.5; done", false),
        ("sleep 10", false),
    ];
    at_once(plays, |(acts, is_silent)| {
        let stage = target(CHANGE, &format!("say hello 0; say root; say begun; {acts}; {end}"));
        let mut running = stage.start_at_terminal(SWITCH);
        if is_silent {
            running.wait_for_text("nothing has come from target for 8 s");
            stage.write("go", "");
            running.wait_for_text("target is heard again, after ");
            stage.write("go-on", "");
        }
        let run = running.finish();
        assert_eq!(run.code, 0, "{acts}: {}", run.stderr);
        let said = ["nothing has come", "is heard again"].map(|words| run.stderr.matches(words).count());
        assert_eq!(said, [usize::from(is_silent); 2], "{}", run.stderr);
    });
}

/// The word is no answer, and ends no wait.
#[test]
fn a_target_that_lives_and_lives_gains_nothing() {
    let acts = "say hello 0; yes '@rebuild alive' | head -n 300000; weigh; say no-such-word";
    let (stage, _) = fails(CHANGE, acts, "out of turn");
    let memory = stage.read("memory").trim().parse::<usize>().unwrap();
    assert!(memory < 48 << 10, "{memory} KiB");
    let stage = target(LOOK, "while say alive; do sleep 0.1; done");
    let mut running = stage.start_at_terminal(SWITCH);
    running.wait_for_text("waiting for target: no answer yet");
    running.running.signal("INT");
    assert_eq!(running.finish().code, 130);
}

#[test]
fn a_line_without_end_costs_little() {
    for (login, acts) in [
        (LOOK, "flood 200000000; echo; weigh; say no-such-word"),
        (LOOK, "flood 200000000 >&2; echo >&2; weigh; say no-such-word"),
        (
            LOOK,
            "printf '@rebuild host '; flood 200000000; weigh; echo; exec sleep 1000",
        ),
        (
            CHANGE,
            "say hello 0; say root; say begun; say chunk 200000000; flood 200000000; weigh; say no-such-word",
        ),
    ] {
        let (stage, _) = fails(login, acts, "out of turn");
        let memory = stage.read("memory").trim().parse::<usize>().unwrap();
        assert!(memory < 48 << 10, "{acts}: {memory} KiB");
    }
}
