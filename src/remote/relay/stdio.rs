//! A daemon at the standard streams of a command.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::AsFd;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::{Ends, lock};
use crate::process::Invocation;
use crate::remote::daemon::{GO, READY};

/// How much is kept of what the command says on stderr, in bytes.
const MOST_SAID: usize = 4096;

/// The longest line, in bytes, that a command may say before it is a daemon. After a longer one it will not become one.
const LONGEST_LINE: u64 = 1 << 20;

/// How long the command's last words may be under way.
const MOMENT: Duration = Duration::from_millis(500);

/// The time between two looks.
const STEP: Duration = Duration::from_millis(10);

/// How long the command may take to end when its input has ended.
const PATIENCE: Duration = Duration::from_secs(2);

/// The process. It lives until this is dropped.
pub(super) struct StdioDaemon {
    child: Mutex<Child>,
    /// The daemon ends when this is closed.
    stdin: Option<ChildStdin>,
    said: Arc<Mutex<Vec<u8>>>,
    listener: Mutex<Option<JoinHandle<()>>>,
}

/// The streams of the process before it is a daemon.
pub(super) struct NewDaemon {
    stdout: BufReader<ChildStdout>,
    stdin: File,
}

impl StdioDaemon {
    /// Starts the command, and says what comes first. A command that may ask on the terminal gets Ctrl-C itself,
    /// because only sudo can give the terminal its echo back.
    pub(super) fn start(command: &Invocation, first: &[u8], may_ask: bool) -> Result<(Self, NewDaemon)> {
        let mut child = if may_ask {
            command.converse_interruptibly()?
        } else {
            command.converse()?
        };
        let streams = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(mut stdin), Some(stdout), Some(stderr)) = streams else {
            anyhow::bail!("a command was started without pipes");
        };
        // If the command has ended already, what it said tells why.
        let _ = stdin.write_all(first).and_then(|()| stdin.flush());
        let candidate = NewDaemon {
            stdout: BufReader::new(stdout),
            stdin: File::from(stdin.as_fd().try_clone_to_owned().context("no more files")?),
        };
        let said = Arc::new(Mutex::new(Vec::new()));
        let words = Arc::clone(&said);
        let daemon = Self {
            child: Mutex::new(child),
            stdin: Some(stdin),
            said,
            listener: Mutex::new(Some(thread::spawn(move || listen(stderr, &words)))),
        };
        Ok((daemon, candidate))
    }

    /// Returns what the command has said on stderr. A command that has closed one stream may be about to say why on the
    /// other one. So this waits for the end of stderr, but not long, because a daemon that goes on says no more.
    pub(super) fn complaint(&self) -> Option<String> {
        let deadline = Instant::now() + MOMENT;
        let mut listener = lock(&self.listener);
        while Instant::now() < deadline && listener.as_ref().is_some_and(|listener| !listener.is_finished()) {
            thread::sleep(STEP);
        }
        if let Some(ended) = listener.take_if(|listener| listener.is_finished()) {
            let _ = ended.join();
        }
        let text = String::from_utf8_lossy(&lock(&self.said)).into_owned();
        let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        (!lines.is_empty()).then(|| lines.join("; "))
    }
}

fn listen(mut stderr: ChildStderr, said: &Mutex<Vec<u8>>) {
    let mut buffer = [0; 1024];
    while let Ok(length @ 1..) = stderr.read(&mut buffer) {
        let mut said = lock(said);
        let left = MOST_SAID.saturating_sub(said.len());
        said.extend_from_slice(&buffer[..length.min(left)]);
    }
}

impl Drop for StdioDaemon {
    fn drop(&mut self) {
        self.stdin = None;
        let mut child = lock(&self.child);
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if !matches!(child.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(STEP);
        }
        let _ = child.kill();
        let _ = child.wait();
    }
}

impl NewDaemon {
    /// Waits until the command is about to be a daemon, and lets it become one.
    pub(super) fn become_daemon(mut self) -> io::Result<Ends> {
        let mut line = Vec::new();
        while line.trim_ascii_end() != READY.as_bytes() {
            line.clear();
            (&mut self.stdout).take(LONGEST_LINE).read_until(b'\n', &mut line)?;
            if !line.ends_with(b"\n") {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        self.stdin.write_all(format!("{GO}\n").as_bytes())?;
        Ok((Box::new(self.stdout), Box::new(self.stdin)))
    }
}
