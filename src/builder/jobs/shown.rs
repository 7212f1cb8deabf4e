//! Jobs as a table for people, and as JSON for programs.

use std::time::Duration;

use serde_json::{Value, json as value};

use super::told::{Counts, JobState, RemoteJob};
use crate::builder::job_end::JobEnd;
use crate::harmless;
use crate::host::Host;
use crate::progress::elapsed;
use crate::table;

/// The number of letters of a name that are shown where they are enough.
const SHORT: usize = 8;

/// How wide the columns are at most: together they take less than 80 columns of a terminal.
const WIDEST: [usize; 3] = [20, 30, 26];

/// What is known of one machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The machine.
    pub host: Host,
    /// This client's jobs there, or why they are not known.
    pub jobs: Result<Vec<RemoteJob>, String>,
}

/// Returns the table: under each machine that has jobs, a line for each of them, and below it what it is about and what
/// it has built. A path stays on one line, so that it can be copied whole.
#[must_use]
pub fn lines(machines: &[Listed]) -> String {
    let mut text = Vec::new();
    for machine in machines {
        let Some(jobs) = machine.jobs.as_ref().ok().filter(|jobs| !jobs.is_empty()) else {
            continue;
        };
        text.push(machine.host.to_string());
        let rows: Vec<_> = jobs.iter().map(|job| row(job, jobs)).collect();
        for (job, line) in jobs.iter().zip(table::lines(&rows, WIDEST)) {
            let about = Some(harmless::name(&job.record.about));
            let more = [about, result(job)].into_iter().flatten();
            text.push(format!("  {line}"));
            text.extend(more.map(|line| format!("    {line}")));
        }
    }
    text.into_iter().map(|line| line + "\n").collect()
}

fn row(job: &RemoteJob, all: &[RemoteJob]) -> [String; 3] {
    let since = match &job.state {
        JobState::Running => format!("for {}", since(job.age)),
        JobState::Ended { ago, .. } => format!("{} ago", since(*ago)),
    };
    [
        harmless::name(short(&job.record.name, all)),
        words(job),
        format!("{since}{}", if job.is_followed { ", followed" } else { "" }),
    ]
}

/// Returns the beginning of a name that no other job has.
fn short<'a>(name: &'a str, all: &[RemoteJob]) -> &'a str {
    let beginning = name.get(..SHORT).unwrap_or(name);
    let others = all.iter().filter(|job| job.record.name.starts_with(beginning)).count();
    if others > 1 { name } else { beginning }
}

/// Returns what a job does, or what it came to.
#[must_use]
pub fn words(job: &RemoteJob) -> String {
    let end = match &job.state {
        JobState::Running => {
            return match &job.building {
                None => "evaluates".to_owned(),
                Some(building) => format!("builds{}", building.counts.map_or_else(String::new, counted)),
            };
        }
        JobState::Ended { end, .. } => end,
    };
    match end {
        None => "was cut off".to_owned(),
        Some(JobEnd::Asked) => "asks for more".to_owned(),
        Some(JobEnd::Made(_) | JobEnd::Valued) => "has evaluated".to_owned(),
        Some(JobEnd::Built { .. }) => "has built".to_owned(),
        Some(JobEnd::Joins { .. }) => "joined another".to_owned(),
        Some(JobEnd::Failed { code, .. }) => format!("failed (status {code})"),
        Some(JobEnd::Cancelled) => "was ended".to_owned(),
        Some(JobEnd::Unknown) => "has ended".to_owned(),
    }
}

fn counted(counts: Counts) -> String {
    let failed = match counts.failed {
        0 => String::new(),
        failed => format!(", {failed} failed"),
    };
    match counts.expected {
        0 => failed,
        expected => format!(" {} of {expected}{failed}", counts.done),
    }
}

fn result(job: &RemoteJob) -> Option<String> {
    match &job.state {
        JobState::Ended {
            end: Some(JobEnd::Built { output, .. }),
            ..
        } => Some(output.to_string()),
        _ => None,
    }
}

fn since(seconds: u64) -> String {
    elapsed(Duration::from_secs(seconds))
}

/// Returns the list for programs. The manual page has its schema.
#[must_use]
pub fn json(machines: &[Listed]) -> String {
    let machines: Vec<Value> = machines.iter().map(of_machine).collect();
    // Quotes keep most orders from a terminal, but JSON lets some letters through.
    let text = format!("{:#}\n", value!({ "machines": machines }));
    harmless::json(&text)
}

fn of_machine(machine: &Listed) -> Value {
    let (jobs, error) = match &machine.jobs {
        Ok(jobs) => (Some(jobs.iter().map(of_job).collect::<Vec<_>>()), None),
        Err(error) => (None, Some(error)),
    };
    value!({ "machine": machine.host.to_string(), "error": error, "jobs": jobs })
}

fn of_job(job: &RemoteJob) -> Value {
    let (how, ended, end) = match &job.state {
        JobState::Running if job.building.is_some() => ("building", None, None),
        JobState::Running => ("evaluating", None, None),
        JobState::Ended { end, ago } => (end.as_ref().map_or("lost", JobEnd::word), Some(*ago), end.as_ref()),
    };
    let (stage, code) = match end {
        Some(JobEnd::Failed { stage, code }) => (Some(stage.word()), Some(code.get())),
        _ => (None, None),
    };
    let derivation = match end {
        Some(JobEnd::Made(derivation)) => Some(derivation),
        _ => job.building.as_ref().map(|building| &building.derivation),
    };
    let counts = job.building.as_ref().and_then(|building| building.counts);
    value!({
        "name": job.record.name,
        "about": job.record.about,
        "running": job.is_running(),
        "state": how,
        "began": job.record.began,
        "age": job.age,
        "building_for": job.building.as_ref().filter(|_| job.is_running()).map(|building| building.age),
        "ended_ago": ended,
        "builds": counts.map(|counts| value!({
            "done": counts.done,
            "expected": counts.expected,
            "running": counts.running,
            "failed": counts.failed,
        })),
        "derivation": derivation.map(ToString::to_string),
        "result": result(job),
        "failed": stage,
        "status": code,
        "followed": job.is_followed,
    })
}

/// Fuzzing: whatever was told is harmless to show.
#[cfg(any(test, fuzzing))]
pub(super) fn check(jobs: Vec<RemoteJob>) {
    let Ok(host) = Host::parse("builder") else { return };
    let number = jobs.len();
    let machines = [Listed { host, jobs: Ok(jobs) }];
    let (table, json) = (lines(&machines), json(&machines));
    assert!(crate::fuzz::is_harmless(&table), "{table:?}");
    assert!(table.lines().count() <= 3 * number + 1, "{table}");
    assert!(crate::fuzz::is_harmless(&json), "{json:?}");
    let read: Result<Value, _> = serde_json::from_str(&json);
    assert!(read.is_ok_and(|read| read["machines"][0]["jobs"].as_array().map(Vec::len) == Some(number)));
}
