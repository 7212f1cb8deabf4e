//! Whether a change has to be confirmed, and by what (`--confirm`).

use super::Facts;
use super::deployment::{place, verb_name};
use crate::cli::{Arguments, Verb};
use crate::failure::Failure;
use crate::host::{Host, Place};
use crate::settings::{Key, Settings};
use crate::vocabulary::{Confirmation, Proof};

/// Returns what is to confirm the change, if something is. The setting is for the verbs that activate something; the
/// flag with another verb is a mistake.
pub(super) fn confirmation(
    arguments: &Arguments,
    settings: &Settings,
    facts: &Facts,
    target: &Place,
) -> Result<Option<Confirmation>, Failure> {
    let seconds = settings.confirm();
    let by = proof(settings, facts, target)?;
    if seconds == 0 {
        return Ok(None);
    }
    if matches!(arguments.verb, Verb::Switch | Verb::Test) {
        return Ok(Some(Confirmation { seconds, by }));
    }
    if !settings.is_typed(Key::Confirm) {
        return Ok(None);
    }
    let why = match arguments.verb {
        Verb::Boot => "what it changes shows only after a boot",
        _ => "it changes no system",
    };
    let verb = verb_name(arguments.verb);
    Err(
        Failure::usage(format!("--confirm has no meaning for {verb}: {why}"))
            .with_remedy("it is for switch and test"),
    )
}

/// A login from another machine shows that it can be reached. A login of this machine to itself shows nothing, so
/// another machine has to be reached, or a person says it.
fn proof(settings: &Settings, facts: &Facts, target: &Place) -> Result<Proof, Failure> {
    let is_typed = settings.is_typed(Key::ConfirmBy);
    let by = settings.confirm_by();
    if *target == Place::Here {
        let by = by.or(builder(settings));
        let by = place(by, facts)?.unwrap_or(Place::Here);
        return Ok(by.host().cloned().map_or(Proof::Person, Proof::Reaching));
    }
    match by.filter(|_| is_typed) {
        None => Ok(Proof::Login),
        Some("") => Ok(Proof::Person),
        Some(host) => Err(Failure::usage(format!(
            "--confirm-by {host}: a change of another machine is confirmed by a new login to it"
        ))
        .with_remedy("leave it out; or for a person who says so, by rebuild confirm: --confirm-by ''")),
    }
}

/// Returns the machine that evaluates, or else the one that builds.
fn builder(settings: &Settings) -> Option<&str> {
    let named = |text: Option<&'_ str>| text.is_some_and(|text| !text.is_empty());
    let evaluator = settings.eval_host();
    if named(evaluator) { evaluator } else { settings.build_host() }
}

impl Confirmation {
    /// Returns the host that is to be reached.
    #[must_use]
    pub fn host(&self) -> Option<&Host> {
        match &self.by {
            Proof::Reaching(host) => Some(host),
            Proof::Login | Proof::Person => None,
        }
    }
}
