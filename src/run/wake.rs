//! Waking a machine that sleeps, and waiting until it answers.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::activation::{self, Connection};
use crate::context::Context;
use crate::failure::{Failure, Interrupted};
use crate::host::Host;
use crate::plan::Wake;
use crate::process::Invocation;
use crate::progress::{Event, Work};

/// The time between two rounds of attempts.
const PAUSE: Duration = Duration::from_secs(3);

/// So many answers in a row other than a session are an answer for good. A machine that is about to start refuses its
/// users for a while (`pam_nologin`).
const REFUSALS: usize = 3;

/// Runs the command. Returns whether it has worked, after a warning if it has not.
///
/// # Errors
/// A signal has come, or there is no shell.
pub(super) fn run(wake: &Wake, context: &Context) -> Result<bool> {
    let command = Invocation::new("sh").args(["-c", &wake.command]);
    // The command may write to the terminal.
    context.tell(Event::phase(Work::Asking, None));
    context.tell(Event::Text(format!("waking it: {}", wake.command)));
    let status = command.run_within(wake.patience, context.signals);
    context.tell(Event::Idle);
    let how = match status? {
        Some(0) => return Ok(true),
        Some(code) => format!("has failed with exit status {code}"),
        None => format!(
            "has not ended within {} s (one that stays belongs into the background)",
            wake.patience.as_secs()
        ),
    };
    let text = format!("warning: the command of 'wake' {how}, so nothing is waited for");
    context.tell(Event::Text(text));
    Ok(false)
}

/// Waits until the first of these hosts answers, or until the deadline. Returns None if none answers; there is at least
/// one attempt for each.
///
/// # Errors
/// One of them answers and lets nobody in, or a signal has come.
pub(super) fn wait(hosts: &[Host], deadline: Instant, context: &Context) -> Result<Option<(Host, Connection)>> {
    let Some((first, others)) = hosts.split_first() else {
        return Ok(None);
    };
    let names: Vec<String> = hosts.iter().map(Host::to_string).collect();
    let (names, began) = (names.join(" or "), Instant::now());
    let seconds = deadline.saturating_duration_since(began).as_secs_f64().ceil();
    context.tell(Event::Text(format!(
        "waiting for {names} to wake, for at most {seconds} s..."
    )));
    for host in hosts {
        context.ssh.share(host, context.signals)?;
        // Nothing could be asked below a live display, and nobody may be there.
        context.ssh.may_ask(host, false);
    }
    let mut waiting = Waiting {
        refusals: vec![0; hosts.len()],
        hosts,
        phase: Event::phase(Work::Waking(others.len()), Some(first)),
        deadline,
        context,
    };
    let answer = waiting.wait();
    context.tell(Event::Idle);
    for host in hosts {
        context.ssh.may_ask(host, true);
    }
    let answer = answer?;
    let seconds = began.elapsed().as_secs_f64().round();
    context.tell(Event::Text(match &answer {
        Some((host, _)) => format!("{host} answers, after {seconds} s"),
        None => format!("warning: no answer from {names} after {seconds} s"),
    }));
    Ok(answer)
}

struct Waiting<'a> {
    hosts: &'a [Host],
    /// How often in a row each host has answered with something else than a session.
    refusals: Vec<usize>,
    phase: Event,
    deadline: Instant,
    context: &'a Context<'a>,
}

impl Waiting<'_> {
    fn wait(&mut self) -> Result<Option<(Host, Connection)>> {
        loop {
            for index in 0..self.hosts.len() {
                self.context.tell(self.phase.clone());
                if let Some(connection) = self.attempt(index)? {
                    return Ok(Some((self.hosts[index].clone(), connection)));
                }
            }
            let left = self.deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            self.context.signals.pause(PAUSE.min(left))?;
        }
    }

    /// Tries one of them. Returns None if it does not answer yet.
    fn attempt(&mut self, index: usize) -> Result<Option<Connection>> {
        let (host, context) = (&self.hosts[index], self.context);
        let error = match activation::try_to_reach(host, context) {
            Ok(connection) => return Ok(Some(connection)),
            Err(error) if error.is::<Interrupted>() => return Err(error),
            Err(error) => error,
        };
        let refusals = &mut self.refusals[index];
        *refusals = if is_absence(&error) { 0 } else { *refusals + 1 };
        if *refusals < REFUSALS {
            return Ok(None);
        }
        *refusals = 0;
        // It is there. What ssh has to ask, if that was in the way, it may ask now.
        context.ssh.may_ask(host, true);
        let connection = activation::reach(host, context);
        context.ssh.may_ask(host, false);
        match connection {
            Err(error) if is_absence(&error) => Ok(None),
            connection => connection.map(Some),
        }
    }
}

fn is_absence(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<Failure>()
        .is_some_and(|failure| failure.unreachable().is_some())
}
