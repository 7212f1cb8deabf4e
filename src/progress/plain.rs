//! Output as lines alone, for files, pipes, CI and simple terminals.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::watch::PrintedLine;
use super::watches::{Watches, named};
use super::{Event, Observer, Say, Verbosity};
use crate::harmless::{self, Colours};
use crate::output;

/// How often the thread looks whether a sign of life is due.
const TICK: Duration = Duration::from_secs(1);

/// Prints each line as it comes, and a sign of life after a long silence. Where a run is for several machines, each line
/// begins with the name of its machine.
pub struct Plain {
    watches: Arc<Mutex<Watches>>,
    say: Say,
    /// The thread ends when this sender is dropped.
    _alive: Sender<()>,
}

impl Plain {
    /// Starts the thread that gives the signs of life. Lines go to standard error.
    #[must_use]
    pub fn new(verbosity: Verbosity) -> Self {
        Self::saying(verbosity, Arc::new(output::say))
    }

    fn saying(verbosity: Verbosity, say: Say) -> Self {
        let watches = Arc::new(Mutex::new(Watches::new(verbosity, false, Instant::now())));
        let (alive, end) = channel();
        let (shared, thread_says) = (Arc::clone(&watches), Arc::clone(&say));
        thread::spawn(move || {
            while end.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                let mut watches = shared.lock().unwrap_or_else(PoisonError::into_inner);
                let now = Instant::now();
                watches.tick(now);
                for line in watches.heartbeats(now) {
                    thread_says(&line);
                }
            }
        });
        Self {
            watches,
            say,
            _alive: alive,
        }
    }
}

impl Observer for Plain {
    fn see(&self, machine: Option<&str>, event: Event) {
        let mut watches = self.watches.lock().unwrap_or_else(PoisonError::into_inner);
        for line in watches.see(machine, event, Instant::now()) {
            (self.say)(&named(machine, &line.plain()));
        }
    }
}

impl PrintedLine {
    /// Returns its text without colours.
    pub(super) fn plain(&self) -> String {
        match self {
            Self::Text(text) => harmless::text(text, Colours::Dropped),
            Self::Log { name, text } => format!("{name}> {text}"),
            Self::Summary(text) => text.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Host;
    use crate::progress::nix_log::{Activity, LogLine};
    use crate::progress::{Reporter, Work};

    /// A reporter with a plain observer, and what that has printed.
    fn plain(build_logs: bool) -> (Reporter, Arc<Mutex<Vec<String>>>) {
        let printed: Arc<Mutex<Vec<String>>> = Arc::default();
        let shared = Arc::clone(&printed);
        let say = move |line: &str| shared.lock().unwrap().push(line.to_owned());
        let verbosity = Verbosity {
            build_logs,
            ..Verbosity::default()
        };
        (Reporter::new(Plain::saying(verbosity, Arc::new(say))), printed)
    }

    /// What a run tells in order, from its connection to its end.
    fn tell_a_run(reporter: &Reporter) {
        let build = Activity::Build {
            derivation: "/nix/store/00000000000000000000000000000000-hello.drv".into(),
            machine: String::new(),
        };
        let host = Host::parse("builder").unwrap();
        for event in [
            Event::phase(Work::Connecting, Some(&host)),
            Event::phase(Work::Building, Some(&host)),
            Event::Nix(LogLine::Start { id: 1, activity: build }),
            Event::of_nix(r#"@nix {"action":"result","id":1,"type":101,"fields":["compiling"]}"#).unwrap(),
            Event::Text("two\nlines".to_owned()),
            Event::Nix(LogLine::Stop { id: 1 }),
            Event::Idle,
            Event::Finished { is_the_same: false },
        ] {
            reporter.tell(event);
        }
    }

    const LINES: [&str; 6] = [
        "connecting to builder...",
        "building hello...",
        "hello> compiling",
        "two",
        "lines",
        "built 1",
    ];

    fn lines(printed: &Mutex<Vec<String>>) -> Vec<String> {
        let printed = printed.lock().unwrap().join("\n");
        let without_times = |line: &str| line.split_once(';').map_or(line, |(line, _)| line).to_owned();
        printed.lines().map(without_times).collect()
    }

    #[test]
    fn lines_of_one_machine_alone_have_no_name() {
        let (reporter, printed) = plain(true);
        tell_a_run(&reporter);
        assert_eq!(lines(&printed), LINES);
    }

    #[test]
    fn each_line_of_several_machines_begins_with_its_machine() {
        let (reporter, printed) = plain(true);
        let [pi, nas] = ["pi", "nas"].map(|name| reporter.of_machine(name));
        tell_a_run(&pi);
        tell_a_run(&nas);
        let expected = ["pi", "nas"].map(|name| LINES.map(|line| format!("{name}: {line}")));
        assert_eq!(lines(&printed), expected.concat());
    }

    /// Each machine's lines are whole and in their order, whatever the others tell meanwhile.
    #[test]
    fn several_threads_tell_one_reporter() {
        let (reporter, printed) = plain(true);
        let names = ["a", "b", "c", "d"];
        thread::scope(|scope| {
            for name in names {
                let reporter = &reporter;
                scope.spawn(move || tell_a_run(&reporter.of_machine(name)));
            }
        });
        let printed = lines(&printed);
        assert_eq!(printed.len(), names.len() * LINES.len());
        for name in names {
            let prefix = format!("{name}: ");
            let own: Vec<&str> = printed.iter().filter_map(|line| line.strip_prefix(&prefix)).collect();
            assert_eq!(own, LINES, "{name}");
        }
    }
}
