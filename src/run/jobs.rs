//! `status`, `attach` and `cancel`: what other machines do for this user, apart from the runs that began it.

use anyhow::Result;
use signal_hook::consts::SIGINT;

use super::identity;
use crate::builder::jobs::{self, Followed, JobState, Listed, RemoteJob};
use crate::builder::request::Client;
use crate::context::Context;
use crate::failure::{Failure, Interrupted};
use crate::harmless::{self, Colours};
use crate::host::Host;
use crate::output;
use crate::plan::{Chosen, JobsPlan, JobsTask, nowhere};
use crate::process::quote::shell_word;
use crate::progress::Event;

/// Asks the machines about jobs, and does with these what is asked. `told` is whether the user was told of runs of this
/// machine that went on by themselves.
///
/// # Errors
/// No machine could be asked, or there is no such job; or a signal has come.
pub(super) fn carry_out(plan: &JobsPlan, told: bool, context: &Context) -> Result<()> {
    if let (JobsTask::List { json }, true) = (&plan.task, plan.hosts.is_empty()) {
        return list_nothing(*json, told, context);
    }
    let client = identity::client(context.around, &context.reporter);
    if !client.stays {
        let message = "no builder knows this user again, so none can tell which jobs are theirs";
        return Err(Failure::new(message).into());
    }
    let (listed, failures) = ask(plan, &client, context)?;
    match &plan.task {
        JobsTask::List { json } => list(&listed, *json, context)?,
        JobsTask::Attach(chosen) => {
            let (host, job) = chosen_to_attach(chosen, plan, &listed)?;
            attach(plan, &client, host, job, context)?;
        }
        JobsTask::Cancel(chosen) => cancel(&chosen_to_cancel(chosen, plan, &listed)?, plan, &client, context)?,
    }
    // A machine that is off is one of several; one that is there and does not answer as it should is a failure.
    failures.into_iter().next().map_or(Ok(()), Err)
}

/// Asks all machines. Returns what they have told, and why those have not that should have.
fn ask(plan: &JobsPlan, client: &Client, context: &Context) -> Result<(Vec<Listed>, Vec<anyhow::Error>)> {
    let (mut listed, mut failures) = (Vec::new(), Vec::new());
    let is_list = matches!(plan.task, JobsTask::List { .. });
    for host in &plan.hosts {
        if plan.hosts.len() > 1 {
            context.ssh.hurry(host);
        }
        let told = visit(host, !is_list, client, context);
        let jobs = match told {
            Ok(jobs) => Ok(sorted(jobs)),
            Err(error) if error.is::<Interrupted>() => return Err(error),
            Err(error) => {
                let text = format!("{error:#}");
                failures.push(error);
                Err(text)
            }
        };
        listed.push(Listed {
            host: host.clone(),
            jobs,
        });
    }
    if failures.len() == listed.len() {
        if let Some(error) = failures.into_iter().next() {
            return Err(error);
        }
        failures = Vec::new();
    }
    for machine in &listed {
        if let Err(error) = &machine.jobs {
            output::say(&format!(
                "warning: {error}\n  so it is not known which jobs {} has",
                machine.host
            ));
        }
    }
    failures.retain(|error| !is_unreachable(error));
    Ok((listed, failures))
}

fn is_unreachable(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<Failure>()
        .is_some_and(|failure| failure.unreachable().is_some())
}

fn visit(host: &Host, is_shared: bool, client: &Client, context: &Context) -> Result<Vec<RemoteJob>> {
    context.ssh.check(host, context.signals)?;
    if is_shared {
        // The jobs are chosen over one session, and followed or ended over another one.
        context.ssh.share(host, context.signals)?;
    }
    jobs::list(host, client, context)
}

/// Returns the jobs without those that are no news: the ones that run first, and the newest of them first.
fn sorted(mut jobs: Vec<RemoteJob>) -> Vec<RemoteJob> {
    jobs.retain(|job| !job.is_settled());
    jobs.sort_by_key(|job| match &job.state {
        JobState::Running => (0, job.age),
        JobState::Ended { ago, .. } => (1, *ago),
    });
    jobs
}

fn list(listed: &[Listed], json: bool, context: &Context) -> Result<()> {
    let text = if json {
        jobs::json(listed)
    } else {
        harmless::text(&jobs::lines(listed), Colours::Dropped)
    };
    output::result(&text)?;
    for machine in listed {
        if machine.jobs.as_ref().is_ok_and(Vec::is_empty) {
            context.tell(Event::Text(format!(
                "{}: no job of this user runs there, and none is remembered",
                machine.host
            )));
        }
    }
    Ok(())
}

/// Says that no machine was asked, if there was something else to tell.
///
/// # Errors
/// There was nothing.
fn list_nothing(json: bool, told: bool, context: &Context) -> Result<()> {
    let nowhere = nowhere("status");
    if !told {
        return Err(nowhere.into());
    }
    list(&[], json, context)?;
    let remedy = nowhere.remedy().unwrap_or_default();
    context.tell(Event::Text(format!("{nowhere}\n  {remedy}")));
    Ok(())
}

/// A job, and the machine that has it.
type Place<'a> = (&'a Host, &'a RemoteJob);

/// Returns all jobs of all machines.
fn all(listed: &[Listed]) -> Vec<Place<'_>> {
    let known = listed
        .iter()
        .filter_map(|machine| Some((&machine.host, machine.jobs.as_ref().ok()?)));
    known
        .flat_map(|(host, jobs)| jobs.iter().map(move |job| (host, job)))
        .collect()
}

fn running(listed: &[Listed]) -> Vec<Place<'_>> {
    let mut running = all(listed);
    running.retain(|(_, job)| job.is_running());
    running
}

/// Returns the job whose name begins like this.
fn named<'a>(name: &str, plan: &JobsPlan, listed: &'a [Listed]) -> Result<Place<'a>, Failure> {
    let mut found = all(listed);
    found.retain(|(_, job)| job.record.name.starts_with(name));
    match found[..] {
        [one] => Ok(one),
        [] => Err(
            Failure::usage(format!("no job of this user has a name that begins with '{name}'"))
                .with_remedy(format!("their names: {}", command("status", plan))),
        ),
        _ => {
            Err(Failure::usage(format!("several jobs have names that begin with '{name}'")).with_remedy(names(&found)))
        }
    }
}

fn names(jobs: &[Place]) -> String {
    let lines = jobs.iter().map(|(host, job)| {
        format!(
            "--job {}   {} on {host}",
            job.record.name,
            harmless::name(&job.record.about)
        )
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn nothing_runs(plan: &JobsPlan) -> Failure {
    let hosts: Vec<String> = plan.hosts.iter().map(Host::to_string).collect();
    Failure::new(format!("no job of this user runs on {}", hosts.join(" or on ")))
        .with_remedy(format!("what has ended there: {}", command("status", plan)))
}

/// Returns the newest job that runs, or the one that is named.
fn chosen_to_attach<'a>(chosen: &Chosen, plan: &JobsPlan, listed: &'a [Listed]) -> Result<Place<'a>, Failure> {
    if let Chosen::Named(name) = chosen {
        return named(name, plan, listed);
    }
    let newest = running(listed).into_iter().min_by_key(|(_, job)| job.age);
    newest.ok_or_else(|| nothing_runs(plan))
}

/// Returns the jobs that are to end. Of several, somebody has to choose.
fn chosen_to_cancel<'a>(chosen: &Chosen, plan: &JobsPlan, listed: &'a [Listed]) -> Result<Vec<Place<'a>>, Failure> {
    let running = running(listed);
    match chosen {
        Chosen::Named(name) => {
            let (host, job) = named(name, plan, listed)?;
            if job.is_running() {
                Ok(vec![(host, job)])
            } else {
                Err(Failure::new(format!("{} has ended already", job.record.name))
                    .with_remedy(format!("what it came to: {}", command("status", plan))))
            }
        }
        Chosen::Running if running.len() > 1 => {
            let remedy = format!("{}\n--all          all of them", names(&running));
            Err(Failure::usage("several jobs of this user run: which of them is to end?").with_remedy(remedy))
        }
        Chosen::Running | Chosen::All if running.is_empty() => Err(nothing_runs(plan)),
        Chosen::Running | Chosen::All => Ok(running),
    }
}

/// Follows a job to its end, and says what comes next.
fn attach(plan: &JobsPlan, client: &Client, host: &Host, job: &RemoteJob, context: &Context) -> Result<()> {
    context.tell(Event::Text(format!(
        "following {} on {host}: {}",
        harmless::name(&job.record.name),
        harmless::name(&job.record.about)
    )));
    let home = command("switch", plan);
    let followed = jobs::follow(host, client, job, plan.reconnect, context).inspect_err(|error| {
        if let Some(Interrupted { signal: SIGINT }) = error.downcast_ref() {
            output::say(&format!(
                "{host} goes on with it; to end it: {}",
                command("cancel", plan)
            ));
        }
    })?;
    match followed {
        Followed::Built(path) => {
            context.tell(Event::Finished { is_the_same: false });
            context.tell(Event::Text(format!("{host} has {path}; this brings it home: {home}")));
        }
        Followed::Evaluated => {
            context.tell(Event::Text(format!("{host} has evaluated it; this goes on: {home}")));
        }
        Followed::Stopped(failure) => {
            return Err(failure
                .with_remedy(format!("what was done there is kept, and this goes on: {home}"))
                .into());
        }
        Followed::Failed(failure) => return Err(failure.into()),
    }
    Ok(())
}

/// Ends jobs, and says of each what it came to.
fn cancel(chosen: &[Place], plan: &JobsPlan, client: &Client, context: &Context) -> Result<()> {
    let mut left = Vec::new();
    for host in &plan.hosts {
        let on_it = chosen.iter().filter(|(other, _)| *other == host);
        let names: Vec<String> = on_it.map(|(_, job)| job.record.name.clone()).collect();
        if names.is_empty() {
            continue;
        }
        let ended = jobs::cancel(host, client, &names, context)?;
        for name in names
            .iter()
            .filter(|name| !ended.iter().any(|job| job.record.name == **name))
        {
            context.tell(Event::Text(format!(
                "{name} on {host}: nothing is known of it any more"
            )));
        }
        for job in ended {
            let name = harmless::name(&job.record.name);
            if job.is_running() {
                left.push(format!("{name} on {host}"));
            } else {
                context.tell(Event::Text(format!("{name} on {host} {}", jobs::words(&job))));
            }
        }
    }
    if left.is_empty() {
        return Ok(());
    }
    Err(Failure::new(format!("still not ended: {}", left.join(", ")))
        .with_remedy(format!(
            "it was told to end; whether it has: {}",
            command("status", plan)
        ))
        .into())
}

/// Returns the command that goes to the same machines.
fn command(verb: &str, plan: &JobsPlan) -> String {
    // No argument of a process contains a NUL byte.
    let flags = plan.flags.iter().map(|flag| shell_word(flag).unwrap_or_default());
    let flags = flags.map(|flag| format!(" {}", String::from_utf8_lossy(&flag)));
    format!("rebuild {verb}{}", flags.collect::<String>())
}
