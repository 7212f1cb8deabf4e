//! The programs of this machine that a plan needs, looked for before the long work.

use std::ffi::OsString;
use std::path::Path;

use crate::failure::Failure;
use crate::plan::{Configuration, Making, Outcome, Plan};

/// Looks for each of them in `path`.
///
/// # Errors
/// The first that is not there, by name.
pub(super) fn require(plan: &Plan, path: Option<&OsString>, directory: &Path) -> Result<(), Failure> {
    for program in needed(plan) {
        if which::which_in(program, path, directory).is_err() {
            return Err(Failure::new(format!("{program}: command not found"))
                .with_code(127)
                .with_remedy("this machine needs Nix and ssh; is PATH set? with sudo: sudo -i"));
        }
    }
    Ok(())
}

fn needed(plan: &Plan) -> Vec<&'static str> {
    let (builds, evaluates) = match plan.configuration {
        Configuration::Flake(_) => ("nix", "nix"),
        Configuration::Classic | Configuration::File { .. } => ("nix-build", "nix-instantiate"),
    };
    let mut programs = match plan.making {
        Making::Local => vec![builds],
        Making::BuildOn(_) => vec![evaluates, "nix-copy-closure", "ssh"],
        Making::EvaluateOn(_) => vec!["ssh"],
    };
    match &plan.outcome {
        Outcome::Link if plan.making != Making::Local => programs.push("nix-store"),
        Outcome::Activate(activation) if activation.profile.is_some() => programs.push("nix-env"),
        _ => {}
    }
    programs
}
