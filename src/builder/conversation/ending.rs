//! How a talk ends, and what that means.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::{Conversation, PULSE, TICK};
use crate::builder::diagnosis;
use crate::builder::listening::{Heard, Inbox};
use crate::builder::reply::Reply;
use crate::builder::stage::Stage;
use crate::failure::{Failure, Interrupted};
use crate::remote::relay::Relay;
use crate::ssh;

/// How long the other side may take to end what it does after a Ctrl-C here.
const FAREWELL: Duration = Duration::from_secs(5);

/// How long its last words may keep ssh from ending, before it is looked at again.
const LAST: Duration = Duration::from_millis(5);

/// How long ssh may stay when the other side has closed its end: what runs there has ended then, or says no more.
const STAYING: Duration = Duration::from_secs(5);

impl Conversation<'_> {
    /// ssh's exit status, and what it says before that; nothing, if it does not end. Then it is ended with this talk.
    ///
    /// # Errors
    /// A signal has come.
    pub(super) fn last_words(&mut self, inbox: &Inbox, interrupts: &Receiver<i32>) -> Result<Option<u8>> {
        let deadline = Instant::now() + STAYING;
        let code = loop {
            if let Some(code) = self.child.ended()? {
                break code;
            }
            if let Ok(signal) = interrupts.try_recv() {
                return Err(Interrupted { signal }.into());
            }
            if Instant::now() >= deadline {
                return Ok(None);
            }
            // It does not end while nobody listens to it.
            if self.ssh_is_silent {
                thread::sleep(LAST);
            } else {
                self.last_word(inbox, LAST);
            }
        };
        // Its words may still be under way; not for long, though a process of its own may hold its stderr.
        while !self.ssh_is_silent && Instant::now() < deadline && self.last_word(inbox, TICK) {}
        Ok(Some(code))
    }

    /// One of them; whether there may be more.
    fn last_word(&mut self, inbox: &Inbox, patience: Duration) -> bool {
        match inbox.next(patience) {
            Ok(Heard::Ssh(line)) => self.ssh_said.hear(&line),
            Ok(Heard::SshFellSilent) | Err(RecvTimeoutError::Disconnected) => self.ssh_is_silent = true,
            Ok(_) => {}
            Err(RecvTimeoutError::Timeout) => return false,
        }
        true
    }

    /// After a signal: the other side is told, and has a moment to end what it does.
    pub(super) fn say_farewell(&mut self, inbox: &Inbox, interrupts: &Receiver<i32>) {
        if let Some(speaker) = self.speaker.take() {
            speaker.cancel();
        }
        // Who has not said hello has begun nothing, and ssh may be asking for a password.
        let deadline = Instant::now() + if self.greeted { FAREWELL } else { Duration::ZERO };
        // What it still says is for nobody, but must not be in its way. A second signal is impatience.
        while Instant::now() < deadline && interrupts.try_recv().is_err() {
            match inbox.next(PULSE) {
                Ok(Heard::StreamEnded) | Err(RecvTimeoutError::Disconnected) => break,
                Ok(_) | Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    /// The connection has ended with ssh's exit status `code`, if ssh has.
    pub(super) fn conclude(&mut self, code: Option<u8>) -> Result<()> {
        for event in std::mem::take(&mut self.errors).into_events() {
            self.context.tell(event);
        }
        match self.ended.take() {
            Some(Reply::Done) => Ok(()),
            Some(Reply::Failed {
                stage: Stage::NoNamespaces,
                ..
            }) => Err(diagnosis::CannotEvaluate::new(self.host).into()),
            Some(Reply::Failed { stage, code }) => {
                self.keep_lock()?;
                Err(self.failed(stage, code.get()).into())
            }
            _ if self.sending_error.is_some() && self.greeted => {
                let error = self.sending_error.take().unwrap_or_else(|| anyhow::anyhow!("unknown"));
                Err(error.context(format!("this machine → {}", self.host)))
            }
            _ => Err(self.broke(code).into()),
        }
    }

    fn failed(&self, stage: Stage, code: u8) -> Failure {
        let failure = match stage {
            Stage::Copy => diagnosis::not_copied(self.host, self.receiver, self.relay.and_then(Relay::complaint), code),
            _ => diagnosis::failed(self.host, self.system, stage, code, &self.unchanged()),
        };
        if self.daemon_fell && matches!(stage, Stage::Evaluation | Stage::Build) && code != 137 {
            return failure.with_remedy(diagnosis::daemon_fell(self.host));
        }
        let own = (stage == Stage::Evaluation).then(self.own_nix).flatten();
        match own.and_then(|own| diagnosis::older(self.host, &self.their_nix, &own)) {
            Some(remedy) => failure.with_remedy(remedy),
            None => failure,
        }
    }

    /// It ended without a last word.
    fn broke(&self, code: Option<u8>) -> Failure {
        let Some(code) = code else {
            return Failure::new(format!(
                "{} closed the connection without a last word, and ssh did not end: it was ended, {}",
                self.host,
                self.unchanged()
            ))
            .with_remedy("run the same command again: what was built there is kept")
            .with_code(255);
        };
        if !self.greeted {
            return ssh::no_session(self.host, code.max(1), self.ssh_said.text());
        }
        Failure::new(format!("the connection to {} broke, {}", self.host, self.unchanged()))
            .with_remedy("run the same command again: what was built there is kept")
            .with_code(255)
    }
}
