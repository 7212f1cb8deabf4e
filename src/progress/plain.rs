//! Lines and nothing else: for files, pipes, CI and simple terminals.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::watch::{Line, Watch};
use super::{Event, Observer, Verbosity};
use crate::harmless::{self, Colours};
use crate::output;

/// How often it looks whether a sign of life is due.
const TICK: Duration = Duration::from_secs(1);

/// Prints each line as it comes, and after a long silence that it goes on.
pub struct Plain {
    watch: Arc<Mutex<Watch>>,
    /// Whose end ends the thread.
    _alive: Sender<()>,
}

impl Plain {
    /// For standard error.
    #[must_use]
    pub fn new(verbosity: Verbosity) -> Self {
        let watch = Arc::new(Mutex::new(Watch::new(verbosity, false, Instant::now())));
        let (alive, end) = channel();
        let shared = Arc::clone(&watch);
        thread::spawn(move || {
            while end.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                let mut watch = shared.lock().unwrap_or_else(PoisonError::into_inner);
                let now = Instant::now();
                watch.tick(now);
                if let Some(line) = watch.heartbeat(now) {
                    output::say(&line);
                }
            }
        });
        Self { watch, _alive: alive }
    }
}

impl Observer for Plain {
    fn see(&mut self, event: Event) {
        let mut watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
        for line in watch.see(event, Instant::now()) {
            output::say(&line.plain());
        }
    }
}

impl Line {
    /// Without colours.
    pub(super) fn plain(&self) -> String {
        match self {
            Self::Text(text) => harmless::text(text, Colours::Dropped),
            Self::Log { name, text } => format!("{name}> {text}"),
            Self::Summary(text) => text.clone(),
        }
    }
}
