//! What the user sees while a run goes on: a consumer of events. Whoever makes the events does not know what becomes of
//! them, or whether there is a terminal at all.

mod amount;
mod amounts;
mod builder;
mod builds;
mod echo;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod layout;
pub mod nix_log;
mod phase;
pub mod plain;
#[cfg(test)]
mod recorded;
pub mod terminal;
mod times;
mod transfer;
mod watch;
mod watches;

use std::io::IsTerminal;
use std::sync::Arc;
use std::time::Instant;

pub use amount::{Amount, Counter};
pub use builder::Builder;
use nix_log::LogLine;
pub use phase::{Phase, Work};

use crate::host::Host;

/// Something that happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The run has come to its next phase.
    Phase(Phase),
    /// Nothing takes long from now on, until the next phase.
    Idle,
    /// Of the files that go to the evaluator, so many have gone so far; and how many there are in all, where that is
    /// known.
    Sending(Amount, Option<u64>),
    /// These files have gone to the evaluator.
    Sent(Amount),
    /// From now on, builds run there unless Nix says something else.
    Builder(Builder),
    /// Of the result, so many bytes have arrived so far.
    Received(u64),
    /// A line of Nix's structured log.
    Nix(LogLine),
    /// A line of text from ssh or from a command over there.
    Text(String),
    /// Nothing has come from this machine since then, though it says every few seconds that it lives; or nothing has
    /// gone to it, though something waits to go.
    Silent {
        /// The machine, by ssh's name of it.
        host: String,
        /// Whether it is to take, and not to say something.
        takes: bool,
        /// When something came or went last.
        since: Instant,
    },
    /// The silence is over.
    SilenceOver {
        /// Whether it is of who is to take something, and not to say something.
        takes: bool,
        /// Whether that is because something has come, or gone; otherwise nothing will any more, of which more is said.
        is_heard: bool,
    },
    /// Something that only those want to know who asked for more (`-v`).
    Detail(String),
    /// The run has come to its end, and all is well.
    Finished {
        /// Whether the system is the one that was there already.
        is_the_same: bool,
    },
}

impl Event {
    /// The run has come to this work, of the machine that is named or of this one.
    #[must_use]
    pub fn phase(work: Work, host: Option<&Host>) -> Self {
        Self::Phase(Phase::of(work, host))
    }

    /// A line that Nix has written, be it of its structured log or not. Nothing, if it is one of the log that means
    /// nothing to us.
    #[must_use]
    pub fn of_nix(line: &str) -> Option<Self> {
        match LogLine::parse(line) {
            Some(line) => Some(Self::Nix(line)),
            None if line.starts_with("@nix ") => None,
            None => Some(Self::Text(line.to_owned())),
        }
    }
}

/// Prints a line, or several: [`crate::output::say`], or what a test has in its place.
type Say = Arc<dyn Fn(&str) + Send + Sync>;

/// Consumes events, from whatever thread they come.
pub trait Observer: Send + Sync {
    /// One event, in order. `machine` is the one that the work is for, where a run is for several.
    fn see(&self, machine: Option<&str>, event: Event);
}

/// Who is told what happens. Its clones all tell the same observer.
#[derive(Clone)]
pub struct Reporter {
    observer: Arc<dyn Observer>,
    machine: Option<Arc<str>>,
}

impl Reporter {
    /// What it is told, this observer sees.
    pub fn new(observer: impl Observer + 'static) -> Self {
        Self {
            observer: Arc::new(observer),
            machine: None,
        }
    }

    /// A reporter for what is done for this machine, one of several.
    #[must_use]
    pub fn of_machine(&self, name: &str) -> Self {
        Self {
            observer: Arc::clone(&self.observer),
            machine: Some(name.into()),
        }
    }

    /// Something has happened.
    pub fn tell(&self, event: Event) {
        self.observer.see(self.machine.as_deref(), event);
    }
}

/// How much is to be said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Verbosity {
    /// 0 as usual; what Nix calls verbosity, less 3.
    pub level: i16,
    /// Show build logs as they come.
    pub build_logs: bool,
    /// Lines and nothing live, even on a terminal.
    pub plain: bool,
}

/// The reporter whose observer fits standard error: a live display on a terminal, otherwise plain lines.
#[must_use]
pub fn reporter(verbosity: Verbosity) -> Reporter {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let is_dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
    let is_plain = is_dumb || is_set("NO_COLOR") || is_set("CI") || verbosity.level < 0 || verbosity.plain;
    if std::io::stderr().is_terminal() && !is_plain {
        Reporter::new(terminal::Terminal::new(verbosity))
    } else {
        Reporter::new(plain::Plain::new(verbosity))
    }
}
