//! What a new system changes: the packages, as Nix compares two closures, and the parts that are not in use before a
//! boot. These are plain values made from what the target says; none of it is trusted to be harmless on a terminal.

#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod line;
mod next_boot;
mod shown;

pub use next_boot::NextBoot;

use crate::harmless::{self, Colours};
use line::PackageChange;

/// At most this many lines are kept, and none with more bytes than the following: a system has a few thousand packages.
const MOST_LINES: usize = 20_000;
const LONGEST: usize = 4096;

/// Two closures are compared, so two sizes were asked for.
const MOST_SIZES: usize = 2;

/// The difference between the running system and a new one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The running system.
    current: String,
    changed: Vec<PackageChange>,
    added: Vec<PackageChange>,
    removed: Vec<PackageChange>,
    /// The lines of Nix's that cannot be read here.
    unread: Vec<String>,
    /// The number of lines that were left out.
    left_out: usize,
    /// Systems and the sizes of their closures, in bytes.
    sizes: Vec<(String, u64)>,
}

impl Difference {
    /// Returns a difference without any lines; `current` is the running system.
    #[must_use]
    pub fn with(current: String) -> Self {
        Self {
            current,
            changed: Vec::new(),
            added: Vec::new(),
            removed: Vec::new(),
            unread: Vec::new(),
            left_out: 0,
            sizes: Vec::new(),
        }
    }

    /// Takes in a line of `nix store diff-closures`.
    pub fn hear(&mut self, text: &str) {
        let known = [&self.changed, &self.added, &self.removed].map(Vec::len);
        if known.iter().sum::<usize>() + self.unread.len() >= MOST_LINES || text.len() > LONGEST {
            self.left_out += 1;
            return;
        }
        match PackageChange::parse(text) {
            None => self.unread.push(harmless::text(text, Colours::Dropped)),
            Some(line) => match (line.from.is_empty(), line.to.is_empty()) {
                (true, false) => self.added.push(line),
                (false, true) => self.removed.push(line),
                _ => self.changed.push(line),
            },
        }
    }

    /// Takes in the size of a system with everything that it refers to.
    pub fn measured(&mut self, system: &str, bytes: u64) {
        if self.sizes.len() < MOST_SIZES {
            self.sizes.push((system.to_owned(), bytes));
        }
    }

    fn size_of(&self, system: &str) -> Option<u64> {
        self.sizes
            .iter()
            .find_map(|(name, bytes)| (name == system).then_some(*bytes))
    }
}
