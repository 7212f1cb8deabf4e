//! The system comes to be: who evaluates, who builds, and how what they make travels. It never lands on a machine that
//! does not need it.

use anyhow::{Context as _, Result};
use tempfile::TempDir;

use super::elsewhere::{Delivery, Errand};
use super::here::{Here, through};
use super::nix_here;
use crate::context::Context;
use crate::daemon::Daemon;
use crate::failure::Failure;
use crate::host::{Host, Place};
use crate::plan::argv::{self, Cargo, Images};
use crate::plan::{Kind, Making, NixFlags, Outcome};
use crate::progress::{Event, Phase};
use crate::session::relay::Relay;
use crate::session::request::Goal;
use crate::session::{Answer, CannotEvaluate};
use crate::store_path::StorePath;
use crate::target::{self, Target};

/// What was made, and what keeps it from being collected until it is a generation.
pub(super) struct Made {
    /// Its path, on the target.
    pub path: StorePath,
    _roots: Option<TempDir>,
    _relay: Option<Relay>,
}

/// Everybody who takes part.
pub(super) struct Maker<'a> {
    pub making: &'a Making,
    pub flags: &'a NixFlags,
    pub outcome: &'a Outcome,
    pub target: &'a Target,
    pub place: &'a Place,
    pub context: &'a Context<'a>,
}

impl Maker<'_> {
    /// Evaluates and builds, and brings the result to the target. Nothing comes of a dry run.
    pub(super) fn make(&self) -> Result<Option<Made>> {
        let Making { evaluator, builder, .. } = self.making;
        match (evaluator, builder) {
            (Place::Here, Place::Here) => {
                let here = self.here()?;
                let built = here.build(self.making)?;
                self.bring_from_here(here, built)
            }
            (Place::Here, Place::There(builder)) => {
                let here = self.here()?;
                let derivation = here.evaluate(self.making)?;
                self.build_there(&here, &derivation, builder)
            }
            (Place::There(evaluator), builder) => match self.evaluate_there(evaluator, builder) {
                Err(error) => self.without_evaluator(error, builder),
                made => made,
            },
        }
    }

    /// The images that there are, and where the file of the chosen one is.
    pub(super) fn images(&self) -> Result<Images> {
        let variant = match &self.making.product.kind {
            Kind::Image(variant) => variant.as_str(),
            _ => "",
        };
        let Place::There(evaluator) = &self.making.evaluator else {
            return self.here()?.images(self.making, variant);
        };
        let command = argv::images_there(self.making, variant, self.flags);
        match self.errand(evaluator).ask(command) {
            Ok(answer) => serde_json::from_str(&answer.value.unwrap_or_default())
                .with_context(|| format!("{evaluator} printed something else than the images")),
            Err(error) if error.is::<CannotEvaluate>() => self.here()?.images(self.making, variant),
            Err(error) => Err(error),
        }
    }

    fn here(&self) -> Result<Here<'_>> {
        let stays = *self.place == Place::Here && self.making.builder == Place::Here;
        let reads_log = nix_here::is_log_ours(Some(&self.making.configuration), self.flags, self.context);
        Here::new(self.flags, self.outcome, reads_log, stays, self.context)
    }

    fn errand<'b>(&'b self, host: &'b Host) -> Errand<'b> {
        Errand::new(host, self.making, self.flags, self.context)
    }

    fn goal(&self) -> Goal {
        match self.outcome {
            Outcome::DryBuild => Goal::DryRun,
            _ => Goal::Result,
        }
    }

    fn evaluate_there(&self, evaluator: &Host, builder: &Place) -> Result<Option<Made>> {
        let expected = self.own_derivation()?;
        let errand = self.errand(evaluator);
        match builder {
            Place::There(builder) if builder == evaluator => {
                let relay = self.relay_to_target(evaluator)?;
                let delivery = self.delivery_to_target(evaluator, relay.as_ref());
                let answer = errand.evaluate(self.goal(), expected, &delivery)?;
                self.fetch(answer, evaluator, relay)
            }
            Place::There(builder) => {
                let daemon = Some(target::daemon_of(builder, &self.context.ssh)?);
                let (derivation, held) = self.derivation_from(&errand, evaluator, Some(builder), daemon, expected)?;
                let built = self.build_at(&derivation, builder);
                drop(held);
                built
            }
            Place::Here => {
                let daemon = self.own_daemon()?;
                let (derivation, held) = self.derivation_from(&errand, evaluator, None, daemon, expected)?;
                let here = self.here()?;
                let built = here.realise(&derivation)?;
                drop(held);
                self.bring_from_here(here, built)
            }
        }
    }

    /// For `--verify-eval`: what this machine itself makes of the configuration.
    fn own_derivation(&self) -> Result<Option<StorePath>> {
        if !self.making.verify_evaluation {
            return Ok(None);
        }
        self.context
            .tell(Event::Text("evaluating here first, to compare...".to_owned()));
        self.here()?.evaluate(self.making).map(Some)
    }

    /// A derivation that was evaluated on one machine, brought to the one that builds it: `builder`, or this one. What is
    /// given with it holds it there.
    fn derivation_from(
        &self,
        errand: &Errand,
        evaluator: &Host,
        builder: Option<&Host>,
        daemon: Option<Daemon>,
        expected: Option<StorePath>,
    ) -> Result<(StorePath, Option<Relay>)> {
        let relay = self.relay(daemon.clone());
        let delivery = Delivery {
            relay: relay.as_ref(),
            receiver: builder,
            wanted: true,
        };
        let answer = errand.evaluate(Goal::Derivation, expected, &delivery)?;
        let derivation = answer.derivation.context("an evaluation without a derivation")?;
        let held = if answer.delivered {
            relay
        } else {
            self.carry(Cargo::Derivation(&derivation), evaluator, builder, daemon)?
        };
        Ok((derivation, held))
    }

    /// The evaluator can do no more than build: this machine evaluates, after a warning.
    fn without_evaluator(&self, error: anyhow::Error, builder: &Place) -> Result<Option<Made>> {
        let Some(reason) = error.downcast_ref::<CannotEvaluate>() else {
            return Err(error);
        };
        for line in reason.warning().lines() {
            self.context.tell(Event::Text(line.to_owned()));
        }
        let here = self.here()?;
        match builder {
            Place::Here => {
                let built = here.build(self.making)?;
                self.bring_from_here(here, built)
            }
            Place::There(builder) => {
                let derivation = here.evaluate(self.making)?;
                self.build_there(&here, &derivation, builder).map_err(link_broke)
            }
        }
    }

    /// nixos-rebuild's `--build-host`: the derivation goes there with all that it is made from.
    fn build_there(&self, here: &Here, derivation: &StorePath, builder: &Host) -> Result<Option<Made>> {
        self.context.tell(Event::Detail(format!("derivation: {derivation}")));
        let relay = Relay::new(target::daemon_of(builder, &self.context.ssh)?)?;
        here.send(Cargo::Derivation(derivation), &relay, builder)
            .with_context(|| format!("this machine → {builder}{}", said(&relay)))?;
        let built = self.build_at(derivation, builder);
        drop(relay);
        built
    }

    fn build_at(&self, derivation: &StorePath, builder: &Host) -> Result<Option<Made>> {
        let relay = self.relay_to_target(builder)?;
        let delivery = self.delivery_to_target(builder, relay.as_ref());
        let errand = self.errand(builder);
        let answer = errand.build(derivation, self.goal(), &delivery)?;
        self.fetch(answer, builder, relay)
    }

    /// Whether what is made there is needed on another machine.
    fn is_sent_on(&self, maker: &Host) -> bool {
        self.outcome.builds() && self.place.host() != Some(maker)
    }

    fn delivery_to_target<'b>(&'b self, maker: &Host, relay: Option<&'b Relay>) -> Delivery<'b> {
        Delivery {
            relay,
            receiver: self.place.host(),
            wanted: self.is_sent_on(maker),
        }
    }

    /// The target's daemon, for what is made on `maker`.
    fn relay_to_target(&self, maker: &Host) -> Result<Option<Relay>> {
        if !self.is_sent_on(maker) {
            return Ok(None);
        }
        Ok(self.relay(self.target.daemon(&self.context.ssh)?))
    }

    fn own_daemon(&self) -> Result<Option<Daemon>> {
        match self.place {
            Place::Here => self.target.daemon(&self.context.ssh),
            Place::There(_) => Ok(Some(Daemon::own(self.context.around))),
        }
    }

    /// Nothing, where no daemon can or may be lent.
    fn relay(&self, daemon: Option<Daemon>) -> Option<Relay> {
        let daemon = daemon.filter(|_| self.flags.lend)?;
        match Relay::new(daemon) {
            Ok(relay) => Some(relay),
            Err(error) => {
                self.context
                    .tell(Event::Detail(format!("{error:#}: it will be fetched instead")));
                None
            }
        }
    }

    /// Where the session could not bring the result, it is fetched.
    fn fetch(&self, answer: Answer, maker: &Host, relay: Option<Relay>) -> Result<Option<Made>> {
        let Some(path) = answer.result else { return Ok(None) };
        let relay = if answer.delivered || !self.is_sent_on(maker) {
            relay
        } else {
            self.carry(
                Cargo::Path(&path),
                maker,
                self.place.host(),
                self.target.daemon(&self.context.ssh)?,
            )?
        };
        Ok(Some(Made {
            path,
            _roots: None,
            _relay: relay,
        }))
    }

    /// From one host to another, or to this machine, by a connection of Nix's own and through a relay of ours to the
    /// receiver's daemon: so the receiving user need not be trusted if they can be root, and what has arrived is held
    /// until the relay is dropped. Where there is no daemon at all, Nix here writes to its own store.
    fn carry(&self, cargo: Cargo, from: &Host, to: Option<&Host>, daemon: Option<Daemon>) -> Result<Option<Relay>> {
        let relay = match (daemon.map(Relay::new).transpose(), to) {
            (Err(error), Some(_)) => return Err(error),
            (relay, _) => relay.ok().flatten(),
        };
        let hop = to.map_or_else(|| "this machine".to_owned(), Host::to_string);
        let copied = match (&relay, to) {
            (Some(relay), _) => {
                let command = argv::pass_on(cargo, from, &relay.socket(), self.flags);
                let command = self.context.ssh.for_nix(command, from)?;
                through(&command, relay, to, self.context)
                    .with_context(|| format!("{from} → {hop}: nothing was changed{}", said(relay)))
            }
            (None, None) => {
                self.context.tell(Event::Phase(Phase::Fetching(from.to_string())));
                let command = self
                    .context
                    .ssh
                    .for_nix(argv::fetch(cargo.path(), from, self.flags), from)?;
                let fetched = command.run(self.context.signals);
                self.context.tell(Event::Phase(Phase::Done));
                fetched.with_context(|| format!("{from} → {hop}: nothing was changed"))
            }
            (None, Some(to)) => Err(Failure::new(format!("{to} has no Nix daemon")).into()),
        };
        copied.map(|()| relay)
    }

    /// What was built here goes to the target, if that is another machine.
    fn bring_from_here(&self, here: Here, built: Option<StorePath>) -> Result<Option<Made>> {
        let Some(path) = built else { return Ok(None) };
        let relay = match self.place {
            Place::Here => None,
            Place::There(target) => Some(send_to(&here, &path, self.target, target, self.context)?),
        };
        Ok(Some(Made {
            path,
            _roots: Some(here.into_roots()),
            _relay: relay,
        }))
    }
}

/// Sends a path of this machine to the target.
pub(super) fn send_to(here: &Here, path: &StorePath, target: &Target, host: &Host, context: &Context) -> Result<Relay> {
    let daemon = target
        .daemon(&context.ssh)?
        .ok_or_else(|| Failure::new(format!("{host} has no Nix daemon")))?;
    let relay = Relay::new(daemon)?;
    here.send(Cargo::Path(path), &relay, host)
        .with_context(|| format!("this machine → {host}: nothing was changed there{}", said(&relay)))?;
    Ok(relay)
}

/// Of a machine that has been talked to before: that it cannot be reached now is a link that broke, and nothing else is
/// done instead. All other errors stay as they are.
fn link_broke(error: anyhow::Error) -> anyhow::Error {
    let failure = error.downcast_ref::<Failure>();
    match failure.filter(|failure| failure.unreachable().is_some()) {
        Some(failure) => failure.clone().after_being_reached().into(),
        None => error,
    }
}

/// What the other end said when a transfer failed.
fn said(relay: &Relay) -> String {
    relay.complaint().map_or_else(String::new, |text| format!(" ({text})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Otherwise `--if-unreachable local` would evaluate here a second time, after the long work.
    #[test]
    fn a_machine_that_was_reached_is_not_unreachable_later() {
        let failure = Failure::new("b cannot be reached").of_unreachable("b").with_code(255);
        let error = link_broke(anyhow::Error::from(failure).context("this machine → b"));
        let failure = error.downcast_ref::<Failure>().unwrap();
        assert_eq!((failure.unreachable(), failure.code()), (None, 255));
        let other = anyhow::Error::from(Failure::new("no space")).context("this machine → b");
        assert_eq!(format!("{:#}", link_broke(other)), "this machine → b: no space");
    }
}
