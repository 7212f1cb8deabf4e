//! The programs of this machine that a plan needs. They are looked for before the long work.

use std::ffi::OsString;
use std::path::Path;

use crate::conditions::{Condition, Words};
use crate::failure::Failure;
use crate::host::Place;
use crate::plan::{Configuration, Deployment, Detachment, Making, Origin, Outcome};

/// Looks for each of them in `path`.
///
/// # Errors
/// Fails with the name of the first program that is missing.
pub(super) fn require(plan: &Deployment, path: Option<&OsString>, directory: &Path) -> Result<(), Failure> {
    missing(&needed(plan), path, directory).map_or(Ok(()), Err)
}

/// Returns the failure for the first of these programs that is missing.
pub(super) fn missing(programs: &[&str], path: Option<&OsString>, directory: &Path) -> Option<Failure> {
    let program = programs
        .iter()
        .find(|program| which::which_in(program, path, directory).is_err())?;
    let message = format!("{program}: command not found");
    Some(Failure::of(Condition::Programs, message, &Words::default()).with_code(127))
}

fn needed(plan: &Deployment) -> Vec<&'static str> {
    let mut programs = match &plan.origin {
        Origin::Made(making) => of_making(making, plan),
        Origin::PreviousGeneration => Vec::new(),
        // The path is sent to another machine.
        Origin::Path(_) => of_sending(&plan.target),
    };
    if !plan.hosts().is_empty() {
        programs.push("ssh");
    }
    if plan.detach == Some(Detachment::Run) {
        programs.push("systemd-run");
    }
    if plan.target == Place::Here
        && plan
            .outcome
            .activation()
            .is_some_and(|activation| activation.sets_profile)
    {
        programs.push("nix-env");
    }
    if plan.origin.making().is_some_and(|making| plan.upgrades_there(making)) {
        programs.push("nix-channel");
        programs.extend(plan.outcome.stays().then_some("nix-env"));
    }
    programs
}

fn of_making(making: &Making, plan: &Deployment) -> Vec<&'static str> {
    let (builds, evaluates) = match making.configuration {
        Configuration::Flake(_) => ("nix", "nix"),
        Configuration::Classic | Configuration::File { .. } => ("nix-build", "nix-instantiate"),
    };
    let mut programs = match (&making.evaluator, &making.builder) {
        (Place::Here, Place::Here) => [vec![builds], of_sending(&plan.target)].concat(),
        // The derivation is sent.
        (Place::Here, Place::There(_)) => vec![evaluates, "nix"],
        (Place::There(_), Place::Here) => [vec!["nix-store"], of_sending(&plan.target)].concat(),
        (Place::There(_), Place::There(_)) => vec![],
    };
    if making.verify_evaluation {
        programs.push(evaluates);
    }
    let is_linked = plan.outcome == Outcome::Link && plan.target == Place::Here;
    if is_linked && making.builder != Place::Here {
        programs.push("nix-store");
    }
    programs
}

fn of_sending(target: &Place) -> Vec<&'static str> {
    match target {
        Place::Here => vec![],
        Place::There(_) => vec!["nix"],
    }
}
