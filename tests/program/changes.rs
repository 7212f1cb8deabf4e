//! The changes of packages are shown and asked about, and the change of the kernel is told. The tests run on a machine
//! of their own, with a stand-in for Nix that says what a real Nix has said (`src/difference/recorded`).

use crate::SYSTEM;
use crate::stubs::{AtTerminal, Run, Stage};

const CURRENT: &str = "/nix/store/22222222222222222222222222222222-nixos-system-pi";
const QUESTION: &str = "Activate it on this machine? [y/N] ";
const HINT: &str = "the kernel has changed (6.1.2 → 6.1.5): it is in use after the next boot";

fn machine() -> Stage {
    let stage = Stage::own_machine(SYSTEM);
    stage.stub("nix-build", &format!("echo {SYSTEM}"));
    stage.write("recorded", include_str!("../../src/difference/recorded/nix-2.26.txt"));
    stage.stub(
        "nix",
        &format!(
            "case $* in
             *\" store diff-closures {CURRENT} \"*-nixos-system-*) cat recorded ;;
             *\" path-info --closure-size {CURRENT} \"*-nixos-system-*)
                for system; do :; done
                printf '%s\\t %s\\n' \"$system\" 208118616 {CURRENT} 3157416 ;;
             *) exit 9 ;;
             esac"
        ),
    );
    stage
}

/// Returns whether the machine was changed.
fn is_changed(stage: &Stage) -> bool {
    let calls = stage.calls();
    let change = |call: &String| {
        ["nix-env ", "systemd-run ", "switch-to"]
            .iter()
            .any(|it| call.starts_with(it))
    };
    calls.iter().any(change)
}

fn answered(line: &str, answer: impl FnOnce(&mut AtTerminal)) -> (Stage, Run) {
    let stage = machine();
    let mut run = stage.start_at_terminal(line);
    run.wait_for_text("[y/N] ");
    assert!(!is_changed(&stage), "{:?}", stage.calls());
    answer(&mut run);
    let run = run.finish();
    (stage, run)
}

#[test]
fn a_difference_is_shown_before_the_change_and_the_kernels_at_the_end() {
    let stage = machine();
    let run = stage.rebuild("switch --diff");
    assert_eq!((run.code, run.stdout), (0, format!("{SYSTEM}\n")), "{}", run.stderr);
    for text in [
        "\nchanged:\n  a-b      2-1.0pre+git → 2-1.1pre+git\n",
        "\nremoved:\n  gone  2, 3.1  -31 kB\n",
        "\nclosure: 3.16 MB → 208 MB (+205 MB)\n",
    ] {
        assert!(run.stderr.contains(text), "{}", run.stderr);
    }
    // What was done follows, and how long it took.
    let last: Vec<&str> = run.stderr.lines().rev().take(3).collect();
    assert_eq!(last[2], HINT, "{}", run.stderr);
    assert_eq!(last[0], "Done. The new configuration is ", "{}", run.stderr);
    assert!(is_changed(&stage));
    let calls = stage.calls();
    let first = |start: &str| calls.iter().position(|call| call.starts_with(start)).unwrap();
    assert!(first("nix --extra") < first("systemd-run"), "{calls:?}");
}

#[test]
fn the_hint_is_for_what_will_be_booted() {
    for (line, expected) in [
        ("boot", Some(HINT)),
        (
            "test",
            Some("it is in use after a boot into this system, and test leaves"),
        ),
        ("dry-activate", None),
        // Its specialisation has no kernel, so its kernel is another one.
        ("switch -c quiet", Some("after the next boot into this specialisation")),
    ] {
        let run = machine().rebuild(line);
        assert_eq!(run.code, 0, "{line}: {}", run.stderr);
        match expected {
            Some(text) => assert!(run.stderr.contains(text), "{line}: {}", run.stderr),
            None => assert!(!run.stderr.contains("has changed"), "{line}: {}", run.stderr),
        }
    }
    // Nix was not asked anything.
    let stage = machine();
    stage.rebuild("switch");
    assert!(!stage.calls().iter().any(|call| call.starts_with("nix --extra")));
}

#[test]
fn a_nix_that_does_not_compare_is_a_warning() {
    let stage = machine();
    stage.stub("nix", "echo 'error: what is diff-closures?' >&2; exit 1");
    let run = stage.rebuild("switch --diff");
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(run.stderr.contains("error: what is diff-closures?"), "{}", run.stderr);
    assert!(
        run.stderr
            .contains("warning: --diff: Nix on this machine does not compare"),
        "{}",
        run.stderr
    );
    assert!(is_changed(&stage));
}

#[test]
fn the_question_comes_without_a_difference_too() {
    let stage = machine();
    stage.stub("nix", "exit 1");
    let mut run = stage.start_at_terminal("switch --ask");
    run.wait_for_text(QUESTION);
    run.types("n\n");
    assert_eq!(run.finish().code, 1);
    assert!(!is_changed(&stage));
}

#[test]
fn yes_goes_on() {
    for (line, question) in [
        ("switch --ask", QUESTION),
        ("boot -a", "Make it the default for booting this machine? [y/N] "),
        ("test -a", "Activate it on this machine, until the next boot? [y/N] "),
        (
            "test -a --rollback",
            "Activate it on this machine, until the next boot? [y/N] ",
        ),
        (&format!("switch -a --store-path {SYSTEM}"), QUESTION),
    ] {
        let (stage, run) = answered(line, |run| run.types("y\n"));
        let system = if line.contains("--rollback") {
            SYSTEM.replace("-pi", "-old")
        } else {
            SYSTEM.to_owned()
        };
        assert_eq!(
            (run.code, run.stdout),
            (0, format!("{system}\n")),
            "{line}: {}",
            run.stderr
        );
        let (before, after) = run.stderr.split_once(question).unwrap();
        assert!(before.contains("\nclosure: 3.16 MB"), "{line}: {before}");
        assert!(after.contains("Done. The new configuration is"), "{line}: {after}");
        assert!(is_changed(&stage), "{line}");
    }
}

#[test]
fn everything_else_changes_nothing() {
    for answer in ["\n", "n\n", "what?\n", "\u{4}"] {
        let (stage, run) = answered("switch --ask", |run| run.types(answer));
        assert_eq!((run.code, run.stdout.as_str()), (1, ""), "{answer:?}: {}", run.stderr);
        assert!(
            run.stderr.ends_with("\nnothing was changed on this machine\n"),
            "{:?}",
            run.stderr
        );
        assert!(!run.stderr.contains("error"), "{}", run.stderr);
        assert!(!is_changed(&stage), "{answer:?}: {:?}", stage.calls());
    }
}

#[test]
fn an_interrupted_question_changes_nothing() {
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let (stage, run) = answered("switch --ask", |run| run.running.signal(signal));
        assert_eq!((run.code, run.stdout.as_str()), (code, ""), "{}", run.stderr);
        assert!(!is_changed(&stage), "{:?}", stage.calls());
    }
}

/// Keys that an impatient user presses during the long work are no answer to a question that they have not seen yet.
#[test]
fn what_was_typed_before_the_question_is_no_answer() {
    let stage = machine();
    stage.stub(
        "nix-build",
        &format!(": >building; while [ ! -e typed ]; do sleep 0.05; done; echo {SYSTEM}"),
    );
    let mut run = stage.start_at_terminal("switch --ask");
    stage.wait_for("building");
    run.types("y\n");
    stage.write("typed", "");
    run.wait_for_text(QUESTION);
    run.types("\n");
    let run = run.finish();
    assert_eq!(run.code, 1, "{}", run.stderr);
    assert!(!is_changed(&stage), "{:?}", stage.calls());
}

#[test]
fn without_a_terminal_there_is_no_question_and_no_work() {
    let stage = machine();
    let run = stage.rebuild("switch --ask --eval-on builder");
    assert_eq!((run.code, run.stdout.as_str()), (2, ""));
    assert!(
        run.stderr.contains("error: --ask: there is no terminal to ask on"),
        "{}",
        run.stderr
    );
    assert_eq!(stage.calls(), Vec::<String>::new());
    // The flag does no harm in an alias.
    let run = stage.rebuild("build --ask");
    assert_eq!((run.code, run.stdout), (0, format!("{SYSTEM}\n")), "{}", run.stderr);
}
