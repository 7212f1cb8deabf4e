//! The order of a run, as a list: what is done for one machine, from the first look at it to the last word.
//!
//! A step says what is done, and where; `run::deploy` takes one after the other. Roles and flags choose the steps.
//! Where a machine turns out to be unreachable, or unable to evaluate, the rest of the list is made anew for another
//! [`Making`].

use super::{Channels, Deployment, Making, Origin, Outcome, ProductKind};
use crate::host::Place;

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The target is looked at, and the way to root is settled, with the password; the last change is heard of.
    LogIn,
    /// Root's channels are updated.
    Upgrade(Channels),
    /// The user is told that the long work begins.
    Announce,
    /// Machines are logged in to that would be heard of only after an evaluation here.
    TryOut,
    /// The images are asked for, and one is chosen.
    ChooseImage,
    /// This machine evaluates, to compare (`--verify-eval`).
    Compare,
    /// A machine does its part of making the system.
    Work(Leg),
    /// The system is looked at where it is to be, and all that can be refused is refused.
    Inspect,
    /// The user is asked.
    Ask,
    /// A link `result` is left here.
    Link,
    /// The target's system is changed.
    Change,
    /// The last word.
    Report,
}

/// What one machine does of the making, in one connection, and where it goes from there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leg {
    /// The machine.
    pub on: Place,
    /// What it does.
    pub deed: Deed,
    /// The machine that needs what comes of it; nothing, if that stays where it is.
    pub to: Option<Place>,
}

/// What a machine does of the making.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// Evaluates: a derivation comes of it.
    Evaluate,
    /// Builds a derivation that has come there.
    Build,
    /// Both, in one go.
    EvaluateAndBuild,
    /// Nothing: what is needed is there (`--store-path`).
    Have,
}

impl Deployment {
    /// All of it.
    #[must_use]
    pub fn steps(&self) -> Vec<Step> {
        let mut steps = vec![Step::LogIn];
        steps.extend(self.upgrade.map(Step::Upgrade));
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
                steps.extend(self.steps_after(&ProductKind::System));
            }
            Origin::PreviousGeneration => steps.extend(self.steps_after(&ProductKind::System)),
        }
        steps
    }

    /// What is left to do, from the choice of an image on, when the system is made so.
    #[must_use]
    pub fn steps_of(&self, making: &Making) -> Vec<Step> {
        let is_image = matches!(making.product.kind, ProductKind::Image(_));
        let mut steps = Vec::from_iter(is_image.then_some(Step::ChooseImage));
        steps.extend(self.steps_of_work(making));
        steps
    }

    /// The same, when the image is chosen.
    #[must_use]
    pub fn steps_of_work(&self, making: &Making) -> Vec<Step> {
        let mut steps = Vec::from_iter(making.verify_evaluation.then_some(Step::Compare));
        steps.extend(self.legs(making).into_iter().map(Step::Work));
        steps.extend(self.steps_after(&making.product.kind));
        steps
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

    /// What becomes of the system when it is there.
    fn steps_after(&self, kind: &ProductKind) -> Vec<Step> {
        let is_system = *kind == ProductKind::System;
        let last = match &self.outcome {
            Outcome::DryBuild => return Vec::new(),
            Outcome::Link | Outcome::ListImages => Step::Link,
            Outcome::Activate(_) => Step::Change,
        };
        let is_found = self.origin == Origin::PreviousGeneration;
        let inspects = is_system && (is_found || self.diff || last == Step::Change);
        let mut steps = Vec::from_iter(inspects.then_some(Step::Inspect));
        steps.extend((is_system && self.ask).then_some(Step::Ask));
        steps.extend([last, Step::Report]);
        steps
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::deployment;
    use super::*;

    /// A list as it can be read: `NAME`, and of work `MACHINE: what is done -> MACHINE`.
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

    /// Where a machine turns out not to be able, the rest of the list is another one.
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
