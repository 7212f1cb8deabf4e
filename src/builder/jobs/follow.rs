//! A job that is followed from its first word to its last, with the display of a run. Nothing is answered, and what it says
//! counts for nothing here: a run brings home what it has made.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::script;
use super::talk::{Said, Talk};
use super::told::RemoteJob;
use crate::builder::broken_link::{Broken, WayBack};
use crate::builder::conversation::{Following, LATER, read};
use crate::builder::diagnosis;
use crate::builder::job_end::JobEnd;
use crate::builder::parts::Instruction;
use crate::builder::reply::BuilderEvent;
use crate::builder::request::Client;
use crate::builder::stage::Stage;
use crate::context::Context;
use crate::failure::Failure;
use crate::host::Host;
use crate::process::lines::Line;
use crate::progress::{Builder, Event, Work};
use crate::remote::channel::EVENT;
use crate::store_path::StorePath;

/// How a job that was followed has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Followed {
    /// It has built this.
    Built(StorePath),
    /// It has evaluated, and there was nothing to build.
    Evaluated,
    /// It has come to nothing. A run of the same configuration goes on from there.
    Stopped(Failure),
    /// It has failed, and would fail again.
    Failed(Failure),
}

/// Shows what a job says, to its end, over as many connections as that takes. A new one is tried for `reconnect` after a link
/// broke.
///
/// # Errors
/// The link broke and does not come back; or a signal has come. The job goes on.
pub fn follow(
    host: &Host,
    client: &Client,
    job: &RemoteJob,
    reconnect: Duration,
    context: &Context,
) -> Result<Followed> {
    let mut watching = Watching::new(host, client, job, context);
    let mut way_back = WayBack::new(reconnect, LATER);
    let followed = watching.hear_all(&job.record.name, &mut way_back);
    context.tell(Event::Idle);
    followed
}

/// Returns what an end means. None is a job that was cut off.
fn conclude(host: &Host, talk: &Talk, end: Option<JobEnd>) -> Followed {
    match end {
        Some(JobEnd::Built { output, .. }) => Followed::Built(output),
        Some(JobEnd::Made(_) | JobEnd::Valued) => Followed::Evaluated,
        Some(JobEnd::Failed { stage, code }) => Followed::Failed(talk.failed(stage, code.get())),
        Some(JobEnd::Cancelled) => Followed::Stopped(talk.failed(Stage::Cancelled, 130)),
        None => Followed::Stopped(talk.failed(Stage::Lost, 1)),
        Some(JobEnd::Asked | JobEnd::Joins { .. } | JobEnd::Unknown) => Followed::Stopped(Failure::new(format!(
            "the evaluation on {host} has stopped: it asks for more of this machine's files, or it has failed"
        ))),
    }
}

/// Why nothing more comes over a connection.
enum Paused {
    /// The job has ended. None is one that was cut off.
    Ended(Option<JobEnd>),
    /// The connection has ended before it. The exit status of ssh, if it has ended.
    Broke(Option<u8>),
}

/// A job that is followed.
struct Watching<'a> {
    host: &'a Host,
    client: &'a Client,
    context: &'a Context<'a>,
    /// When its evaluation began here, so that the display shows how long it took there.
    evaluates_since: Option<Instant>,
    /// When its build began, if it had begun before.
    builds_since: Option<Instant>,
    /// Whether a connection has come about, and the user sees what the job does. A later connection changes nothing of that.
    is_shown: bool,
}

impl<'a> Watching<'a> {
    fn new(host: &'a Host, client: &'a Client, job: &RemoteJob, context: &'a Context<'a>) -> Self {
        let now = Instant::now();
        let ago = |seconds| now.checked_sub(Duration::from_secs(seconds));
        let building = job.building.as_ref().map(|building| building.age);
        Self {
            host,
            client,
            context,
            evaluates_since: ago(job.age.saturating_sub(building.unwrap_or(0))),
            builds_since: building.and_then(ago),
            is_shown: false,
        }
    }

    /// Hears a job to its end, and the one that it joins.
    fn hear_all(&mut self, name: &str, way_back: &mut WayBack) -> Result<Followed> {
        let mut following = Following::new(name.to_owned(), 0);
        let mut has_joined = false;
        loop {
            let began = Instant::now();
            let (talk, paused) = self.hear(&mut following)?;
            match paused {
                // A job that is joined builds, so it joins none itself.
                Paused::Ended(Some(JobEnd::Joins { .. })) if has_joined => {
                    return Err(talk.out_of_turn_of("says twice that a job joins another one").into());
                }
                Paused::Ended(Some(JobEnd::Joins { name, at })) => {
                    has_joined = true;
                    self.context.tell(Event::Text(diagnosis::joined(self.host)));
                    following = Following::new(name, at);
                }
                Paused::Ended(end) => {
                    let followed = conclude(self.host, &talk, end);
                    talk.end();
                    return Ok(followed);
                }
                Paused::Broke(code) => {
                    // A signal to the whole group, as of a terminal that is closed, ends ssh as well.
                    self.context.signals.check_soon()?;
                    // The first connection shows that the machine lets this user in.
                    if !self.is_shown {
                        return Err(talk.broke(code).into());
                    }
                    following.again();
                    self.come_back(&talk, code, began.elapsed(), following.heard(), way_back)?;
                }
            }
        }
    }

    /// Waits until a new connection is to be tried.
    fn come_back(
        &self,
        talk: &Talk,
        code: Option<u8>,
        held: Duration,
        heard: u64,
        way_back: &mut WayBack,
    ) -> Result<()> {
        let broken = Broken {
            host: self.host,
            channel: talk.channel(),
            code,
            held,
            heard,
            unchanged: &diagnosis::unchanged(None),
        };
        way_back.wait(&broken, self.context)
    }

    /// Hears a job from the byte on to which it was heard, over one connection.
    fn hear(&mut self, following: &mut Following) -> Result<(Talk, Paused)> {
        let instruction = Instruction::Follow {
            name: following.name(),
            heard: following.heard(),
        };
        let script = script(self.client, &instruction)?;
        if !self.is_shown {
            self.context.tell(Event::phase(Work::Connecting, Some(self.host)));
        }
        let mut talk = Talk::begin(self.host, &script, self.context)?;
        loop {
            match talk.next(self.context)? {
                Said::Greeting => self.is_greeted(&mut talk),
                Said::Output(bytes) => following.take(&bytes).into_iter().for_each(|line| self.said(line)),
                Said::Event(BuilderEvent::Ended(end), _) => {
                    following.ends().into_iter().for_each(|line| self.said(line));
                    return Ok((talk, Paused::Ended(Some(end))));
                }
                Said::Event(BuilderEvent::Lost, _) => return Ok((talk, Paused::Ended(None))),
                Said::Event(_, line) => return Err(talk.out_of_turn(&line).into()),
                Said::Log(_) => {}
                Said::Failed(failure) => return Err(failure.into()),
                Said::Broke(code) => return Ok((talk, Paused::Broke(code))),
            }
        }
    }

    fn is_greeted(&mut self, talk: &mut Talk) {
        talk.is_at_work();
        if !self.is_shown {
            self.is_shown = true;
            self.is_builder(talk.system(), talk.system());
            self.goes_to(Work::Evaluating, self.evaluates_since);
        }
    }

    /// Shows a line of the job.
    fn said(&mut self, line: Line) {
        if line.bytes.starts_with(EVENT) {
            if let Some(event) = BuilderEvent::parse(&line.bytes) {
                self.event(event);
            }
            return;
        }
        match read(line) {
            (Some(log), _) => self.context.tell(Event::Nix(log)),
            (None, text) if !text.starts_with("@nix ") => self.context.tell(Event::Text(text)),
            (None, _) => {}
        }
    }

    fn event(&mut self, event: BuilderEvent) {
        match event {
            BuilderEvent::Platform { wanted, own } => self.is_builder(&own, &wanted),
            BuilderEvent::Building => self.goes_to(Work::Building, self.builds_since),
            BuilderEvent::Collected => self.context.tell(Event::Text(diagnosis::collected(self.host))),
            BuilderEvent::Evaluated(path) => self.context.tell(Event::Detail(format!("derivation: {path}"))),
            BuilderEvent::Built(path) => self.context.tell(Event::Detail(format!("built: {path}"))),
            _ => {}
        }
    }

    fn is_builder(&self, own: &str, wanted: &str) {
        let builder = Builder::there(&self.host.to_string(), own, wanted);
        self.context.tell(Event::Builder(builder));
    }

    fn goes_to(&self, work: Work, since: Option<Instant>) {
        self.context.tell(Event::phase(work, Some(self.host)));
        if let Some(since) = since {
            self.context.tell(Event::Since(since));
        }
    }
}
