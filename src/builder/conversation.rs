//! The talk itself: says what is to be said, hears what comes, and knows at each point what that means.

mod again;
mod ending;
mod events;
mod held;
mod incoming;
mod outgoing;

#[cfg(test)]
pub(super) use outgoing::change;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::course::Course;
use super::diagnosis;
use super::reply::Reply;
use super::request::Request;
use super::rounds::Rounds;
use super::sources::Sources;
use crate::remote::relay::Relay;
use held::Held;
use incoming::Incoming;
use outgoing::Sending;

use crate::context::Context;
use crate::failure::{Failure, Interrupted};
use crate::host::Host;
use crate::process::lines::Line;
use crate::progress::nix_log::LogLine;
use crate::progress::{Event, Phase};
use crate::remote::channel::{Channel, Heard};
use crate::store_path::StorePath;

/// How often a live display hears of the bytes received.
const TICK: Duration = Duration::from_millis(200);

/// So many directories an evaluation sees that are neither ours nor the other machine's (`scripts/view.sh`), at most.
const BESIDE: usize = 1000;

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
    context.signals.check()?;
    let mut talk = Conversation {
        channel: Channel::open(command.converse()?, Some(host), &script)?,
        peer,
        request,
        sources,
        context,
        course: Course::new(request),
        answer: Answer::default(),
        errors: Held::default(),
        rounds: Rounds::default(),
        may_have_looked: 0,
        named_refused: BTreeSet::new(),
        nix: TheirNix::default(),
        sending: Sending::Nothing,
        incoming: Incoming::new(peer),
        ended: None,
    };
    let result = talk.hear_out();
    talk.context.tell(Event::Phase(Phase::Done));
    result.map(|()| talk.answer)
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

/// What is known of the Nix there, beside what it is asked for.
#[derive(Default)]
struct TheirNix {
    version: String,
    /// Whether it has said that its daemon ended amid its work.
    daemon_fell: bool,
}

struct Conversation<'a> {
    channel: Channel,
    peer: &'a Peer<'a>,
    request: &'a Request,
    sources: &'a mut Sources,
    context: &'a Context<'a>,
    course: Course,
    answer: Answer,
    /// Errors of the evaluation, held back because more files may make up for them.
    errors: Held,
    rounds: Rounds,
    /// Of as many paths it may say in this round that it has looked at them.
    may_have_looked: usize,
    named_refused: BTreeSet<PathBuf>,
    nix: TheirNix,
    sending: Sending,
    incoming: Incoming<'a>,
    /// The script's last word, once it has come.
    ended: Option<Reply>,
}

impl Conversation<'_> {
    /// Everything until the connection ends.
    fn hear_out(&mut self) -> Result<()> {
        let mut told = Instant::now();
        loop {
            // Also while one line follows another: of a copy, Nix writes thousands.
            if told.elapsed() >= TICK {
                self.tell_amounts();
                told = Instant::now();
            }
            let heard = self.channel.next(self.context).inspect_err(|error| {
                if error.is::<Interrupted>() {
                    self.channel.say_farewell(self.context);
                }
            })?;
            self.incoming.look(&mut self.channel, self.context);
            match heard {
                // Nothing is counted here: as an event, it is none.
                Heard::Event(line) | Heard::Count(line) => self.event(&line)?,
                Heard::Line(line) => self.line(line)?,
                Heard::Output(_) => return Err(self.out_of_turn(b"chunk").into()),
                Heard::Sent(amount) => {
                    self.sending = Sending::Nothing;
                    self.context.tell(Event::Sent(amount));
                }
                Heard::Nothing => {}
                Heard::End => break,
            }
        }
        // This is the reason for a failure, which will be said in our words.
        self.channel.is_quiet = true;
        let code = self.channel.last_words(self.context)?;
        self.conclude(code)
    }

    /// How much has gone and come so far, where something is under way.
    fn tell_amounts(&mut self) {
        self.incoming.tell_amount(self.context);
        let whole = match self.sending {
            Sending::Nothing => return,
            Sending::Files(number) => Some(number),
            Sending::Trees => None,
        };
        if let Some(amount) = self.channel.sent() {
            self.context.tell(Event::Sending(amount, whole));
        }
    }

    fn line(&mut self, line: Line) -> Result<()> {
        let (log, text) = read(line);
        let Some(log) = log else {
            // A login shell that greets everybody is not worth a line.
            if self.channel.has_greeted() && !text.starts_with("@nix ") {
                self.context.tell(Event::Text(text));
            }
            return Ok(());
        };
        if let Some(name) = self
            .request
            .decisive_settings()
            .iter()
            .find(|name| log.knows_no_setting(name))
        {
            return Err(diagnosis::unknown_setting(self.peer.host, name).into());
        }
        self.nix.daemon_fell |= log.says_that_the_daemon_fell();
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
            _ => Err(self.out_of_turn(&line.bytes).into()),
        }
    }

    fn out_of_turn(&self, line: &[u8]) -> Failure {
        let more = format!(", and {}", self.unchanged());
        let remedy = diagnosis::somebody_else(self.peer.host);
        self.channel.misspoken(line, &more).with_remedy(remedy)
    }

    /// What is said of this machine when the run has failed.
    fn unchanged(&self) -> String {
        diagnosis::unchanged(self.sources.changed_file())
    }
}
