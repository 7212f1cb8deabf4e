//! Carrying out a plan: the system is made, here or elsewhere, and then becomes what the plan says.

mod activate;
mod elsewhere;
mod facts;
mod gather;
mod here;
mod programs;

use anyhow::Result;

use elsewhere::Errand;
pub use facts::facts;

use crate::plan::{Making, Outcome, Plan};
use crate::process::signals::Signals;
use crate::progress::Observer;
use crate::ssh::Ssh;
use crate::store_path::StorePath;
use crate::surroundings::Surroundings;

/// The made system: its store path, and what keeps it from being collected until it is a generation.
struct System {
    path: StorePath,
    /// Dropped last.
    keeper: Option<crate::session::relay::Relay>,
}

/// Does what the plan says. Prints the resulting store path, and nothing else, to stdout.
///
/// # Errors
/// What failed. Until the whole system is here and looks like one, nothing has been changed.
pub fn carry_out(plan: &Plan, around: &Surroundings, observer: &mut dyn Observer, signals: &Signals) -> Result<()> {
    programs::require(plan, around.variable("PATH").as_ref(), &around.directory)?;
    let ssh = Ssh::new(around)?;
    eprintln!("building the system configuration...");
    let system = match &plan.making {
        Making::Local => here::make(plan, signals)?,
        Making::BuildOn(host) => Errand::new(host, plan, around, &ssh).build(observer, signals)?,
        Making::EvaluateOn(host) => Errand::new(host, plan, around, &ssh).evaluate_and_build(observer, signals)?,
    };
    let Some(system) = system else { return Ok(()) };
    match &plan.outcome {
        Outcome::DryBuild => return Ok(()),
        Outcome::Link => activate::link(plan, &system.path, &around.directory, signals)?,
        Outcome::Activate(activation) => activate::activate(activation, &system.path, around, signals)?,
    }
    drop(system.keeper);
    eprint!("Done. The new configuration is ");
    println!("{}", system.path);
    Ok(())
}
