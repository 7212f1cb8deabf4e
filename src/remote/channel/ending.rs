//! How a talk ends, and what that means.

use std::sync::mpsc::RecvTimeoutError;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::inbox::Arrival;
use super::{Channel, PULSE};
use crate::context::Context;
use crate::failure::Failure;
use crate::ssh;

/// How long the other machine may take to end its work after a Ctrl-C here.
const FAREWELL: Duration = Duration::from_secs(5);

/// How long a script that has said everything may take to end by itself.
const LEAVING: Duration = Duration::from_secs(2);

/// How long ssh's last words are waited for, before it is checked again whether ssh has ended.
const LAST: Duration = Duration::from_millis(5);

/// How long ssh may stay after the other side has closed its end: what runs there has ended, or says no more.
const STAYING: Duration = Duration::from_secs(5);

/// The exit status of ssh if the link broke, or did not come about.
const LINK: u8 = 255;

/// How long words are waited for that are still under way. This is short, because a process that ssh has started may
/// hold its stderr open.
const UNDER_WAY: Duration = Duration::from_millis(200);

impl Channel {
    /// To be called after [`super::Heard::End`]. Takes what ssh still says and returns the exit status of the command
    /// that carried the talk. None if the command does not end; then it is ended when the channel is dropped.
    ///
    /// # Errors
    /// A signal has come.
    pub fn last_words(&mut self, context: &Context) -> Result<Option<u8>> {
        self.speaker = None;
        let deadline = Instant::now() + STAYING;
        let code = loop {
            if let Some(code) = self.child.ended()? {
                break code;
            }
            context.signals.check()?;
            if Instant::now() >= deadline {
                return Ok(None);
            }
            // ssh does not end while nobody listens to it.
            if self.ssh_is_silent {
                thread::sleep(LAST);
            } else {
                self.last_word(LAST, context);
            }
        };
        while !self.ssh_is_silent && Instant::now() < deadline && self.last_word(UNDER_WAY, context) {}
        Ok(Some(code))
    }

    /// Takes one of ssh's last words. Returns whether there may be more.
    fn last_word(&mut self, patience: Duration, context: &Context) -> bool {
        match self.inbox.next(patience) {
            Ok(Arrival::Ssh(line)) => self.ssh_says(line, context),
            Ok(Arrival::SshFellSilent) | Err(RecvTimeoutError::Disconnected) => self.ssh_is_silent = true,
            Ok(_) => {}
            Err(RecvTimeoutError::Timeout) => return false,
        }
        true
    }

    /// Returns the failure if nothing more comes, although more was expected. `code` is the exit status of the command
    /// that carried the talk. `more` is what the message says of this machine, and `remedy` what the user can type
    /// next.
    #[must_use]
    pub fn broke(&self, code: Option<u8>, more: &str, remedy: &str) -> Failure {
        let label = self.label();
        match (&self.host, code) {
            (Some(host), Some(code)) if !self.greeted => ssh::no_session(host, code.max(1), self.ssh_said.text()),
            (Some(_), Some(_)) => Failure::new(format!("the connection to {label} broke{more}"))
                .with_remedy(remedy)
                .with_code(255),
            (Some(_), None) => Failure::new(format!(
                "{label} closed the connection, and ssh did not end: it was ended{more}"
            ))
            .with_remedy(remedy)
            .with_code(255),
            (None, code) => Failure::new(format!("a script of ours ended too early on {label}"))
                .with_remedy("is it out of memory? otherwise this is a mistake of rebuild's")
                .with_code(code.unwrap_or(1)),
        }
    }

    /// Returns why sending failed, if that is known.
    pub fn sending_error(&mut self) -> Option<anyhow::Error> {
        self.sending_error.take().filter(|_| self.greeted)
    }

    /// Tells the other side that a signal has come, and gives it a moment to end what it does. Returns whether it has
    /// ended: a link that breaks at this moment is no answer.
    pub fn say_farewell(&mut self, context: &Context) -> bool {
        if let Some(speaker) = self.speaker.take() {
            speaker.cancel();
        }
        // A script that has not said hello has begun nothing, and ssh may be asking for a password.
        let deadline = Instant::now() + if self.greeted { FAREWELL } else { Duration::ZERO };
        // Nobody needs what it still says, but that must not keep it from ending. A second signal means impatience.
        while Instant::now() < deadline && !context.signals.have_come_again() {
            match self.inbox.next(PULSE) {
                Ok(Arrival::StreamEnded) | Err(RecvTimeoutError::Disconnected) => return self.has_ended_well(),
                Ok(_) | Err(RecvTimeoutError::Timeout) => {}
            }
        }
        !self.greeted
    }

    /// Returns whether the other side has closed its end, and not the link: then ssh would say so by its exit status.
    fn has_ended_well(&mut self) -> bool {
        !self.child.ends_within(STAYING) || !matches!(self.child.ended(), Ok(Some(LINK)))
    }

    /// Notes that everything that was expected has been heard. Nobody needs what is still said, but that must not
    /// hinder the script's end, nor others that share its connection.
    pub fn is_over(&mut self) {
        self.farewell = LEAVING;
        self.inbox.close();
    }
}

impl Drop for Channel {
    /// Closes the script's input. A script without input ends by itself; otherwise it is ended. A job that it has
    /// started goes on.
    fn drop(&mut self) {
        self.speaker = None;
        // If it does not end in time, the companion ends it when it is dropped.
        self.child.ends_within(self.farewell);
    }
}
