//! `rebuild doctor`: looks beforehand at everything that a run needs, and says what to do about each thing that is amiss.
//!
//! - [`visit`]: one connection to one machine, over which a script of ours ([`text`], `scripts/`) tells facts;
//! - [`facts`]: what was told;
//! - [`judge`]: what that means for a run;
//! - [`finding`]: the outcome, and [`mod@shown`]: how it is shown.
//!
//! What a run meets and what the doctor says come from one table: [`crate::conditions`].

pub mod facts;
mod finding;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod judge;
mod shown;
#[cfg(test)]
mod tests;
mod text;
mod visit;

use anyhow::Result;

use crate::context::Context;
use crate::failure::Failure;
use crate::host::Host;
use crate::vocabulary::Elevation;
pub use finding::{Examined, Finding, Report, Verdict};
pub use shown::{Looks, json, shown};
use visit::Visit;

/// What a machine does in a run, and so what is looked at there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Roles {
    /// It evaluates.
    pub evaluates: bool,
    /// It builds.
    pub builds: bool,
    /// Its system is changed.
    pub is_changed: bool,
}

/// A machine that is to be looked at.
#[derive(Debug)]
pub struct Patient<'a> {
    /// The machine; None for this one.
    pub host: Option<&'a Host>,
    /// What it does.
    pub roles: Roles,
    /// The system that is built for. None if it is the machine's own.
    pub system: Option<&'a str>,
    /// How the user becomes root there.
    pub elevation: Elevation,
    /// Whether its socket will be wanted, by which the result goes home.
    pub lends: bool,
}

/// What came of a visit.
#[derive(Debug, Default)]
pub struct Outcome {
    /// What was found.
    pub findings: Vec<Finding>,
    /// The system of the machine's own Nix, or else of its kernel, if the visit came so far.
    pub system: Option<String>,
}

/// Looks at one machine, over one connection.
///
/// # Errors
/// A signal has come. Whatever is amiss with the machine, or on the way to it, is a finding and no error.
pub fn examine(patient: &Patient, context: &Context) -> Result<Outcome> {
    let visited = Visit::make(patient, context)?;
    let mut findings = visited.on_the_way(patient, context)?;
    findings.extend(judge::judge(&visited.facts, patient));
    let told = visited
        .facts
        .setting("system")
        .or_else(|| visited.facts.word("machine"));
    Ok(Outcome {
        findings,
        system: told.map(str::to_owned),
    })
}

/// Returns what a failure means that a run would end with.
#[must_use]
pub fn of_failure(condition: crate::conditions::Condition, failure: &Failure) -> Finding {
    Finding {
        condition: failure.condition().unwrap_or(condition),
        verdict: Verdict::Bad,
        seen: failure.to_string(),
        remedy: failure.remedy().map(str::to_owned),
    }
}
