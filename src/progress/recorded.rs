//! Tests with whole logs, most of them recorded: `tests/fixtures/nix-logs`.

use std::time::{Duration, Instant};

use super::nix_log::LogLine;
use super::watch::Watch;
use super::{Event, Verbosity, Work};

macro_rules! logs {
    ($scene:literal) => {
        [
            (
                "2.8",
                include_str!(concat!("../../tests/fixtures/nix-logs/nix-2.8-", $scene, ".jsonl")),
            ),
            (
                "2.26",
                include_str!(concat!("../../tests/fixtures/nix-logs/nix-2.26-", $scene, ".jsonl")),
            ),
            (
                "2.34",
                include_str!(concat!("../../tests/fixtures/nix-logs/nix-2.34-", $scene, ".jsonl")),
            ),
        ]
    };
}

const LIX: &str = include_str!("../../tests/fixtures/nix-logs/written-by-hand-lix.jsonl");

/// The printed lines, each different live line in order, and the last line.
#[derive(Debug)]
struct Shown {
    lines: Vec<String>,
    states: Vec<String>,
    summary: String,
}

/// Ten lines of the log come each second.
fn play(log: &str, work: Work, verbosity: Verbosity) -> Shown {
    let start = Instant::now();
    let mut now = start;
    let mut watch = Watch::new(verbosity, false, start);
    watch.see(Event::phase(work, None), now);
    let mut seen = Shown {
        lines: Vec::new(),
        states: Vec::new(),
        summary: String::new(),
    };
    for line in log.lines() {
        now += Duration::from_millis(100);
        let Some(line) = LogLine::parse(line) else { continue };
        let lines = watch.see(Event::Nix(line), now);
        seen.lines.extend(lines.iter().map(super::watch::PrintedLine::plain));
        watch.tick(now);
        let state = watch.status(now);
        if seen.states.last() != Some(&state) {
            seen.states.push(state);
        }
    }
    watch.see(Event::Idle, now);
    let last = watch.see(Event::Finished { is_the_same: false }, now);
    seen.summary = last.iter().map(super::watch::PrintedLine::plain).collect();
    seen
}

#[test]
fn a_build() {
    for (version, log) in logs!("build") {
        let seen = play(log, Work::Building, Verbosity::default());
        let named = seen
            .lines
            .iter()
            .filter(|line| line.starts_with("  /nix/store/"))
            .count();
        assert_eq!(
            (seen.lines[0].as_str(), named),
            ("these 4 derivations will be built:", 4),
            "{version}"
        );
        let mut begun: Vec<&String> = seen.lines.iter().filter(|line| line.starts_with("building ")).collect();
        begun.sort();
        assert_eq!(
            begun,
            [
                "building data...",
                "building header...",
                "building library...",
                "building system..."
            ],
            "{version}"
        );
        // A warning that there is no GC root may follow.
        assert!(seen.lines.len() <= 10, "{version}: {:?}", seen.lines);
        let states = seen.states.join("; ");
        assert!(states.starts_with("building; building 0 of "), "{version}: {states}");
        // 2.34 expects one more for a moment, with each that is done.
        assert!(states.contains("; building 3 of 4; "), "{version}: {states}");
        assert!(
            seen.summary.starts_with("built 4; built in "),
            "{version}: {}",
            seen.summary
        );
    }
}

#[test]
fn a_build_whose_log_is_asked_for() {
    let verbosity = Verbosity {
        level: 0,
        build_logs: true,
        ..Verbosity::default()
    };
    for (version, log) in logs!("build") {
        let lines = play(log, Work::Building, verbosity).lines;
        let of_library: Vec<&String> = lines.iter().filter(|line| line.starts_with("library> ")).collect();
        assert_eq!(of_library.len(), 5, "{version}");
        assert_eq!(of_library[4], "library> compiling 5", "{version}");
        assert!(
            lines.contains(&"header> unpackPhase".to_owned()),
            "{version}: {lines:?}"
        );
    }
}

#[test]
fn builds_that_fail() {
    for (version, log) in logs!("failure") {
        let seen = play(log, Work::Building, Verbosity::default());
        let broken = "/nix/store/rqq9281s0rd8zl5lil4fks7ykqzjfzlx-broken.drv";
        let at = |text: &str| {
            let found: Vec<usize> = (0..seen.lines.len())
                .filter(|at| seen.lines[*at].starts_with(text))
                .collect();
            assert_eq!(found.len(), 1, "{version}: {text}: {:#?}", seen.lines);
            found[0]
        };
        let tail = at("the last 25 lines of the log of broken:");
        assert!(
            seen.lines[tail - 1].starts_with("error: "),
            "{version}: {:#?}",
            seen.lines
        );
        assert!(seen.lines[tail - 1].contains(broken), "{version}: {:#?}", seen.lines);
        assert_eq!(
            (seen.lines[tail + 1].as_str(), seen.lines[tail + 25].as_str()),
            ("> compiling 7", "> main.c:3: error: no"),
            "{version}"
        );
        assert_eq!(
            seen.lines[tail + 26],
            format!("the whole log: nix-store --read-log {broken}"),
            "{version}"
        );
        // The build `silent` printed nothing, so only its error is shown.
        let silent = seen
            .lines
            .iter()
            .filter(|line| line.contains("silent.drv") && line.starts_with("error: "));
        assert_eq!(silent.count(), 1, "{version}");
        at("the whole log: ");
        assert!(
            seen.states.iter().any(|state| state.ends_with(", 1 failed")),
            "{version}: {:?}",
            seen.states
        );
    }
}

#[test]
fn quiet_shows_errors_alone() {
    let quiet = Verbosity {
        level: -1,
        build_logs: false,
        ..Verbosity::default()
    };
    for (version, log) in logs!("build") {
        let seen = play(log, Work::Building, quiet);
        let lines: Vec<String> = seen
            .lines
            .into_iter()
            .filter(|line| !line.starts_with("warning: "))
            .collect();
        assert_eq!(
            (lines, seen.summary),
            (Vec::<String>::new(), String::new()),
            "{version}"
        );
    }
    for (version, log) in logs!("failure") {
        let lines = play(log, Work::Building, quiet).lines;
        assert!(lines[0].starts_with("error: "), "{version}: {lines:?}");
        assert_eq!(lines[1], "the last 25 lines of the log of broken:", "{version}");
    }
}

/// The error has Nix's own words, as Nix shows them where there is no terminal.
#[test]
fn an_error_of_the_evaluation() {
    for (version, log) in logs!("error") {
        let lines = play(log, Work::Evaluating, Verbosity::default()).lines;
        // Nix 2.8 gives its advice to ask for more in a message of its own.
        let error = &lines[0];
        assert!(error.starts_with("error:"), "{version}: {error}");
        assert!(
            error.ends_with("there is no such thing") || version == "2.8",
            "{version}: {error}"
        );
        assert!(!error.contains('\u{1b}'), "{version}");
    }
}

#[test]
fn a_copy_to_another_store() {
    for (version, log) in logs!("copy") {
        let seen = play(log, Work::Receiving, Verbosity::default());
        assert_eq!(seen.lines, Vec::<String>::new(), "{version}");
        let states = seen.states.join("; ");
        // Nix 2.8 says nothing about bytes.
        let expected = if version == "2.8" {
            ["receiving 1 of 4 paths", "receiving 4 of 4 paths"]
        } else {
            [
                "receiving 1 of 4 paths, 8.3 of 8.3 MB",
                "receiving 4 of 4 paths, 8.3 of 8.3 MB",
            ]
        };
        for state in expected {
            assert!(states.contains(state), "{version}: {states}");
        }
        assert!(
            seen.summary.starts_with("received 4 paths ("),
            "{version}: {}",
            seen.summary
        );
    }
}

#[test]
fn what_comes_from_a_cache() {
    for (version, log) in logs!("fetch") {
        let seen = play(log, Work::Building, Verbosity::default());
        assert!(
            seen.lines.contains(&"fetching library...".to_owned()),
            "{version}: {:?}",
            seen.lines
        );
        let states = seen.states.join("; ");
        assert!(
            states.contains("building, fetching 0 of 4 paths, 0.0 of 8.3 MB"),
            "{version}: {states}"
        );
        assert!(states.contains(" of 8.3 MB, "), "{version}: {states}");
        assert!(states.ends_with("; building"), "{version}: {states}");
        assert!(
            seen.summary.starts_with("fetched 4 paths (8.3 MB); fetched in "),
            "{version}: {}",
            seen.summary
        );
    }
}

#[test]
fn what_lix_says_is_the_same() {
    let seen = play(LIX, Work::Building, Verbosity::default());
    assert_eq!(seen.lines[2..], ["building hello..."]);
    assert_eq!(
        seen.states,
        ["building", "building 0 of 1", "building 1 of 1", "building"]
    );
    assert_eq!(seen.summary, "built 1; built in 1.5 s");
}
