//! What events add up to: the lines to be printed for good, and the state that a live line shows.

use std::collections::{BTreeMap, VecDeque};

use super::nix_log::{Activity, LogLine, News};
use super::{Event, Phase, Verbosity};

/// As many lines of a build's log as are shown when it fails.
const TAIL: usize = 25;

struct Build {
    derivation: String,
    phase: Option<String>,
    log: VecDeque<String>,
}

/// The state of a run, made of its events.
pub(super) struct Watch {
    verbosity: Verbosity,
    phase: Option<Phase>,
    running: BTreeMap<u64, Build>,
    /// Logs of builds that have stopped: an error that speaks of one comes after.
    stopped: BTreeMap<String, VecDeque<String>>,
    totals: BTreeMap<u64, Whole>,
    received: u64,
}

#[derive(Clone, Copy)]
struct Whole {
    is_builds: bool,
    done: u64,
    expected: u64,
}

impl Watch {
    pub(super) fn new(verbosity: Verbosity) -> Self {
        Self {
            verbosity,
            phase: None,
            running: BTreeMap::new(),
            stopped: BTreeMap::new(),
            totals: BTreeMap::new(),
            received: 0,
        }
    }

    pub(super) fn phase(&self) -> Option<&Phase> {
        self.phase.as_ref()
    }

    /// Takes an event in; gives the lines to print for good.
    pub(super) fn see(&mut self, event: Event) -> Vec<String> {
        match event {
            Event::Phase(phase) => {
                let line = match &phase {
                    Phase::Connecting(host) => Some(format!("connecting to {host}...")),
                    _ => None,
                };
                self.phase = Some(phase);
                line.filter(|_| self.verbosity.level >= 0).into_iter().collect()
            }
            Event::Sent(amount) if amount.files == 0 => Vec::new(),
            Event::Sent(amount) => {
                let line = format!("sent {} files, {}", amount.files, size(amount.bytes));
                self.said(0, line)
            }
            Event::Received(bytes) => {
                self.received = bytes;
                Vec::new()
            }
            Event::Text(line) => vec![line],
            Event::Detail(line) => self.said(1, line),
            Event::Nix(line) => self.nix(line),
        }
    }

    /// The live line of a terminal.
    pub(super) fn status(&self) -> String {
        match &self.phase {
            None | Some(Phase::Done | Phase::Connecting(_)) => String::new(),
            Some(Phase::Sending) => "sending the configuration".to_owned(),
            Some(Phase::Evaluating) => "evaluating".to_owned(),
            Some(Phase::Building) => self.building(),
            Some(Phase::Receiving(receiver)) => {
                let paths = self
                    .whole(false)
                    .map(|whole| format!("{} of {} paths, ", whole.done, whole.expected));
                let what = receiver
                    .as_ref()
                    .map_or_else(|| "receiving".to_owned(), |name| format!("copying to {name}:"));
                format!("{what} {}{}", paths.unwrap_or_default(), size(self.received))
            }
        }
    }

    fn building(&self) -> String {
        let mut text = "building".to_owned();
        if let Some(whole) = self.whole(true).filter(|whole| whole.expected > 0) {
            text = format!("{text} {} of {}", whole.done, whole.expected);
        }
        let names: Vec<String> = self
            .running
            .values()
            .map(|build| match &build.phase {
                Some(phase) => format!("{} ({phase})", name(&build.derivation)),
                None => name(&build.derivation).to_owned(),
            })
            .collect();
        if names.is_empty() {
            text
        } else {
            format!("{text}: {}", names.join(", "))
        }
    }

    fn whole(&self, is_builds: bool) -> Option<Whole> {
        self.totals
            .values()
            .rev()
            .find(|whole| whole.is_builds == is_builds)
            .copied()
    }

    fn said(&self, level: i16, line: String) -> Vec<String> {
        if level <= self.verbosity.level {
            vec![line]
        } else {
            Vec::new()
        }
    }

    fn nix(&mut self, line: LogLine) -> Vec<String> {
        match line {
            LogLine::Message { level, text } => self.message(level, text),
            LogLine::Start { id, activity } => self.start(id, activity),
            LogLine::Stop { id } => {
                if let Some(build) = self.running.remove(&id) {
                    self.stopped.insert(build.derivation, build.log);
                }
                self.totals.remove(&id);
                Vec::new()
            }
            LogLine::News { id, news } => self.news(id, news),
        }
    }

    fn message(&mut self, level: i64, text: String) -> Vec<String> {
        // What this machine's builder is told with every build and cannot help: it was asked whether it would take it.
        let asked =
            text.contains("ignoring the client-specified setting") || text.contains("you don't have permission to set");
        if level > 3 + i64::from(self.verbosity.level) || asked {
            return Vec::new();
        }
        let mut lines = vec![text];
        // Nix adds the end of the log to the error itself, unless it thinks that a log in JSON has shown it already.
        if level == 0 && !lines[0].contains("log lines:") {
            let failed = self
                .stopped
                .iter()
                .chain(self.running.values().map(|build| (&build.derivation, &build.log)));
            for (derivation, log) in failed {
                if !log.is_empty() && !self.verbosity.build_logs && lines[0].contains(derivation.as_str()) {
                    lines.push(format!(
                        "the last {} lines of the log of {}:",
                        log.len(),
                        name(derivation)
                    ));
                    lines.extend(log.iter().map(|line| format!("> {line}")));
                    break;
                }
            }
        }
        lines
    }

    fn start(&mut self, id: u64, activity: Activity) -> Vec<String> {
        match activity {
            Activity::Build { derivation, machine } => {
                let on = if machine.is_empty() {
                    String::new()
                } else {
                    format!(" on {machine}")
                };
                let line = format!("building {}{on}...", name(&derivation));
                self.running.insert(
                    id,
                    Build {
                        derivation,
                        phase: None,
                        log: VecDeque::new(),
                    },
                );
                self.said(0, line)
            }
            Activity::Builds | Activity::CopyPaths => {
                let is_builds = activity == Activity::Builds;
                self.totals.insert(
                    id,
                    Whole {
                        is_builds,
                        done: 0,
                        expected: 0,
                    },
                );
                Vec::new()
            }
            Activity::Substitute(path) => self.said(0, format!("fetching {}...", name(&path))),
            Activity::Fetch(address) => self.said(1, format!("fetching {address}...")),
            Activity::CopyPath(path) => self.said(1, format!("copying {}...", name(&path))),
            Activity::Other(_) => Vec::new(),
        }
    }

    fn news(&mut self, id: u64, news: News) -> Vec<String> {
        match news {
            News::LogLine(line) => {
                let Some(build) = self.running.get_mut(&id) else {
                    return Vec::new();
                };
                if self.verbosity.build_logs {
                    return vec![format!("{}> {line}", name(&build.derivation))];
                }
                if build.log.len() == TAIL {
                    build.log.pop_front();
                }
                build.log.push_back(line);
            }
            News::Phase(phase) => {
                if let Some(build) = self.running.get_mut(&id) {
                    build.phase = Some(phase);
                }
            }
            News::Progress { done, expected, .. } => {
                if let Some(whole) = self.totals.get_mut(&id) {
                    (whole.done, whole.expected) = (done, expected);
                }
            }
        }
        Vec::new()
    }
}

/// A store path without directory and hash; a derivation without `.drv`.
fn name(path: &str) -> &str {
    let base = path
        .strip_prefix("/nix/store/")
        .and_then(|base| base.get(33..))
        .unwrap_or(path);
    base.strip_suffix(".drv").unwrap_or(base)
}

fn size(bytes: u64) -> String {
    indicatif::DecimalBytes(bytes).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DRV: &str = "/nix/store/00000000000000000000000000000000-hello.drv";

    fn build_log() -> Vec<Event> {
        let start = LogLine::Start {
            id: 1,
            activity: Activity::Build {
                derivation: DRV.into(),
                machine: String::new(),
            },
        };
        let lines = (1..=30).map(|n| LogLine::News {
            id: 1,
            news: News::LogLine(format!("line {n}")),
        });
        std::iter::once(start).chain(lines).map(Event::Nix).collect()
    }

    fn error(text: &str) -> Event {
        Event::Nix(LogLine::Message {
            level: 0,
            text: text.into(),
        })
    }

    fn seen(verbosity: Verbosity, events: Vec<Event>) -> Vec<String> {
        let mut watch = Watch::new(verbosity);
        events.into_iter().flat_map(|event| watch.see(event)).collect()
    }

    #[test]
    fn a_failed_build_shows_the_end_of_its_log() {
        let mut events = build_log();
        events.push(Event::Nix(LogLine::Stop { id: 1 }));
        events.push(error(&format!("error: builder for '{DRV}' failed with exit code 1")));
        let lines = seen(Verbosity::default(), events);
        assert_eq!(lines[0], "building hello...");
        assert_eq!(lines[2], "the last 25 lines of the log of hello:");
        assert_eq!((lines[3].as_str(), lines[27].as_str()), ("> line 6", "> line 30"));
    }

    #[test]
    fn a_log_that_nix_shows_itself_is_not_shown_twice() {
        let mut events = build_log();
        events.push(error(&format!(
            "error: builder for '{DRV}' failed;\n last 10 log lines:\n > x"
        )));
        assert_eq!(seen(Verbosity::default(), events).len(), 2);
    }

    #[test]
    fn build_logs_are_shown_when_asked_for() {
        let verbosity = Verbosity {
            level: 0,
            build_logs: true,
        };
        let lines = seen(verbosity, build_log());
        assert_eq!((lines.len(), lines[1].as_str()), (31, "hello> line 1"));
    }

    #[test]
    fn quiet_keeps_errors_and_foreign_text() {
        let quiet = Verbosity {
            level: -1,
            build_logs: false,
        };
        let mut events = build_log();
        events.push(Event::Phase(Phase::Connecting("b".into())));
        events.push(error("error: x"));
        events.push(Event::Text("ssh says".into()));
        assert_eq!(seen(quiet, events), ["error: x", "ssh says"]);
    }

    #[test]
    fn the_live_line_counts_and_names() {
        let mut watch = Watch::new(Verbosity::default());
        watch.see(Event::Phase(Phase::Building));
        for event in build_log() {
            watch.see(event);
        }
        watch.see(Event::Nix(LogLine::Start {
            id: 2,
            activity: Activity::Builds,
        }));
        watch.see(Event::Nix(LogLine::News {
            id: 2,
            news: News::Progress {
                done: 3,
                expected: 7,
                running: 1,
            },
        }));
        assert_eq!(watch.status(), "building 3 of 7: hello");
    }
}
