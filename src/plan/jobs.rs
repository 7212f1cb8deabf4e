//! `rebuild status`, `attach` and `cancel`: which machines are asked about jobs, and what.

use std::time::Duration;

use super::checkup::flags;
use super::{Candidates, Facts};
use crate::cli::{Arguments, Verb};
use crate::failure::Failure;
use crate::host::Host;
use crate::settings::Settings;

/// What is asked about jobs.
#[derive(Debug, PartialEq, Eq)]
pub struct JobsPlan {
    /// What becomes of them.
    pub task: JobsTask,
    /// The machines that may have jobs, each once: all that may evaluate or build. A job is on the machine that answered
    /// first when it began, so all of them are asked. None if the jobs are listed and no machine is named: then there may be
    /// runs of this machine that go on by themselves.
    pub hosts: Vec<Host>,
    /// The flags for hosts, as they were typed, with which a run goes to the same machines.
    pub flags: Vec<String>,
    /// How long whoever follows a job tries to come back after their link broke. Zero: they do not try.
    pub reconnect: Duration,
}

/// What becomes of jobs.
#[derive(Debug, PartialEq, Eq)]
pub enum JobsTask {
    /// They are listed.
    List {
        /// Whether the list is JSON instead of a table.
        json: bool,
    },
    /// One is followed.
    Attach(Chosen),
    /// Some are ended.
    Cancel(Chosen),
}

/// Which jobs are meant.
#[derive(Debug, PartialEq, Eq)]
pub enum Chosen {
    /// The one that runs.
    Running,
    /// All that run.
    All,
    /// The one whose name begins like this.
    Named(String),
}

impl JobsPlan {
    pub(super) fn new(arguments: &Arguments, settings: &Settings, facts: &Facts) -> Result<Self, Failure> {
        if arguments.roles.target_host.is_some() {
            let message = "--target-host: jobs are on the machine that evaluates or builds";
            return Err(Failure::usage(message).with_remedy("name that one: --eval-on HOST, or --build-on HOST"));
        }
        let candidates = Candidates::new(settings, facts)?;
        let mut hosts: Vec<Host> = Vec::new();
        for host in candidates.hosts() {
            if !hosts.contains(host) {
                hosts.push(host.clone());
            }
        }
        let (verb, task) = task(arguments);
        // Something of this machine's own may be told without one.
        if hosts.is_empty() && !matches!(task, JobsTask::List { .. }) {
            return Err(nowhere(verb));
        }
        let flags = flags(arguments, settings);
        Ok(Self {
            task,
            hosts,
            flags,
            reconnect: settings.reconnect_timeout(),
        })
    }
}

/// Returns the failure if no machine is named that could have jobs.
#[must_use]
pub fn nowhere(verb: &str) -> Failure {
    Failure::usage("no other machine is named that evaluates or builds, and jobs are nowhere else")
        .with_remedy(format!("name it: rebuild {verb} --eval-on HOST"))
}

fn task(arguments: &Arguments) -> (&'static str, JobsTask) {
    let flags = &arguments.verbs;
    let chosen = match &flags.job {
        Some(name) => Chosen::Named(name.clone()),
        None if flags.all => Chosen::All,
        None => Chosen::Running,
    };
    match arguments.verb {
        Verb::Attach => ("attach", JobsTask::Attach(chosen)),
        Verb::Cancel => ("cancel", JobsTask::Cancel(chosen)),
        _ => ("status", JobsTask::List { json: flags.json }),
    }
}
