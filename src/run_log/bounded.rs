//! A file that never grows beyond a bound: what came first stays, and so does what came last.
//!
//! What came last is written in a circle in the second part of the file. So nothing has to be kept in memory, and if
//! the program is killed, all but a buffer of it is there. [`Bounded::finish`] puts it in order.

use std::fs::File;
use std::io;
use std::ops::Deref;
use std::os::unix::fs::FileExt;

/// How many bytes are kept of the beginning, and how many of the end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) first: u64,
    pub(super) last: u64,
}

/// The bounds of a run's log: 1 MiB each.
pub(super) const BOUNDS: Bounds = Bounds {
    first: 1 << 20,
    last: 1 << 20,
};

/// So many bytes wait before they are written: a Pi's card takes few large writes better than many small ones.
const BUFFER: usize = 32 << 10;

/// Stands after the newest line where an older one follows, as long as the file is not in order.
const SEAM: &[u8] = b"\n=== the newest line is above; the oldest of the last ones is below ===\n";

/// The file. The first error ends the writing, and is kept.
pub(super) struct Bounded<F> {
    file: F,
    bounds: Bounds,
    buffer: Vec<u8>,
    /// How many bytes have been written, those too that are not there any more.
    written: u64,
    error: Option<io::Error>,
}

impl<F: Deref<Target = File>> Bounded<F> {
    /// Makes one of an empty file.
    pub(super) fn new(file: F, bounds: Bounds) -> Self {
        Self {
            file,
            bounds,
            buffer: Vec::with_capacity(BUFFER),
            written: 0,
            error: None,
        }
    }

    /// Adds a text.
    pub(super) fn add(&mut self, text: &str) {
        if self.error.is_some() {
            return;
        }
        self.buffer.extend_from_slice(text.as_bytes());
        if self.buffer.len() >= BUFFER {
            self.flush();
        }
    }

    /// Writes what waits.
    pub(super) fn flush(&mut self) {
        if self.error.is_none() && !self.buffer.is_empty() {
            self.error = self.write().and_then(|()| self.mark()).err();
        }
    }

    /// Writes what waits, and puts the file in order.
    ///
    /// # Errors
    /// Returns the first error: after it nothing was written.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        if self.error.is_none() {
            self.error = self.write().and_then(|()| self.order()).err();
        }
        self.error.take().map_or(Ok(()), Err)
    }

    fn write(&mut self) -> io::Result<()> {
        let mut rest = &self.buffer[..];
        while !rest.is_empty() {
            let (place, room) = self.place();
            let (now, later) = rest.split_at(rest.len().min(usize::try_from(room).unwrap_or(usize::MAX)));
            self.file.write_all_at(now, place)?;
            self.written += now.len() as u64;
            rest = later;
        }
        self.buffer.clear();
        Ok(())
    }

    /// Returns where the next byte goes, and how many fit there.
    fn place(&self) -> (u64, u64) {
        let Bounds { first, last } = self.bounds;
        if self.written < first {
            return (self.written, first - self.written);
        }
        let at = (self.written - first) % last;
        (first + at, last - at)
    }

    fn is_cut(&self) -> bool {
        self.written > self.bounds.first + self.bounds.last
    }

    /// Marks where the newest line ends, if older ones follow.
    fn mark(&self) -> io::Result<()> {
        let (place, room) = self.place();
        if self.is_cut() && room >= SEAM.len() as u64 {
            self.file.write_all_at(SEAM, place)?;
        }
        Ok(())
    }

    /// Puts what came last in order, from the first whole line on.
    fn order(&self) -> io::Result<()> {
        if !self.is_cut() {
            return Ok(());
        }
        let Bounds { first, last } = self.bounds;
        let mut circle = vec![0; usize::try_from(last).unwrap_or_default()];
        self.file.read_exact_at(&mut circle, first)?;
        let newest_ends = usize::try_from(self.place().0 - first).unwrap_or_default();
        circle.rotate_left(newest_ends);
        // The seam may stand at the beginning of it now, or half of an older line.
        let after = SEAM.len().min(circle.len());
        let line = circle[after..].iter().position(|byte| *byte == b'\n');
        let kept = &circle[line.map_or(circle.len(), |line| after + line + 1)..];
        let lacks = self.written - first - kept.len() as u64;
        let gap = format!("\n=== {lacks} bytes are left out here ===\n");
        let after = first + gap.len() as u64;
        self.file.write_all_at(gap.as_bytes(), first)?;
        self.file.write_all_at(kept, after)?;
        self.file.set_len(after + kept.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Seek, SeekFrom};

    const SMALL: Bounds = Bounds {
        first: 1000,
        last: 4000,
    };

    fn text(file: &File) -> String {
        let mut file = file;
        let mut text = String::new();
        file.seek(SeekFrom::Start(0)).unwrap();
        file.read_to_string(&mut text).unwrap();
        text
    }

    /// Adds so many lines and returns the file's text: as a kill after the last flush leaves it, and in order.
    fn after(lines: usize, flush: usize) -> (String, String) {
        let file = tempfile::tempfile().unwrap();
        let mut bounded = Bounded::new(&file, SMALL);
        for number in 1..=lines {
            bounded.add(&format!("line {number}.\n"));
            if number % flush == 0 {
                bounded.flush();
            }
        }
        bounded.flush();
        let killed = text(&file);
        bounded.finish().unwrap();
        (killed, text(&file))
    }

    #[test]
    fn what_fits_stays_whole() {
        let all = |lines| {
            let lines: Vec<String> = (1..=lines)
                .map(|number| {
                    format!(
                        "line {number}.
"
                    )
                })
                .collect();
            lines.concat()
        };
        for (lines, flush) in [(0, 1), (3, 1), (90, 7), (450, 1000)] {
            assert_eq!(after(lines, flush), (all(lines), all(lines)), "{lines}");
        }
    }

    /// Whatever the lengths are, and whenever it was flushed.
    #[test]
    fn of_a_flood_the_beginning_and_the_end_stay() {
        for (lines, flush) in [
            (600, 1),
            (601, 3),
            (5_000, 1),
            (5_003, 17),
            (20_000, 30_000),
            (9_999, 450),
        ] {
            let (killed, ordered) = after(lines, flush);
            assert!(killed.len() as u64 <= SMALL.first + SMALL.last, "{lines}");
            assert!(killed.starts_with("line 1.\nline 2.\n") && killed.contains(&format!("line {lines}.\n")));
            let (first, last) = ordered.split_once("\n=== ").unwrap();
            assert_eq!(first.len() as u64, SMALL.first);
            let (lacks, last) = last.split_once(" bytes are left out here ===\n").unwrap();
            let whole: usize = (1..=lines).map(|number| format!("line {number}.\n").len()).sum();
            assert_eq!(lacks.parse::<usize>().unwrap() + first.len() + last.len(), whole);
            assert!(last.len() > 3_800, "{}", last.len());
            let count = last.lines().count();
            let expected: Vec<String> = (lines - count + 1..=lines)
                .map(|number| format!("line {number}."))
                .collect();
            assert_eq!(last.lines().collect::<Vec<_>>(), expected);
        }
    }

    #[test]
    fn a_line_longer_than_all_leaves_its_end() {
        let file = tempfile::tempfile().unwrap();
        let mut bounded = Bounded::new(&file, SMALL);
        bounded.add(&format!("{}\n", "x".repeat(20_000)));
        bounded.add("last\n");
        bounded.finish().unwrap();
        assert!(text(&file).ends_with("left out here ===\nlast\n"));
    }

    #[test]
    fn a_full_disk_is_an_error_of_the_end_alone() {
        let full = File::options().read(true).write(true).open("/dev/full").unwrap();
        let mut bounded = Bounded::new(&full, SMALL);
        for _ in 0..10_000 {
            bounded.add("line\n");
        }
        assert!(bounded.buffer.len() < BUFFER + 10);
        assert_eq!(bounded.finish().unwrap_err().kind(), io::ErrorKind::StorageFull);
    }
}
