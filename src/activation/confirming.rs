//! A change that was tried out waits to be confirmed, and goes back without that (`scripts/confirm.sh`). Here is what
//! confirms it: a new login to the target, a host that this machine reaches, or a person.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::changing::{ChangeOutcome, ChangeOutput, Incomplete, PAUSE};
use super::opening::greeted;
use super::reply::{Record, TargetEvent};
use super::session::{FromScript, Session};
use super::text::{self, RootTask};
use super::{ProfileChange, Target, Wants};
use crate::context::Context;
use crate::failure::{Failure, Interrupted};
use crate::host::{Host, Place};
use crate::progress::Event;
use crate::vocabulary::{Confirmation, Proof, Rights};

/// Confirms the change of this machine that waits for it, and sees it through. A person says by this that all is well.
/// Returns the failure of an activation that failed all the same.
///
/// # Errors
/// No change waits, or there is no way in, or no way to root.
pub fn confirm(place: &Place, rights: Rights, context: &Context) -> Result<Option<Incomplete>> {
    let wants = Wants {
        rights,
        changes: true,
        ..Wants::default()
    };
    let (mut target, user) = Target::greet(place, wants, context)?;
    let waiting = match target.become_root(&user, true, context)? {
        Some(mut session) => running(&mut session, context)?,
        None => None,
    };
    let Some(record) = waiting else {
        return Err(target.nothing_waits().into());
    };
    if !target.say_confirmed(&record.name, context)? {
        return Err(target.nothing_waits().into());
    }
    context.tell(Event::Text(format!("{}: confirmed", target.described(Some(&record)))));
    let task = RootTask::Follow(&record.name, 0);
    let heard = target.see_through(&task, &record.name, &mut ChangeOutput::of_another(), context)?;
    match heard {
        ChangeOutcome::Ended(ending) => target.conclude(&record.action, ending, &ProfileChange::Keep, true),
        ChangeOutcome::Failed(failure) | ChangeOutcome::Broke { failure, .. } => Err(failure.into()),
        // Somebody else has heard its end, and the record is gone.
        ChangeOutcome::Busy(_) | ChangeOutcome::Foreign | ChangeOutcome::Unknown => Ok(None),
    }
}

/// Returns the change that goes on, if one does.
fn running(session: &mut Session, context: &Context) -> Result<Option<Record>> {
    let mut last = None;
    loop {
        match session.next(context)? {
            FromScript::Event(TargetEvent::Record(record)) => last = Some(record),
            FromScript::Event(TargetEvent::Running) => {
                session.is_over();
                return Ok(last);
            }
            FromScript::Event(TargetEvent::Nothing | TargetEvent::Ended(_)) => {
                session.is_over();
                return Ok(None);
            }
            FromScript::Event(_) | FromScript::Output(_) => {}
            FromScript::End => return Ok(None),
        }
    }
}

/// Checks before anything is changed that what is to confirm the change is possible now.
///
/// # Errors
/// The host cannot be reached.
pub fn can_be_confirmed(confirmation: &Confirmation, context: &Context) -> Result<()> {
    let Proof::Reaching(hosts) = &confirmation.by else {
        return Ok(());
    };
    reach_one(hosts, context).map(|_| ()).map_err(|error| {
        if error.is::<Interrupted>() {
            return error;
        }
        Failure::new(format!(
            "the change is to be confirmed by reaching another machine, and that is not possible now ({error}): nothing was \
             changed"
        ))
        .with_remedy("another host: --confirm-by HOST\na person, by rebuild confirm: --confirm-by ''\nwithout it: --no-confirm")
        .into()
    })
}

/// Logs in anew to the first of these hosts that lets us in, and returns it.
fn reach_one<'a>(hosts: &'a [Host], context: &Context) -> Result<&'a Host> {
    let mut failed = None;
    for host in hosts {
        let place = Place::There(host.clone());
        let mut session = Session::start_anew(&place, &text::look(), context)?;
        session.be_quiet(true);
        match greeted(session, context) {
            Ok(_) => return Ok(host),
            Err(error) if error.is::<Interrupted>() => return Err(error),
            Err(error) => failed = Some(error),
        }
    }
    Err(failed.unwrap_or_else(|| Failure::new("no machine is named that could be reached").into()))
}

impl Target {
    /// Confirms a change of ours that waits for it, as soon as what is to confirm it succeeds, and gives up when the
    /// target does not wait any more.
    ///
    /// # Errors
    /// A signal has come.
    pub(super) fn prove(&self, name: &str, confirmation: &Confirmation, context: &Context) -> Result<()> {
        if confirmation.by == Proof::Person {
            let text = format!(
                "within {} seconds, if all is well: {}",
                confirmation.seconds,
                self.confirm_command()
            );
            context.tell(Event::Text(text));
            return Ok(());
        }
        let end = Instant::now() + Duration::from_secs(confirmation.seconds.into());
        let mut is_told = false;
        while Instant::now() < end {
            match self.try_to_prove(name, &confirmation.by, context) {
                Ok(proof) => {
                    if let Some(proof) = proof {
                        context.tell(Event::Text(proof));
                    }
                    return Ok(());
                }
                Err(error) if error.is::<Interrupted>() => return Err(error),
                Err(error) if !is_told => {
                    let text = format!(
                        "not confirmed yet: {error}; trying again for {} seconds",
                        confirmation.seconds
                    );
                    context.tell(Event::Text(text));
                    is_told = true;
                }
                Err(_) => {}
            }
            context.signals.pause(PAUSE)?;
        }
        Ok(())
    }

    /// Returns what has confirmed the change, in words. None if it does not wait any more.
    fn try_to_prove(&self, name: &str, by: &Proof, context: &Context) -> Result<Option<String>> {
        let on = self.label();
        let proof = match by {
            Proof::Reaching(hosts) => format!("confirmed: {} can be reached from {on}", reach_one(hosts, context)?),
            Proof::Login | Proof::Person => format!("confirmed by a new login to {on}"),
        };
        Ok(self.say_confirmed(name, context)?.then_some(proof))
    }

    /// Has root there confirm the change, over a new login. Returns false if it does not wait for that any more, or yet.
    fn say_confirmed(&self, name: &str, context: &Context) -> Result<bool> {
        let text = self.elevating().task(&RootTask::Confirm(name), self.systemd_run)?;
        let mut session = Session::start_anew(&self.place, &text, context)?;
        let (mut is_root, mut asks) = (false, None);
        loop {
            let reply = match session.next(context)? {
                FromScript::Event(reply) => reply,
                FromScript::Output(_) => continue,
                FromScript::End => return Err(session.broken(context)?.into()),
            };
            match reply {
                TargetEvent::Root => is_root = true,
                TargetEvent::Asks(modules) => asks = Some(modules),
                TargetEvent::Missing(program) => return Err(self.missing(&program).into()),
                TargetEvent::Refused | TargetEvent::Left => {
                    return Err(self.refused("this user", session.last_words(), asks.as_deref()).into());
                }
                TargetEvent::Confirmed | TargetEvent::NotAwaited if !is_root => {
                    return Err(session.out_of_turn("speaks of the change before root does").into());
                }
                TargetEvent::Confirmed | TargetEvent::NotAwaited => {
                    session.is_over();
                    return Ok(reply == TargetEvent::Confirmed);
                }
                _ => {}
            }
        }
    }

    /// Returns the command by which a person confirms a change of this target.
    pub(super) fn confirm_command(&self) -> String {
        match &self.place {
            Place::Here => "rebuild confirm".to_owned(),
            Place::There(host) => format!("rebuild confirm --target-host {host}"),
        }
    }

    fn nothing_waits(&self) -> Failure {
        Failure::new(format!("no change of {} waits to be confirmed", self.label()))
            .with_remedy("it may be under way still, or gone back by now: the next rebuild switch says what it came to")
    }
}
