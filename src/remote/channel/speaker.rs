//! A thread that says things to a script, one after another. It is a thread so that a full pipe does not keep us from
//! listening.

use std::io::{self, BufWriter, Write};
use std::process::ChildStdin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use anyhow::Result;

use crate::progress::Amount;
use crate::progress::Counter;
use crate::remote::frames::FrameWriter;

/// A function that writes a stream of files, and counts them as they go.
type Writes = dyn FnOnce(&mut dyn Write, &Counter) -> Result<Amount> + Send;

/// Something to be said.
pub enum Speech {
    /// Bytes, unchanged.
    Bytes(Vec<u8>),
    /// Text, as a framed stream.
    Text(Vec<u8>),
    /// Streams of files. They are written when it is their turn, and reported when they have gone.
    Files(Box<Writes>),
}

impl Speech {
    /// Makes a speech of what `write` writes when it is its turn.
    pub fn files(write: impl FnOnce(&mut dyn Write, &Counter) -> Result<Amount> + Send + 'static) -> Self {
        Self::Files(Box::new(write))
    }
}

/// The thread's other end.
pub(super) struct Speaker {
    speeches: Sender<Speech>,
    silenced: Arc<AtomicBool>,
    counter: Arc<Counter>,
}

impl Speaker {
    /// Starts the thread. `report` is told how much went with each stream of files, and what went wrong.
    pub(super) fn start(stdin: ChildStdin, report: impl Fn(Result<Amount>) + Send + 'static) -> Self {
        let (speeches, incoming) = channel();
        let silenced = Arc::new(AtomicBool::new(false));
        let output = SpeechPipe {
            stdin,
            silenced: Arc::clone(&silenced),
        };
        let counter = Arc::<Counter>::default();
        let shared = Arc::clone(&counter);
        thread::spawn(move || speak(BufWriter::new(output), &incoming, &shared, report));
        Self {
            speeches,
            silenced,
            counter,
        }
    }

    /// Returns how much has gone of the stream of files that is under way.
    pub(super) fn sent(&self) -> Amount {
        self.counter.amount()
    }

    /// Says this after everything that was to be said before.
    pub(super) fn say(&self, speech: Speech) {
        // If the thread has ended it has reported why.
        let _ = self.speeches.send(speech);
    }

    /// Says "cancel" as soon as possible, and nothing more. A stream that is under way is cut off, and the other side
    /// takes that for the end as well.
    pub(super) fn cancel(self) {
        self.silenced.store(true, Ordering::Relaxed);
    }
}

/// The script's stdin, into which nothing more goes once the speaker is silenced.
struct SpeechPipe {
    stdin: ChildStdin,
    silenced: Arc<AtomicBool>,
}

impl Write for SpeechPipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.silenced.load(Ordering::Relaxed) {
            return Err(io::Error::other("cancelled"));
        }
        self.stdin.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stdin.flush()
    }
}

fn speak(
    mut output: BufWriter<SpeechPipe>,
    incoming: &Receiver<Speech>,
    counter: &Counter,
    report: impl Fn(Result<Amount>),
) {
    for speech in incoming {
        let result = match speech {
            Speech::Bytes(bytes) => output.write_all(&bytes).map(|()| None).map_err(Into::into),
            Speech::Text(bytes) => framed(&mut output, |frames| Ok(frames.write_all(&bytes)?)).map(|()| None),
            Speech::Files(write) => write(&mut output, counter).map(Some),
        };
        match result.and_then(|amount| Ok(output.flush().map(|()| amount)?)) {
            Ok(None) => {}
            Ok(Some(amount)) => report(Ok(amount)),
            Err(error) => {
                report(Err(error));
                break;
            }
        }
    }
    let (mut output, _) = output.into_parts();
    if output.silenced.load(Ordering::Relaxed) {
        let _ = output.stdin.write_all(b"cancel\n");
    }
}

/// Writes a stream of unknown length inside of what is said.
///
/// # Errors
/// `write` has failed, or the output cannot be written.
pub fn framed<T>(
    output: &mut dyn Write,
    write: impl FnOnce(&mut FrameWriter<&mut dyn Write>) -> Result<T>,
) -> Result<T> {
    let mut frames = FrameWriter::new(output);
    let result = write(&mut frames)?;
    frames.finish()?;
    Ok(result)
}
