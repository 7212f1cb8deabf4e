//! A job that is followed from its first word to its last, with the display of a run. Nothing is answered, and what it says
//! counts for nothing here: a run brings home what it has made.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::script;
use super::talk::{Said, Talk};
use super::told::RemoteJob;
use crate::builder::conversation::{Following, read};
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

/// Shows what a job says, to its end.
///
/// # Errors
/// The link broke; or a signal has come. The job goes on.
pub fn follow(host: &Host, client: &Client, job: &RemoteJob, context: &Context) -> Result<Followed> {
    let mut watching = Watching::new(host, client, job, context);
    let (mut name, mut from) = (job.record.name.clone(), 0);
    let mut has_joined = false;
    loop {
        let end = watching.hear(&name, from);
        context.tell(Event::Idle);
        match end? {
            // A job that is joined builds, so it joins none itself.
            (talk, Some(JobEnd::Joins { .. })) if has_joined => {
                return Err(talk.out_of_turn_of("says twice that a job joins another one").into());
            }
            (_, Some(JobEnd::Joins { name: other, at })) => {
                has_joined = true;
                context.tell(Event::Text(diagnosis::joined(host)));
                (name, from) = (other, at);
            }
            (talk, end) => {
                let followed = conclude(host, &talk, end);
                talk.end();
                return Ok(followed);
            }
        }
    }
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

/// A job that is followed.
struct Watching<'a> {
    host: &'a Host,
    client: &'a Client,
    context: &'a Context<'a>,
    /// When its evaluation began here, so that the display shows how long it took there.
    evaluates_since: Option<Instant>,
    /// When its build began, if it had begun before.
    builds_since: Option<Instant>,
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
        }
    }

    /// Hears a job from this byte of its output on. Returns how it ended; None if it was cut off.
    fn hear(&mut self, name: &str, from: u64) -> Result<(Talk, Option<JobEnd>)> {
        let instruction = Instruction::Follow { name, heard: from };
        let mut talk = Talk::open(self.host, &script(self.client, &instruction)?, self.context)?;
        let mut following = Following::new(name.to_owned(), from);
        talk.is_at_work();
        self.is_builder(talk.system(), talk.system());
        self.goes_to(Work::Evaluating, self.evaluates_since);
        loop {
            match talk.next(self.context)? {
                Said::Output(bytes) => following.take(&bytes).into_iter().for_each(|line| self.said(line)),
                Said::Event(BuilderEvent::Ended(end), _) => {
                    following.ends().into_iter().for_each(|line| self.said(line));
                    return Ok((talk, Some(end)));
                }
                Said::Event(BuilderEvent::Lost, _) => return Ok((talk, None)),
                Said::Event(_, line) => return Err(talk.out_of_turn(&line).into()),
                Said::Log(_) => {}
                Said::End(failure) => return Err(failure.into()),
            }
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
