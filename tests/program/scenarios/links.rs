//! Links that break after the first look has succeeded: this never counts as a "no", the exit status is 255, and
//! nothing is changed.
//!
//! nixos-rebuild takes ssh's failure for an answer: a system that cannot be looked at is "missing essential files", and
//! a machine that cannot be asked for systemd has none.

use super::{BUILD, SEND, Scene, full};

/// The ways in which a link breaks: before the other side has said a word, and after that.
const REFUSED: &str = "echo 'ssh: connect to host target port 22: Connection refused' >&2; exit 255";
const CUT: &str = "echo '@rebuild hello 0'; exit 255";

/// Each line has the commands that come before the inspection, and the number of the login that inspects. Before that
/// login come the first look, and the question to root how the last change ended.
const LINES: [(&str, &[&str], usize); 3] = [
    ("switch --target-host target", &[BUILD, SEND], 3),
    ("switch --store-path SYSTEM -c quiet --target-host target", &[SEND], 3),
    ("switch --rollback --target-host target", &[], 3),
];

fn breaks(line: &str, login: usize, how: &str, message: &str, before: &[&str]) {
    let scene = Scene::new();
    scene.write(&format!("target/login-{login}"), how);
    let run = scene.rebuild(&full(line));
    assert_eq!((run.code, run.stdout.as_str()), (255, ""), "{line}: {}", run.stderr);
    assert!(run.stderr.contains(message), "{line}: {}", run.stderr);
    for no in ["no NixOS system", "no generation", "no specialisation", "no systemd"] {
        assert!(!run.stderr.contains(no), "{line}: {}", run.stderr);
    }
    let before: Vec<String> = before.iter().map(|call| full(call)).collect();
    assert_eq!(scene.seen(), before, "{line}");
    let logins = scene.sh("wc -l <target/logins");
    assert!(logins.trim().parse::<usize>().unwrap() >= login, "{line}: {logins}");
}

#[test]
fn a_link_that_breaks_at_the_inspection_is_no_answer() {
    for (line, before, login) in LINES {
        breaks(line, login, REFUSED, "error: target cannot be reached", before);
        breaks(line, login, CUT, "error: the connection to target broke", before);
    }
}

/// Only a machine that was talked to may have begun: it is asked, and it has not begun.
#[test]
fn a_link_that_breaks_at_the_change_has_changed_nothing() {
    for (line, before, login) in LINES {
        breaks(line, login + 1, REFUSED, "error: target cannot be reached", before);
        breaks(
            line,
            login + 1,
            CUT,
            "error: the connection to target broke before anything was changed",
            before,
        );
    }
}

/// The link breaks at the other looks before the long work: what root says of the last change, and whether the user may
/// become root.
#[test]
fn a_link_that_breaks_before_the_long_work_is_no_refusal() {
    for (how, message) in [
        (REFUSED, "error: target cannot be reached"),
        (CUT, "error: the connection to target broke"),
        (
            "echo '@rebuild hello 0'; echo '@rebuild root'; exit 255",
            "error: target does not say what its last activation came to",
        ),
    ] {
        breaks("switch --target-host target", 2, how, message, &[]);
    }
}
