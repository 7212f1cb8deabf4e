//! Errors of an evaluation that are held back.

use crate::progress::Event;
use crate::progress::nix_log::LogLine;

/// How many errors are kept, and how many bytes of them. Nix mostly says one, because each missing thing ends its
/// round.
const MOST: usize = 1000;
const MOST_BYTES: usize = 2 << 20;

/// What an evaluation failed at, until it is known whether more files make up for it.
#[derive(Debug, Default)]
pub(super) struct Held {
    errors: Vec<LogLine>,
    bytes: usize,
    left_out: u64,
}

impl Held {
    pub(super) fn push(&mut self, error: LogLine) {
        let size = match &error {
            LogLine::Message { text, .. } => text.len(),
            _ => 0,
        };
        if self.errors.len() >= MOST || self.bytes + size > MOST_BYTES {
            self.left_out += 1;
        } else {
            self.bytes += size;
            self.errors.push(error);
        }
    }

    pub(super) fn errors(&self) -> &[LogLine] {
        &self.errors
    }

    /// Returns what is shown of them.
    pub(super) fn into_events(self) -> impl Iterator<Item = Event> {
        let left_out = (self.left_out > 0).then(|| {
            let number = self.left_out;
            Event::Text(format!("({number} more errors are left out)"))
        });
        self.errors.into_iter().map(Event::Nix).chain(left_out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: String) -> LogLine {
        LogLine::Message { level: 0, text }
    }

    #[test]
    fn what_is_too_much_is_counted() {
        for (size, kept) in [(1, MOST), (MOST_BYTES / 4, 4), (MOST_BYTES + 1, 0)] {
            let mut held = Held::default();
            for _ in 0..MOST + 7 {
                held.push(error("x".repeat(size)));
            }
            assert_eq!(held.errors().len(), kept);
            let last = held.into_events().last().unwrap();
            assert_eq!(
                last,
                Event::Text(format!("({} more errors are left out)", MOST + 7 - kept))
            );
        }
    }
}
