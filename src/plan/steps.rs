//! The order of a run, as a list: the steps for one machine, from the first look at it to the last word.
//!
//! A step says what is done, and where. `run::deploy` takes the steps one after the other. Roles and flags choose the
//! steps. If a machine turns out to be unreachable, or unable to evaluate, the rest of the list is made anew for
//! another [`Making`].

use super::{Channels, Deployment, Making, Origin, Outcome, ProductKind};
use crate::host::Place;
use crate::vocabulary::Elevation;

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Looks at the target, settles the way to root and asks for the password, and reads how the last change ended.
    LogIn,
    /// Updates root's channels, on this machine.
    Upgrade(Channels),
    /// Tells the user that the long work begins.
    Announce,
    /// Logs in to machines whose first session would come only after an evaluation on this machine.
    TryOut,
    /// Has the evaluator find the newest of root's channels. They are used from then on, and nothing is changed yet.
    UpgradeThere(Channels),
    /// Asks for the images, and chooses one.
    ChooseImage,
    /// Evaluates on this machine, in order to compare (`--verify-eval`).
    Compare,
    /// Has a machine do its part of making the system.
    Work(Leg),
    /// Brings the channels that were updated elsewhere to this machine.
    BringChannels,
    /// Looks at the system at its place, and refuses whatever can be refused.
    Inspect,
    /// Asks the user.
    Ask,
    /// Makes those channels the ones of this machine's root.
    SetChannels,
    /// Leaves a link `result` on this machine.
    Link,
    /// Changes the target's system.
    Change,
    /// Says the last word.
    Report,
}

/// The part of the making that one machine does in one connection, and the machine that gets the result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leg {
    /// The machine that works.
    pub on: Place,
    /// What it does.
    pub deed: Deed,
    /// The machine that needs the result; None if the result stays where it is.
    pub to: Option<Place>,
}

/// What a machine does in the making.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// Evaluates; the result is a derivation.
    Evaluate,
    /// Builds a derivation that has been brought there.
    Build,
    /// Does both in one go.
    EvaluateAndBuild,
    /// Does nothing, because what is needed is there (`--store-path`).
    Have,
}

impl Deployment {
    /// Returns all steps.
    #[must_use]
    pub fn steps(&self) -> Vec<Step> {
        let mut steps = vec![Step::LogIn];
        let is_elsewhere = self.origin.making().is_some_and(|making| self.upgrades_there(making));
        steps.extend(self.upgrade.filter(|_| !is_elsewhere).map(Step::Upgrade));
        steps.push(Step::Announce);
        match &self.origin {
            Origin::Made(making) => {
                steps.push(Step::TryOut);
                steps.extend(self.steps_of(making));
            }
            Origin::Path(_) => {
                let to = Some(&self.target).filter(|target| **target != Place::Here).cloned();
                steps.push(Step::Work(Leg {
                    on: Place::Here,
                    deed: Deed::Have,
                    to,
                }));
                steps.extend(self.steps_after(&ProductKind::System, false));
            }
            Origin::PreviousGeneration => steps.extend(self.steps_after(&ProductKind::System, false)),
        }
        steps
    }

    /// Returns whether the evaluator updates the channels. It cannot if this machine evaluates as well, to compare; nor if
    /// what comes of it could not be received here: that takes root's daemon on this machine.
    #[must_use]
    pub fn upgrades_there(&self, making: &Making) -> bool {
        let may_receive = self.target == Place::Here || self.rights.elevation == Elevation::None;
        self.upgrade.is_some() && making.evaluator != Place::Here && !making.verify_evaluation && may_receive
    }

    /// Returns the steps that are left, from the update of channels on, if the system is made in this way.
    #[must_use]
    pub fn steps_of(&self, making: &Making) -> Vec<Step> {
        let is_image = matches!(making.product.kind, ProductKind::Image(_));
        let upgrade = self.upgrade.filter(|_| self.upgrades_there(making));
        let mut steps = Vec::from_iter(upgrade.map(Step::UpgradeThere));
        steps.extend(is_image.then_some(Step::ChooseImage));
        steps.extend(self.steps_of_work(making));
        steps
    }

    /// Returns the steps that are left once the image is chosen.
    #[must_use]
    pub fn steps_of_work(&self, making: &Making) -> Vec<Step> {
        let mut steps = Vec::from_iter(making.verify_evaluation.then_some(Step::Compare));
        steps.extend(self.legs(making).into_iter().map(Step::Work));
        steps.extend(self.steps_after(&making.product.kind, self.upgrades_there(making)));
        steps
    }

    /// Returns the steps that are left if the system is on this machine already.
    #[must_use]
    pub fn steps_of_what_is_here(&self, making: &Making) -> Vec<Step> {
        self.steps_after(&making.product.kind, false)
    }

    fn legs(&self, making: &Making) -> Vec<Leg> {
        let Making { evaluator, builder, .. } = making;
        let is_sent_on = self.outcome.builds() && self.target != *builder;
        let last = Leg {
            on: builder.clone(),
            deed: Deed::Build,
            to: is_sent_on.then(|| self.target.clone()),
        };
        if evaluator == builder {
            let deed = Deed::EvaluateAndBuild;
            return vec![Leg { deed, ..last }];
        }
        let first = Leg {
            on: evaluator.clone(),
            deed: Deed::Evaluate,
            to: Some(builder.clone()),
        };
        vec![first, last]
    }

    /// Returns the steps for a system that has been made. `upgrades` says whether channels were updated elsewhere for it.
    fn steps_after(&self, kind: &ProductKind, upgrades: bool) -> Vec<Step> {
        let is_system = *kind == ProductKind::System;
        let last = match &self.outcome {
            Outcome::DryBuild => return Vec::new(),
            Outcome::Link | Outcome::ListImages => Step::Link,
            Outcome::Activate(_) => Step::Change,
        };
        let is_found = self.origin == Origin::PreviousGeneration;
        let inspects = is_system && (is_found || self.diff || last == Step::Change);
        // A dry run leaves the channels as they were.
        let sets_channels = upgrades && self.outcome.stays();
        let mut steps = Vec::from_iter(sets_channels.then_some(Step::BringChannels));
        steps.extend(inspects.then_some(Step::Inspect));
        steps.extend((is_system && self.ask).then_some(Step::Ask));
        steps.extend(sets_channels.then_some(Step::SetChannels));
        steps.extend([last, Step::Report]);
        steps
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::deployment;
    use super::*;

    /// Returns a list in readable form: `NAME`, and for work `MACHINE: what is done -> MACHINE`.
    fn shown(steps: &[Step]) -> String {
        let name = |place: &Place| place.host().map_or_else(|| "here".to_owned(), ToString::to_string);
        let shown = steps.iter().map(|step| match step {
            Step::Work(Leg { on, deed, to }) => {
                let to = to.as_ref().map_or_else(String::new, |to| format!(" -> {}", name(to)));
                format!("{}: {deed:?}{to}", name(on))
            }
            other => format!("{other:?}"),
        });
        shown.collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn roles_choose_the_steps() {
        for (line, expected) in [
            (
                "switch",
                "LogIn, Announce, TryOut, here: EvaluateAndBuild, Inspect, Change, Report",
            ),
            ("build", "LogIn, Announce, TryOut, here: EvaluateAndBuild, Link, Report"),
            ("dry-build --eval-on b", "LogIn, Announce, TryOut, b: EvaluateAndBuild"),
            (
                "switch --eval-on b",
                "LogIn, Announce, TryOut, b: EvaluateAndBuild -> here, Inspect, Change, Report",
            ),
            (
                "switch --eval-on b --target-host b",
                "LogIn, Announce, TryOut, b: EvaluateAndBuild, Inspect, Change, Report",
            ),
            (
                "switch --eval-on b --build-on c --target-host d",
                "LogIn, Announce, TryOut, b: Evaluate -> c, c: Build -> d, Inspect, Change, Report",
            ),
            (
                "boot --build-on c",
                "LogIn, Announce, TryOut, here: Evaluate -> c, c: Build -> here, Inspect, Change, Report",
            ),
            (
                "test --eval-on b --build-on '' --target-host d",
                "LogIn, Announce, TryOut, b: Evaluate -> here, here: Build -> d, Inspect, Change, Report",
            ),
            (
                "dry-build --eval-on b --build-on c",
                "LogIn, Announce, TryOut, b: Evaluate -> c, c: Build",
            ),
            (
                "build --eval-on b --verify-eval",
                "LogIn, Announce, TryOut, Compare, b: EvaluateAndBuild -> here, Link, Report",
            ),
        ] {
            assert_eq!(shown(&deployment(line).unwrap().steps()), expected, "{line}");
        }
    }

    #[test]
    fn flags_and_verbs_choose_the_steps() {
        for (line, expected) in [
            (
                "switch --upgrade --ask",
                "LogIn, Upgrade(OfNixos), Announce, TryOut, here: EvaluateAndBuild, Inspect, Ask, Change, Report",
            ),
            (
                "switch --upgrade --ask --eval-on b",
                "LogIn, Announce, TryOut, UpgradeThere(OfNixos), b: EvaluateAndBuild -> here, BringChannels, Inspect, Ask, \
                 SetChannels, Change, Report",
            ),
            (
                "build --upgrade-all --eval-on b --build-on c",
                "LogIn, Announce, TryOut, UpgradeThere(All), b: Evaluate -> c, c: Build -> here, BringChannels, SetChannels, \
                 Link, Report",
            ),
            (
                "build-image --image-variant iso --eval-on b --upgrade",
                "LogIn, Announce, TryOut, UpgradeThere(OfNixos), ChooseImage, b: EvaluateAndBuild -> here, BringChannels, \
                 SetChannels, Link, Report",
            ),
            (
                "dry-build --upgrade --eval-on b",
                "LogIn, Announce, TryOut, UpgradeThere(OfNixos), b: EvaluateAndBuild",
            ),
            (
                "dry-activate --upgrade --eval-on b",
                "LogIn, Announce, TryOut, UpgradeThere(OfNixos), b: EvaluateAndBuild -> here, Inspect, Change, Report",
            ),
            // This machine evaluates as well; or only its root could receive the channels.
            (
                "build --upgrade --eval-on b --verify-eval",
                "LogIn, Upgrade(OfNixos), Announce, TryOut, Compare, b: EvaluateAndBuild -> here, Link, Report",
            ),
            (
                "boot --upgrade --eval-on b --target-host d --sudo",
                "LogIn, Upgrade(OfNixos), Announce, TryOut, b: EvaluateAndBuild -> d, Inspect, Change, Report",
            ),
            (
                "build --diff",
                "LogIn, Announce, TryOut, here: EvaluateAndBuild, Inspect, Link, Report",
            ),
            ("switch --rollback", "LogIn, Announce, Inspect, Change, Report"),
            ("build --rollback", "LogIn, Announce, Inspect, Link, Report"),
            (
                "switch --store-path /x",
                "LogIn, Announce, here: Have, Inspect, Change, Report",
            ),
            (
                "switch --store-path /x --target-host d",
                "LogIn, Announce, here: Have -> d, Inspect, Change, Report",
            ),
            (
                "build-image --image-variant iso --eval-on b",
                "LogIn, Announce, TryOut, ChooseImage, b: EvaluateAndBuild -> here, Link, Report",
            ),
            (
                "build-vm --diff",
                "LogIn, Announce, TryOut, here: EvaluateAndBuild, Link, Report",
            ),
        ] {
            assert_eq!(shown(&deployment(line).unwrap().steps()), expected, "{line}");
        }
    }

    /// If a machine turns out not to be able to do its part, the rest of the list is another one.
    #[test]
    fn another_making_has_other_steps() {
        let plan = deployment("switch --eval-on b").unwrap();
        let Origin::Made(making) = &plan.origin else {
            unreachable!()
        };
        let host = making.evaluator.host().unwrap();
        assert_eq!(
            shown(&plan.steps_of(&making.without(host))),
            "here: EvaluateAndBuild, Inspect, Change, Report"
        );
        let only_builds = Making {
            evaluator: Place::Here,
            ..making.clone()
        };
        assert_eq!(
            shown(&plan.steps_of(&only_builds)),
            "here: Evaluate -> b, b: Build -> here, Inspect, Change, Report"
        );
    }
}
