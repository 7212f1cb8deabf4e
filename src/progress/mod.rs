//! What the user sees while a run goes on: a consumer of events. Whoever makes the events does not know what becomes of
//! them, or whether there is a terminal at all.

pub mod nix_log;
pub mod plain;
pub mod terminal;
mod watch;

use std::io::IsTerminal;

use crate::cli::Arguments;
use crate::sources::archive::Amount;
use nix_log::LogLine;

/// Something that happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The run has come to its next part.
    Phase(Phase),
    /// Files have gone to the evaluator.
    Sent(Amount),
    /// Of the result, so many bytes have arrived so far.
    Received(u64),
    /// A line of Nix's structured log.
    Nix(LogLine),
    /// A line of text from ssh or from a command over there.
    Text(String),
    /// Something that only those want to know who asked for more (`-v`).
    Detail(String),
}

/// The parts of a run, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Phase {
    /// Connecting to a host, by ssh's name of it.
    Connecting(String),
    /// Sending files.
    Sending,
    /// Evaluating.
    Evaluating,
    /// Building.
    Building,
    /// What was made is received, by this machine or by the one that is named.
    Receiving(Option<String>),
    /// All that took long is over.
    Done,
}

/// Consumes events.
pub trait Observer {
    /// One event, in order.
    fn see(&mut self, event: Event);
}

/// How much is to be said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Verbosity {
    /// 0 as usual; what Nix calls verbosity, less 3.
    pub level: i16,
    /// Show build logs as they come.
    pub build_logs: bool,
}

impl Verbosity {
    /// What the user asked for.
    #[must_use]
    pub fn of(arguments: &Arguments) -> Self {
        Self {
            level: i16::from(arguments.common.verbose) - i16::from(arguments.common.quiet),
            build_logs: arguments.build.print_build_logs && !arguments.build.no_build_output,
        }
    }
}

/// The observer that fits standard error: a live line on a terminal, otherwise plain lines.
#[must_use]
pub fn observer(verbosity: Verbosity) -> Box<dyn Observer> {
    let dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
    if std::io::stderr().is_terminal() && !dumb && verbosity.level >= 0 {
        Box::new(terminal::Terminal::new(verbosity))
    } else {
        Box::new(plain::Plain::new(verbosity))
    }
}
