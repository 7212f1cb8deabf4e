use super::*;
use crate::host::Host;
use crate::progress::Work;
use crate::progress::nix_log::LogLine;

fn log(bounds: Bounds) -> (tempfile::TempDir, RunLog) {
    let place = tempfile::tempdir().unwrap();
    let around = Surroundings::with(&[
        ("NIX_CONF_DIR", "/nonexistent"),
        ("HOME", "/nonexistent"),
        ("A_TOKEN", "POISON"),
    ]);
    let secrets = Secrets::of(&around, &OwnNix::read(&around, &[], &[]), &[], None);
    let log = RunLog::make(&place.path().join("logs"), secrets, bounds).unwrap();
    (place, log)
}

fn text(log: &RunLog) -> String {
    std::fs::read_to_string(&log.path).unwrap()
}

/// Returns the lines without their times.
fn lines(log: &RunLog) -> Vec<String> {
    text(log)
        .lines()
        .map(|line| line.get(12..).unwrap_or_default().to_owned())
        .collect()
}

#[test]
fn what_happened_is_there_in_order() {
    let (_place, log) = log(BOUNDS);
    let nix = |line: &str| Event::Nix(LogLine::parse(&format!("@nix {line}")).unwrap());
    for event in [
        Event::phase(Work::Building, Some(&Host::parse("builder").unwrap())),
        Event::Detail("$ nix-build --option access-tokens x=POISON".to_owned()),
        nix(r#"{"action":"start","id":7,"type":105,"fields":["/nix/store/x.drv","ssh://m",1,1]}"#),
        nix(r#"{"action":"result","id":7,"type":101,"fields":["PO\u001b[0mISON\u001b]0;t\u0007"]}"#),
        nix(r#"{"action":"result","id":7,"type":105,"fields":[1,2,3,4]}"#),
        nix(r#"{"action":"stop","id":7}"#),
        nix(r#"{"action":"stop","id":8}"#),
        Event::Received(3),
        Event::Text("two\nlines".to_owned()),
        Event::Trace("builder says: evaluating".to_owned()),
        nix(r#"{"action":"result","id":7,"type":101,"fields":["10%\r20%\r"]}"#),
        Event::Trace("builder says: word x\rforged\r".to_owned()),
    ] {
        log.hear(None, &event);
    }
    log.hear(Some("pi"), &Event::Idle);
    log.succeeds();
    let seen = lines(&log);
    assert_eq!(
        seen[..seen.len() - 1],
        [
            "phase: Building (builder)",
            "$ nix-build --option access-tokens x=[left out: A_TOKEN]",
            "[7] build begins: /nix/store/x.drv on ssh://m",
            "[7] > [left out: A_TOKEN]",
            "[7] build ended",
            "two",
            "lines",
            "builder says: evaluating",
            "[7] > 10%",
            "20%",
            "builder says: word x",
            "forged",
            "pi: phase: none",
            "done: exit status 0",
        ]
    );
}

/// A kill leaves what there was at the last phase.
#[test]
fn a_phase_is_on_the_disk_at_once() {
    let (_place, log) = log(BOUNDS);
    log.hear(None, &Event::Text("before".to_owned()));
    assert_eq!(text(&log), "");
    log.hear(None, &Event::phase(Work::Building, None));
    assert_eq!(lines(&log), ["before", "phase: Building"]);
}

#[test]
fn a_flood_leaves_the_beginning_and_the_end() {
    let bounds = Bounds {
        first: 10_000,
        last: 50_000,
    };
    let (_place, log) = log(bounds);
    for number in 0..20_000 {
        log.hear(None, &Event::Text(format!("line {number}")));
    }
    log.hear(None, &Event::Text("é".repeat(1_000_000)));
    let error = anyhow::Error::new(crate::failure::Failure::new("no").with_code(7).with_remedy("do it"));
    assert_eq!(log.fails(&error), Some(format!("log: {}", log.path.display())));
    let text = text(&log);
    assert!(text.len() < 60_200, "{}", text.len());
    for part in [
        "line 0\n",
        "bytes are left out here ===",
        "line 19999\n",
        "error: no\n",
        "do it\n",
        "failed: exit status 7\n",
    ] {
        assert!(text.contains(part), "{part}");
    }
}

#[test]
fn who_has_stopped_it_needs_no_log() {
    for error in [
        anyhow::Error::new(Interrupted { signal: 2 }),
        anyhow::Error::new(Declined("no".into())),
    ] {
        let (_place, log) = log(BOUNDS);
        assert_eq!(log.fails(&error), None);
        assert!(text(&log).contains("failed: exit status"));
    }
}
