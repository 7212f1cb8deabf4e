//! How the user leaves before a run is over (`--detach`).

use super::deployment::{changes_the_system, verb_name};
use super::{Candidates, Deployment, Origin, Outcome};
use crate::cli::{Arguments, Verb};
use crate::failure::Failure;
use crate::host::Place;
use crate::settings::{Key, Settings};
use crate::vocabulary::Fallback;

/// What goes on without the user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detachment {
    /// The builder's work: the run ends when nothing of this machine is needed any more.
    Builder,
    /// The whole run, as a unit of this machine's systemd.
    Run,
}

/// Which verbs it is for.
const FOR: &str = "it is for build, build-vm, build-image, switch, boot and test";

/// Returns what goes on without the user, if they want to leave.
///
/// # Errors
/// Fails if nothing could go on, or if somebody would have to be there.
pub(super) fn detachment(
    arguments: &Arguments,
    settings: &Settings,
    origin: &Origin,
    outcome: &Outcome,
    candidates: &Candidates,
) -> Result<Option<Detachment>, Failure> {
    if !arguments.verbs.detach {
        return Ok(None);
    }
    if changes_the_system(arguments.verb) {
        return needs_nobody(arguments, settings).map(|()| Some(Detachment::Run));
    }
    let verb = verb_name(arguments.verb);
    match outcome {
        Outcome::Link => {}
        Outcome::ListImages => {
            return Err(Failure::usage("--detach: an image has to be chosen first")
                .with_remedy("name it: --image-variant VARIANT"));
        }
        Outcome::DryBuild | Outcome::Activate(_) => return Err(without_meaning(arguments.verb)),
    }
    if origin.making().is_none() {
        return Err(Failure::usage(format!("{verb} --detach: nothing is built")).with_remedy("leave --detach out"));
    }
    if candidates.builders().contains(&Place::Here) {
        return Err(Failure::usage(format!(
            "{verb} --detach: this machine builds, so there is nobody to whom it could be handed over"
        ))
        .with_remedy("name the machine that builds: --eval-on HOST"));
    }
    if settings.is_typed(Key::Fallback) && settings.fallback() == Fallback::Local {
        return Err(Failure::usage(format!(
            "{verb} --detach: with --if-unreachable local this machine may have to build"
        ))
        .with_remedy("leave one of them out"));
    }
    Ok(Some(Detachment::Builder))
}

/// Refuses the flag for a verb that makes nothing that could go on.
///
/// # Errors
/// Fails if the flag is given.
pub(super) fn means_something(arguments: &Arguments) -> Result<(), Failure> {
    if arguments.verbs.detach && arguments.verb != Verb::Help && !arguments.settings.show_settings {
        return Err(without_meaning(arguments.verb));
    }
    Ok(())
}

fn without_meaning(verb: Verb) -> Failure {
    Failure::usage(format!("--detach has no meaning for {}", verb_name(verb))).with_remedy(FOR)
}

/// Refuses what a person would have to answer.
fn needs_nobody(arguments: &Arguments, settings: &Settings) -> Result<(), Failure> {
    if settings.ask() {
        return Err(
            Failure::usage("--detach: nobody would be there for the question of --ask")
                .with_remedy("without the question: --no-ask\nto see what would change first: rebuild build --diff"),
        );
    }
    if arguments.rights.ask_elevate_password {
        return Err(Failure::usage(
            "--detach: the password of --ask-elevate-password would have to be kept for the run",
        )
        .with_remedy(format!("{AS_ROOT}\nor {BUILDER_ALONE}")));
    }
    Ok(())
}

/// A remedy if the way to root asks for a password.
pub const AS_ROOT: &str = "run it as root: sudo rebuild ..., or allow root without a password there";

/// A remedy if the run cannot go on without the user.
pub const BUILDER_ALONE: &str =
    "let the builder work alone: rebuild build --detach ..., and switch later: it will be there";

impl Deployment {
    /// Refuses an update of channels by a builder that is then left to itself: nobody would set them here.
    ///
    /// # Errors
    /// It is such a run.
    pub(super) fn leaves_no_channels(&self) -> Result<(), Failure> {
        let upgrades = self.origin.making().is_some_and(|making| self.upgrades_there(making));
        if !self.leaves_builder() || !upgrades {
            return Ok(());
        }
        Err(Failure::usage(
            "--detach --upgrade: the channels are set when the build is over, and nobody would be there",
        )
        .with_remedy("leave one of them out; switch --detach --upgrade goes on as a unit, which sets them"))
    }

    /// Returns whether the run ends when the builder needs nothing more of this machine.
    #[must_use]
    pub fn leaves_builder(&self) -> bool {
        self.detach == Some(Detachment::Builder)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{deployment, plan_among, plan_with};
    use super::super::tests::{facts, user};
    use super::*;
    use crate::failure::Failure;

    #[test]
    fn what_goes_on_without_the_user() {
        for (line, expected) in [
            ("switch --detach", Some(Detachment::Run)),
            ("boot --detach --eval-on b", Some(Detachment::Run)),
            ("test --detach --target-host c", Some(Detachment::Run)),
            ("switch --detach --rollback", Some(Detachment::Run)),
            ("switch --detach --confirm", Some(Detachment::Run)),
            ("build --detach --eval-on b", Some(Detachment::Builder)),
            ("build --detach --build-on b", Some(Detachment::Builder)),
            ("build --detach --eval-on a --build-on b,c", Some(Detachment::Builder)),
            ("build-vm --detach --eval-on b", Some(Detachment::Builder)),
            (
                "build-image --image-variant iso --detach --eval-on b",
                Some(Detachment::Builder),
            ),
            ("build --eval-on b", None),
        ] {
            assert_eq!(deployment(line).unwrap().detach, expected, "{line}");
        }
    }

    /// A setting does not make this machine build for somebody who has left.
    #[test]
    fn no_setting_makes_this_machine_build() {
        let places = "{ \"fallback\": \"local\", \"evalHost\": \"b\" }";
        for (line, expected) in [
            ("build --detach", Fallback::Fail),
            ("build", Fallback::Local),
            ("switch --detach", Fallback::Local),
        ] {
            let super::super::Task::Deploy(plan) = plan_among(line, places, &facts()).unwrap().task else {
                unreachable!("{line}")
            };
            assert_eq!(plan.if_unreachable.then, expected, "{line}");
        }
    }

    #[test]
    fn what_cannot_go_on_is_refused_with_a_remedy() {
        for (line, message) in [
            ("dry-build --detach --eval-on b", "no meaning for dry-build"),
            ("dry-activate --detach --eval-on b", "no meaning for dry-activate"),
            ("edit --detach", "no meaning for edit"),
            ("repl --detach", "no meaning for repl"),
            ("list-generations --detach", "no meaning for list-generations"),
            ("confirm --detach", "no meaning for confirm"),
            ("build --detach", "this machine builds"),
            ("build --detach --eval-on b --build-on ''", "this machine builds"),
            ("build --detach --rollback", "nothing is built"),
            ("build-image --detach --eval-on b", "an image has to be chosen first"),
            (
                "build --detach --eval-on b --if-unreachable local",
                "this machine may have to build",
            ),
            ("switch --detach --ask", "the question of --ask"),
        ] {
            let failure: Failure = plan_with(line, &facts()).unwrap_err();
            assert!(failure.to_string().contains(message), "{line}: {failure}");
            assert_eq!(failure.code(), 2, "{line}");
            assert!(failure.remedy().is_some(), "{line}");
        }
        let failure = plan_with("switch --detach -S", &user()).unwrap_err();
        assert!(failure.to_string().contains("the password of"), "{failure}");
        let asks = plan_among("switch --detach", "{ \"ask\": true }", &facts()).unwrap_err();
        assert!(asks.remedy().unwrap().contains("--no-ask"), "{asks}");
        assert!(plan_with("help --detach", &facts()).is_ok());
    }
}
