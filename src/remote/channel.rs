//! The talk with a script of ours, whatever it is for: at the other end of an ssh, or in a shell of this machine.
//!
//! What it says is lines: events, which begin with [`EVENT`], and everything else that is said there. After the event
//! `chunk N` come N bytes as they are. What it hears is bytes, and streams inside of them ([`super::frames`]).
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
use inbox::{Inbox, News};
use patience::{Awaited, Patience};
use said::Said;
pub use silence::Silence;
use speaker::Speaker;
pub use speaker::{Speech, framed};

/// What an event of a script begins with.
pub const EVENT: &[u8] = b"@rebuild ";

/// What a script says every few seconds, only to be heard: on its stderr where a builder is (`live` in
/// `scripts/channel.sh`), or as an event, where a job is followed (`scripts/records.sh`).
pub const ALIVE: &str = "@rebuild alive";

/// How long a signal, or whoever has something else to look at, may wait for us while nothing happens.
const PULSE: Duration = Duration::from_millis(100);

/// As many bytes are quoted of what was said out of turn.
const QUOTED: usize = 100;

/// What comes next.
pub enum Heard {
    /// The script says what may be an event.
    Event(Line),
    /// Something is said there that is none.
    Line(Line),
    /// So many bytes follow that are counted.
    Count(Line),
    /// A piece of the bytes that the script has counted.
    Output(Vec<u8>),
    /// A stream has gone there, with so much in it.
    Sent(Amount),
    /// A moment has passed.
    Nothing,
    /// There is no more: the script has come to its end, or the link broke.
    End,
}

/// A script that runs, and is talked with.
pub struct Channel {
    /// Where; nothing for this machine.
    host: Option<Host>,
    child: Companion,
    /// Nothing, when there is no more to be said.
    speaker: Option<Speaker>,
    inbox: Inbox,
    greeted: bool,
    /// For the next word, until what takes long there is seen.
    patience: Option<Patience>,
    /// After that.
    silence: Silence,
    ssh_said: Said,
    ssh_is_silent: bool,
    sending_error: Option<anyhow::Error>,
    /// How long it may take to end by itself.
    farewell: Duration,
    /// Whether what ssh says is kept back from the user.
    pub is_quiet: bool,
}

impl Channel {
    /// Hands the script to a command that waits for it ([`ssh::opening`]), on that machine.
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

    /// Says this after all that is to be said already.
    pub fn say(&self, speech: Speech) {
        if let Some(speaker) = &self.speaker {
            speaker.say(speech);
        }
    }

    /// How much has gone of the stream that is under way.
    pub fn sent(&self) -> Option<Amount> {
        self.speaker.as_ref().map(Speaker::sent)
    }

    /// Waits for what comes next, for a moment. What ssh says goes to the user.
    ///
    /// # Errors
    /// A signal has come, or the script will never begin. The script goes on until this is dropped.
    pub fn next(&mut self, context: &Context) -> Result<Heard> {
        context.signals.check()?;
        self.be_patient(context)?;
        let news = self.inbox.next(PULSE);
        self.mind_silence(&news, context);
        Ok(match news {
            Ok(News::Event(line)) => Heard::Event(line),
            Ok(News::Line(line)) => Heard::Line(line),
            Ok(News::Count(line)) => Heard::Count(line),
            Ok(News::Output(bytes)) => Heard::Output(bytes),
            Ok(News::Sent(Ok(amount))) => Heard::Sent(amount),
            Ok(News::Sent(Err(error))) => {
                // That the other end is gone is known better from what it said last.
                self.sending_error = Some(error).filter(|error| !is_broken_pipe(error));
                self.speaker = None;
                Heard::Nothing
            }
            Ok(News::Ssh(line)) => {
                self.ssh_says(line, context);
                Heard::Nothing
            }
            Ok(News::SshFellSilent) => {
                self.ssh_is_silent = true;
                Heard::Nothing
            }
            Ok(News::Alive) | Err(RecvTimeoutError::Timeout) => Heard::Nothing,
            Ok(News::StreamEnded) | Err(RecvTimeoutError::Disconnected) => Heard::End,
        })
    }

    /// The script runs: what ssh has said until now is given, for it was no reason for a failure after all.
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

    /// Its next word is waited for, and that is said when it takes long; but not again where what takes long is seen.
    pub fn expects_more(&mut self) {
        if self.patience.is_some() {
            self.patience = Some(Patience::new(Instant::now()));
        }
    }

    /// What takes long there from now on is seen.
    pub fn is_at_work(&mut self) {
        self.patience = None;
    }

    /// Something has come from there by another way.
    pub fn is_heard_elsewhere(&mut self, context: &Context) {
        if let Some(event) = self.silence.hears(Instant::now()) {
            context.tell(event);
        }
    }

    /// Says that we wait, and for what, when that takes long.
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

    /// Whether the other machine is still there.
    fn mind_silence(&mut self, news: &Result<News, RecvTimeoutError>, context: &Context) {
        let Some(host) = &self.host else { return };
        let now = Instant::now();
        let event = match news {
            Ok(News::Alive) => self.silence.lives(now),
            Ok(News::Event(line)) if line.bytes == ALIVE.as_bytes() => self.silence.lives(now),
            Ok(News::Event(_) | News::Line(_) | News::Count(_) | News::Output(_)) => self.silence.hears(now),
            // What ssh says comes from here, and while something waits to be shown nobody has waited for it.
            Ok(News::Ssh(_) | News::SshFellSilent | News::Sent(_)) => None,
            // What that means is said otherwise.
            Ok(News::StreamEnded) | Err(RecvTimeoutError::Disconnected) => self.silence.ends(),
            Err(RecvTimeoutError::Timeout) if self.patience.is_some() => self.silence.hears(now),
            Err(RecvTimeoutError::Timeout) => self.silence.waits(host, now),
        };
        if let Some(event) = event {
            context.tell(event);
        }
    }

    /// Before the greeting this is the reason for a failure, which will be said in our words.
    fn ssh_says(&mut self, line: String, context: &Context) {
        self.ssh_said.hear(&line);
        if self.greeted && !self.is_quiet {
            context.tell(Event::Text(line));
        }
    }

    /// As messages name it.
    fn label(&self) -> String {
        self.host
            .as_ref()
            .map_or_else(|| "this machine".to_owned(), Host::to_string)
    }

    /// It says what nobody asked for, or not yet: that is not taken for an answer. `what` goes on from its name, and `more`
    /// from that.
    #[must_use]
    pub fn out_of_turn(&self, what: &str, more: &str) -> Failure {
        Failure::new(format!("{} {what} out of turn: that is not taken{more}", self.label()))
    }

    /// The same of a line.
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
