//! Carrying out a plan.

mod confirm;
mod deploy;
mod detached;
mod doctor;
mod elsewhere;
mod facts;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod gather;
mod here;
mod identity;
mod image;
mod jobs;
mod leg;
mod list;
mod manual;
mod nix_here;
mod open;
mod programs;
mod question;
mod reach;
mod report;
mod result_link;
mod settings;
mod upgrade;
mod verbosity;
mod wake;

use anyhow::Result;

pub use facts::facts;
pub use verbosity::verbosity;

use crate::context::Context;
use crate::output;
use crate::own_nix::OwnNix;
use crate::plan::{Detachment, Plan, Task};
use crate::process::signals::Signals;
use crate::progress::Reporter;
use crate::surroundings::Surroundings;

/// Carries out the plan. Prints the result, and nothing else, to stdout.
///
/// # Errors
/// Returns what failed.
pub fn carry_out(
    plan: &Plan,
    around: &Surroundings,
    nix: &OwnNix,
    reporter: Reporter,
    signals: &Signals,
) -> Result<()> {
    for warning in &plan.warnings {
        output::say(&format!("warning: {warning}"));
    }
    match &plan.task {
        Task::Deploy(deployment) => {
            programs::require(deployment, around.variable("PATH").as_ref(), &around.directory)?;
            result_link::require(deployment, &around.directory)?;
            if deployment.detach.is_some() {
                identity::require(around)?;
            }
            let context = Context::new(around, nix, signals, reporter)?;
            detached::tell(&context)?;
            match deployment.detach {
                Some(Detachment::Run) => detached::hand_over(deployment, &context),
                Some(Detachment::Builder) | None => deploy::deploy(deployment, &context),
            }
        }
        Task::Confirm { target, rights } => {
            confirm::confirm(target, *rights, &Context::new(around, nix, signals, reporter)?)
        }
        Task::Edit(reading) => open::in_editor(reading, around, nix, signals),
        Task::Repl(reading) => open::in_repl(reading, around, signals),
        Task::ListGenerations { profile, json } => list::generations(profile, *json, signals),
        Task::ShowSettings { settings, json } => settings::show(settings, *json),
        Task::Jobs(plan) => {
            let context = Context::new(around, nix, signals, reporter)?;
            let told = detached::tell(&context)?;
            jobs::carry_out(plan, told, &context)
        }
        Task::Examine(checkup) => doctor::examine(checkup, &Context::new(around, nix, signals, reporter)?),
        Task::Manual => manual::show(signals),
    }
}
