//! Runs that go on without the user (`--detach`): what they are told when they leave, the unit of systemd that goes on with
//! the whole run, and what such a unit came to, which the next run tells.
//!
//! A unit is told what to do by a file in this user's state, which it removes first of all: arguments and the properties of
//! a unit can be read by everybody, and a command line or the environment may have secrets.

mod unit;

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::deploy::wants;
use super::reach::typed_with;
use crate::activation::Target;
use crate::context::Context;
use crate::failure::{Failure, Interrupted};
use crate::harmless;
use crate::host::{Host, Place};
use crate::plan::{AS_ROOT, BUILDER_ALONE, Deployment, Making};
use crate::process::Invocation;
use crate::process::signals::Signals;
use crate::progress::{Event, spoken};
use crate::ssh;
use crate::surroundings::Surroundings;
use crate::vocabulary::Elevation;
use unit::Unit;

/// Where systemd is that runs the machine (`sd_booted(3)`).
const SYSTEMD: &str = "/run/systemd/system";

/// Returns what the user is told when this machine leaves the builder to itself.
pub(super) fn left(host: &Host, making: &Making, plan: &Deployment, around: &Surroundings) -> String {
    let configuration = harmless::name(&making.configuration.to_string());
    let alone = spoken(plan.absence.unattended);
    let again = typed_with(&unit::without_flag(&around.words), &[]);
    format!(
        "{host} goes on by itself with the build of {configuration}: this machine is not needed for it
  to bring the result here: {again}
  rebuild switch with the same flags brings it here and activates it; nothing is built twice
  to see how far it is, to follow it, to end it: rebuild status, rebuild attach, rebuild cancel, each with --eval-on {host}
  if nobody asks for it within {alone}, the work ends"
    )
}

/// Has a unit of systemd carry out the whole run, after everything that can be known beforehand.
///
/// # Errors
/// The run could not go on alone, or no unit can be started: then nothing was begun.
pub(super) fn hand_over(plan: &Deployment, context: &Context) -> Result<()> {
    if !Path::new(SYSTEMD).is_dir() {
        let failure = Failure::new("--detach: no systemd runs on this machine, which could go on with the run");
        return Err(failure.with_remedy(BUILDER_ALONE).into());
    }
    let manager = Manager::of(plan, context)?;
    for host in plan.hosts() {
        lets_in(host, plan, context)?;
    }
    let target = Target::open(&plan.target, wants(plan), context)?;
    context.signals.check()?;
    let unit = Unit::make(context.around, manager)?;
    let started = unit.start(plan, &target, context);
    if started.is_err() && unit.take_back() {
        unit.forget();
        return started.context("--detach: no unit of systemd could be started: nothing was begun");
    }
    context.tell(Event::Idle);
    context.tell(Event::Text(format!(
        "this run goes on by itself, as {}.service: you may log out
  to follow it: {}
  to end it: {}
  what it comes to is told by the next run as well",
        unit.name,
        unit.journal(),
        unit.stop()
    )));
    match started {
        Err(error) if error.is::<Interrupted>() => return Err(error),
        Err(error) => context.tell(Event::Text(format!("warning: it has begun, although {error:#}"))),
        Ok(()) => {}
    }
    Ok(())
}

/// Tells what units of this user have come to since the last time, and which go on. Returns whether there was something to
/// tell. If that cannot be known, nothing is said.
///
/// # Errors
/// [`Interrupted`] if a signal has come.
pub(super) fn tell(context: &Context) -> Result<bool> {
    // A unit's shell waits for the run that it has started, which may be this one.
    let parent = fs::read(format!("/proc/{}/cmdline", nix::unistd::getppid())).unwrap_or_default();
    let mut told = false;
    for unit in Unit::all(context.around) {
        if unit.is_run_by(&parent) {
            continue;
        }
        let (text, is_over) = unit.came_to(context);
        // systemd may not have been heard.
        context.signals.check()?;
        context.tell(Event::Text(text));
        told = true;
        if is_over {
            unit.forget();
        }
    }
    Ok(told)
}

/// Who runs the unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manager {
    /// The machine's systemd, started by root, or as root.
    System,
    /// The user's own systemd, which stays after the logout.
    User,
}

impl Manager {
    /// Chooses a systemd that outlives this login.
    fn of(plan: &Deployment, context: &Context) -> Result<Self> {
        if nix::unistd::geteuid().is_root() {
            return Ok(Self::System);
        }
        if plan.target == Place::Here && plan.rights.elevation != Elevation::None {
            asks_for_no_password(plan.rights.elevation, context.signals)?;
            return Ok(Self::System);
        }
        let user = nix::unistd::geteuid().to_string();
        let asked = Invocation::new("loginctl").args(["show-user", "--property=Linger", "--value", &user]);
        let answer = asked.quietly(context.signals).unwrap_or_default();
        context.signals.check()?;
        if answer.trim_ascii() == b"yes" {
            return Ok(Self::User);
        }
        let failure = Failure::new("--detach: this user's systemd ends at the logout, and the run would end with it");
        Err(failure
            .with_remedy(format!("let it stay: loginctl enable-linger\nor {BUILDER_ALONE}"))
            .into())
    }

    fn flag(self) -> Option<&'static str> {
        (self == Self::User).then_some("--user")
    }
}

/// Checks that this user becomes root without a password, whatever the terminal remembers: a unit has no terminal.
fn asks_for_no_password(elevation: Elevation, signals: &Signals) -> Result<()> {
    let command = match elevation {
        Elevation::None => return Ok(()),
        Elevation::Sudo => Invocation::new("sudo").args(["-k", "-n", "true"]),
        Elevation::Doas => Invocation::new("doas").args(["-n", "true"]),
        Elevation::Run0 => Invocation::new("run0").args(["--no-ask-password", "true"]),
    };
    let refused = command.quietly(signals).is_err();
    signals.check()?;
    if refused {
        let program = command
            .words()
            .next()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        return Err(Failure::new(format!(
            "--detach: {program} asks for a password on this machine, and nobody would be there to type it: nothing was begun"
        ))
        .with_remedy(format!("{AS_ROOT}\nor {BUILDER_ALONE}"))
        .into());
    }
    Ok(())
}

/// Checks that ssh logs in to the host without what ends with this login: an agent, a password, a shared connection. A host
/// that may be off, or asleep, is left to the run.
fn lets_in(host: &Host, plan: &Deployment, context: &Context) -> Result<()> {
    let command = context.ssh.login_alone(host);
    context.tell(Event::Trace(format!("$ {command}")));
    let mut said = Vec::new();
    let tried = command.capture_and_watch(&mut |line| said.push(line.to_owned()), context.signals);
    context.signals.check()?;
    // A login shell that knows no "true" has let us in, too.
    let Some(failure) = tried
        .err()
        .and_then(|error| error.downcast::<Failure>().ok())
        .filter(|it| it.code() == 255)
    else {
        return Ok(());
    };
    let failure = ssh::no_session(host, failure.code(), &said.join("\n"));
    if failure.unreachable().is_some() && !failure.is_refusal() && plan.if_unreachable.doubtful().contains(&host) {
        return Ok(());
    }
    if !failure.is_refusal() {
        return Err(failure.into());
    }
    Err(Failure::new(format!(
        "--detach: {host} does not let this user in without an agent or a password, which end with this login ({failure})"
    ))
    .with_remedy(format!(
        "give this user a key without a passphrase for it, as IdentityFile in ~/.ssh/config; to try it: SSH_AUTH_SOCK= ssh -o BatchMode=yes {} true",
        host.destination()
    ))
    .into())
}
