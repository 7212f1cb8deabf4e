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

/// How long the other side may take to end what it does after a Ctrl-C here.
const FAREWELL: Duration = Duration::from_secs(5);

/// How long one that has said all may take to end by itself.
const LEAVING: Duration = Duration::from_secs(2);

/// How long its last words may keep a process from ending, before it is looked at again.
const LAST: Duration = Duration::from_millis(5);

/// How long it may stay when the other side has closed its end: what runs there has ended then, or says no more.
const STAYING: Duration = Duration::from_secs(5);

/// For so long words that are still under way are waited for. Not longer, though a process of ssh's own may hold its
/// stderr.
const UNDER_WAY: Duration = Duration::from_millis(200);

impl Channel {
    /// After [`super::Heard::End`]: the exit status of what carried the talk, and what ssh says before that; nothing, if it
    /// does not end. Then it is ended with this value.
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
            // It does not end while nobody listens to it.
            if self.ssh_is_silent {
                thread::sleep(LAST);
            } else {
                self.last_word(LAST, context);
            }
        };
        while !self.ssh_is_silent && Instant::now() < deadline && self.last_word(UNDER_WAY, context) {}
        Ok(Some(code))
    }

    /// One of them; whether there may be more.
    fn last_word(&mut self, patience: Duration, context: &Context) -> bool {
        match self.inbox.next(patience) {
            Ok(Arrival::Ssh(line)) => self.ssh_says(line, context),
            Ok(Arrival::SshFellSilent) | Err(RecvTimeoutError::Disconnected) => self.ssh_is_silent = true,
            Ok(_) => {}
            Err(RecvTimeoutError::Timeout) => return false,
        }
        true
    }

    /// What it means that there is no more to be heard, though there should be. `more` is what is said of this machine,
    /// and what may help is what is typed next.
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

    /// Why what was sent did not go, if that is known.
    pub fn sending_error(&mut self) -> Option<anyhow::Error> {
        self.sending_error.take().filter(|_| self.greeted)
    }

    /// After a signal: the other side is told, and has a moment to end what it does.
    pub fn say_farewell(&mut self, context: &Context) {
        if let Some(speaker) = self.speaker.take() {
            speaker.cancel();
        }
        // Who has not said hello has begun nothing, and ssh may be asking for a password.
        let deadline = Instant::now() + if self.greeted { FAREWELL } else { Duration::ZERO };
        // What it still says is for nobody, but must not be in its way. A second signal is impatience.
        while Instant::now() < deadline && !context.signals.have_come_again() {
            match self.inbox.next(PULSE) {
                Ok(Arrival::StreamEnded) | Err(RecvTimeoutError::Disconnected) => break,
                Ok(_) | Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    /// All has been heard that was to be heard. What is still said is for nobody, but must not be in the way of its end, or
    /// of those who share its connection.
    pub fn is_over(&mut self) {
        self.farewell = LEAVING;
        self.inbox.close();
    }
}

impl Drop for Channel {
    /// Who has no more to hear ends by itself; otherwise it is ended, and what it started for good goes on.
    fn drop(&mut self) {
        self.speaker = None;
        // What does not is ended with its guard.
        self.child.ends_within(self.farewell);
    }
}
