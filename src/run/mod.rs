//! Carrying out a plan: the system is made, here or elsewhere, and then becomes what the plan says.

mod activate;
mod elsewhere;
mod facts;
mod gather;
mod here;
mod programs;

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::Result;

use elsewhere::Errand;
pub use facts::facts;

use crate::plan::{Making, Outcome, Plan};
use crate::process::signals::Signals;
use crate::progress::Observer;
use crate::session::ssh;
use crate::store_path::StorePath;

/// This process's surroundings, as far as a run depends on them.
pub struct Surroundings {
    /// The environment variables.
    pub variables: Vec<(OsString, OsString)>,
    /// The current directory.
    pub directory: PathBuf,
    /// The host name.
    pub own_name: String,
}

impl Surroundings {
    /// One environment variable.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<OsString> {
        let found = self.variables.iter().find(|(own, _)| own == name);
        found.map(|(_, value)| value.clone())
    }

    /// One environment variable, as text.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<String> {
        self.variable(name).map(|value| value.to_string_lossy().into_owned())
    }

    /// The user's home directory.
    #[must_use]
    pub fn home(&self) -> PathBuf {
        self.variable("HOME")
            .map_or_else(|| PathBuf::from("/root"), PathBuf::from)
    }
}

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
    if plan.making.host().is_some() {
        ssh::own_options(around.text("NIX_SSHOPTS").as_deref())?;
    }
    eprintln!("building the system configuration...");
    let system = match &plan.making {
        Making::Local => here::make(plan, signals)?,
        Making::BuildOn(host) => Errand::new(host, plan, around).build(observer, signals)?,
        Making::EvaluateOn(host) => Errand::new(host, plan, around).evaluate_and_build(observer, signals)?,
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
