//! The talk itself: says what is to be said, hears what comes, and knows at each point what that means.

mod outgoing;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Child;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::diagnosis;
use super::listening::{Heard, listen};
use super::promise;
use super::relay::Relay;
use super::reply::Reply;
use super::request::{Request, exports};
use super::rounds::{Next, Rounds};
use super::sources::Sources;
use super::speaker::{Speaker, Speech};
use outgoing::Sending;

use crate::failure::{Failure, Interrupted};
use crate::host::Host;
use crate::process::exit_code;
use crate::process::signals::Signals;
use crate::progress::nix_log::LogLine;
use crate::progress::{Builder, Event, Observer, Phase};
use crate::ssh::{self, Said, Ssh};
use crate::store_path::StorePath;

/// How long the other side may take to end what it does after a Ctrl-C here.
const FAREWELL: Duration = Duration::from_secs(5);

/// How often a live display hears of the bytes received.
const TICK: Duration = Duration::from_millis(200);

/// How long its last words may keep ssh from ending, before it is looked at again.
const LAST: Duration = Duration::from_millis(5);

/// How long a signal may wait for us while nothing else happens.
const PULSE: Duration = Duration::from_millis(100);

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
    let mut child = command.converse()?;
    let (speaker, inbox) = listen(&mut child)?;
    speaker.say(Speech::Bytes(script));

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
        answer: Answer::default(),
        errors: Vec::new(),
        rounds: Rounds::default(),
        named_refused: BTreeSet::new(),
        greeted: false,
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
    /// The derivation that is to be built, where none is evaluated.
    asked: Option<&'a StorePath>,
    child: Child,
    speaker: Option<Speaker>,
    sources: &'a mut Sources,
    relay: Option<&'a Relay>,
    receiver: Option<&'a Host>,
    importer: &'a dyn Fn(&StorePath) -> Result<()>,
    own_nix: &'a dyn Fn() -> Option<String>,
    their_nix: String,
    observer: &'a mut dyn Observer,
    answer: Answer,
    /// Errors of the evaluation, held back because more files may make up for them.
    errors: Vec<LogLine>,
    rounds: Rounds,
    named_refused: BTreeSet<PathBuf>,
    greeted: bool,
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
    fn hear_out(&mut self, inbox: &Receiver<Heard>, interrupts: &Receiver<i32>) -> Result<()> {
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
            let heard = inbox.recv_timeout(PULSE);
            self.hear_of_copying();
            match heard {
                Ok(Heard::Line(line)) => self.line(&line)?,
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
        let code = self.last_words(inbox)?;
        self.conclude(code)
    }

    /// ssh's exit status, and what it says before that.
    fn last_words(&mut self, inbox: &Receiver<Heard>) -> Result<u8> {
        let status = loop {
            if let Some(status) = self.child.try_wait()? {
                break status;
            }
            // It does not end while nobody listens to it.
            if self.ssh_is_silent {
                thread::sleep(LAST);
            } else {
                self.last_word(inbox, LAST);
            }
        };
        // Its words may still be under way; not for long, though a process of its own may hold its stderr.
        while !self.ssh_is_silent && self.last_word(inbox, TICK) {}
        Ok(exit_code(status))
    }

    /// One of them; whether there may be more.
    fn last_word(&mut self, inbox: &Receiver<Heard>, patience: Duration) -> bool {
        match inbox.recv_timeout(patience) {
            Ok(Heard::Ssh(line)) => self.ssh_said.hear(&line),
            Ok(Heard::SshFellSilent) | Err(RecvTimeoutError::Disconnected) => self.ssh_is_silent = true,
            Ok(_) => {}
            Err(RecvTimeoutError::Timeout) => return false,
        }
        true
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

    /// After a signal: the other side is told, and has a moment to end what it does.
    fn say_farewell(&mut self, inbox: &Receiver<Heard>, interrupts: &Receiver<i32>) {
        if let Some(speaker) = self.speaker.take() {
            speaker.cancel();
        }
        // Who has not said hello has begun nothing, and ssh may be asking for a password.
        let deadline = Instant::now() + if self.greeted { FAREWELL } else { Duration::ZERO };
        // What it still says is for nobody, but must not be in its way. A second signal is impatience.
        while Instant::now() < deadline && interrupts.try_recv().is_err() {
            match inbox.recv_timeout(PULSE) {
                Ok(Heard::StreamEnded) | Err(RecvTimeoutError::Disconnected) => break,
                Ok(_) | Err(RecvTimeoutError::Timeout) => {}
            }
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn line(&mut self, line: &[u8]) -> Result<()> {
        if let Some(reply) = Reply::parse(line) {
            return self.reply(reply);
        }
        let line = String::from_utf8_lossy(line).into_owned();
        let Some(log) = LogLine::parse(&line) else {
            // A login shell that greets everybody is not worth a line.
            if self.greeted && !line.starts_with("@nix ") {
                self.observer.see(Event::Text(line));
            }
            return Ok(());
        };
        if self.answer.derivation.is_none() && log.is_error() {
            self.errors.push(log);
        } else {
            self.observer.see(Event::Nix(log));
        }
        Ok(())
    }

    fn reply(&mut self, reply: Reply) -> Result<()> {
        match reply {
            Reply::Hello { nix, system } => {
                self.greeted = true;
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
                self.observer.see(Event::Phase(Phase::Sending));
                self.send_files(has);
            }
            Reply::Damaged => self.observer.see(Event::Text(diagnosis::damaged(self.host))),
            Reply::Need(names) => self.send_trees(names)?,
            Reply::Evaluating => self.observer.see(Event::Phase(Phase::Evaluating)),
            Reply::EvaluationFailed { .. } | Reply::LookedAround => self.after_round(&reply)?,
            Reply::Nix(version) => {
                let detail = format!("{}: Nix {version}", self.host);
                self.observer.see(Event::Detail(detail));
                self.their_nix = version;
            }
            Reply::Refused(paths) => self.rounds.refused(paths),
            Reply::Untraced(version) => {
                for line in diagnosis::untraced(self.host, &version).lines() {
                    self.observer.see(Event::Text(line.to_owned()));
                }
            }
            Reply::Looked(path) => self.sources.collection.add_asked(&path),
            Reply::Timeless => self.rounds.cannot_look(),
            Reply::Unread(path) => self.sources.hear_unread(path),
            Reply::LockLine(line) => self.sources.hear_lock(&line),
            Reply::Evaluated(derivation) => {
                self.errors.clear();
                self.sources.keep()?;
                self.observer.see(Event::Detail(format!("derivation: {derivation}")));
                let derivation = promise::derivation(self.host, &derivation)?;
                if let Some(own) = self.expected.filter(|own| **own != derivation) {
                    return Err(diagnosis::differs(self.host, own, &derivation).into());
                }
                self.answer.derivation = Some(derivation);
            }
            Reply::Value(value) => {
                self.errors.clear();
                self.sources.keep()?;
                self.answer.value = Some(value);
            }
            Reply::Building => self.observer.see(Event::Phase(Phase::Building)),
            Reply::Built(path) => {
                self.observer.see(Event::Detail(format!("built: {path}")));
                let derivation = self.answer.derivation.as_ref().or(self.asked);
                self.answer.result = Some(promise::kept(self.host, derivation, &path)?);
            }
            Reply::Copying => {
                self.observer.see(Event::Phase(Phase::Done));
                self.copying = Copying::Soon;
                self.relay.context("nothing was lent, but something comes")?.open()?;
            }
            Reply::Copied => {
                self.hear_of_copying();
                self.tell_amounts();
                self.copying = Copying::No;
                self.answer.delivered = true;
            }
            Reply::NoSocket => {
                if self.relay.is_some() {
                    let detail = format!("{} does not forward sockets: fetching the result instead", self.host);
                    self.observer.see(Event::Detail(detail));
                }
            }
            Reply::Done | Reply::Failed { .. } => self.ended = Some(reply),
        }
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
            Reply::EvaluationFailed { .. } => self.rounds.after_failure(self.sources, &errors, &mut import)?,
            _ => self.rounds.after_look(self.sources, &errors, &mut import)?,
        };
        let mut line = OsString::from(next.word());
        if let (Next::GiveUp, Reply::EvaluationFailed { code }) = (next, reply) {
            for error in errors {
                self.observer.see(Event::Nix(error));
            }
            for text in self.rounds.unsaid_errors() {
                self.observer.see(Event::Text(text));
            }
            self.name_refused();
            self.ended = Some(Reply::Failed {
                stage: "evaluation".to_owned(),
                code: *code,
            });
        } else {
            line.push(" ");
            line.push(self.sources.need().words());
        }
        line.push("\n");
        // Before anything is said: the environment may be what cannot be sent.
        let environment = (next != Next::GiveUp)
            .then(|| exports(&self.sources.environment()?))
            .transpose()?;
        self.say(Speech::Bytes(line.into_encoded_bytes()));
        if let Some(environment) = environment {
            self.say(Speech::Text(environment));
        }
        Ok(())
    }

    /// The connection has ended with ssh's exit status `code`.
    fn conclude(&mut self, code: u8) -> Result<()> {
        for error in std::mem::take(&mut self.errors) {
            self.observer.see(Event::Nix(error));
        }
        match self.ended.take() {
            Some(Reply::Done) => Ok(()),
            Some(Reply::Failed { stage, .. }) if stage == diagnosis::NO_NAMESPACES => {
                Err(diagnosis::CannotEvaluate::new(self.host).into())
            }
            Some(Reply::Failed { stage, code }) => {
                self.sources.keep_lock()?;
                let failure = match stage.as_str() {
                    "copy" => {
                        diagnosis::not_copied(self.host, self.receiver, self.relay.and_then(Relay::complaint), code)
                    }
                    _ => diagnosis::failed(self.host, self.system, &stage, code),
                };
                let own = (stage == "evaluation").then(self.own_nix).flatten();
                let older = own.and_then(|own| diagnosis::older(self.host, &self.their_nix, &own));
                Err(match older {
                    Some(remedy) => failure.with_remedy(remedy),
                    None => failure,
                }
                .into())
            }
            _ if self.sending_error.is_some() && self.greeted => {
                let error = self.sending_error.take().unwrap_or_else(|| anyhow::anyhow!("unknown"));
                Err(error.context(format!("this machine → {}", self.host)))
            }
            _ if self.greeted => Err(Failure::new(format!(
                "the connection to {} broke, nothing was changed here",
                self.host
            ))
            .with_remedy("run the same command again: what was built there is kept")
            .with_code(255)
            .into()),
            _ => Err(ssh::no_session(self.host, code.max(1), self.ssh_said.text()).into()),
        }
    }
}
