//! The tests give events and the time, and look at lines and state.

use std::time::{Duration, Instant};

use super::{PrintedLine, Watch};
use crate::host::Host;
use crate::progress::nix_log::{Activity, LogLine};
use crate::progress::{Amount, Builder, Event, Verbosity, Whole, Work};

struct Rehearsal {
    watch: Watch,
    start: Instant,
    now: Instant,
    lines: Vec<String>,
}

impl Rehearsal {
    fn new(level: i16, is_live: bool) -> Self {
        let start = Instant::now();
        let verbosity = Verbosity {
            level,
            build_logs: false,
            ..Verbosity::default()
        };
        Self {
            watch: Watch::new(verbosity, is_live, start),
            start,
            now: start,
            lines: Vec::new(),
        }
    }

    fn at(mut self, seconds: u64) -> Self {
        self.now = self.start + Duration::from_secs(seconds);
        self
    }

    fn see(mut self, event: Event) -> Self {
        let lines = self.watch.see(event, self.now);
        self.lines.extend(lines.iter().map(PrintedLine::plain));
        self
    }

    fn phase(self, work: Work) -> Self {
        self.see(Event::phase(work, None))
    }

    fn phase_on(self, host: &str, work: Work) -> Self {
        self.see(Event::phase(work, Some(&Host::parse(host).unwrap())))
    }

    fn start(self, id: u64, activity: Activity) -> Self {
        self.see(Event::Nix(LogLine::Start { id, activity }))
    }

    fn stop(self, id: u64) -> Self {
        self.see(Event::Nix(LogLine::Stop { id }))
    }

    fn build(self, id: u64) -> Self {
        self.start(
            id,
            Activity::Build {
                derivation: format!("/nix/store/00000000000000000000000000000000-hello-{id}.drv"),
                machine: String::new(),
            },
        )
    }

    fn counts(self, id: u64, done: u64, expected: u64) -> Self {
        self.see(Event::Nix(LogLine::progress(id, done, expected)))
    }

    fn message(self, level: i64, text: &str) -> Self {
        let text = text.to_owned();
        self.see(Event::Nix(LogLine::Message { level, text }))
    }

    fn status(&self) -> String {
        self.watch.status(self.now)
    }

    fn beat(&mut self, seconds: u64) -> Option<String> {
        self.watch.heartbeat(self.start + Duration::from_secs(seconds))
    }
}

fn on_builder() -> Event {
    Event::Builder(Builder::there("builder", "x86_64-linux", "aarch64-linux"))
}

fn amount(files: u64, bytes: u64) -> Amount {
    Amount { files, bytes }
}

#[test]
fn what_goes_on_in_one_line() {
    let run = Rehearsal::new(0, true).phase(Work::Sending);
    assert_eq!(run.status(), "sending the configuration");
    let run = run.see(Event::Sending(amount(12, 40_000), Whole::Files(812)));
    assert_eq!(run.status(), "sending the configuration: 12 of 812 files, 40.0 kB");
    let run = run.see(Event::Sending(amount(3_012, 12_345_678), Whole::Bytes(398_765_432)));
    assert_eq!(run.status(), "sending the configuration: 12.3 of 398.7 MB, 3012 files");
    let run = run.see(Event::Sending(amount(1, 40_000), Whole::Unknown));
    assert_eq!(run.status(), "sending the configuration: 1 file, 40.0 kB");
    let run = run.see(on_builder()).phase_on("builder", Work::Evaluating);
    assert_eq!(run.status(), "evaluating on builder");
    let run = run
        .phase_on("builder", Work::Building)
        .start(2, Activity::Builds)
        .counts(2, 3, 7);
    assert_eq!(run.status(), "building 3 of 7 on builder");
    let run = run.start(3, Activity::CopyPaths { paths: 0 }).counts(3, 1, 5);
    assert_eq!(run.status(), "building 3 of 7 on builder, fetching 1 of 5 paths");
    let run = run.phase(Work::Receiving).see(Event::Received(4_200_000));
    assert_eq!(run.status(), "receiving 4.2 MB");
    let run = run.phase_on("target", Work::Receiving);
    assert_eq!(run.status(), "copying to target: 0 B");
    let run = run.phase_on("target", Work::Activating("switch"));
    assert_eq!(run.status(), "activating on target (switch)");
    assert!(run.watch.is_going());
    assert!(!run.see(Event::Idle).watch.is_going());
}

/// ssh may ask for a password in these phases.
#[test]
fn nothing_is_live_while_somebody_may_ask() {
    for work in [Work::Connecting, Work::Asking, Work::Fetching] {
        let run = Rehearsal::new(0, true).phase(Work::Building).phase_on("b", work);
        assert!(run.watch.may_ask() && !run.watch.is_going());
    }
}

#[test]
fn a_long_silence_ends_with_a_sign_of_life() {
    let mut run = Rehearsal::new(0, false).phase(Work::Evaluating);
    assert_eq!(run.beat(29), None);
    assert_eq!(run.beat(30).as_deref(), Some("still evaluating (30 s)"));
    assert_eq!(run.beat(59), None);
    assert_eq!(run.beat(90).as_deref(), Some("still evaluating (1 min 30 s)"));
    // A printed line is a sign of life as well.
    let run = run.at(100).message(3, "something");
    let mut run = run.see(on_builder()).at(110).phase_on("builder", Work::Building);
    assert_eq!(run.beat(130), None);
    run = run.at(120).start(9, Activity::Builds).counts(9, 3, 7).build(1);
    assert_eq!(
        run.beat(170).as_deref(),
        Some("still building 3 of 7 on builder: hello-1 (1 min)")
    );
    for id in 2..=5 {
        run = run.at(170 + id).build(id);
    }
    assert_eq!(
        run.beat(230).as_deref(),
        Some("still building 3 of 7 on builder: hello-1, hello-2, hello-3 and 2 more (2 min)")
    );
}

#[test]
fn no_sign_of_life_while_it_connects_or_for_the_quiet() {
    let mut run = Rehearsal::new(0, false).phase_on("b", Work::Connecting);
    assert_eq!(run.beat(100), None);
    let mut run = Rehearsal::new(-1, false).phase(Work::Building);
    assert_eq!(run.beat(100), None);
}

#[test]
fn what_is_seen_live_is_not_said_as_well() {
    for (is_live, expected) in [(true, 0), (false, 2)] {
        let run = Rehearsal::new(0, is_live)
            .phase(Work::Building)
            .build(1)
            .start(2, Activity::Substitute("/nix/store/x".into()));
        assert_eq!(run.lines.len(), expected);
    }
}

/// Nix gives the same messages again when an evaluation is run again.
#[test]
fn a_message_of_an_evaluation_is_shown_once() {
    let run = Rehearsal::new(0, true)
        .phase(Work::Evaluating)
        .message(0, "trace: hello")
        .message(1, "warning: x")
        .phase(Work::Sending)
        .phase(Work::Evaluating)
        .message(0, "trace: hello")
        .message(1, "warning: x")
        .message(1, "warning: y")
        .message(4, "for -v only");
    assert_eq!(run.lines, ["trace: hello", "warning: x", "warning: y"]);
}

#[test]
fn the_end_says_what_changed_and_how_long_each_part_took() {
    let run = Rehearsal::new(0, false)
        .phase_on("builder", Work::Connecting)
        .at(2)
        .phase(Work::Sending)
        .see(Event::Sent(amount(3, 1_500)))
        .at(3)
        .phase(Work::Evaluating)
        .at(8)
        .phase(Work::Building)
        .build(1)
        .build(2)
        .stop(1)
        .stop(2)
        .at(70)
        .phase(Work::Receiving)
        .start(3, Activity::CopyPath("/nix/store/x".into()))
        .stop(3)
        .see(Event::Received(4_200_000))
        .at(71)
        .see(Event::Idle)
        .at(80)
        .phase(Work::Activating("switch"))
        .at(82)
        .see(Event::Idle)
        .see(Event::Finished { is_the_same: false });
    assert_eq!(
        run.lines,
        [
            "connecting to builder...",
            "sent 3 files, 1.5 kB",
            "building hello-1...",
            "building hello-2...",
            "built 2, received 1 path (4.2 MB); sent in 1.0 s, evaluated in 5.0 s, built in 1 min 2 s, \
             received in 1.0 s, activated in 2.0 s",
        ]
    );
}

#[test]
fn the_end_of_what_was_there_already() {
    let run = |is_the_same| {
        Rehearsal::new(0, false)
            .phase(Work::Evaluating)
            .at(2)
            .phase(Work::Building)
            .at(3)
            .see(Event::Idle)
            .see(Event::Finished { is_the_same })
            .lines
    };
    assert_eq!(run(true), ["nothing changed; evaluated in 2.0 s"]);
    assert_eq!(run(false), ["nothing was built; evaluated in 2.0 s"]);
    let quiet = Rehearsal::new(-1, false).see(Event::Finished { is_the_same: true });
    assert!(quiet.lines.is_empty());
}

/// A part that took 0.0 s is named only where no part took longer.
#[test]
fn the_end_names_no_part_that_took_no_time() {
    let run = |evaluating: u64, activating: u64| {
        let mut run = Rehearsal::new(0, false).phase(Work::Evaluating);
        run.now += Duration::from_millis(evaluating);
        let mut run = run.phase(Work::Activating("switch"));
        run.now += Duration::from_millis(activating);
        let run = run.see(Event::Idle).see(Event::Finished { is_the_same: true });
        run.lines[0].clone()
    };
    assert_eq!(run(99, 100), "nothing changed; activated in 0.1 s");
    assert_eq!(run(100, 99), "nothing changed; evaluated in 0.1 s");
    assert_eq!(run(99, 99), "nothing changed; evaluated in 0.0 s, activated in 0.0 s");
}

#[test]
fn what_went_to_another_machine_was_copied() {
    let run = Rehearsal::new(0, true)
        .phase_on("builder", Work::Receiving)
        .start(1, Activity::CopyPath("/nix/store/x.drv".into()))
        .stop(1)
        .see(Event::Received(2_000))
        .at(1)
        .phase_on("target", Work::Receiving)
        .start(2, Activity::CopyPath("/nix/store/x".into()))
        .stop(2)
        .see(Event::Received(3_000))
        .at(3)
        .see(Event::Idle)
        .see(Event::Finished { is_the_same: false });
    assert_eq!(run.lines, ["copied 2 paths (5.0 kB); copied in 3.0 s"]);
}

fn silent(since: Instant) -> Event {
    Event::Silent {
        host: "builder".to_owned(),
        takes: false,
        since,
    }
}

/// Without a display there is a line when it begins, one for each long silence after it, and one when it is over.
#[test]
fn a_silence_is_said_in_lines_where_nothing_is_live() {
    let mut run = Rehearsal::new(0, false)
        .see(on_builder())
        .phase_on("builder", Work::Evaluating);
    let since = run.start + Duration::from_secs(2);
    run = run.at(10).see(silent(since));
    assert_eq!(run.lines, ["nothing has come from builder for 8 s"]);
    let beats: Vec<String> = (10..=100).filter_map(|second| run.beat(second)).collect();
    assert_eq!(
        beats,
        [
            "nothing has come from builder for 38 s",
            "nothing has come from builder for 1 min 8 s",
            "nothing has come from builder for 1 min 38 s"
        ]
    );
    run = run.at(110).see(Event::SilenceOver {
        takes: false,
        is_heard: true,
    });
    assert_eq!(run.lines[1..], ["builder is heard again, after 1 min 48 s"]);
    assert_eq!(
        run.beat(140).as_deref(),
        Some("still evaluating on builder (2 min 20 s)")
    );
}

#[test]
fn a_silence_that_is_seen_needs_no_line() {
    for (level, is_live, work, printed) in [
        (0, true, Work::Building, false),
        // Nothing is drawn in this phase: somebody else may ask for a password.
        (0, true, Work::Asking, true),
        (0, false, Work::Building, true),
        (-1, false, Work::Building, false),
    ] {
        let run = Rehearsal::new(level, is_live).phase(work);
        let since = run.start;
        let run = run.at(8).see(silent(since));
        let words = "nothing has come from builder for 8 s";
        assert_eq!(run.watch.silence(run.now).as_deref(), Some(words));
        let run = run.at(20).see(Event::SilenceOver {
            takes: false,
            is_heard: true,
        });
        assert_eq!(run.watch.silence(run.now), None);
        let expected = [words, "builder is heard again, after 20 s"];
        assert_eq!(run.lines, if printed { &expected[..] } else { &[] });
    }
}

/// Another message tells what it means that a link is gone for good.
#[test]
fn a_silence_ends_without_a_word_with_the_link_or_with_what_goes_on() {
    for event in [
        Event::SilenceOver {
            takes: false,
            is_heard: false,
        },
        Event::phase(Work::Building, None),
        Event::Idle,
    ] {
        let run = Rehearsal::new(0, false).phase(Work::Building);
        let since = run.start;
        let run = run.at(8).see(silent(since)).at(120).see(event);
        assert_eq!((run.lines.len(), run.watch.silence(run.now)), (1, None));
        let run = run.see(Event::SilenceOver {
            takes: false,
            is_heard: true,
        });
        assert_eq!(run.lines.len(), 1);
    }
}

#[test]
fn what_is_not_taken_has_other_words() {
    let run = Rehearsal::new(0, false).phase_on("target", Work::Receiving);
    let silent = Event::Silent {
        host: "target".into(),
        takes: true,
        since: run.start,
    };
    let run = run.at(8).see(silent).at(20).see(Event::SilenceOver {
        takes: true,
        is_heard: true,
    });
    assert_eq!(
        run.lines,
        [
            "nothing has gone to target for 8 s",
            "target takes more again, after 20 s"
        ]
    );
}

/// The builder is silent and the target takes nothing. The end of one silence says nothing about the other.
#[test]
fn of_two_silences_none_ends_the_other() {
    let [of_builder, of_target] = [
        (
            "nothing has come from builder for 20 s",
            "builder is heard again, after 20 s",
        ),
        (
            "nothing has gone to target for 20 s",
            "target takes more again, after 20 s",
        ),
    ];
    for (takes, ended, left) in [(true, of_target, of_builder), (false, of_builder, of_target)] {
        let run = Rehearsal::new(0, false).phase_on("target", Work::Receiving);
        let since = run.start;
        let target = Event::Silent {
            host: "target".into(),
            takes: true,
            since,
        };
        let run = run.at(8).see(silent(since)).see(target).at(20);
        let over = |takes| Event::SilenceOver { takes, is_heard: true };
        let run = run.see(over(takes));
        assert_eq!(run.watch.silence(run.now).as_deref(), Some(left.0));
        let run = run.see(over(!takes));
        assert_eq!(run.lines[2..], [ended.1, left.1]);
    }
}
