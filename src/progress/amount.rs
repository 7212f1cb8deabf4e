//! Amounts of files and bytes that have been sent or received.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number of files and of their bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amount {
    /// Files with their content.
    pub files: u64,
    /// The bytes of their contents.
    pub bytes: u64,
}

/// How much there is to send in all, as far as it is known beforehand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Whole {
    /// That is not known.
    #[default]
    Unknown,
    /// So many files.
    Files(u64),
    /// So many bytes.
    Bytes(u64),
}

/// How much of a stream has passed so far; other threads may look at it.
#[derive(Debug, Default)]
pub struct Counter {
    files: AtomicU64,
    bytes: AtomicU64,
}

impl Counter {
    /// Returns the amount so far.
    #[must_use]
    pub fn amount(&self) -> Amount {
        Amount {
            files: self.files.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
        }
    }

    /// Sets the amount so far.
    pub fn set(&self, amount: Amount) {
        self.files.store(amount.files, Ordering::Relaxed);
        self.bytes.store(amount.bytes, Ordering::Relaxed);
    }
}
