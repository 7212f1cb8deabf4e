//! A stream of unknown length inside another one, which goes on after it.

use std::io::{self, Write};

/// How much is held here at once, in bytes. The other side's `dd` takes so much in one go.
const FRAME: usize = 1 << 20;

/// Writes what it is given as frames: the number of bytes on a line, then so many bytes. A frame of 0 bytes is the end
/// (`builder/scripts/incoming.sh` reads this).
pub struct FrameWriter<W: Write> {
    inner: W,
    buffer: Vec<u8>,
}

impl<W: Write> FrameWriter<W> {
    /// Begins a stream inside of `inner`.
    pub fn new(inner: W) -> Self {
        Self {
            inner,
            buffer: Vec::new(),
        }
    }

    /// Ends the stream; `inner` goes on.
    ///
    /// # Errors
    /// `inner` cannot be written.
    pub fn finish(mut self) -> io::Result<()> {
        self.send()?;
        self.inner.write_all(b"0\n")?;
        self.inner.flush()
    }

    fn send(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        writeln!(self.inner, "{}", self.buffer.len())?;
        self.inner.write_all(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }
}

impl<W: Write> Write for FrameWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = FRAME - self.buffer.len();
        let taken = &bytes[..bytes.len().min(room)];
        self.buffer.extend_from_slice(taken);
        if self.buffer.len() == FRAME {
            self.send()?;
        }
        Ok(taken.len())
    }

    /// Does nothing: a frame is sent when it is full, or at the end.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_full_but_the_last_and_end_with_none() {
        let mut stream = Vec::new();
        let mut writer = FrameWriter::new(&mut stream);
        let content = vec![7; FRAME + 3];
        writer.write_all(&content).unwrap();
        writer.finish().unwrap();
        let mut expected = b"1048576\n".to_vec();
        expected.extend(vec![7; FRAME]);
        expected.extend(b"3\n\x07\x07\x070\n");
        assert!(stream == expected);
    }

    #[test]
    fn nothing_is_just_the_end() {
        let mut stream = Vec::new();
        FrameWriter::new(&mut stream).finish().unwrap();
        assert_eq!(stream, b"0\n");
    }
}
