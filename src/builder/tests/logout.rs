//! Runs scripts/logout.sh with a systemd of its own: whose processes end at the logout is decided by logind.conf(5).

use std::process::Command;

/// Returns what the script says for this user, with these answers of logind: what it kills, whom it spares, and whose
/// processes alone it kills. `leaves` is whether the user's own systemd takes the run.
fn says(user: &str, [kills, spared, only]: [&str; 3], leaves: bool) -> String {
    let script = format!(
        "{}
         event() {{ echo \"$*\"; }}
         id() {{ echo {user}; }}
         is_in_session() {{ :; }}
         leave_session() {{ {leaves}; }}
         busctl() {{ printf '%s\\n' '{kills}' '{spared}' '{only}'; }}
         set -u
         outlive_logout",
        include_str!("../scripts/logout.sh")
    );
    let output = Command::new("sh").args(["-c", &script]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat())
        .trim()
        .to_owned()
}

#[test]
fn whose_work_ends_at_the_logout() {
    const NONE: &str = "as 0";
    for (user, answers, expected) in [
        ("me", ["b true", NONE, NONE], "logout me"),
        ("me", ["b false", NONE, NONE], ""),
        // Without a list of those who are spared, root is; with one, whoever is in it.
        ("root", ["b true", NONE, NONE], ""),
        ("root", ["b true", "as 1 \"me\"", NONE], "logout root"),
        ("me", ["b true", "as 2 \"root\" \"me\"", NONE], ""),
        ("me", ["b true", "as 1 \"mee\"", NONE], "logout me"),
        // With a list of those whose processes are killed, no others' are, and the first setting does not count.
        ("me", ["b false", NONE, "as 1 \"me\""], "logout me"),
        ("me", ["b true", NONE, "as 1 \"somebody\""], ""),
        ("me", ["b false", "as 1 \"me\"", "as 1 \"me\""], ""),
    ] {
        assert_eq!(says(user, answers, false), expected, "{user} {answers:?}");
        assert_eq!(says(user, answers, true), "", "{user} {answers:?}");
    }
}

/// A logind that does not answer, and a machine without one: nothing is said.
#[test]
fn without_an_answer_nothing_is_said() {
    for kills in ["", "Failed to connect to bus"] {
        assert_eq!(says("me", [kills, "", ""], false), "");
    }
}
