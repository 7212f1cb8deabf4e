//! One run of a script on the target, and what it says.

use std::collections::VecDeque;

use anyhow::Result;

use super::reply::Reply;
use crate::context::Context;
use crate::failure::Failure;
use crate::host::Place;
use crate::process::Invocation;
use crate::process::lines::Line;
use crate::progress::Event;
use crate::remote::channel::{ALIVE, Channel, Heard, Speech};
use crate::remote::daemon::{GO, READY};
use crate::ssh::{self, Ssh};

/// As much of a line is kept, in characters.
const LONGEST: usize = 1000;

/// As many lines of what was said are kept, for an error's sake.
const KEPT: usize = 20;

/// What may help where it said what nobody asked for.
const AGAIN: &str = "run the same command again: it says what the last change came to";

/// What the other side does next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// It says something.
    Reply(Reply),
    /// A piece of a change's output, as it is.
    Output(Vec<u8>),
    /// It says no more: the script has come to its end, or the link broke.
    End,
}

/// What is to run.
pub(super) struct Text {
    /// The script.
    pub(super) script: Vec<u8>,
    /// What it reads first.
    pub(super) input: Vec<u8>,
    /// What it reads when it has said that it is ready for it.
    pub(super) after_go: Vec<u8>,
    /// Whether it may ask for a password on this machine's terminal.
    pub(super) may_ask: bool,
}

/// A script that runs.
pub(super) struct Session {
    channel: Channel,
    /// What is said when it is ready for that; nothing any more, once it has been.
    after_go: Option<Vec<u8>>,
    /// The last lines that were no events.
    said: VecDeque<String>,
    /// Whether such lines are kept back from the user.
    is_quiet: bool,
}

/// The command that runs a script of this length, which it reads from its stdin.
pub(super) fn command(place: &Place, ssh: &Ssh, script_length: usize) -> Invocation {
    match place {
        Place::Here => ssh::here(script_length),
        Place::There(host) => ssh.session(host, None, script_length),
    }
}

impl Session {
    /// Starts a script.
    pub(super) fn start(place: &Place, text: &Text, context: &Context) -> Result<Self> {
        let command = command(place, &context.ssh, text.script.len());
        if place.host().is_some() {
            context.tell(Event::Detail(format!("$ {command}")));
        }
        let child = if text.may_ask && place.host().is_none() {
            command.converse_interruptibly()?
        } else {
            command.converse()?
        };
        let session = Self {
            channel: Channel::open(child, place.host(), &text.script)?,
            after_go: Some([GO.as_bytes(), b"\n", &text.after_go].concat()),
            said: VecDeque::new(),
            is_quiet: false,
        };
        session.say(&text.input);
        Ok(session)
    }

    /// Says something to the script.
    pub(super) fn say(&self, bytes: &[u8]) {
        self.channel.say(Speech::Bytes(bytes.to_owned()));
    }

    /// Whether what is said there is kept back from the user.
    pub(super) fn be_quiet(&mut self, is_quiet: bool) {
        self.is_quiet = is_quiet;
        self.channel.is_quiet = is_quiet;
    }

    /// Waits for what comes next; text goes to the observer.
    ///
    /// # Errors
    /// A signal has come. The session goes on until it is dropped.
    pub(super) fn next(&mut self, context: &Context) -> Result<Next> {
        loop {
            match self.channel.next(context)? {
                Heard::Event(line) if line.bytes == READY.as_bytes() => {
                    let words = self.after_go.take().unwrap_or_default();
                    self.say(&words);
                }
                Heard::Event(line) if line.bytes == ALIVE.as_bytes() => {}
                Heard::Event(line) => return Ok(Next::Reply(self.event(&line)?)),
                Heard::Line(line) => self.text(&line.into_text(), context),
                Heard::Output(bytes) => return Ok(Next::Output(bytes)),
                Heard::Count(_) | Heard::Sent(_) | Heard::Nothing => {}
                Heard::End => return Ok(Next::End),
            }
        }
    }

    /// What says that it is an event of the script counts as one, whole, or not at all.
    fn event(&mut self, line: &Line) -> Result<Reply, Failure> {
        let whole = Some(&line.bytes).filter(|_| line.gap.is_none());
        let reply = whole.and_then(|bytes| Reply::parse(bytes));
        let reply = reply.ok_or_else(|| self.channel.misspoken(&line.bytes, "").with_remedy(AGAIN))?;
        match reply {
            Reply::Hello { .. } => _ = self.channel.is_greeted(),
            // What takes long from now on is seen.
            Reply::Root | Reply::Begun | Reply::Running => self.channel.is_at_work(),
            _ => self.channel.expects_more(),
        }
        Ok(reply)
    }

    /// It says what nobody asked for, or not yet: that is not taken for an answer.
    pub(super) fn out_of_turn(&self, what: &str) -> Failure {
        self.channel.out_of_turn(what, "").with_remedy(AGAIN)
    }

    /// A login shell that greets everybody is not worth a line.
    fn text(&mut self, line: &str, context: &Context) {
        if !self.channel.has_greeted() {
            return;
        }
        if self.said.len() == KEPT {
            self.said.pop_front();
        }
        self.said.push_back(line.chars().take(LONGEST).collect());
        if !self.is_quiet {
            context.tell(Event::Text(line.to_owned()));
        }
    }

    /// Whether root has been told what to do, so that it may be doing that.
    pub(super) fn has_gone_on(&self) -> bool {
        self.after_go.is_none()
    }

    /// The last of what was said and was no event.
    pub(super) fn last_words(&self) -> Option<&str> {
        let mut lines = self.said.iter().rev().map(|line| line.trim());
        lines.find(|line| !line.is_empty())
    }

    /// Why there is nothing more to hear, though there should be.
    ///
    /// # Errors
    /// A signal has come.
    pub(super) fn broken(mut self, context: &Context) -> Result<Failure> {
        let code = self.channel.last_words(context)?;
        Ok(self.channel.broke(code, "", "run the same command again"))
    }

    /// All has been heard that was to be heard.
    pub(super) fn is_over(&mut self) {
        self.channel.is_over();
    }
}
