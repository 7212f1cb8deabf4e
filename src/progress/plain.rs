//! Lines and nothing else: for files, pipes, CI and simple terminals.

use super::watch::Watch;
use super::{Event, Observer, Verbosity};

/// Prints each line as it comes.
pub struct Plain {
    watch: Watch,
}

impl Plain {
    /// For standard error.
    #[must_use]
    pub fn new(verbosity: Verbosity) -> Self {
        Self {
            watch: Watch::new(verbosity),
        }
    }
}

impl Observer for Plain {
    fn see(&mut self, event: Event) {
        for line in self.watch.see(event) {
            eprintln!("{}", console::strip_ansi_codes(&line));
        }
    }
}
