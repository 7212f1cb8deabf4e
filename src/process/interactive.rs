//! Commands that a person works with.

use std::sync::mpsc;
use std::thread;

use anyhow::Result;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::signals::Signals;
use super::{Invocation, exit_code};
use crate::failure::{Failure, Interrupted};

impl Invocation {
    /// Runs the command to its end on the user's own terminal: it gets all three standard streams of this program.
    ///
    /// Ctrl-C is the command's own affair. The terminal sends it to the command as well; an editor or a prompt goes on
    /// after it, and so does this program. Any other signal that asks this program to stop is passed on.
    ///
    /// # Errors
    /// Fails if the command cannot be started, if a signal asks this program to stop, or if the command's exit status
    /// is not 0; this program then ends with that status.
    pub fn interactively(&self, signals: &Signals) -> Result<()> {
        let mut child = self.command().spawn().map_err(|error| self.not_started(&error))?;
        let id = i32::try_from(child.id()).ok().map(Pid::from_raw);
        let (sender, receiver) = mpsc::channel();
        let guard = signals.forward(sender, |number| number);
        let passing_on = thread::spawn(move || {
            let mut asked = None;
            for signal in receiver.iter().filter_map(|number: i32| Signal::try_from(number).ok()) {
                if let (Some(id), true) = (id, signal != Signal::SIGINT) {
                    let _ = kill(id, signal);
                    asked = Some(Interrupted { signal: signal as i32 });
                }
            }
            asked
        });
        let status = child.wait();
        drop(guard);
        // The thread ends with the guard, which held the other end of the channel.
        if let Ok(Some(interrupted)) = passing_on.join() {
            return Err(interrupted.into());
        }
        let status = status?;
        match status.code() {
            Some(0) => Ok(()),
            // The message has no arguments: the command has said itself what was wrong, and the user knows what was
            // opened.
            Some(code) => Err(Failure::new(format!(
                "{} ended with exit status {code}",
                self.program.to_string_lossy()
            ))
            .with_code(exit_code(status))
            .into()),
            None => Err(self.failed(status).into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure;

    #[test]
    fn the_exit_status_is_the_commands() {
        let signals = Signals::listen().unwrap();
        let run = |text: &str| Invocation::new("sh").args(["-c", text]).interactively(&signals);
        assert!(run("exit 0").is_ok());
        for (text, code) in [("exit 3", 3), ("kill -TERM $$", 143)] {
            assert_eq!(failure::exit_code(&run(text).unwrap_err()), code, "{text}");
        }
        let missing = Invocation::new("/nonexistent/editor").interactively(&signals);
        assert_eq!(failure::exit_code(&missing.unwrap_err()), 127);
    }
}
