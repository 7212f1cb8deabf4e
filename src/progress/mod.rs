//! What the user sees while a run goes on: a consumer of events. The rooms that tell the events know neither what becomes
//! of them nor whether there is a terminal.

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
use std::time::{Duration, Instant};

pub use amount::{Amount, Counter, Whole};
pub use amounts::{elapsed, spoken};
pub use builder::Builder;
use nix_log::LogLine;
pub use phase::{Phase, Work};

use crate::host::Host;

/// Something that happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The run has come to its next phase.
    Phase(Phase),
    /// The phase began then, before this machine followed it.
    Since(Instant),
    /// In the current phase, nothing was done for so long, before now: what was done was not followed then.
    Idled(Duration),
    /// Nothing takes long from now on, until the next phase.
    Idle,
    /// The files that have gone to the evaluator so far, and what all of them are.
    Sending(Amount, Whole),
    /// These files have gone to the evaluator.
    Sent(Amount),
    /// From now on, builds run on this builder unless Nix says something else.
    Builder(Builder),
    /// The number of the result's bytes that have arrived so far.
    Received(u64),
    /// A line of Nix's structured log.
    Nix(LogLine),
    /// A line of text from ssh or from a command on the other machine.
    Text(String),
    /// A machine is silent: nothing has come from it, though it says every few seconds that it lives; or nothing has gone
    /// to it, though something waits to go.
    Silent {
        /// The machine, by ssh's name of it.
        host: String,
        /// True if the machine should take something, false if it should say something.
        takes: bool,
        /// When something last came or went.
        since: Instant,
    },
    /// The silence is over.
    SilenceOver {
        /// True if it was the silence of a machine that should take something, false of one that should say something.
        takes: bool,
        /// True if something has come or gone again. False if nothing will come or go any more; another message then
        /// says why.
        is_heard: bool,
    },
    /// A detail, shown only to users who ask for more (`-v`).
    Detail(String),
    /// What was said between this program and another machine. It is never shown: it is for the log of the run.
    Trace(String),
    /// The run has come to its end, and all is well.
    Finished {
        /// Whether the system is the one that the machine already had.
        is_the_same: bool,
    },
}

impl Event {
    /// Returns the event that the run has come to this work, with the named host or on this machine.
    #[must_use]
    pub fn phase(work: Work, host: Option<&Host>) -> Self {
        Self::Phase(Phase::of(work, host))
    }

    /// Reads a line that Nix has written, as a line of its structured log or as text. Returns None for a line of the log
    /// that this program does not use.
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
    /// Takes one event; events come in order. `machine` is the machine that the work is for, in a run for several.
    fn see(&self, machine: Option<&str>, event: Event);
}

/// Hears every event beside the observer, and shows nothing.
pub trait Listener: Send + Sync {
    /// Hears one event, before the observer takes it.
    fn hear(&self, machine: Option<&str>, event: &Event);
}

/// Tells an observer what happens. All clones tell the same observer.
#[derive(Clone)]
pub struct Reporter {
    observer: Arc<dyn Observer>,
    listener: Option<Arc<dyn Listener>>,
    machine: Option<Arc<str>>,
}

impl Reporter {
    /// Returns a reporter that tells this observer.
    pub fn new(observer: impl Observer + 'static) -> Self {
        Self {
            observer: Arc::new(observer),
            listener: None,
            machine: None,
        }
    }

    /// Returns a reporter that tells this listener, too.
    #[must_use]
    pub fn with(self, listener: Arc<dyn Listener>) -> Self {
        Self {
            listener: Some(listener),
            ..self
        }
    }

    /// Returns a reporter for what is done for this machine, one of several.
    #[must_use]
    pub fn of_machine(&self, name: &str) -> Self {
        Self {
            observer: Arc::clone(&self.observer),
            listener: self.listener.clone(),
            machine: Some(name.into()),
        }
    }

    /// Tells that something has happened.
    pub fn tell(&self, event: Event) {
        if let Some(listener) = &self.listener {
            listener.hear(self.machine.as_deref(), &event);
        }
        self.observer.see(self.machine.as_deref(), event);
    }
}

/// How much the user wants to be told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Verbosity {
    /// Nix's verbosity minus 3; 0 is the default.
    pub level: i16,
    /// Show build logs as they come.
    pub build_logs: bool,
    /// Print lines and draw nothing live, even on a terminal.
    pub plain: bool,
}

/// Returns a reporter whose observer fits standard error: a live display on a terminal, otherwise plain lines.
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
