//! One run of a script on the target, and what it says.

use std::collections::VecDeque;

use anyhow::Result;

use super::reply::TargetEvent;
use crate::context::Context;
use crate::failure::Failure;
use crate::host::Place;
use crate::process::Invocation;
use crate::process::lines::Line;
use crate::progress::Event;
use crate::remote::channel::{ALIVE, Channel, Heard, Speech};
use crate::remote::daemon::{GO, READY};
use crate::ssh::{self, Ssh};

/// How much of a line is kept, in characters.
const LONGEST: usize = 1000;

/// How many lines are kept, so that an error can quote the last one.
const KEPT: usize = 20;

/// The remedy when the script says something that nobody asked for.
const AGAIN: &str = "run the same command again: it says what the last change came to";

/// What comes next from the script.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum FromScript {
    /// An event.
    Event(TargetEvent),
    /// A piece of a change's output, unchanged.
    Output(Vec<u8>),
    /// Nothing more comes: the script has ended, or the link broke.
    End,
}

/// A script that is to run, and what it reads.
pub(super) struct Text {
    /// The script.
    pub(super) script: Vec<u8>,
    /// What it reads first.
    pub(super) input: Vec<u8>,
    /// What it reads after it has said that it is ready for it.
    pub(super) after_go: Vec<u8>,
    /// Whether it may ask for a password on this machine's terminal.
    pub(super) may_ask: bool,
}

/// A script that runs.
pub(super) struct Session {
    channel: Channel,
    /// What is said when the script is ready for it. None once it has been said.
    after_go: Option<Vec<u8>>,
    /// The last lines that were no events.
    said: VecDeque<String>,
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
        Self::start_by(&command(place, &context.ssh, text.script.len()), place, text, context)
    }

    /// Starts a script after a new login, which shows that there is a way in.
    pub(super) fn start_anew(place: &Place, text: &Text, context: &Context) -> Result<Self> {
        let command = match place {
            Place::Here => command(place, &context.ssh, text.script.len()),
            Place::There(host) => context.ssh.new_session(host, text.script.len()),
        };
        Self::start_by(&command, place, text, context)
    }

    fn start_by(command: &Invocation, place: &Place, text: &Text, context: &Context) -> Result<Self> {
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
        };
        session.say(&text.input);
        Ok(session)
    }

    /// Says something to the script.
    pub(super) fn say(&self, bytes: &[u8]) {
        self.channel.say(Speech::Bytes(bytes.to_owned()));
    }

    /// Sets whether the script's lines are kept back from the user.
    pub(super) fn be_quiet(&mut self, is_quiet: bool) {
        self.channel.is_quiet = is_quiet;
    }

    /// Waits for what comes next. Lines that are no events go to the reporter.
    ///
    /// # Errors
    /// A signal has come. The session goes on until it is dropped.
    pub(super) fn next(&mut self, context: &Context) -> Result<FromScript> {
        loop {
            match self.channel.next(context)? {
                Heard::Event(line) if line.bytes == READY.as_bytes() => {
                    let words = self.after_go.take().unwrap_or_default();
                    self.say(&words);
                }
                Heard::Event(line) if line.bytes == ALIVE.as_bytes() => {}
                Heard::Event(line) => return Ok(FromScript::Event(self.event(&line)?)),
                Heard::Line(line) => self.text(&line.into_text(), context),
                Heard::Output(bytes) => return Ok(FromScript::Output(bytes)),
                Heard::Count(_) | Heard::Sent(_) | Heard::Nothing => {}
                Heard::End => return Ok(FromScript::End),
            }
        }
    }

    /// Reads a line that begins as an event does. If it is not a whole and known event, that is an error.
    fn event(&mut self, line: &Line) -> Result<TargetEvent, Failure> {
        let whole = Some(&line.bytes).filter(|_| line.gap.is_none());
        let reply = whole.and_then(|bytes| TargetEvent::parse(bytes));
        let reply = reply.ok_or_else(|| self.channel.misspoken(&line.bytes, "").with_remedy(AGAIN))?;
        match reply {
            TargetEvent::Hello { .. } => _ = self.channel.is_greeted(),
            // From now on the user sees what takes long.
            TargetEvent::Root | TargetEvent::Begun | TargetEvent::Running => self.channel.is_at_work(),
            _ => self.channel.expects_more(),
        }
        Ok(reply)
    }

    /// Returns the failure for a script that says something that nobody asked for, or asked for only later: that is not
    /// taken for an answer.
    pub(super) fn out_of_turn(&self, what: &str) -> Failure {
        self.channel.out_of_turn(what, "").with_remedy(AGAIN)
    }

    /// Shows a line that is no event. Lines before the script's greeting are not shown, because a login shell may greet
    /// everybody.
    fn text(&mut self, line: &str, context: &Context) {
        if !self.channel.has_greeted() {
            return;
        }
        if self.said.len() == KEPT {
            self.said.pop_front();
        }
        self.said.push_back(line.chars().take(LONGEST).collect());
        if !self.channel.is_quiet {
            context.tell(Event::Text(line.to_owned()));
        }
    }

    /// Whether root has been told what to do, and so may be doing it.
    pub(super) fn has_gone_on(&self) -> bool {
        self.after_go.is_none()
    }

    /// Returns the last line that was no event and is not empty.
    pub(super) fn last_words(&self) -> Option<&str> {
        let mut lines = self.said.iter().rev().map(|line| line.trim());
        lines.find(|line| !line.is_empty())
    }

    /// Returns the reason why nothing more comes, although more was expected.
    ///
    /// # Errors
    /// A signal has come.
    pub(super) fn broken(mut self, context: &Context) -> Result<Failure> {
        let code = self.channel.last_words(context)?;
        Ok(self.channel.broke(code, "", "run the same command again"))
    }

    /// Notes that everything that was expected has been heard.
    pub(super) fn is_over(&mut self) {
        self.channel.is_over();
    }
}
