//! One leg: what one machine does to make a system, and how the result travels. The result never lands on a machine
//! that does not need it.

use anyhow::{Context as _, Result};
use tempfile::TempDir;

use super::detached;
use super::elsewhere::{Errand, Recipient};
use super::here::{Here, through};
use super::nix_here;
use crate::activation::{self, Target};
use crate::builder::Answer;
use crate::builder::realisation::Building;
use crate::context::Context;
use crate::failure::Failure;
use crate::host::{Host, Place};
use crate::plan::argv::{self, Cargo};
use crate::plan::{Deed, Deployment, Leg, Making, Outcome};
use crate::progress::{Event, Work};
use crate::remote::daemon::Daemon;
use crate::remote::relay::Relay;
use crate::store_path::StorePath;

/// The result of a leg. It keeps the result from being collected on the machine that needs it next, until this is
/// dropped.
pub(super) struct Made {
    /// The derivation, or its output.
    pub path: StorePath,
    _roots: Option<TempDir>,
    _relay: Option<Relay>,
}

/// Everything that takes part in a leg of making a system.
pub(super) struct Maker<'a> {
    pub plan: &'a Deployment,
    pub making: &'a Making,
    pub target: &'a Target,
    pub context: &'a Context<'a>,
    /// The derivation that an evaluation must give, for `--verify-eval`.
    pub expected: Option<&'a StorePath>,
    /// The generation of channels that is evaluated with, if it is not the one of this machine's profile.
    pub channels: Option<&'a StorePath>,
}

impl Maker<'_> {
    /// Carries out a leg; `derivation` is the result of the leg before. A dry run returns None, and so does one that leaves
    /// the builder to itself.
    pub(super) fn make(&self, leg: &Leg, derivation: Option<&StorePath>) -> Result<Option<Made>> {
        match &leg.on {
            Place::Here => self.make_here(leg, derivation),
            Place::There(host) => self.make_there(host, leg, derivation),
        }
    }

    /// Returns the derivation that this machine itself makes from the configuration, for `--verify-eval`.
    pub(super) fn own_derivation(&self) -> Result<StorePath> {
        let text = "evaluating here first, to compare...";
        self.context.tell(Event::Text(text.to_owned()));
        self.here(false)?.evaluate(self.making)
    }

    /// Returns Nix on this machine; `stays` says whether its result stays here or is only sent on.
    pub(super) fn here(&self, stays: bool) -> Result<Here<'_>> {
        let reads_log = nix_here::is_log_ours(Some(&self.making.configuration), &self.plan.flags, self.context);
        Here::new(&self.plan.flags, &self.plan.outcome, reads_log, stays, self.context)
    }

    /// Returns what an earlier run made of the same question, if this machine still has it.
    pub(super) fn made_before(&self, evaluator: &Host) -> Option<Made> {
        let result = self.errand(evaluator).known_result().ok().flatten()?;
        // Nix would fetch what is not here.
        if !result.as_path().exists() {
            return None;
        }
        let here = self.here(true).ok()?;
        let path = here.realise(&result).ok().flatten()?;
        (path == result).then(|| Made {
            path,
            _roots: Some(here.into_roots()),
            _relay: None,
        })
    }

    /// Returns the work of another machine for this making.
    pub(super) fn errand<'b>(&'b self, host: &'b Host) -> Errand<'b> {
        Errand::new(host, self.making, self.channels, self.plan, self.context)
    }

    fn make_here(&self, leg: &Leg, derivation: Option<&StorePath>) -> Result<Option<Made>> {
        let here = self.here(leg.to.is_none())?;
        let path = match leg.deed {
            Deed::Evaluate => Some(here.evaluate(self.making)?),
            Deed::EvaluateAndBuild => here.build(self.making)?,
            Deed::Build | Deed::Have => here.realise(needed(derivation)?)?,
        };
        let Some(path) = path else { return Ok(None) };
        let relay = match leg.to.as_ref().and_then(Place::host) {
            None => None,
            Some(builder) if leg.deed == Deed::Evaluate => Some(self.send_derivation(&here, &path, builder)?),
            Some(target) => Some(send_to(&here, &path, self.target, target, self.context)?),
        };
        Ok(Some(Made {
            path,
            _roots: Some(here.into_roots()),
            _relay: relay,
        }))
    }

    /// Sends the derivation, with everything that it is made from, to nixos-rebuild's `--build-host`.
    fn send_derivation(&self, here: &Here, derivation: &StorePath, builder: &Host) -> Result<Relay> {
        self.context.tell(Event::Detail(format!("derivation: {derivation}")));
        let relay = Relay::new(activation::daemon_of(builder, &self.context.ssh)?)?;
        here.send(Cargo::Derivation(derivation), &relay, builder)
            .with_context(|| format!("this machine → {builder}{}", said(&relay)))?;
        Ok(relay)
    }

    fn make_there(&self, host: &Host, leg: &Leg, derivation: Option<&StorePath>) -> Result<Option<Made>> {
        let daemon = self.receiver(leg)?;
        let relay = daemon.clone().and_then(|daemon| self.relay(daemon));
        let recipient = leg.to.as_ref().map(|place| Recipient {
            relay: relay.as_ref(),
            machine: place.host(),
        });
        let errand = self.errand(host);
        let answer = match leg.deed {
            Deed::Evaluate => errand.evaluate(None, self.expected, recipient)?,
            Deed::EvaluateAndBuild => errand.evaluate(Some(self.building()), self.expected, recipient)?,
            Deed::Build | Deed::Have => errand.build(needed(derivation)?, self.building(), recipient)?,
        };
        if answer.is_left {
            self.context.tell(Event::Idle);
            let text = detached::left(host, self.making, self.plan, self.context.around);
            self.context.tell(Event::Text(text));
            return Ok(None);
        }
        let is_there = answer.delivered || leg.to.is_none();
        let Some(path) = path_of(answer, leg.deed)? else {
            return Ok(None);
        };
        let relay = if is_there {
            relay
        } else {
            // If the session could not bring the result, it is fetched. The daemon that was lent goes first: if the
            // link broke in the midst of a path, that daemon still waits for the rest, and has the path locked.
            drop(relay);
            let cargo = match leg.deed {
                Deed::Evaluate => Cargo::Derivation(&path),
                _ => Cargo::Path(&path),
            };
            self.carry(cargo, host, leg.to.as_ref().and_then(Place::host), daemon)?
        };
        Ok(Some(Made {
            path,
            _roots: None,
            _relay: relay,
        }))
    }

    /// Brings a path of another machine to this one.
    pub(super) fn bring_here(&self, path: StorePath, from: &Host) -> Result<Made> {
        let daemon = match self.plan.target {
            Place::Here => self.target.daemon(&self.context.ssh)?,
            Place::There(_) => Some(Daemon::own(self.context.around)),
        };
        let relay = daemon.clone().and_then(|daemon| self.relay(daemon));
        let is_delivered = match relay.as_ref() {
            Some(_) => {
                let recipient = Recipient {
                    relay: relay.as_ref(),
                    machine: None,
                };
                self.errand(from).bring(&path, recipient)?.delivered
            }
            None => false,
        };
        let relay = if is_delivered {
            relay
        } else {
            drop(relay);
            self.carry(Cargo::Path(&path), from, None, daemon)?
        };
        if !path.as_path().exists() {
            let failure = Failure::new(format!(
                "{from} → this machine: {path} has not arrived, nothing was changed"
            ));
            return Err(failure.with_remedy("run the same command again").into());
        }
        Ok(Made {
            path,
            _roots: None,
            _relay: relay,
        })
    }

    fn building(&self) -> Building {
        match self.plan.outcome {
            Outcome::DryBuild => Building::Dry,
            _ => Building::Real,
        }
    }

    /// Returns the daemon of the machine that gets a leg's result; None if no machine gets it, or if that machine has
    /// no daemon.
    fn receiver(&self, leg: &Leg) -> Result<Option<Daemon>> {
        match &leg.to {
            None => Ok(None),
            Some(Place::There(builder)) if leg.deed == Deed::Evaluate => {
                activation::daemon_of(builder, &self.context.ssh).map(Some)
            }
            // A result that is only evaluated comes to this machine to be built here, whatever the target is.
            Some(Place::Here) if self.plan.target != Place::Here => Ok(Some(Daemon::own(self.context.around))),
            Some(_) => self.target.daemon(&self.context.ssh),
        }
    }

    /// Returns a relay, or None if no daemon can or may be lent.
    fn relay(&self, daemon: Daemon) -> Option<Relay> {
        if !self.plan.flags.lend {
            return None;
        }
        match Relay::new(daemon) {
            Ok(relay) => Some(relay),
            Err(error) => {
                let text = format!("{error:#}: it will be fetched instead");
                self.context.tell(Event::Detail(text));
                None
            }
        }
    }

    /// Carries the cargo from a host to another host or to this machine, by a connection of Nix's own and through a
    /// relay of this program's to the receiver's daemon. So the receiving user does not have to be trusted if they can
    /// become root, and what has arrived is held until the relay is dropped. If there is no daemon at all, the Nix on
    /// this machine writes to its own store.
    fn carry(&self, cargo: Cargo, from: &Host, to: Option<&Host>, daemon: Option<Daemon>) -> Result<Option<Relay>> {
        let relay = match (daemon.map(Relay::new).transpose(), to) {
            (Err(error), Some(_)) => return Err(error),
            (relay, _) => relay.ok().flatten(),
        };
        let hop = to.map_or_else(|| "this machine".to_owned(), Host::to_string);
        let (ssh, flags) = (&self.context.ssh, &self.plan.flags);
        let copied = match (&relay, to) {
            (Some(relay), _) => {
                let command = ssh.for_nix(argv::pass_on(cargo, from, &relay.socket(), flags), from)?;
                through(&command, relay, to, self.context)
                    .with_context(|| format!("{from} → {hop}: nothing was changed{}", said(relay)))
            }
            (None, None) => {
                self.context.tell(Event::phase(Work::Fetching, Some(from)));
                let command = ssh.for_nix(argv::fetch(cargo.path(), from, flags), from)?;
                self.context.tell(Event::Trace(format!("$ {command}")));
                let fetched = command.run(self.context.signals);
                self.context.tell(Event::Idle);
                fetched.with_context(|| format!("{from} → {hop}: nothing was changed"))
            }
            (None, Some(to)) => Err(Failure::new(format!("{to} has no Nix daemon")).into()),
        };
        copied.map(|()| relay)
    }
}

fn needed(derivation: Option<&StorePath>) -> Result<&StorePath> {
    derivation.context("a build without a derivation")
}

fn path_of(answer: Answer, deed: Deed) -> Result<Option<StorePath>> {
    match deed {
        Deed::Evaluate => Ok(Some(answer.derivation.context("an evaluation without a derivation")?)),
        _ => Ok(answer.result),
    }
}

/// Brings a system that is on this machine to the target.
pub(super) fn bring(
    path: StorePath,
    to: Option<&Host>,
    plan: &Deployment,
    target: &Target,
    context: &Context,
) -> Result<Made> {
    let relay = match to {
        None => None,
        Some(host) => {
            let reads_log = nix_here::is_log_ours(None, &plan.flags, context);
            let here = Here::new(&plan.flags, &plan.outcome, reads_log, false, context)?;
            Some(send_to(&here, &path, target, host, context)?)
        }
    };
    Ok(Made {
        path,
        _roots: None,
        _relay: relay,
    })
}

/// Sends a path of this machine to the target.
fn send_to(here: &Here, path: &StorePath, target: &Target, host: &Host, context: &Context) -> Result<Relay> {
    let daemon = target
        .daemon(&context.ssh)?
        .ok_or_else(|| Failure::new(format!("{host} has no Nix daemon")))?;
    let relay = Relay::new(daemon)?;
    here.send(Cargo::Path(path), &relay, host)
        .with_context(|| format!("this machine → {host}: nothing was changed there{}", said(&relay)))?;
    Ok(relay)
}

/// Returns what the other end said when a transfer failed.
fn said(relay: &Relay) -> String {
    relay.complaint().map_or_else(String::new, |text| format!(" ({text})"))
}
