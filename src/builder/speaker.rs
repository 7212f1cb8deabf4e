//! What is said to the other machine, one thing after another, by a thread of its own: a full pipe must not keep us
//! from listening.

use std::ffi::OsString;
use std::io::{self, BufWriter, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::ChildStdin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use anyhow::Result;

use super::sources::Steps;
use crate::progress::Amount;
use crate::remote::frames::FrameWriter;
use crate::sources::archive::{self, Counter};
use crate::sources::bare::Names;

/// Something to be said.
pub(super) enum Speech {
    /// Bytes as they are.
    Bytes(Vec<u8>),
    /// What makes one mirror of another, as one framed stream or two.
    Change(Steps),
    /// Text, as a framed stream.
    Text(Vec<u8>),
    /// Store paths by name, as a framed stream.
    Trees(Vec<OsString>),
}

/// The thread's other end.
pub(super) struct Speaker {
    speeches: Sender<Speech>,
    silenced: Arc<AtomicBool>,
    counter: Arc<Counter>,
}

impl Speaker {
    /// Starts it; `report` is told how much went with each stream of files, and what went wrong.
    pub(super) fn start(stdin: ChildStdin, report: impl Fn(Result<Amount>) + Send + 'static) -> Self {
        let (speeches, incoming) = channel();
        let silenced = Arc::new(AtomicBool::new(false));
        let output = Output {
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

    /// How much has gone of the stream of files that is under way.
    pub(super) fn sent(&self) -> Amount {
        self.counter.amount()
    }

    /// Says this after all that is to be said already.
    pub(super) fn say(&self, speech: Speech) {
        // If the thread has ended it has reported why.
        let _ = self.speeches.send(speech);
    }

    /// Says "cancel" as soon as it can, and nothing more: a stream that is under way is cut off, which the other side
    /// takes for the end as well.
    pub(super) fn cancel(self) {
        self.silenced.store(true, Ordering::Relaxed);
    }
}

struct Output {
    stdin: ChildStdin,
    silenced: Arc<AtomicBool>,
}

impl Write for Output {
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
    mut output: BufWriter<Output>,
    incoming: &Receiver<Speech>,
    counter: &Counter,
    report: impl Fn(Result<Amount>),
) {
    for speech in incoming {
        let result = match speech {
            Speech::Bytes(bytes) => output.write_all(&bytes).map(|()| None).map_err(Into::into),
            Speech::Change(steps) => change(&mut output, &steps, counter).map(Some),
            Speech::Text(bytes) => framed(&mut output, |frames| Ok(frames.write_all(&bytes)?)).map(|()| None),
            Speech::Trees(names) => {
                let store = Path::new("/nix/store");
                framed(&mut output, |frames| {
                    archive::write_trees(&names, store, frames, counter)
                })
                .map(Some)
            }
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

/// A change as `receive` in `scripts/mirror.sh` hears it: what has to go, the names of which nothing else comes, and
/// the rest.
pub(super) fn change<W: Write>(output: &mut W, steps: &Steps, counter: &Counter) -> Result<Amount> {
    if let Some(paths) = &steps.removed {
        framed(output, |frames| {
            for path in paths {
                frames.write_all(&[b".", path.as_os_str().as_bytes(), b"\0"].concat())?;
            }
            Ok(())
        })?;
    }
    let names = Names::of(steps.added.iter());
    framed(output, |frames| Ok(names.write_parents(steps.added.iter(), frames)?))?;
    framed(output, |frames| Ok(names.write_names(steps.added.iter(), frames)?))?;
    framed(output, |frames| {
        let files = steps.added.iter().filter(|(_, entry)| !names.have(entry));
        archive::write_entries(files, frames, counter)
    })
}

fn framed<W: Write, T>(output: &mut W, write: impl FnOnce(&mut FrameWriter<&mut W>) -> Result<T>) -> Result<T> {
    let mut frames = FrameWriter::new(output);
    let result = write(&mut frames)?;
    frames.finish()?;
    Ok(result)
}
