//! Machines that have fallen silent.

use std::time::Instant;

use super::{PrintedLine, Watch};
use crate::progress::amounts::elapsed;

/// A machine from which nothing comes, or to which nothing goes.
pub(super) struct SilentMachine {
    host: String,
    takes: bool,
    since: Instant,
    /// Whether a line has told of the silence. Another line then tells its end.
    is_printed: bool,
}

impl SilentMachine {
    fn words(&self, now: Instant) -> String {
        let quiet = elapsed(now.saturating_duration_since(self.since));
        let what = if self.takes { "gone to" } else { "come from" };
        format!("nothing has {what} {} for {quiet}", self.host)
    }
}

impl Watch {
    pub(super) fn falls_silent(&mut self, host: String, takes: bool, since: Instant, now: Instant) -> Vec<PrintedLine> {
        let is_seen = self.is_live && self.is_going();
        let silence = SilentMachine {
            host,
            takes,
            since,
            is_printed: !is_seen,
        };
        let words = silence.words(now);
        self.silences.insert(takes, silence);
        if is_seen { Vec::new() } else { self.said(0, words) }
    }

    pub(super) fn ends_silence(&mut self, takes: bool, is_heard: bool, now: Instant) -> Vec<PrintedLine> {
        match self.silences.remove(&takes) {
            Some(SilentMachine {
                host,
                since,
                is_printed: true,
                ..
            }) if is_heard => {
                let after = elapsed(now.saturating_duration_since(since));
                let what = if takes { "takes more" } else { "is heard" };
                self.said(0, format!("{host} {what} again, after {after}"))
            }
            _ => Vec::new(),
        }
    }

    /// Returns a text that says that nothing comes or goes and for how long, if a machine is silent.
    pub(in crate::progress) fn silence(&self, now: Instant) -> Option<String> {
        let silence = self.silences.values().next()?;
        Some(silence.words(now))
    }
}
