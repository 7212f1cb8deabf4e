//! What is asked about a client's jobs on another machine, apart from the runs that began them: which there are
//! ([`list`]), what one of them says ([`follow`](fn@follow)), and that some of them end ([`cancel`]). Only this client's own jobs
//! are known there (`scripts/jobs.sh`).
//!
//! - [`told`]: what that machine tells of a job, and its course;
//! - [`mod@follow`]: a job that is followed to its end;
//! - [`shown`]: jobs as a table, and as JSON.

mod follow;
mod shown;
mod talk;
mod told;

use anyhow::Result;

use super::diagnosis;
use super::parts::{Instruction, compose};
use super::request::Client;
use crate::context::Context;
use crate::failure::Failure;
use crate::host::Host;
use crate::remote::script::Script;
pub use follow::{Followed, follow};
pub use shown::{Listed, json, lines, words};
use talk::Talk;
#[cfg(any(test, fuzzing))]
pub(super) use told::look_at;
pub use told::{JobState, RemoteJob};

/// Returns this client's jobs there: those that run, and those that have ended and of which there still is a record.
///
/// # Errors
/// The machine cannot be reached, or says something that it was not asked; or a signal has come.
pub fn list(host: &Host, client: &Client, context: &Context) -> Result<Vec<RemoteJob>> {
    Talk::open(host, &script(client, &Instruction::TellJobs)?, context)?.hear_jobs(context)
}

/// Ends the jobs of these names, whoever follows them. Returns what is known of them after that: one that still runs has
/// not ended in time, and one that is missing was taken away meanwhile.
///
/// # Errors
/// Fails as [`list`] does, or if the machine tells of other jobs.
pub fn cancel(host: &Host, client: &Client, names: &[String], context: &Context) -> Result<Vec<RemoteJob>> {
    let talk = Talk::open(host, &script(client, &Instruction::CancelJobs(names))?, context)?;
    let jobs = talk.hear_jobs(context)?;
    match jobs.iter().find(|job| !names.contains(&job.record.name)) {
        Some(other) => Err(Failure::new(format!(
            "{host} tells of {}, which was not to end: that is not taken",
            other.record.name
        ))
        .with_remedy(diagnosis::somebody_else(host))
        .into()),
        None => Ok(jobs),
    }
}

/// Returns the text for the other machine's shell.
pub(super) fn script(client: &Client, instruction: &Instruction) -> Result<Vec<u8>, Failure> {
    let all = [Instruction::Begin, instruction.clone(), Instruction::Finish];
    compose(session_words(client)?, &all)
}

/// Returns the client's words: those that the session takes. Nothing is begun that would need a name.
fn session_words(client: &Client) -> Result<Script, Failure> {
    let mut script = Script::default();
    script.set("rb_client", &client.name)?;
    script.set_yes("rb_client_stays", client.stays)?;
    for name in ["rb_socket", "rb_job", "rb_about"] {
        script.set(name, "")?;
    }
    script.set("rb_alone", "0")?;
    Ok(script)
}
