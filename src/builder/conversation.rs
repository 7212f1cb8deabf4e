//! The talk itself: says what is to be said, hears what comes, and knows at each point what that means.

mod again;
mod ending;
mod events;
mod held;
mod outgoing;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::Result;

use super::course::Course;
use super::diagnosis;
use super::listening::{Heard, Inbox, listen};
use super::reply::Reply;
use super::request::Request;
use super::rounds::Rounds;
use super::sources::Sources;
use super::speaker::{Speaker, Speech};
use crate::remote::relay::Relay;
use held::Held;
use outgoing::Sending;

use crate::context::Context;
use crate::failure::Interrupted;
use crate::host::Host;
use crate::process::companion::Companion;
use crate::process::lines::Line;
use crate::progress::nix_log::LogLine;
use crate::progress::{Event, Phase};
use crate::ssh::{self, Awaited, Patience, Said, Silence};
use crate::store_path::StorePath;

/// How often a live display hears of the bytes received.
const TICK: Duration = Duration::from_millis(200);

/// How long a signal may wait for us while nothing else happens.
const PULSE: Duration = Duration::from_millis(100);

/// So many directories an evaluation sees that are neither ours nor the other machine's (`scripts/view.sh`), at most.
const BESIDE: usize = 1000;

/// What an event of the script begins with.
const EVENT: &[u8] = b"@rebuild ";

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// The derivation, if one was evaluated.
    pub derivation: Option<StorePath>,
    /// The path that was built, if one was.
    pub result: Option<StorePath>,
    /// Whether that, or else the derivation, has gone to the lent daemon.
    pub delivered: bool,
    /// The value that was evaluated, if one was.
    pub value: Option<String>,
}

/// The other machine, and the ways to it.
pub struct Peer<'a> {
    /// Its name.
    pub host: &'a Host,
    /// The daemon that is lent, if one is.
    pub relay: Option<&'a Relay>,
    /// Its machine, if that is not this one.
    pub receiver: Option<&'a Host>,
    /// The version of this machine's Nix, where an older one over there may be why an evaluation fails.
    pub own_nix: &'a dyn Fn() -> Option<String>,
    /// Brings a store path there with all that it depends on.
    pub importer: &'a dyn Fn(&StorePath) -> Result<()>,
}

/// Carries out a request on another machine.
///
/// # Errors
/// What failed there, its log having been told, or why there was no talking; [`Interrupted`] when a signal has
/// come, after the other side has been told.
pub fn converse(peer: &Peer, request: &Request, sources: &mut Sources, context: &Context) -> Result<Answer> {
    let host = peer.host;
    let script = request.script()?;
    let own_socket = peer.relay.map(Relay::socket);
    let forward = request.socket().zip(own_socket.as_deref());
    let command = context.ssh.session(host, forward, script.len());
    context.tell(Event::Phase(Phase::Connecting(host.to_string())));
    context.tell(Event::Detail(format!("$ {command}")));

    let (sender, interrupts) = channel();
    let listener = context.signals.forward(sender, |signal| signal);
    context.signals.check()?;
    let mut child = Companion::new(command.converse()?);
    let (speaker, inbox) = listen(&mut child)?;
    speaker.say(Speech::Bytes(ssh::opening(&script)));

    let mut talk = Conversation {
        host,
        system: &request.system,
        expected: request.expected(),
        asked: request.derivation(),
        child,
        speaker: Some(speaker),
        sources,
        relay: peer.relay,
        receiver: peer.receiver,
        importer: peer.importer,
        own_nix: peer.own_nix,
        their_nix: String::new(),
        context,
        course: Course::new(request),
        answer: Answer::default(),
        errors: Held::default(),
        daemon_fell: false,
        rounds: Rounds::default(),
        may_have_looked: 0,
        named_refused: BTreeSet::new(),
        missed_settings: request.decisive_settings(),
        greeted: false,
        patience: Some(Patience::new(Instant::now())),
        silence: Silence::new(Instant::now()),
        taking: Silence::of_who_takes(Instant::now()),
        received: 0,
        sending: Sending::Nothing,
        copying: Copying::No,
        ended: None,
        ssh_said: Said::default(),
        ssh_is_silent: false,
        sending_error: None,
    };
    let result = talk.hear_out(&inbox, &interrupts);
    drop(listener);
    talk.context.tell(Event::Phase(Phase::Done));
    result.map(|()| talk.answer)
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let mut causes = error.chain().filter_map(|cause| cause.downcast_ref::<std::io::Error>());
    causes.any(|cause| cause.kind() == std::io::ErrorKind::BrokenPipe)
}

/// A line as one of Nix's log, if it is one, and as text. Of one that was too long a message's beginning is a message
/// still.
fn read(line: Line) -> (Option<LogLine>, String) {
    let beginning = line
        .gap
        .map(|(place, _)| String::from_utf8_lossy(&line.bytes[..place]).into_owned() + " ...\"}");
    let text = line.into_text();
    let log = LogLine::parse(&text).or_else(|| LogLine::parse(beginning.as_ref()?));
    match log {
        None if beginning.is_some() && text.starts_with("@nix ") => {
            (None, "(a line of Nix's log is left out: it is too long)".to_owned())
        }
        log => (log, text),
    }
}

/// Whether something comes from the other machine.
#[derive(PartialEq, Eq)]
enum Copying {
    No,
    /// It will, when the lent daemon is there: ssh may ask for a password until then.
    Soon,
    Now,
}

struct Conversation<'a> {
    host: &'a Host,
    system: &'a str,
    expected: Option<&'a StorePath>,
    child: Companion,
    /// The derivation that is to be built, where none is evaluated.
    asked: Option<&'a StorePath>,

    speaker: Option<Speaker>,
    sources: &'a mut Sources,
    relay: Option<&'a Relay>,
    receiver: Option<&'a Host>,
    importer: &'a dyn Fn(&StorePath) -> Result<()>,
    own_nix: &'a dyn Fn() -> Option<String>,
    their_nix: String,
    context: &'a Context<'a>,
    course: Course,
    answer: Answer,
    /// Errors of the evaluation, held back because more files may make up for them.
    errors: Held,
    /// Whether Nix has said that its daemon there ended amid its work.
    daemon_fell: bool,
    rounds: Rounds,
    /// Of as many paths it may say in this round that it has looked at them.
    may_have_looked: usize,
    named_refused: BTreeSet<PathBuf>,
    /// Settings that decide over the evaluation, if Nix there does not know them.
    missed_settings: &'a [String],
    greeted: bool,
    /// Until its work begins.
    patience: Option<Patience>,
    /// From then on.
    silence: Silence,
    /// Of the machine to which it goes.
    taking: Silence,
    /// As many bytes had come through the relay at the last look.
    received: u64,
    sending: Sending,
    copying: Copying,
    /// The script's last word, once it has come.
    ended: Option<Reply>,
    ssh_said: Said,
    ssh_is_silent: bool,
    sending_error: Option<anyhow::Error>,
}

impl Conversation<'_> {
    /// Everything until the connection ends.
    fn hear_out(&mut self, inbox: &Inbox, interrupts: &Receiver<i32>) -> Result<()> {
        let mut told = Instant::now();
        loop {
            if let Ok(signal) = interrupts.try_recv() {
                self.say_farewell(inbox, interrupts);
                return Err(Interrupted { signal }.into());
            }
            // Also while one line follows another: of a copy, Nix writes thousands.
            if told.elapsed() >= TICK {
                self.tell_amounts();
                told = Instant::now();
            }
            self.be_patient()?;
            let heard = inbox.next(PULSE);
            self.hear_of_copying();
            self.mind_silence(&heard);
            match heard {
                Ok(Heard::Line(line)) => self.line(line)?,
                Ok(Heard::Ssh(line)) => {
                    self.ssh_said.hear(&line);
                    // Before the greeting this is the reason for a failure, which will be said in our words.
                    if self.greeted {
                        self.context.tell(Event::Text(line));
                    }
                }
                Ok(Heard::SshFellSilent) => self.ssh_is_silent = true,
                Ok(Heard::Sent(Ok(amount))) => {
                    self.sending = Sending::Nothing;
                    self.context.tell(Event::Sent(amount));
                }
                Ok(Heard::Sent(Err(error))) => {
                    // That the other end is gone is known better from what it said last.
                    self.sending_error = Some(error).filter(|error| !is_broken_pipe(error));
                    self.speaker = None;
                }
                Ok(Heard::Alive) | Err(RecvTimeoutError::Timeout) => {}
                Ok(Heard::StreamEnded) | Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        self.speaker = None;
        let code = self.last_words(inbox, interrupts)?;
        self.conclude(code)
    }

    /// Says that we wait, and for what, when that takes long.
    fn be_patient(&mut self) -> Result<()> {
        let awaited = if self.greeted { Awaited::More } else { Awaited::Greeting };
        if let Some(patience) = &mut self.patience {
            let words = patience.words(self.host, awaited, Instant::now())?;
            for line in words.iter().flat_map(|words| words.lines()) {
                self.context.tell(Event::Text(line.to_owned()));
            }
        }
        Ok(())
    }

    /// Whether the other machine is still there.
    fn mind_silence(&mut self, heard: &Result<Heard, RecvTimeoutError>) {
        let bytes = self.relay.map_or(0, Relay::received);
        let has_moved = std::mem::replace(&mut self.received, bytes) != bytes;
        let now = Instant::now();
        let news = match heard {
            Ok(Heard::Alive) => self.silence.lives(now),
            Ok(Heard::Line(_)) => self.silence.hears(now),
            _ if has_moved || self.patience.is_some() => self.silence.hears(now),
            Err(RecvTimeoutError::Timeout) => self.silence.waits(self.host, now),
            // What ssh says comes from here, and while something waits to be shown nobody has waited for it.
            _ => None,
        };
        let taken = match self.receiver {
            Some(receiver) if self.relay.is_some_and(Relay::is_stuck) => self.taking.waits(receiver, now),
            _ => self.taking.hears(now),
        };
        for event in news.into_iter().chain(taken) {
            self.context.tell(event);
        }
    }

    /// Whether the lent daemon is there, so that what comes now is said to be received.
    fn hear_of_copying(&mut self) {
        if self.copying == Copying::Soon && self.relay.is_some_and(|relay| relay.received() > 0) {
            let receiver = self.receiver.map(Host::to_string);
            self.context.tell(Event::Phase(Phase::Receiving(receiver)));
            self.copying = Copying::Now;
        }
    }

    /// How much has gone and come so far, where something is under way.
    fn tell_amounts(&mut self) {
        if let (Copying::Now, Some(relay)) = (&self.copying, self.relay) {
            self.context.tell(Event::Received(relay.received()));
        }
        if let Some(speaker) = &self.speaker {
            let whole = match self.sending {
                Sending::Nothing => return,
                Sending::Files(number) => Some(number),
                Sending::Trees => None,
            };
            self.context.tell(Event::Sending(speaker.sent(), whole));
        }
    }

    fn line(&mut self, line: Line) -> Result<()> {
        if line.bytes.starts_with(EVENT) {
            return self.event(&line);
        }
        let (log, text) = read(line);
        let Some(log) = log else {
            // A login shell that greets everybody is not worth a line.
            if self.greeted && !text.starts_with("@nix ") {
                self.context.tell(Event::Text(text));
            }
            return Ok(());
        };
        if let Some(name) = self.missed_settings.iter().find(|name| log.knows_no_setting(name)) {
            return Err(diagnosis::unknown_setting(self.host, name).into());
        }
        self.daemon_fell |= log.says_that_the_daemon_fell();
        if self.answer.derivation.is_none() && log.is_error() {
            self.errors.push(log);
        } else {
            self.context.tell(Event::Nix(log));
        }
        Ok(())
    }

    /// What says that it is an event of the script. It counts only if it is one, whole, and of what was asked for.
    fn event(&mut self, line: &Line) -> Result<()> {
        let reply = Some(line).filter(|line| line.gap.is_none());
        match reply.and_then(|line| Reply::parse(&line.bytes)) {
            Some(reply) if self.course.hears(&reply) => self.reply(reply),
            _ => Err(diagnosis::out_of_turn(self.host, &line.bytes, &self.unchanged()).into()),
        }
    }

    /// What is said of this machine when the run has failed.
    fn unchanged(&self) -> String {
        diagnosis::unchanged(self.sources.changed_file())
    }
}
