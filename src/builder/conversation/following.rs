//! A job on the other machine, as far as it has been heard.

use crate::process::lines::{Line, Splitter};

/// What a job has said so far. It survives the connection: the next one goes on from the same byte.
#[derive(Debug)]
pub(in crate::builder) struct Following {
    name: String,
    heard: u64,
    lines: Splitter,
    is_over: bool,
}

impl Following {
    /// A job of which the first so many bytes are not wanted.
    pub(in crate::builder) fn new(name: String, heard: u64) -> Self {
        Self {
            name,
            heard,
            lines: Splitter::default(),
            is_over: false,
        }
    }

    /// The name of its record.
    pub(in crate::builder) fn name(&self) -> &str {
        &self.name
    }

    /// The number of bytes of its output that have come.
    pub(in crate::builder) fn heard(&self) -> u64 {
        self.heard
    }

    /// Takes the next bytes of its output. Returns the lines that are whole with them.
    pub(in crate::builder) fn take(&mut self, mut bytes: &[u8]) -> Vec<Line> {
        self.heard += bytes.len() as u64;
        let mut lines = Vec::new();
        while !bytes.is_empty() {
            let (taken, line) = self.lines.take(bytes);
            bytes = &bytes[taken..];
            lines.extend(line);
        }
        lines
    }

    /// Notes that the job is over. Returns what it has said of a line that has no end.
    pub(in crate::builder) fn ends(&mut self) -> Option<Line> {
        self.is_over = true;
        self.lines.rest()
    }

    /// Whether the job is over. Its record is still there, so that a run whose link breaks after it can go on.
    pub(in crate::builder) fn is_over(&self) -> bool {
        self.is_over
    }

    /// Follows the record once more, of which nothing new comes.
    pub(in crate::builder) fn again(&mut self) {
        self.is_over = false;
    }
}

/// Fuzzing: what a job says comes in pieces of some length. The lines are those of the whole, wherever it is cut.
#[cfg(any(test, fuzzing))]
pub(in crate::builder) fn look_at_job(bytes: &[u8]) {
    let (length, said) = bytes.split_first().unwrap_or((&1, &[]));
    let lines = |length: usize| {
        let mut following = Following::new(String::new(), 7);
        let mut lines: Vec<Line> = said
            .chunks(length.max(1))
            .flat_map(|piece| following.take(piece))
            .collect();
        lines.extend(following.ends());
        assert_eq!(following.heard(), 7 + said.len() as u64);
        assert_eq!(following.ends(), None);
        lines
    };
    let whole = lines(said.len());
    assert_eq!(lines(usize::from(*length)), whole);
    let kept: usize = whole.iter().map(|line| line.bytes.len()).sum();
    assert!(kept <= said.len() && whole.iter().all(|line| !line.bytes.contains(&b'\n')));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_may_come_over_two_connections() {
        let mut following = Following::new("a".to_owned(), 0);
        let texts = |lines: Vec<Line>| lines.into_iter().map(Line::into_text).collect::<Vec<_>>();
        assert_eq!(texts(following.take(b"one\ntw")), ["one"]);
        assert_eq!(following.heard(), 6);
        assert_eq!(texts(following.take(b"o\n\nend")), ["two", ""]);
        assert_eq!(following.heard(), 12);
        assert_eq!(following.ends().map(Line::into_text).as_deref(), Some("end"));
        assert_eq!(following.ends(), None);
    }
}
