//! The talk with a script of ours, whatever it is for: at the other end of an ssh, or in a shell of this machine.
//!
//! The script says lines: events, which begin with [`EVENT`], and everything else that programs say there. After the
//! event `chunk N` come N bytes, unchanged. The script hears bytes, and streams inside of them ([`super::frames`]).
//! `docs/talk.md` has the words.

mod ending;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod inbox;
mod patience;
mod said;
mod silence;
mod speaker;

use std::process::Child;
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::context::Context;
use crate::failure::Failure;
use crate::harmless;
use crate::host::Host;
use crate::process::companion::Companion;
use crate::process::lines::Line;
use crate::progress::Amount;
use crate::progress::Event;
use crate::ssh;
use inbox::{Arrival, Inbox};
use patience::{Awaited, Patience};
use said::Said;
pub use silence::Silence;
use speaker::Speaker;
pub use speaker::{Speech, framed};

/// What an event of a script begins with.
pub const EVENT: &[u8] = b"@rebuild ";

/// What a script says every few seconds to show that it lives: a builder's on its stderr (`live` in
/// `scripts/channel.sh`); one that follows a job as an event (`scripts/records.sh`).
pub const ALIVE: &str = "@rebuild alive";

/// How long [`Channel::next`] waits at most while nothing happens, so that signals and other things are looked at.
const PULSE: Duration = Duration::from_millis(100);

/// How many bytes are quoted of what was said out of turn.
const QUOTED: usize = 100;

/// What comes next.
pub enum Heard {
    /// A line that begins as an event does.
    Event(Line),
    /// Any other line.
    Line(Line),
    /// The line that says how many counted bytes follow.
    Count(Line),
    /// A piece of the bytes that the script has counted.
    Output(Vec<u8>),
    /// A stream has gone to the script, with so much in it.
    Sent(Amount),
    /// A moment has passed without anything for the caller.
    Nothing,
    /// Nothing more comes: the script has ended, or the link broke.
    End,
}

/// A script that runs, and the talk with it. Its methods `is_greeted`, `is_at_work`, `is_over` and `is_heard_elsewhere`
/// note that something is so; they are no questions. How the talk ends is in [`ending`].
pub struct Channel {
    /// The machine on which it runs; None for this machine.
    host: Option<Host>,
    child: Companion,
    /// None when nothing more will be said.
    speaker: Option<Speaker>,
    inbox: Inbox,
    greeted: bool,
    /// The wait for the script's next word. None as soon as the user sees what takes long there.
    patience: Option<Patience>,
    /// For how long the machine has said nothing after that.
    silence: Silence,
    ssh_said: Said,
    ssh_is_silent: bool,
    sending_error: Option<anyhow::Error>,
    /// How long the script may take to end by itself.
    farewell: Duration,
    /// Whether what ssh says is kept back from the user.
    pub is_quiet: bool,
}

impl Channel {
    /// Hands the script to a command that waits for it ([`ssh::opening`]) on the machine `host`.
    ///
    /// # Errors
    /// The command was started without pipes.
    pub fn open(command: Child, host: Option<&Host>, script: &[u8]) -> Result<Self> {
        let mut child = Companion::new(command);
        let (speaker, inbox) = inbox::listen(&mut child)?;
        speaker.say(Speech::Bytes(ssh::opening(script)));
        let now = Instant::now();
        Ok(Self {
            host: host.cloned(),
            child,
            speaker: Some(speaker),
            inbox,
            greeted: false,
            patience: host.map(|_| Patience::new(now)),
            silence: Silence::new(now),
            ssh_said: Said::default(),
            ssh_is_silent: false,
            sending_error: None,
            farewell: Duration::ZERO,
            is_quiet: false,
        })
    }

    /// Says this after everything that was to be said before.
    pub fn say(&self, speech: Speech) {
        if let Some(speaker) = &self.speaker {
            speaker.say(speech);
        }
    }

    /// Returns how much has gone of the stream that is under way.
    pub fn sent(&self) -> Option<Amount> {
        self.speaker.as_ref().map(Speaker::sent)
    }

    /// Waits for what comes next, for a moment. What ssh says goes to the user.
    ///
    /// # Errors
    /// A signal has come, or the script will never begin. The script goes on until the channel is dropped.
    pub fn next(&mut self, context: &Context) -> Result<Heard> {
        context.signals.check()?;
        self.be_patient(context)?;
        let news = self.inbox.next(PULSE);
        self.mind_silence(&news, context);
        Ok(match news {
            Ok(Arrival::Event(line)) => {
                self.trace(&line, context);
                Heard::Event(line)
            }
            Ok(Arrival::Line(line)) => Heard::Line(line),
            Ok(Arrival::Count(line)) => Heard::Count(line),
            Ok(Arrival::Output(bytes)) => Heard::Output(bytes),
            Ok(Arrival::Sent(Ok(amount))) => Heard::Sent(amount),
            Ok(Arrival::Sent(Err(error))) => {
                // If the other end is gone, its last words say better why.
                self.sending_error = Some(error).filter(|error| !is_broken_pipe(error));
                self.speaker = None;
                Heard::Nothing
            }
            Ok(Arrival::Ssh(line)) => {
                self.ssh_says(line, context);
                Heard::Nothing
            }
            Ok(Arrival::SshFellSilent) => {
                self.ssh_is_silent = true;
                Heard::Nothing
            }
            Ok(Arrival::Alive) | Err(RecvTimeoutError::Timeout) => Heard::Nothing,
            Ok(Arrival::StreamEnded) | Err(RecvTimeoutError::Disconnected) => Heard::End,
        })
    }

    /// Notes that the script runs. Returns what ssh has said until now, which was no reason for a failure after all.
    pub fn is_greeted(&mut self) -> &str {
        self.greeted = true;
        self.expects_more();
        self.ssh_said.text()
    }

    /// Whether the script runs.
    #[must_use]
    pub fn has_greeted(&self) -> bool {
        self.greeted
    }

    /// Begins the wait for the next word, so that the user is told if it takes long; unless the user sees what takes
    /// long ([`Self::is_at_work`]).
    pub fn expects_more(&mut self) {
        if self.patience.is_some() {
            self.patience = Some(Patience::new(Instant::now()));
        }
    }

    /// Notes that from now on the user sees what takes long there.
    pub fn is_at_work(&mut self) {
        self.patience = None;
    }

    /// Notes that something has come from the machine by another way.
    pub fn is_heard_elsewhere(&mut self, context: &Context) {
        if let Some(event) = self.silence.hears(Instant::now()) {
            context.tell(event);
        }
    }

    /// Tells the user that we wait, and for what, if it takes long.
    fn be_patient(&mut self, context: &Context) -> Result<()> {
        let awaited = if self.greeted { Awaited::More } else { Awaited::Greeting };
        if let (Some(host), Some(patience)) = (&self.host, &mut self.patience) {
            let words = patience.words(host, awaited, Instant::now())?;
            for line in words.iter().flat_map(|words| words.lines()) {
                context.tell(Event::Text(line.to_owned()));
            }
        }
        Ok(())
    }

    /// Tells the user if the other machine has fallen silent, and when it is heard again.
    fn mind_silence(&mut self, news: &Result<Arrival, RecvTimeoutError>, context: &Context) {
        let Some(host) = &self.host else { return };
        let now = Instant::now();
        let event = match news {
            Ok(Arrival::Alive) => self.silence.lives(now),
            Ok(Arrival::Event(line)) if line.bytes == ALIVE.as_bytes() => self.silence.lives(now),
            Ok(Arrival::Event(_) | Arrival::Line(_) | Arrival::Count(_) | Arrival::Output(_)) => {
                self.silence.hears(now)
            }
            // What ssh says comes from this machine. And while something waits to be shown, nobody waits for the other
            // machine.
            Ok(Arrival::Ssh(_) | Arrival::SshFellSilent | Arrival::Sent(_)) => None,
            // The user is told elsewhere what this means.
            Ok(Arrival::StreamEnded) | Err(RecvTimeoutError::Disconnected) => self.silence.ends(),
            Err(RecvTimeoutError::Timeout) if self.patience.is_some() => self.silence.hears(now),
            Err(RecvTimeoutError::Timeout) => self.silence.waits(host, now),
        };
        if let Some(event) = event {
            context.tell(event);
        }
    }

    /// Takes a line of ssh's. Before the greeting it may be the reason for a failure, which the user will read in our
    /// words.
    fn ssh_says(&mut self, line: String, context: &Context) {
        self.ssh_said.hear(&line);
        if self.greeted && !self.is_quiet {
            context.tell(Event::Text(line));
        } else {
            context.tell(Event::Trace(format!("ssh to {}: {line}", self.label())));
        }
    }

    /// Tells the log of the run what the script has said, but not that it still lives.
    pub fn trace(&self, line: &Line, context: &Context) {
        if line.bytes != ALIVE.as_bytes() {
            let said = String::from_utf8_lossy(&line.bytes);
            let said = said.strip_prefix("@rebuild ").unwrap_or(&said);
            context.tell(Event::Trace(format!("{} says: {said}", self.label())));
        }
    }

    /// Returns the name that messages use for the machine.
    fn label(&self) -> String {
        self.host
            .as_ref()
            .map_or_else(|| "this machine".to_owned(), Host::to_string)
    }

    /// Returns the failure for a machine that says something that nobody asked for, or asked for only later: that is
    /// not taken for an answer. In the message, `what` follows the machine's name, and `more` comes last.
    #[must_use]
    pub fn out_of_turn(&self, what: &str, more: &str) -> Failure {
        Failure::new(format!("{} {what} out of turn: that is not taken{more}", self.label()))
    }

    /// Returns the same failure for a line.
    #[must_use]
    pub fn misspoken(&self, line: &[u8], more: &str) -> Failure {
        let text = String::from_utf8_lossy(&line[..line.len().min(QUOTED)]).into_owned();
        let said = harmless::name(text.strip_prefix("@rebuild ").unwrap_or(&text));
        let rest = if line.len() > QUOTED { "..." } else { "" };
        self.out_of_turn(&format!("says '{said}{rest}'"), more)
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let mut causes = error.chain().filter_map(|cause| cause.downcast_ref::<std::io::Error>());
    causes.any(|cause| cause.kind() == std::io::ErrorKind::BrokenPipe)
}
