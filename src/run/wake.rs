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

/// So many refusals in a row count. A machine that is about to start may not know its users' keys yet.
const REFUSALS: usize = 3;

/// Runs the command for these hosts. Returns whether it has worked, after a warning if it has not.
///
/// # Errors
/// A signal has come, or there is no shell.
pub(super) fn run(wake: &Wake, hosts: &[Host], context: &Context) -> Result<bool> {
    // There may be a secret in it, and everybody can read arguments. So it is not shown either.
    let command = Invocation::new("sh")
        .args(["-c", "eval \"$REBUILD_WAKE\""])
        .env("REBUILD_WAKE", &wake.command);
    // The command may write to the terminal.
    context.tell(Event::phase(Work::Asking, None));
    context.tell(Event::Text(format!(
        "waking {}: the command of 'wake' runs...",
        names(hosts)
    )));
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
    let (names, began) = (names(hosts), Instant::now());
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
        answers: vec![Answers::default(); hosts.len()],
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

/// Returns the hosts in words.
fn names(hosts: &[Host]) -> String {
    let names: Vec<String> = hosts.iter().map(Host::to_string).collect();
    names.join(" or ")
}

/// What a host has answered until now other than a session.
#[derive(Debug, Clone, Default)]
struct Answers {
    /// How often in a row it has refused.
    refusals: usize,
    /// Whether there was somebody at the last attempt.
    is_there: bool,
}

impl Answers {
    /// Notes how an attempt has failed. Returns whether this is its answer for good. One that closes the connection is
    /// about to start (`pam_nologin`, a port that somebody forwards to it).
    fn hear(&mut self, error: &anyhow::Error) -> bool {
        let failure = error.downcast_ref::<Failure>();
        self.is_there = failure.is_none_or(|failure| failure.unreachable().is_none());
        let refuses = failure.is_some_and(Failure::is_refusal);
        self.refusals = if refuses { self.refusals + 1 } else { 0 };
        self.refusals >= REFUSALS
    }
}

struct Waiting<'a> {
    hosts: &'a [Host],
    /// What each host has answered.
    answers: Vec<Answers>,
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
                break;
            }
            self.context.signals.pause(PAUSE.min(left))?;
        }
        // One that is there and lets nobody in is not one that is off.
        for (host, answers) in self.hosts.iter().zip(&self.answers) {
            if let Some(connection) = answers.is_there.then(|| self.insist(host)).transpose()?.flatten() {
                return Ok(Some((host.clone(), connection)));
            }
        }
        Ok(None)
    }

    /// Tries one of them. Returns None if it does not answer yet.
    fn attempt(&mut self, index: usize) -> Result<Option<Connection>> {
        let host = &self.hosts[index];
        match activation::try_to_reach(host, self.context) {
            Ok(connection) => Ok(Some(connection)),
            Err(error) if error.is::<Interrupted>() => Err(error),
            Err(error) if self.answers[index].hear(&error) => self.insist(host),
            Err(_) => Ok(None),
        }
    }

    /// Tries one that is there a last time: what ssh has to ask, if that was in the way, it may ask now. Returns None if
    /// it cannot be reached any more.
    fn insist(&self, host: &Host) -> Result<Option<Connection>> {
        self.context.ssh.may_ask(host, true);
        let connection = activation::reach(host, self.context);
        self.context.ssh.may_ask(host, false);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ssh::no_session;

    #[test]
    fn refusals_in_a_row_are_an_answer_and_closed_connections_are_not() {
        let host = Host::parse("builder").unwrap();
        let refused = "builder: Permission denied (publickey).";
        let closed = "System is booting up.\nConnection closed by 192.0.2.1 port 22";
        let absent = "ssh: connect to host builder port 22: Connection refused";
        for (texts, expected, is_there) in [
            (&[refused, refused, refused][..], true, true),
            (&[refused, refused], false, true),
            (&[refused, refused, closed, refused, refused], false, true),
            (&[closed, closed, closed, closed, closed], false, true),
            (&[refused, refused, absent], false, false),
        ] {
            let mut answers = Answers::default();
            let mut heard = texts
                .iter()
                .map(|text| answers.hear(&no_session(&host, 255, text).into()));
            assert_eq!(heard.any(|is_last| is_last), expected, "{texts:?}");
            assert_eq!(answers.is_there, is_there, "{texts:?}");
        }
        // A machine that begins to talk and breaks off is there.
        let mut answers = Answers::default();
        assert!(!answers.hear(&anyhow::anyhow!("the connection broke")));
        assert!(answers.is_there);
    }
}
