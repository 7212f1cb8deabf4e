//! Lines that another process writes. The other process may write a line that never ends.

use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::mem;

/// This many bytes are kept of a line's beginning, and [`END`] bytes of its end. Every honest line that matters is
/// shorter: a value that was evaluated has at most 1,000,000 bytes (`scripts/evaluate.sh`), and an error with its whole
/// trace a part of that.
const BEGINNING: usize = (1 << 20) + BESIDE;
const END: usize = 64 << 10;

/// The bytes that stand beside a value in its line.
const BESIDE: usize = 64;

/// A good place for a cut is looked for within this distance, in bytes.
const ABOUT: usize = 256;

/// The longest form in which JSON writes a character: `\u001b`, in bytes.
const ESCAPE: usize = 6;

/// One line, without its end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Line {
    /// The bytes that were kept.
    pub bytes: Vec<u8>,
    /// If the line was too long: the place in `bytes` where something is missing, and how many bytes are.
    pub gap: Option<(usize, u64)>,
}

impl Line {
    /// Returns it as text that says how much is missing.
    #[must_use]
    pub fn into_text(self) -> String {
        let Some((place, missing)) = self.gap else {
            return String::from_utf8(self.bytes)
                .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
        };
        let (beginning, end) = self.bytes.split_at(place);
        format!(
            "{} ... [{missing} bytes are left out here] ... {}",
            String::from_utf8_lossy(beginning),
            String::from_utf8_lossy(end)
        )
    }
}

/// Makes lines of bytes that come in pieces.
#[derive(Debug, Default)]
pub struct Splitter {
    /// As much of the line as is kept of its beginning.
    beginning: Vec<u8>,
    /// Its last bytes beyond that: of the two, the second is being filled, and is no longer than [`END`].
    before: Vec<u8>,
    end: Vec<u8>,
    /// All of its bytes so far.
    length: u64,
}

impl Splitter {
    /// Takes bytes up to the end of a line. Returns how many it has taken, and the line, if that is its end. The middle of a
    /// line that is too long is missing.
    pub fn take(&mut self, bytes: &[u8]) -> (usize, Option<Line>) {
        let newline = bytes.iter().position(|byte| *byte == b'\n');
        let taken = newline.map_or(bytes.len(), |place| place + 1);
        self.keep(&bytes[..taken]);
        (taken, newline.and_then(|_| self.rest()))
    }

    /// What there is of a line that has no end.
    pub fn rest(&mut self) -> Option<Line> {
        if self.length == 0 {
            return None;
        }
        let Self {
            beginning,
            mut before,
            mut end,
            length,
        } = mem::take(self);
        let mut line = Line {
            bytes: beginning,
            gap: None,
        };
        // Of the last two pieces, as much as one is.
        before.drain(..end.len().min(before.len()));
        before.append(&mut end);
        // What fits is no gap.
        if length > (line.bytes.len() + before.len()) as u64 {
            cut(&mut line.bytes, &mut before);
            let kept = line.bytes.len() + before.len();
            line.gap = Some((line.bytes.len(), length - kept as u64));
        }
        line.bytes.append(&mut before);
        let end = line.bytes.iter().rposition(|byte| !b"\n\r".contains(byte));
        line.bytes.truncate(end.map_or(0, |last| last + 1));
        Some(line)
    }

    fn keep(&mut self, bytes: &[u8]) {
        self.length += bytes.len() as u64;
        let (first, mut rest) = bytes.split_at(bytes.len().min(BEGINNING - self.beginning.len()));
        self.beginning.extend_from_slice(first);
        while !rest.is_empty() {
            if self.end.len() == END {
                mem::swap(&mut self.before, &mut self.end);
                self.end.clear();
            }
            let (piece, more) = rest.split_at(rest.len().min(END - self.end.len()));
            self.end.extend_from_slice(piece);
            rest = more;
        }
    }
}

/// The lines of a stream.
pub struct Lines<R: Read> {
    reader: BufReader<R>,
}

impl<R: Read> Lines<R> {
    /// Reads the lines of this stream.
    pub fn new(stream: R) -> Self {
        Self {
            reader: BufReader::new(stream),
        }
    }

    /// Returns the next line. The middle is missing if the line is too long. An error of the stream counts as its end.
    pub fn next_line(&mut self) -> Option<Line> {
        let mut splitter = Splitter::default();
        loop {
            let piece = match self.reader.fill_buf() {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Ok([]) | Err(_) => return splitter.rest(),
                Ok(piece) => piece,
            };
            let (taken, line) = splitter.take(piece);
            self.reader.consume(taken);
            if line.is_some() {
                return line;
            }
        }
    }

    /// Returns the stream, to read other things than lines.
    pub fn stream(&mut self) -> &mut BufReader<R> {
        &mut self.reader
    }
}

/// Moves the cut to places where it splits no character, and no escape of JSON. A line of Nix's log then still is one,
/// with a shorter text. If there are no such places, the cut is made all the same.
fn cut(beginning: &mut Vec<u8>, end: &mut Vec<u8>) {
    let length = beginning.len();
    let place = (length.saturating_sub(ABOUT)..length).rev();
    if let Some(place) = place.into_iter().find(|place| is_between(beginning, *place)) {
        beginning.truncate(place);
    }
    if let Some(place) = (0..ABOUT.min(end.len())).find(|place| is_between(end, *place)) {
        end.drain(..place);
    }
}

fn is_between(bytes: &[u8], place: usize) -> bool {
    place
        .checked_sub(ESCAPE)
        .and_then(|from| bytes.get(from..=place))
        .is_some_and(|near| !near.contains(&b'\\') && near[ESCAPE - 1..].iter().all(u8::is_ascii_alphanumeric))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(bytes: &[u8]) -> Vec<Line> {
        let mut lines = Lines::new(bytes);
        std::iter::from_fn(|| lines.next_line()).collect()
    }

    /// However the bytes come, the lines are the same.
    #[test]
    fn pieces_make_the_same_lines() {
        let text = [
            b"a\r\n\nb\xff".as_slice(),
            &vec![b'x'; BEGINNING + 3 * END + 5],
            b"\nend",
        ]
        .concat();
        for size in [1 << 10, 4096, END - 1, END, END + 1, text.len()] {
            let (mut splitter, mut found) = (Splitter::default(), Vec::new());
            for mut piece in text.chunks(size) {
                while !piece.is_empty() {
                    let (taken, line) = splitter.take(piece);
                    piece = &piece[taken..];
                    found.extend(line);
                }
            }
            found.extend(splitter.rest());
            assert_eq!(found, lines(&text), "{size}");
        }
    }

    #[test]
    fn lines_come_without_their_ends() {
        let texts: Vec<String> = lines(b"a\r\n\nb\xff c\nend").into_iter().map(Line::into_text).collect();
        assert_eq!(texts, ["a", "", "b\u{fffd} c", "end"]);
        assert_eq!(lines(b""), []);
    }

    /// A line that fits is kept to its last byte, even if it fills the space exactly.
    #[test]
    fn a_line_that_fits_is_whole() {
        for length in [
            1,
            BEGINNING - 1,
            BEGINNING,
            BEGINNING + 1,
            // The length includes the line's end.
            BEGINNING + END - 1,
        ] {
            for rest in ["", "\n", "\nnext\n"] {
                let bytes = [&vec![b'x'; length], rest.as_bytes()].concat();
                let lines = lines(&bytes);
                assert_eq!((lines[0].bytes.len(), lines[0].gap), (length, None), "{rest:?}");
                assert_eq!(lines.len(), 1 + usize::from(rest.len() > 1));
            }
        }
    }

    #[test]
    fn of_a_longer_one_the_middle_is_missing_and_the_next_is_the_next() {
        for more in [1, END, 3 * END + 17, 20 << 20] {
            let bytes = [b"begin", vec![b'x'; BEGINNING + END + more].as_slice(), b"end\nnext"].concat();
            let lines = lines(&bytes);
            let (_, missing) = lines[0].gap.unwrap();
            assert_eq!(lines[0].bytes.len() as u64 + missing, bytes.len() as u64 - 5);
            assert!(lines[0].bytes.len() <= BEGINNING + END);
            let text = lines[0].clone().into_text();
            assert!(text.starts_with("beginx") && text.ends_with("xend"), "{more}");
            assert!(text.contains(&format!("x ... [{missing} bytes are left out here] ... x")));
            assert_eq!(lines[1].bytes, b"next");
        }
    }

    /// A line of a log still is one, wherever it is cut.
    #[test]
    fn no_character_is_halved() {
        for unit in ["ü", "ab\\u001b[1m", "\\\"word\\\\", "€a"] {
            for shift in 0..9 {
                let text = format!(
                    "{{\"text\":\"{}{}\"}}",
                    "x".repeat(shift),
                    format!("{unit}some letters").repeat(200_000)
                );
                let line = lines(text.as_bytes()).remove(0);
                assert!(line.gap.is_some());
                let value: serde_json::Value = serde_json::from_str(&line.into_text()).unwrap();
                let text = value["text"].as_str().unwrap();
                assert!(text.contains("bytes are left out here") && !text.contains('\u{fffd}'));
            }
        }
    }
}
