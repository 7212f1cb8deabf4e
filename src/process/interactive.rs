//! Commands that a person talks with.

use std::sync::mpsc;
use std::thread;

use anyhow::Result;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::signals::Signals;
use super::{Invocation, exit_code};
use crate::failure::{Failure, Interrupted};

impl Invocation {
    /// Runs to the end on the user's own terminal: all three standard streams are ours.
    ///
    /// Ctrl-C is the command's own affair: the terminal sends it there as well, an editor or a prompt goes on after it, and
    /// so do we. Another signal that asks us to stop is for both.
    ///
    /// # Errors
    /// When it cannot be started, when we are asked to stop, or when its exit status is not 0; that status becomes ours.
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
        // It ends with the guard, which held the other end of the channel.
        if let Ok(Some(interrupted)) = passing_on.join() {
            return Err(interrupted.into());
        }
        let status = status?;
        match status.code() {
            Some(0) => Ok(()),
            // Without its arguments: it has said itself what was wrong, and whoever sits there knows what was opened.
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
