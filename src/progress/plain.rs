//! Lines and nothing else: for files, pipes, CI and simple terminals.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::watch::PrintedLine;
use super::watches::Watches;
use super::{Event, Observer, Verbosity};
use crate::harmless::{self, Colours};
use crate::output;

/// How often it looks whether a sign of life is due.
const TICK: Duration = Duration::from_secs(1);

/// Prints each line as it comes, and after a long silence that it goes on.
pub struct Plain {
    watches: Arc<Mutex<Watches>>,
    /// Whose end ends the thread.
    _alive: Sender<()>,
}

impl Plain {
    /// For standard error.
    #[must_use]
    pub fn new(verbosity: Verbosity) -> Self {
        let watches = Arc::new(Mutex::new(Watches::new(verbosity, false, Instant::now())));
        let (alive, end) = channel();
        let shared = Arc::clone(&watches);
        thread::spawn(move || {
            while end.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                let mut watches = shared.lock().unwrap_or_else(PoisonError::into_inner);
                let now = Instant::now();
                watches.tick(now);
                if let Some(line) = watches.heartbeat(now) {
                    output::say(&line);
                }
            }
        });
        Self { watches, _alive: alive }
    }
}

impl Observer for Plain {
    fn see(&self, machine: Option<&str>, event: Event) {
        let mut watches = self.watches.lock().unwrap_or_else(PoisonError::into_inner);
        for line in watches.see(machine, event, Instant::now()) {
            output::say(&line.plain());
        }
    }
}

impl PrintedLine {
    /// Without colours.
    pub(super) fn plain(&self) -> String {
        match self {
            Self::Text(text) => harmless::text(text, Colours::Dropped),
            Self::Log { name, text } => format!("{name}> {text}"),
            Self::Summary(text) => text.clone(),
        }
    }
}
