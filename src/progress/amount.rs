//! How much has gone, or come.

use std::sync::atomic::{AtomicU64, Ordering};

/// So many files, and as many bytes of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amount {
    /// Files with their content.
    pub files: u64,
    /// Their contents' bytes.
    pub bytes: u64,
}

/// How much of a stream there is so far, for whoever looks on.
#[derive(Debug, Default)]
pub struct Counter {
    files: AtomicU64,
    bytes: AtomicU64,
}

impl Counter {
    /// So much.
    #[must_use]
    pub fn amount(&self) -> Amount {
        Amount {
            files: self.files.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
        }
    }

    /// From now on it is so much.
    pub fn set(&self, amount: Amount) {
        self.files.store(amount.files, Ordering::Relaxed);
        self.bytes.store(amount.bytes, Ordering::Relaxed);
    }
}
