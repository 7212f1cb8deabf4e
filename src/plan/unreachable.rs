//! How a run goes on if its evaluator or builder cannot be reached.

use std::time::Duration;

use super::{Facts, Making, Origin};
use crate::failure::Failure;
use crate::host::{Host, Place};
use crate::settings::{Key, Settings};
use crate::vocabulary::Fallback;

/// The machines that may turn out to be unreachable, and how the run goes on then: with the next candidate, after a
/// machine was woken, or here.
///
/// If this command itself names the host, no other way is made up: the run ends. A host that a setting names may simply
/// be at home while its user is away.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IfUnreachable {
    /// The machines whose work may be done here instead.
    pub hosts: Vec<Host>,
    /// How the run goes on if no candidate answers.
    pub then: Fallback,
    /// The machines for each role.
    pub candidates: Candidates,
    /// What is tried before, if anything is.
    pub wake: Option<Wake>,
}

/// The machines that may play each role, in the order in which they are tried. The first that answers does the work.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Candidates {
    /// The machines that may evaluate.
    pub evaluators: Vec<Place>,
    /// The machines that may build. None means that the evaluator builds.
    pub builders: Option<Vec<Place>>,
}

/// How a machine that sleeps is woken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wake {
    /// The command, for a shell of this machine.
    pub command: String,
    /// How long a machine may take to wake, from the start of the command on.
    pub patience: Duration,
    /// The machines that the command may wake.
    pub hosts: Vec<Host>,
}

impl IfUnreachable {
    pub(super) fn new(settings: &Settings, origin: &Origin, candidates: Candidates, target: &Place) -> Self {
        if origin.making().is_none() {
            return Self::default();
        }
        let of = |key| candidates.concerned(settings, key, target);
        let (hosts, woken) = (of(Key::Fallback), of(Key::Wake));
        let wake = settings.wake().filter(|_| !woken.is_empty()).map(|command| Wake {
            command: command.to_owned(),
            patience: settings.wake_timeout(),
            hosts: woken,
        });
        Self {
            hosts,
            then: settings.fallback(),
            candidates,
            wake,
        }
    }

    /// Returns the machines without which the run may go on, each once. They are waited for less long than others.
    #[must_use]
    pub fn doubtful(&self) -> Vec<&Host> {
        let woken = self.wake.iter().flat_map(|wake| &wake.hosts);
        let mut all: Vec<&Host> = Vec::new();
        for host in self.hosts.iter().chain(woken).chain(self.candidates.of_lists()) {
            if !all.contains(&host) {
                all.push(host);
            }
        }
        all
    }
}

impl Candidates {
    /// Reads the hosts that the settings or the command line name.
    ///
    /// # Errors
    /// Fails for a text that is no host.
    pub(super) fn new(settings: &Settings, facts: &Facts) -> Result<Self, Failure> {
        let evaluators = places(settings.eval_hosts(), facts)?;
        Ok(Self {
            evaluators: evaluators.unwrap_or_else(|| vec![Place::Here]),
            builders: places(settings.build_hosts(), facts)?,
        })
    }

    /// Returns the evaluator and the builder if all machines can be reached.
    #[must_use]
    pub fn first(&self) -> (Place, Place) {
        let first = |places: &[Place]| places.first().cloned().unwrap_or(Place::Here);
        (first(&self.evaluators), first(self.builders()))
    }

    /// Returns the machines that may build. A machine that is named as the evaluator builds, too.
    #[must_use]
    pub fn builders(&self) -> &[Place] {
        self.builders.as_ref().unwrap_or(&self.evaluators)
    }

    /// Returns all machines but this one. Some may come twice.
    pub fn hosts(&self) -> impl Iterator<Item = &Host> {
        let builders = self.builders.iter().flatten();
        self.evaluators.iter().chain(builders).filter_map(Place::host)
    }

    /// Returns the machines that have others beside them.
    fn of_lists(&self) -> impl Iterator<Item = &Host> {
        let lists = [&self.evaluators[..], self.builders()];
        let lists = lists.into_iter().filter(|places| places.len() > 1);
        lists.flatten().filter_map(Place::host)
    }

    /// Returns the machines with which the setting is concerned. What a file says of a host is not meant for one that
    /// the command names.
    fn concerned(&self, settings: &Settings, key: Key, target: &Place) -> Vec<Host> {
        let of_builders = match self.builders {
            Some(_) => Key::BuildHost,
            None => Key::EvalHost,
        };
        let roles = [(&self.evaluators[..], Key::EvalHost), (self.builders(), of_builders)];
        let is_named = |place| {
            let mut typed = roles.iter().filter(|(_, role)| settings.is_typed(*role));
            typed.any(|(places, _)| places.contains(place))
        };
        let mut hosts: Vec<Host> = Vec::new();
        for place in roles.iter().flat_map(|(places, _)| *places) {
            let is_meant = settings.is_typed(key) || !is_named(place);
            if let Some(host) = place.host().filter(|_| is_meant && place != target) {
                if !hosts.contains(host) {
                    hosts.push(host.clone());
                }
            }
        }
        hosts
    }

    /// Returns the same making with the next candidates in place of the machines that are absent. One for which there is
    /// none stays.
    #[must_use]
    pub fn next(&self, making: &Making, absent: &[Host]) -> Making {
        let is_there = |place: &&Place| place.host().is_none_or(|host| !absent.contains(host));
        let instead = |places: &[Place], place: &Place| {
            let kept = Some(place).filter(is_there);
            kept.or(places.iter().find(is_there)).unwrap_or(place).clone()
        };
        making.done_by(
            instead(&self.evaluators, &making.evaluator),
            instead(self.builders(), &making.builder),
        )
    }

    /// Returns the candidates for the work of this machine: for the evaluation, if it has that.
    #[must_use]
    pub fn beside(&self, making: &Making, host: &Host) -> &[Place] {
        if making.evaluator.host() == Some(host) {
            &self.evaluators
        } else {
            self.builders()
        }
    }

    /// Returns the same making with a machine that has woken in place of the one that did not answer. If it cannot build
    /// in that place, the first candidate does.
    #[must_use]
    pub fn woken(&self, making: &Making, absent: &Host, woken: &Host) -> Making {
        let woken = Place::There(woken.clone());
        let instead = |places: &[Place], place: &Place| {
            if place.host() != Some(absent) {
                place.clone()
            } else if places.contains(&woken) {
                woken.clone()
            } else {
                places.first().unwrap_or(place).clone()
            }
        };
        making.done_by(
            instead(&self.evaluators, &making.evaluator),
            instead(self.builders(), &making.builder),
        )
    }
}

/// Reads the hosts of a role.
fn places(texts: Option<Vec<&str>>, facts: &Facts) -> Result<Option<Vec<Place>>, Failure> {
    let Some(texts) = texts else { return Ok(None) };
    if texts.len() > 1 && texts.contains(&"") {
        let message = format!("'{}': a list of hosts has no empty name", texts.join(","));
        let remedy = "if this machine is to do the work where none of them answers: --if-unreachable local";
        return Err(Failure::usage(message).with_remedy(remedy));
    }
    let places: Result<_, _> = texts.iter().map(|text| Place::read(text, &facts.own)).collect();
    Ok(Some(places?))
}

impl Making {
    /// Returns the same making by these machines.
    fn done_by(&self, evaluator: Place, builder: Place) -> Self {
        Self {
            verify_evaluation: self.verify_evaluation && evaluator != Place::Here,
            builder,
            evaluator,
            ..self.clone()
        }
    }

    /// Returns the same making without this machine: this machine's work is done by the client.
    #[must_use]
    pub fn without(&self, host: &Host) -> Self {
        let here_instead = |place: &Place| match place {
            Place::There(other) if other == host => Place::Here,
            other => other.clone(),
        };
        self.done_by(here_instead(&self.evaluator), here_instead(&self.builder))
    }

    /// Returns whether one of these machines has a part in it.
    #[must_use]
    pub fn needs_any(&self, hosts: &[Host]) -> bool {
        let places = [&self.evaluator, &self.builder];
        places
            .iter()
            .filter_map(|place| place.host())
            .any(|host| hosts.contains(host))
    }
}
