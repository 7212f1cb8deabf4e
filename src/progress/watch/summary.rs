//! The summary: one line, which says what a run came to. After it comes only "Done. ..." with the path
//! (`run::report`).

use std::time::Duration;

use super::Watch;
use crate::progress::amounts::{count, size, took};
use crate::progress::times::TimedPart;
use crate::progress::transfer::Transfer;

/// A part that took less would be said to have taken 0.0 s. It is left out where another part took longer.
const BRIEF: Duration = Duration::from_millis(100);

/// The number and bytes of store paths that have come.
#[derive(Default)]
pub(super) struct Moved {
    paths: u64,
    bytes: u64,
}

impl Moved {
    pub(super) fn add(&mut self, transfer: &Transfer) {
        self.paths = self.paths.saturating_add(transfer.paths());
        self.bytes = self.bytes.saturating_add(transfer.bytes());
    }

    fn describe(&self, verb: &str) -> Option<String> {
        let paths = Some(self.paths).filter(|paths| *paths > 0)?;
        Some(format!("{verb} {} ({})", count(paths, "path"), size(self.bytes)))
    }
}

impl Watch {
    /// Returns a text that says what has changed and how long each part took.
    pub(super) fn summary(&self, is_the_same: bool) -> String {
        let mut fetched = Moved::default();
        fetched.add(&self.fetched);
        let changes = self.changes(&fetched, is_the_same);
        let times = self.times_of_parts(&fetched);
        if times.is_empty() {
            changes
        } else {
            format!("{changes}; {}", times.join(", "))
        }
    }

    fn built(&self) -> Option<u64> {
        Some(self.builds.built()).filter(|built| *built > 0)
    }

    fn changes(&self, fetched: &Moved, is_the_same: bool) -> String {
        let changes: Vec<String> = [
            is_the_same.then(|| "nothing changed".to_owned()),
            self.built().map(|built| format!("built {built}")),
            fetched.describe("fetched"),
            self.copied.describe("copied"),
            self.received.describe("received"),
        ]
        .into_iter()
        .flatten()
        .collect();
        if changes.is_empty() {
            "nothing was built".to_owned()
        } else {
            changes.join(", ")
        }
    }

    fn times_of_parts(&self, fetched: &Moved) -> Vec<String> {
        let building = match (self.built(), fetched.paths) {
            (None, 1..) => Some("fetched"),
            (None, 0) => None,
            _ => Some("built"),
        };
        let receiving = if self.copied.paths > 0 && self.received.paths == 0 {
            "copied"
        } else {
            "received"
        };
        let parts = [
            (TimedPart::Sending, (self.sent.files > 0).then_some("sent")),
            (TimedPart::Evaluating, Some("evaluated")),
            (TimedPart::Building, building),
            (TimedPart::Receiving, Some(receiving)),
            (TimedPart::Activating, Some("activated")),
        ];
        let parts = parts
            .into_iter()
            .filter_map(|(part, verb)| Some((verb?, self.times.spent(part))));
        let longest = parts.clone().map(|(_, spent)| spent).max().unwrap_or_default();
        parts
            .filter(|(_, spent)| !spent.is_zero() && (*spent >= BRIEF || longest < BRIEF))
            .map(|(verb, spent)| format!("{verb} in {}", took(spent)))
            .collect()
    }
}
