//! A process that this program talks with.

use std::io;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::exit_code;

/// How long a process that is told to end may take for it.
const GRACE: Duration = Duration::from_secs(1);

/// The time between two looks whether it has ended.
const STEP: Duration = Duration::from_millis(5);

/// The process does not outlive this value, whichever way leads out of the talk. Whatever the process holds (a
/// connection, a forward) ends with it.
pub struct Companion(Child);

impl Companion {
    /// Keeps a process that was started.
    #[must_use]
    pub fn new(child: Child) -> Self {
        Self(child)
    }

    /// Returns its three streams.
    ///
    /// # Errors
    /// Fails if it was started without pipes, or if the streams have been taken already.
    pub fn streams(&mut self) -> Result<(ChildStdin, ChildStdout, ChildStderr)> {
        let child = &mut self.0;
        let streams = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(stdin), Some(stdout), Some(stderr)) = streams else {
            anyhow::bail!("a process was started without pipes");
        };
        Ok((stdin, stdout, stderr))
    }

    /// Returns its exit status if it has ended.
    ///
    /// # Errors
    /// Fails if the system cannot say.
    pub fn ended(&mut self) -> Result<Option<u8>> {
        let status = self.0.try_wait().context("cannot wait for a process")?;
        Ok(status.map(exit_code))
    }

    /// Returns whether it ends by itself within `patience`.
    pub fn ends_within(&mut self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        while matches!(self.0.try_wait(), Ok(None)) {
            if Instant::now() >= deadline {
                return false;
            }
            thread::sleep(STEP);
        }
        true
    }

    /// Ends the process. It is asked to end first, because ssh then removes its sockets, and sudo turns the terminal's
    /// echo on again. A stopped process cannot hear that.
    fn end(&mut self) -> io::Result<()> {
        if self.0.try_wait()?.is_some() {
            return Ok(());
        }
        if let Ok(id) = i32::try_from(self.0.id()) {
            let _ = kill(Pid::from_raw(id), Signal::SIGTERM);
        }
        if !self.ends_within(GRACE) {
            self.0.kill()?;
            self.0.wait()?;
        }
        Ok(())
    }
}

impl Drop for Companion {
    fn drop(&mut self) {
        // Nothing more can be done if it cannot be ended.
        let _ = self.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::Invocation;
    use std::io::{BufRead, BufReader};

    fn is_there(id: u32) -> bool {
        std::path::Path::new(&format!("/proc/{id}")).exists()
    }

    /// One process ends when it is told to, one does not, and one cannot hear.
    #[test]
    fn it_ends_with_its_value() {
        for script in [
            "echo; exec sleep 1000",
            "trap '' TERM; echo; sleep 1000 & while :; do wait; done",
            "echo; kill -STOP $$",
        ] {
            let child = Invocation::new("sh").args(["-c", script]).converse().unwrap();
            let id = child.id();
            let mut companion = Companion::new(child);
            let (_stdin, stdout, _stderr) = companion.streams().unwrap();
            BufReader::new(stdout).read_line(&mut String::new()).unwrap();
            assert!(companion.ended().unwrap().is_none() && is_there(id));
            drop(companion);
            assert!(!is_there(id), "{script}");
        }
    }

    #[test]
    fn its_exit_status_is_known() {
        let child = Invocation::new("sh").args(["-c", "exit 7"]).converse().unwrap();
        let mut companion = Companion::new(child);
        assert!(companion.ends_within(Duration::from_secs(20)));
        assert_eq!(companion.ended().unwrap(), Some(7));
    }
}
