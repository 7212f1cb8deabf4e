//! The talk itself: says what is to be said, hears what comes, and knows at each point what that means.

mod ending;
mod held;
mod outgoing;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::course::Course;
use super::diagnosis;
use super::listening::{Heard, Inbox, listen};
use super::named::shown;
use super::promise;
use super::relay::Relay;
use super::reply::Reply;
use super::request::{Request, exports};
use super::rounds::{Next, Rounds};
use super::sources::Sources;
use super::speaker::{Speaker, Speech};
use held::Held;
use outgoing::Sending;

use crate::failure::Interrupted;
use crate::host::Host;
use crate::process::companion::Companion;
use crate::process::lines::Line;
use crate::process::signals::Signals;
use crate::progress::nix_log::LogLine;
use crate::progress::{Builder, Event, Observer, Phase};
use crate::ssh::{self, Awaited, Patience, Said, Ssh};
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
    /// How we connect.
    pub ssh: &'a Ssh,
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
/// What failed there, its log having gone to the observer, or why there was no talking; [`Interrupted`] when a signal has
/// come, after the other side has been told.
pub fn converse(
    peer: &Peer,
    request: &Request,
    sources: &mut Sources,
    observer: &mut dyn Observer,
    signals: &Signals,
) -> Result<Answer> {
    let host = peer.host;
    let script = request.script()?;
    let own_socket = peer.relay.map(Relay::socket);
    let forward = request.socket.as_deref().zip(own_socket.as_deref());
    let command = peer.ssh.session(host, forward, script.len());
    observer.see(Event::Phase(Phase::Connecting(host.to_string())));
    observer.see(Event::Detail(format!("$ {command}")));

    let (sender, interrupts) = channel();
    let listener = signals.forward(sender, |signal| signal);
    signals.check()?;
    let mut child = Companion::new(command.converse()?);
    let (speaker, inbox) = listen(&mut child)?;
    speaker.say(Speech::Bytes(ssh::opening(&script)));

    let mut talk = Conversation {
        host,
        system: &request.system,
        expected: request.expected.as_ref(),
        asked: request.work.derivation(),
        child,
        speaker: Some(speaker),
        sources,
        relay: peer.relay,
        receiver: peer.receiver,
        importer: peer.importer,
        own_nix: peer.own_nix,
        their_nix: String::new(),
        observer,
        course: Course::new(request),
        answer: Answer::default(),
        errors: Held::default(),
        rounds: Rounds::default(),
        may_have_looked: 0,
        named_refused: BTreeSet::new(),
        missed_settings: request.decisive_settings(),
        greeted: false,
        patience: Some(Patience::new(Instant::now())),
        sending: Sending::Nothing,
        copying: Copying::No,
        ended: None,
        ssh_said: Said::default(),
        ssh_is_silent: false,
        sending_error: None,
    };
    let result = talk.hear_out(&inbox, &interrupts);
    drop(listener);
    talk.observer.see(Event::Phase(Phase::Done));
    result.map(|()| talk.answer)
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let mut causes = error.chain().filter_map(|cause| cause.downcast_ref::<std::io::Error>());
    causes.any(|cause| cause.kind() == std::io::ErrorKind::BrokenPipe)
}

/// A line as one of Nix's log, if it is one, and as text. Of one that was too long a message's beginning is a message still.
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
    observer: &'a mut dyn Observer,
    course: Course,
    answer: Answer,
    /// Errors of the evaluation, held back because more files may make up for them.
    errors: Held,
    rounds: Rounds,
    /// Of as many paths it may say in this round that it has looked at them.
    may_have_looked: usize,
    named_refused: BTreeSet<PathBuf>,
    /// Settings that decide over the evaluation, if Nix there does not know them.
    missed_settings: &'a [String],
    greeted: bool,
    /// Until its work begins.
    patience: Option<Patience>,
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
            match heard {
                Ok(Heard::Line(line)) => self.line(line)?,
                Ok(Heard::Ssh(line)) => {
                    self.ssh_said.hear(&line);
                    // Before the greeting this is the reason for a failure, which will be said in our words.
                    if self.greeted {
                        self.observer.see(Event::Text(line));
                    }
                }
                Ok(Heard::SshFellSilent) => self.ssh_is_silent = true,
                Ok(Heard::Sent(Ok(amount))) => {
                    self.sending = Sending::Nothing;
                    self.observer.see(Event::Sent(amount));
                }
                Ok(Heard::Sent(Err(error))) => {
                    // That the other end is gone is known better from what it said last.
                    self.sending_error = Some(error).filter(|error| !is_broken_pipe(error));
                    self.speaker = None;
                }
                Err(RecvTimeoutError::Timeout) => {}
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
                self.observer.see(Event::Text(line.to_owned()));
            }
        }
        Ok(())
    }

    /// Whether the lent daemon is there, so that what comes now is said to be received.
    fn hear_of_copying(&mut self) {
        if self.copying == Copying::Soon && self.relay.is_some_and(|relay| relay.received() > 0) {
            let receiver = self.receiver.map(Host::to_string);
            self.observer.see(Event::Phase(Phase::Receiving(receiver)));
            self.copying = Copying::Now;
        }
    }

    /// How much has gone and come so far, where something is under way.
    fn tell_amounts(&mut self) {
        if let (Copying::Now, Some(relay)) = (&self.copying, self.relay) {
            self.observer.see(Event::Received(relay.received()));
        }
        if let Some(speaker) = &self.speaker {
            let whole = match self.sending {
                Sending::Nothing => return,
                Sending::Files(number) => Some(number),
                Sending::Trees => None,
            };
            self.observer.see(Event::Sending(speaker.sent(), whole));
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
                self.observer.see(Event::Text(text));
            }
            return Ok(());
        };
        if let Some(name) = self.missed_settings.iter().find(|name| log.knows_no_setting(name)) {
            return Err(diagnosis::unknown_setting(self.host, name).into());
        }
        if self.answer.derivation.is_none() && log.is_error() {
            self.errors.push(log);
        } else {
            self.observer.see(Event::Nix(log));
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

    fn reply(&mut self, reply: Reply) -> Result<()> {
        match reply {
            Reply::Hello { nix, system } => {
                self.greeted = true;
                self.patience = Some(Patience::new(Instant::now()));
                // What ssh has said until now was no reason for a failure after all.
                for line in self
                    .ssh_said
                    .text()
                    .lines()
                    .filter(|line| !line.contains("remote port forwarding failed"))
                {
                    self.observer.see(Event::Text(line.to_owned()));
                }
                let builder = Builder::there(&self.host.to_string(), &system, self.system);
                self.observer.see(Event::Builder(builder));
                let detail = format!("{}: Nix in {nix}, {system}", self.host);
                self.observer.see(Event::Detail(detail));
            }
            Reply::Platform { wanted, own } => {
                let builder = Builder::there(&self.host.to_string(), &own, &wanted);
                self.observer.see(Event::Builder(builder));
            }
            Reply::Way(way) => {
                if let Some(text) = diagnosis::unusual(self.host, way) {
                    self.observer.see(Event::Text(text));
                }
            }
            Reply::Receiving(has) => {
                self.patience = None;
                self.observer.see(Event::Phase(Phase::Sending));
                self.send_files(has);
            }
            Reply::Damaged => self.observer.see(Event::Text(diagnosis::damaged(self.host))),
            Reply::Need(names) => self.send_trees(names)?,
            Reply::Evaluating => {
                // Each is one of those that it has by name, or a mount of the view.
                self.may_have_looked = self.sources.collection.mirror().entries.len() + BESIDE;
                self.observer.see(Event::Phase(Phase::Evaluating));
            }
            Reply::Collected => self.begin_again(),
            Reply::EvaluationFailed { .. } | Reply::LookedAround => self.after_round(&reply)?,
            Reply::Nix(version) => {
                let detail = format!("{}: Nix {version}", self.host);
                self.observer.see(Event::Detail(detail));
                self.their_nix = version;
            }
            Reply::Refused(paths) => self.rounds.refused(paths),
            Reply::Untraced(version) => self.tell_untraced(&version),
            Reply::Looked(path) => self.looked(&path),
            Reply::AskedFor(name) => _ = self.sources.missed().names.insert(name),
            Reply::Computes(path) => self.sources.missed().computing.push(shown(&path)),
            Reply::Word(word) => _ = self.sources.missed().words.insert(word),
            Reply::HomeNamed(path) => {
                return Err(diagnosis::another_home(&path, self.sources.collection.home()).into());
            }
            Reply::Variables => self.after_variables()?,
            Reply::Timeless => self.rounds.cannot_look(),
            Reply::Unread(path) => self.sources.hear_unread(path),
            Reply::LockLine(line) => self.sources.hear_lock(&line),
            Reply::Evaluated(derivation) => {
                self.errors = Held::default();
                self.sources.keep();
                self.keep_lock()?;
                self.observer.see(Event::Detail(format!("derivation: {derivation}")));
                let derivation = promise::derivation(self.host, &derivation)?;
                if let Some(own) = self.expected.filter(|own| **own != derivation) {
                    return Err(diagnosis::differs(self.host, own, &derivation, &self.unchanged()).into());
                }
                self.answer.derivation = Some(derivation);
            }
            Reply::Value(value) => {
                self.errors = Held::default();
                self.sources.keep();
                self.keep_lock()?;
                self.answer.value = Some(value);
            }
            Reply::Building => {
                self.patience = None;
                self.observer.see(Event::Phase(Phase::Building));
            }
            Reply::Built(path) => {
                self.observer.see(Event::Detail(format!("built: {path}")));
                let derivation = self.answer.derivation.as_ref().or(self.asked);
                self.answer.result = Some(promise::kept(self.host, derivation, &path)?);
            }
            Reply::Copying => self.begin_copying()?,
            Reply::Copied => self.end_copying(),
            Reply::NoSocket => {
                if self.relay.is_some() {
                    let detail = format!("{} does not forward sockets: fetching the result instead", self.host);
                    self.observer.see(Event::Detail(detail));
                }
            }
            Reply::Done | Reply::Failed { .. } => {
                self.hang_up();
                self.ended = Some(reply);
            }
        }
        Ok(())
    }

    /// What nobody has sent by name, nobody has looked at: whoever tells of more is not listened to.
    fn looked(&mut self, path: &Path) {
        if let Some(left) = self.may_have_looked.checked_sub(1) {
            self.may_have_looked = left;
            self.sources.collection.add_asked(path);
        }
    }

    /// A lock file that has come is written, which is said: of all that a run without a switch does, it alone stays.
    fn keep_lock(&mut self) -> Result<()> {
        if let Some(path) = self.sources.keep_lock()? {
            let text = format!("wrote {}: the inputs as {} locks them", shown(&path), self.host);
            self.observer.see(Event::Text(text));
        }
        Ok(())
    }

    /// What is said of this machine when the run has failed.
    fn unchanged(&self) -> String {
        diagnosis::unchanged(self.sources.changed_file())
    }

    fn begin_copying(&mut self) -> Result<()> {
        self.observer.see(Event::Phase(Phase::Done));
        self.copying = Copying::Soon;
        let relay = self.relay.context("nothing was lent, but something comes");
        relay
            .and_then(Relay::open)
            .with_context(|| format!("{} → the lent daemon", self.host))
    }

    fn end_copying(&mut self) {
        self.hear_of_copying();
        self.tell_amounts();
        self.copying = Copying::No;
        self.answer.delivered = true;
        self.hang_up();
    }

    /// Nothing more comes to the lent daemon.
    fn hang_up(&self) {
        if let Some(relay) = self.relay {
            relay.hang_up();
        }
    }

    /// Nix there does not say what it was refused.
    fn tell_untraced(&mut self, version: &str) {
        for line in diagnosis::untraced(self.host, version).lines() {
            self.observer.see(Event::Text(line.to_owned()));
        }
    }

    /// What the evaluation had written was taken from it: what it said was about that.
    fn begin_again(&mut self) {
        self.errors = Held::default();
        self.observer.see(Event::Text(diagnosis::collected(self.host)));
    }

    /// The evaluation has come to its end, but with less of the environment than it asked for, perhaps.
    fn after_variables(&mut self) -> Result<()> {
        self.errors = Held::default();
        let new = self.sources.want_missed()?;
        // The other machine's word is what they are sent for: that is to be seen.
        for name in &new {
            let text = format!("sending the environment variable {name}, which the evaluation asks for");
            self.observer.see(Event::Text(text));
        }
        if new.is_empty() {
            self.course.goes_on();
            self.say(Speech::Bytes(b"good\n".to_vec()));
            return Ok(());
        }
        self.course.answered(Next::Evaluate);
        self.say_again(Next::Evaluate)
    }

    /// What is to be done now, with what it needs.
    fn say_again(&mut self, next: Next) -> Result<()> {
        let mut line = OsString::from(next.word());
        line.push(" ");
        line.push(self.sources.need().words());
        line.push("\n");
        let environment = exports(&self.sources.environment()?)?;
        self.say(Speech::Bytes(line.into_encoded_bytes()));
        self.say(Speech::Text(environment));
        Ok(())
    }

    fn after_round(&mut self, reply: &Reply) -> Result<()> {
        let errors = std::mem::take(&mut self.errors);
        let (host, observer, importer) = (self.host, &mut self.observer, self.importer);
        let mut import = |path: &StorePath| {
            observer.see(Event::Text(format!("sending {path} with all that it depends on")));
            // Its connection may ask something on the terminal.
            observer.see(Event::Phase(Phase::Done));
            importer(path).with_context(|| format!("this machine → {host}"))
        };
        let next = match reply {
            Reply::EvaluationFailed { .. } => self.rounds.after_failure(self.sources, errors.errors(), &mut import)?,
            _ => self.rounds.after_look(self.sources, errors.errors(), &mut import)?,
        };
        self.course.answered(next);
        if let (Next::GiveUp, Reply::EvaluationFailed { code }) = (next, reply) {
            for event in errors.into_events() {
                self.observer.see(event);
            }
            for text in self.rounds.unsaid_errors() {
                self.observer.see(Event::Text(text));
            }
            self.name_refused();
            self.ended = Some(Reply::Failed {
                stage: "evaluation".to_owned(),
                code: *code,
            });
            self.say(Speech::Bytes(format!("{}\n", next.word()).into_bytes()));
            return Ok(());
        }
        self.say_again(next)
    }
}
