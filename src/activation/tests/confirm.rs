//! A change that waits to be confirmed (`scripts/confirm.sh`). Its seconds are short, or so many that they never end.

use std::io::{BufRead, BufReader, Read};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::back::Returning;
use super::*;
use crate::vocabulary::{Confirmation, Proof};

const FOR_EVER: u32 = 86_400;

/// Returns the machine that [`Returning`] has, on which a second is short. The activation of the new system notes its
/// job's process.
fn machine(ends: &str) -> Returning {
    let returning = Returning::new(&format!("echo $PPID >job\n{ends}"));
    returning.machine.program("sleep", "exec /bin/sleep 0.01");
    returning
}

fn with_trial(action: &'static str, seconds: u32, goes_back: bool, then: impl FnOnce(&Change)) {
    let by = Proof::Login;
    with_activation(action, goes_back, Some(Confirmation { seconds, by }), then);
}

impl Returning {
    fn confirms(&self) -> String {
        self.machine.runs(&RootTask::Confirm("one"), "")
    }

    /// Makes a change that has so long to be confirmed. Calls `then` as soon as it waits for that. Returns everything
    /// that root's script has said.
    fn tries(&self, action: &'static str, seconds: u32, goes_back: bool, then: impl FnOnce()) -> String {
        let mut said = String::new();
        with_trial(action, seconds, goes_back, |change| {
            let mut root = self.machine.start(&RootTask::Change("one", change));
            let mut lines = BufReader::new(root.stdout.take().unwrap());
            let is_over = |said: &str| said.ends_with("@rebuild awaits\n") || said.contains("@rebuild ended ");
            while lines.read_line(&mut said).unwrap() > 0 && !is_over(&said) {}
            if said.ends_with("@rebuild awaits\n") {
                then();
            }
            drop(root.stdin.take());
            lines.read_to_string(&mut said).unwrap();
            root.wait().unwrap();
        });
        said
    }
}

#[test]
fn what_is_confirmed_stays() {
    for (action, ends, calls, ending) in [
        ("switch", "", &["system test", "system boot"][..], "activation 0 1 8"),
        // Failed units are no reason to go back, unless somebody asks for that.
        (
            "switch",
            "[ $1 = boot ] || exit 4",
            &["system test", "system boot"],
            "activation 4 1 8",
        ),
        ("test", "", &["system test"], "activation 0 - -"),
        ("test", "exit 2", &["system test"], "activation 2 - -"),
    ] {
        let returning = machine(ends);
        let mut before = String::new();
        let said = returning.tries(action, FOR_EVER, false, || {
            // Nothing but the system that runs has changed, so that a boot undoes it, and what is confirmed is there.
            assert_eq!(returning.leads_to("profiles/system"), "system-1-link");
            assert_eq!(returning.leads_to("records/one/new"), "system");
            before = returning.calls().join(" ");
            assert!(returning.confirms().contains("@rebuild confirmed\n"));
        });
        assert!(said.contains(&format!("@rebuild ended {ending}\n")), "{action}: {said}");
        assert_eq!(before, "system test");
        assert_eq!(returning.calls(), calls, "{action}: {said}");
        let now = if action == "test" {
            "system-1-link"
        } else {
            "system-8-link"
        };
        assert_eq!(returning.leads_to("profiles/system"), now);
        assert_eq!(returning.leads_to("current-system"), "system");
        assert!(!returning.keeps(), "{action}");
    }
}

/// Only what is said to be confirmed is: not what nobody can tell about any more.
#[test]
fn a_note_that_is_gone_confirms_nothing() {
    let returning = machine("");
    let note = returning.machine.path("records/one/awaits");
    let said = returning.tries("switch", FOR_EVER, false, || std::fs::remove_file(note).unwrap());
    assert!(said.contains("@rebuild ended unconfirmed 0 - 0 1 1\n"), "{said}");
    assert_eq!(returning.calls(), ["system test", "old test"], "{said}");
    assert_eq!(returning.leads_to("current-system"), "old");
}

#[test]
fn what_nobody_confirms_goes_back() {
    for (before, action, old, calls, ending) in [
        (
            "old",
            "switch",
            "",
            &["system test", "old test"][..],
            "unconfirmed 0 - 0 1 1",
        ),
        ("old", "test", "", &["system test", "old test"], "unconfirmed 0 - 0 - -"),
        (
            "special",
            "switch",
            "",
            &["system test", "special test"],
            "unconfirmed 0 - 0 1 1",
        ),
        // It ran before: only the profile would have been changed.
        ("system", "switch", "", &["system test"], "unconfirmed 0 - - 1 1"),
        (
            "old",
            "switch",
            "exit 4",
            &["system test", "old test"],
            "unconfirmed 0 - 4 1 1",
        ),
        (
            "old",
            "switch",
            "exit 1",
            &["system test", "old test"],
            "unconfirmed 0 - 1 1 1",
        ),
    ] {
        let returning = machine("");
        returning.system_ends("old", old);
        returning.runs_before(before);
        let said = returning.tries(action, 5, false, || {});
        assert!(
            said.contains(&format!("@rebuild ended {ending}\n")),
            "{before} {action}: {said}"
        );
        assert!(said.contains("nobody has confirmed it within 5 seconds"), "{said}");
        assert_eq!(returning.calls(), calls, "{before} {action}: {said}");
        assert_eq!(returning.leads_to("profiles/system"), "system-1-link");
        assert_eq!(returning.leads_to("current-system"), before);
        assert_eq!(returning.keeps(), old == "exit 1", "{before} {action}");
        // Too late.
        assert!(returning.confirms().contains("@rebuild not-awaited\n"));
    }
}

/// Only what was activated can show that the machine is reached with it.
#[test]
fn what_fails_is_not_waited_for() {
    for (status, goes_back, calls, ending) in [
        (1, false, &["system test"][..], "activation 1 1 1"),
        (11, false, &["system test"], "activation 11 1 1"),
        (100, false, &["system test"], "activation 100 1 1"),
        (101, false, &["system test", "old test"], "back 101 - 0 1 1"),
        (1, true, &["system test", "old test"], "back 1 - 0 1 1"),
        (4, true, &["system test", "old test"], "back 4 - 0 1 1"),
        (11, true, &["system test"], "activation 11 1 1"),
        (100, true, &["system test"], "activation 100 1 1"),
    ] {
        let returning = machine(&format!("exit {status}"));
        let said = returning.tries("switch", FOR_EVER, goes_back, || panic!("it waits: {status}"));
        assert!(said.contains(&format!("@rebuild ended {ending}\n")), "{status}: {said}");
        assert_eq!(returning.calls(), calls, "{status}");
        assert_eq!(returning.leads_to("profiles/system"), "system-1-link");
        assert!(!returning.keeps(), "{status}");
    }
}

/// It was confirmed, but cannot be made what is booted.
#[test]
fn what_cannot_stay_goes_back() {
    let undone = ["system test", "system boot", "old switch"];
    for (ends, nix_env, calls, ending) in [
        ("[ $1 = test ] || exit 1", "", &undone[..], "back 1 0 0 1 1"),
        ("[ $1 = test ] || exit 11", "", &undone, "back 11 0 0 1 1"),
        ("", "exit 7", &["system test", "old test"], "back 7 - 0 1 1"),
    ] {
        let returning = machine(ends);
        if !nix_env.is_empty() {
            returning.machine.program("nix-env", nix_env);
        }
        let said = returning.tries("switch", FOR_EVER, false, || {
            returning.confirms();
        });
        assert!(said.contains(&format!("@rebuild ended {ending}\n")), "{ends}: {said}");
        assert_eq!(returning.calls(), calls, "{ends}");
        assert_eq!(returning.leads_to("profiles/system"), "system-1-link");
        assert_eq!(returning.leads_to("current-system"), "old");
    }
}

/// While it is being activated it cannot be confirmed, and nobody who follows confirms it.
#[test]
fn what_does_not_wait_cannot_be_confirmed() {
    let returning = machine("echo >begun; read -r line <go");
    let machine = &returning.machine;
    assert!(returning.confirms().contains("@rebuild not-awaited\n"));
    for name in ["begun", "go"] {
        nix::unistd::mkfifo(&machine.path(name), nix::sys::stat::Mode::S_IRWXU).unwrap();
    }
    with_trial("switch", 5, false, |change| {
        let mut root = machine.start(&RootTask::Change("one", change));
        fs::read(machine.path("begun")).unwrap();
        assert!(returning.confirms().contains("@rebuild not-awaited\n"));
        root.kill().unwrap();
        root.wait().unwrap();
        fs::write(machine.path("go"), "\n").unwrap();
    });
    let said = machine.runs(&RootTask::Follow("one", 0), "seen\n");
    assert!(said.contains("@rebuild ended unconfirmed 0 - 0 1 1\n"), "{said}");
    // The next run hears it, once.
    for expected in ["@rebuild ended unconfirmed 0 - 0 1 1\n", "@rebuild nothing\n"] {
        let said = machine.runs(&RootTask::Tell, "heard\n");
        assert!(said.contains(expected), "{said}");
    }
}

/// The machine lost its power, or somebody has killed the job: what is left says whether a boot has undone the change.
#[test]
fn a_trial_that_is_cut_off_is_told_from_one_that_was_made_to_stay() {
    let returning = machine("");
    let job = || fs::read_to_string(returning.machine.path("job")).unwrap();
    let said = returning.tries("switch", FOR_EVER, false, || {
        kill(Pid::from_raw(job().trim().parse().unwrap()), Signal::SIGKILL).unwrap();
    });
    assert!(said.contains("@rebuild lost unconfirmed\n"), "{said}");
    let record = returning.machine.path("records/one");
    let this_boot = fs::read_to_string(record.join("awaits")).unwrap();
    let mut name = "awaits";
    for (next, boot, expected) in [
        ("awaits", "another\n", "@rebuild lost rebooted\n"),
        ("tried", "another\n", "@rebuild lost rebooted\n"),
        ("late", "another\n", "@rebuild lost rebooted\n"),
        ("late", &this_boot, "@rebuild lost unconfirmed\n"),
        ("confirmed", "another\n", "@rebuild lost\n"),
    ] {
        fs::rename(record.join(name), record.join(next)).unwrap();
        fs::write(record.join(next), boot).unwrap();
        name = next;
        let said = returning.machine.runs(&RootTask::Tell, "");
        assert!(said.contains(expected), "{next} {boot}: {said}");
        assert!(returning.keeps());
    }
}

/// What systemd calls when the job has ended, however it has: it goes back if nobody has confirmed the change.
#[test]
fn a_trial_whose_job_was_killed_goes_back_all_the_same() {
    for (is_stopping, name, status, calls, ending) in [
        (
            "running",
            "awaits",
            "",
            &["system test", "old test"][..],
            "ended unconfirmed 0 - 0 1 1",
        ),
        (
            "degraded",
            "tried",
            "",
            &["system test", "old test"],
            "ended unconfirmed 0 - 0 1 1",
        ),
        // It boots what it booted before.
        ("stopping", "awaits", "", &["system test"], "lost unconfirmed"),
        ("running", "confirmed", "", &["system test"], "lost"),
        (
            "running",
            "late",
            "unconfirmed 0 - 0 1 1\n",
            &["system test"],
            "ended unconfirmed 0 - 0 1 1",
        ),
    ] {
        let returning = machine("");
        let machine = &returning.machine;
        machine.program("systemctl", &format!("echo {is_stopping}"));
        let job = || fs::read_to_string(machine.path("job")).unwrap();
        returning.tries("switch", FOR_EVER, false, || {
            kill(Pid::from_raw(job().trim().parse().unwrap()), Signal::SIGKILL).unwrap();
        });
        let record = machine.path("records/one");
        fs::rename(record.join("awaits"), record.join(name)).unwrap();
        if !status.is_empty() {
            fs::write(record.join("status"), status).unwrap();
        }
        // systemd's own PATH has none of these programs.
        let rescue = Command::new("/bin/sh")
            .arg(record.join("job"))
            .arg(&record)
            .env("PATH", "/nowhere")
            .output();
        let said = String::from_utf8(rescue.unwrap().stdout).unwrap();
        assert_eq!(
            said.contains("going back: "),
            calls.len() > 1,
            "{is_stopping} {name}: {said}"
        );
        assert_eq!(returning.calls(), calls, "{is_stopping} {name}");
        let said = machine.runs(&RootTask::Tell, "");
        assert!(
            said.contains(&format!("@rebuild {ending}\n")),
            "{is_stopping} {name}: {said}"
        );
        assert_eq!(returning.keeps(), calls.len() == 1, "{is_stopping} {name}");
    }
}

/// What is promised is looked at before anything is changed.
#[test]
fn without_a_way_back_nothing_is_tried() {
    let returning = machine("");
    returning
        .machine
        .program("nix-store", "case $2 in */system) exit 1 ;; esac; ln -s \"$2\" \"$4\"");
    let said = returning.tries("switch", FOR_EVER, false, || {});
    assert!(said.contains("@rebuild ended no-way-back 1\n"), "{said}");
    assert!(returning.calls().is_empty());
    assert!(!returning.keeps());
}
