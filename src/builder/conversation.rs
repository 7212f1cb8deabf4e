//! The talk itself: says what has to be said, hears what comes, and knows at each point what it means.

mod again;
mod coming_back;
mod ending;
mod events;
mod following;
mod held;
mod incoming;
mod outgoing;
mod releases;

#[cfg(test)]
pub(super) use outgoing::change;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::broken_link::WayBack;
use super::course::Course;
use super::diagnosis;
use super::preflight::Lack;
use super::reply::BuilderEvent;
use super::request::Request;
use super::rounds::Rounds;
use super::sources::Sources;
use crate::remote::relay::Relay;
pub(super) use following::Following;
#[cfg(any(test, fuzzing))]
pub(super) use following::look_at_job;
use held::Held;
use incoming::Incoming;
use outgoing::Sending;

use crate::context::Context;
use crate::failure::Failure;
use crate::host::Host;
use crate::process::lines::Line;
use crate::progress::nix_log::LogLine;
use crate::progress::{Event, Whole, Work};
use crate::remote::channel::{ALIVE, Channel, EVENT, Heard};
use crate::sources::answered::Reads;
use crate::store_path::StorePath;

/// How long a script may stay after its last word.
const LEAVING: Duration = Duration::from_secs(10);

/// The remedy if the link stays broken.
pub(super) const LATER: &str = "run the same command again later: it finds what was done there";

/// The same for a client that nobody there knows again.
const LATER_WITHOUT_A_NAME: &str = "run the same command again later: what was built there is in its store, until its garbage is \
                                    collected; the work itself is found by no other run";

/// How often a live display hears of the bytes received.
const TICK: Duration = Duration::from_millis(200);

/// How many directories an evaluation sees, at most, that are neither the client's nor the other machine's
/// (`scripts/view.sh`).
const BESIDE: usize = 1000;

/// What came of a talk.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// The derivation, if one was evaluated.
    pub derivation: Option<StorePath>,
    /// The path that was built, if one was.
    pub result: Option<StorePath>,
    /// Whether the result, or else the derivation, has gone to the lent daemon.
    pub delivered: bool,
    /// The value that was evaluated, if one was.
    pub value: Option<String>,
    /// The generation of the channels, if they were updated.
    pub channels: Option<StorePath>,
    /// Whether the build goes on there, and this machine has left it.
    pub is_left: bool,
}

/// The other machine, and the ways to it.
pub struct Peer<'a> {
    /// The machine's name.
    pub host: &'a Host,
    /// The daemon that is lent to it, if one is.
    pub relay: Option<&'a Relay>,
    /// The machine of that daemon, if it is not this one.
    pub receiver: Option<&'a Host>,
    /// Gives the version of this machine's Nix. An evaluation may fail because the other machine's is older.
    pub own_nix: &'a dyn Fn() -> Option<String>,
    /// Brings a store path there with all that it depends on.
    pub importer: &'a dyn Fn(&StorePath) -> Result<()>,
    /// This machine's Nix.
    pub database: Database<'a>,
}

/// Asks a Nix for what it knows of these names in its store. There is a text for each, or none at all.
pub type Database<'a> = &'a dyn Fn(Question, &[OsString]) -> Option<Vec<String>>;

/// What a Nix knows of a store path without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    /// The hash of what is in it.
    Hash,
    /// Its size in bytes, with the names in it.
    Size,
}

/// Carries out a request on another machine.
///
/// # Errors
/// Something has failed there, after its log has been shown; or there could be no talk.
/// [`Interrupted`](crate::failure::Interrupted) if a signal has come, after the other machine has been told.
pub fn converse(peer: &Peer, request: &Request, sources: &mut Sources, context: &Context) -> Result<Answer> {
    let host = peer.host;
    let script = request.script()?;
    let later = if request.client.stays {
        LATER
    } else {
        LATER_WITHOUT_A_NAME
    };
    context.tell(Event::phase(Work::Connecting, Some(host)));
    context.signals.check()?;
    let mut talk = Conversation {
        channel: connect(peer, request, &script, context)?,
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
        names_evaluators_own: false,
        memory: Memory::default(),
        nix: TheirNix::default(),
        sending: Sending::Nothing,
        fetching: None,
        fetched: BTreeSet::new(),
        incoming: Incoming::new(peer),
        following: None,
        is_second: false,
        way_back: WayBack::new(request.job.reconnect, later),
        asked: None,
        ended: None,
    };
    let result = talk.hear_all();
    talk.context.tell(Event::Idle);
    result.map(|()| talk.answer)
}

/// Logs in, and hands the script over.
fn connect(peer: &Peer, request: &Request, script: &[u8], context: &Context) -> Result<Channel> {
    let own_socket = peer.relay.map(Relay::socket);
    let forward = request.socket().zip(own_socket.as_deref());
    let command = context.ssh.session(peer.host, forward, script.len());
    context.tell(Event::Detail(format!("$ {command}")));
    Channel::open(command.converse()?, Some(peer.host), script)
}

/// Reads a line as one of Nix's log, if it is one, and as text. If the line was too long, the beginning of a message
/// still counts as a message.
pub(super) fn read(line: Line) -> (Option<LogLine>, String) {
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

/// What is known of the other machine's Nix.
#[derive(Default)]
struct TheirNix {
    version: String,
    /// Whether it has said that its daemon ended amid its work.
    daemon_fell: bool,
    /// Whether it has said that a disk is full: its own, or that of the machine to which it copies.
    has_no_room: bool,
    /// What a build could not have there.
    lack: Option<Lack>,
}

/// What an answer has to be remembered with.
#[derive(Default)]
struct Memory {
    /// The machine's word for itself. None if the answer may not be remembered.
    standing: Option<String>,
    /// The variables that belong to the question.
    reads: Reads,
    /// Whether Nix has said that it locks inputs anew and does not write that down.
    is_locked_anew: bool,
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
    /// How many more paths the machine may say in this round that it has looked at.
    may_have_looked: usize,
    named_refused: BTreeSet<PathBuf>,
    /// Whether the configuration names a place that is the other machine's own.
    names_evaluators_own: bool,
    /// What the machine has said of remembering the answer that comes next.
    memory: Memory,
    nix: TheirNix,
    sending: Sending,
    /// The store path that the other machine fetches itself now.
    fetching: Option<String>,
    /// Those that it has begun to fetch.
    fetched: BTreeSet<String>,
    incoming: Incoming<'a>,
    /// The last job, as far as it has been heard.
    following: Option<Following>,
    /// Whether this connection goes on with a job of an earlier one: it ends with the job, and evaluates nothing more.
    is_second: bool,
    way_back: WayBack,
    /// What it asks, until it has ended.
    asked: Option<BuilderEvent>,
    /// The script's last word, once it has come.
    ended: Option<BuilderEvent>,
}

impl Conversation<'_> {
    /// Hears everything until this connection ends. Returns the exit status of ssh, if it has ended.
    fn hear_out(&mut self) -> Result<Option<u8>> {
        let mut told = Instant::now();
        let mut ended = None;
        loop {
            // The script removes what it has made, and ends. If it stays, it is left, because it has said everything.
            if self.ended.is_some() && ended.get_or_insert_with(Instant::now).elapsed() > LEAVING {
                break;
            }
            if self.answer.is_left {
                return Ok(None);
            }
            // This is also done while one line follows another, because Nix writes thousands of them during a copy.
            if told.elapsed() >= TICK {
                self.tell_amounts();
                told = Instant::now();
            }
            let heard = self.channel.next(self.context)?;
            self.incoming.look(&mut self.channel, self.context);
            match heard {
                // A job that is followed lives, and its output is counted.
                Heard::Event(line) if line.bytes == ALIVE.as_bytes() && self.is_following() => {}
                Heard::Count(_) if self.is_following() => {}
                // Otherwise nothing is counted here, so this is refused as an event that is none.
                Heard::Event(line) | Heard::Count(line) => self.event(&line)?,
                Heard::Line(line) => self.line(line)?,
                Heard::Output(bytes) if self.is_following() => self.output(&bytes)?,
                Heard::Output(_) => return Err(self.out_of_turn(b"chunk").into()),
                Heard::Sent(amount) => {
                    self.sending = Sending::Nothing;
                    self.context.tell(Event::Sent(amount));
                }
                Heard::Nothing => {}
                Heard::End => break,
            }
        }
        // What ssh says now is the reason for a failure, which the user will read in our words.
        self.channel.is_quiet = true;
        self.channel.last_words(self.context)
    }

    /// Tells how much has gone and come so far, if something is under way.
    fn tell_amounts(&mut self) {
        self.incoming.tell_amount(self.context);
        let whole = match self.sending {
            Sending::Nothing => return,
            Sending::Files(number) => Whole::Files(number),
            Sending::Trees(bytes) => bytes.map_or(Whole::Unknown, Whole::Bytes),
        };
        if let Some(amount) = self.channel.sent() {
            self.context.tell(Event::Sending(amount, whole));
        }
    }

    /// Whether a job is on.
    fn is_following(&self) -> bool {
        self.following.as_ref().is_some_and(|following| !following.is_over())
    }

    /// Takes bytes of a job's output, which has the lines that a script without a job would say itself.
    fn output(&mut self, bytes: &[u8]) -> Result<()> {
        let lines = self.following.as_mut().map(|following| following.take(bytes));
        lines.into_iter().flatten().try_for_each(|line| self.said(line))
    }

    fn said(&mut self, line: Line) -> Result<()> {
        if line.bytes.starts_with(EVENT) {
            self.channel.trace(&line, self.context);
            self.event(&line)
        } else {
            self.line(line)
        }
    }

    fn line(&mut self, line: Line) -> Result<()> {
        let (log, text) = read(line);
        let Some(log) = log else {
            // Lines before the script's greeting are not shown, because a login shell may greet everybody.
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
        self.leave_to_itself(&log);
        self.memory.is_locked_anew |= log.says_that_a_lock_is_not_written();
        self.nix.daemon_fell |= log.says_that_the_daemon_fell();
        self.nix.has_no_room |= log.says_that_there_is_no_room();
        self.nix.lack = self.nix.lack.take().or_else(|| Lack::read(log.error()?));
        if self.answer.derivation.is_none() && log.is_error() {
            self.errors.push(log);
        } else {
            self.context.tell(Event::Nix(log));
        }
        Ok(())
    }

    /// Takes a line that begins as an event does. It counts only if it is a whole and known event, and was asked for.
    fn event(&mut self, line: &Line) -> Result<()> {
        let reply = Some(line).filter(|line| line.gap.is_none());
        match reply.and_then(|line| BuilderEvent::parse(&line.bytes)) {
            Some(reply) if self.course.hears(&reply) => self.reply(reply),
            _ => Err(self.out_of_turn(&line.bytes).into()),
        }
    }

    fn out_of_turn(&self, line: &[u8]) -> Failure {
        let more = format!(", and {}", self.unchanged());
        let remedy = diagnosis::somebody_else(self.peer.host);
        self.channel.misspoken(line, &more).with_remedy(remedy)
    }

    /// Returns what a failure of the run says of this machine.
    fn unchanged(&self) -> String {
        diagnosis::unchanged(self.sources.changed_file())
    }
}
