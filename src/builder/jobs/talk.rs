//! The talk with a script that was asked about jobs.

use anyhow::Result;

use super::told::{Hears, RemoteJob, Telling};
use crate::builder::conversation::read;
use crate::builder::diagnosis;
use crate::builder::reply::BuilderEvent;
use crate::builder::stage::Stage;
use crate::context::Context;
use crate::failure::Failure;
use crate::host::Host;
use crate::process::lines::Line;
use crate::progress::nix_log::LogLine;
use crate::progress::{Event, Work};
use crate::remote::channel::{ALIVE, Channel, Heard};

/// The remedy if the link broke.
const AGAIN: &str = "run the same command again";

/// How many bytes may be told of jobs. Ten thousand of them take half of it.
const MOST: usize = 8 << 20;

/// What comes next from the script.
pub(super) enum Said {
    /// It runs.
    Greeting,
    /// An event, and the line that it is.
    Event(BuilderEvent, Line),
    /// A line of Nix's log.
    Log(LogLine),
    /// A piece of a job's output.
    Output(Vec<u8>),
    /// The script has failed.
    Failed(Failure),
    /// Nothing more comes, although more was expected. The exit status of ssh, if it has ended.
    Broke(Option<u8>),
}

/// A script that runs.
pub(super) struct Talk {
    channel: Channel,
    host: Host,
    /// The other machine's own system.
    system: String,
}

impl Talk {
    /// Logs in, hands the script over, and waits for its greeting.
    ///
    /// # Errors
    /// The machine cannot be reached, or has no Nix; or a signal has come.
    pub(super) fn open(host: &Host, script: &[u8], context: &Context) -> Result<Self> {
        context.tell(Event::phase(Work::Connecting, Some(host)));
        let mut talk = Self::begin(host, script, context)?;
        let greeted = talk.hear_greeting(context);
        context.tell(Event::Idle);
        greeted.map(|()| talk)
    }

    /// Logs in, and hands the script over.
    ///
    /// # Errors
    /// No ssh can be started.
    pub(super) fn begin(host: &Host, script: &[u8], context: &Context) -> Result<Self> {
        let command = context.ssh.session(host, None, script.len());
        context.tell(Event::Detail(format!("$ {command}")));
        Ok(Self {
            channel: Channel::open(command.converse()?, Some(host), script)?,
            host: host.clone(),
            system: String::new(),
        })
    }

    fn hear_greeting(&mut self, context: &Context) -> Result<()> {
        loop {
            match self.next(context)? {
                Said::Greeting => return Ok(()),
                // A login shell may greet everybody.
                Said::Log(_) => {}
                Said::Event(_, line) => return Err(self.out_of_turn(&line).into()),
                Said::Output(_) => return Err(self.counted().into()),
                Said::Failed(failure) => return Err(failure.into()),
                Said::Broke(code) => return Err(self.broke(code).into()),
            }
        }
    }

    /// The other machine's own system.
    pub(super) fn system(&self) -> &str {
        &self.system
    }

    /// Notes that the user sees what takes long there.
    pub(super) fn is_at_work(&mut self) {
        self.channel.is_at_work();
    }

    /// Waits for what comes next. Lines that are neither events nor of Nix's log are passed over.
    ///
    /// # Errors
    /// A signal has come, or an event is none.
    pub(super) fn next(&mut self, context: &Context) -> Result<Said> {
        loop {
            match self.channel.next(context)? {
                Heard::Event(line) if line.bytes == ALIVE.as_bytes() => {}
                Heard::Event(line) => return self.event(line, context),
                Heard::Line(line) => {
                    if let (Some(log), _) = read(line) {
                        return Ok(Said::Log(log));
                    }
                }
                Heard::Output(bytes) => return Ok(Said::Output(bytes)),
                Heard::Count(_) | Heard::Sent(_) | Heard::Nothing => {}
                Heard::End => {
                    self.channel.is_quiet = true;
                    return Ok(Said::Broke(self.channel.last_words(context)?));
                }
            }
        }
    }

    fn event(&mut self, line: Line, context: &Context) -> Result<Said> {
        let whole = Some(&line.bytes).filter(|_| line.gap.is_none());
        match whole.and_then(|bytes| BuilderEvent::parse(bytes)) {
            Some(BuilderEvent::Failed { stage, code }) => Ok(Said::Failed(self.failed(stage, code.get()))),
            Some(BuilderEvent::Hello { system, .. }) if !self.channel.has_greeted() => {
                for line in self.channel.is_greeted().lines() {
                    context.tell(Event::Text(line.to_owned()));
                }
                self.system = system;
                Ok(Said::Greeting)
            }
            Some(event) if self.channel.has_greeted() => Ok(Said::Event(event, line)),
            _ => Err(self.out_of_turn(&line).into()),
        }
    }

    /// The talk with the script, for whoever waits for it to come back.
    pub(super) fn channel(&self) -> &Channel {
        &self.channel
    }

    /// Returns the failure if the link broke, with this exit status of ssh.
    pub(super) fn broke(&self, code: Option<u8>) -> Failure {
        self.channel.broke(code, "", AGAIN)
    }

    /// Returns the failure for bytes that nobody has asked for.
    pub(super) fn counted(&self) -> Failure {
        self.channel.misspoken(b"chunk", "")
    }

    /// Returns the failure for a part of the script, or of a job, that has failed.
    pub(super) fn failed(&self, stage: Stage, code: u8) -> Failure {
        diagnosis::failed(&self.host, &self.system, stage, code, &diagnosis::unchanged(None))
    }

    /// Returns the failure for what is out of turn, in words that follow the machine's name.
    pub(super) fn out_of_turn_of(&self, what: &str) -> Failure {
        let remedy = diagnosis::somebody_else(&self.host);
        self.channel.out_of_turn(what, "").with_remedy(remedy)
    }

    /// Returns the failure for a line that is out of turn.
    pub(super) fn out_of_turn(&self, line: &Line) -> Failure {
        let remedy = diagnosis::somebody_else(&self.host);
        self.channel.misspoken(&line.bytes, "").with_remedy(remedy)
    }

    /// Hears what is told of jobs, to the end of the script.
    ///
    /// # Errors
    /// The link broke, or something was said that was not asked for; or a signal has come.
    pub(super) fn hear_jobs(mut self, context: &Context) -> Result<Vec<RemoteJob>> {
        let (mut telling, mut left) = (Telling::default(), MOST);
        loop {
            match self.next(context)? {
                Said::Event(event, line) => {
                    left = left.saturating_sub(line.bytes.len());
                    match telling.hears(event) {
                        Hears::More if left > 0 => {}
                        Hears::All(jobs) => {
                            self.channel.is_over();
                            return Ok(jobs);
                        }
                        Hears::More | Hears::Nonsense => return Err(self.out_of_turn(&line).into()),
                    }
                }
                Said::Log(log) => telling.hears_log(&log),
                Said::Greeting => {}
                Said::Output(_) => return Err(self.counted().into()),
                Said::Failed(failure) => return Err(failure.into()),
                Said::Broke(code) => return Err(self.broke(code).into()),
            }
        }
    }

    /// Ends the talk, after everything has been said.
    pub(super) fn end(mut self) {
        self.channel.is_over();
    }
}
