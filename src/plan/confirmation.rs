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
    Err(Failure::usage(format!("--confirm has no meaning for {verb}: {why}")).with_remedy("it is for switch and test"))
}

/// A login from another machine shows that it can be reached. A login of this machine to itself shows nothing, so
/// another machine has to be reached, or a person says it.
fn proof(settings: &Settings, facts: &Facts, target: &Place) -> Result<Proof, Failure> {
    let is_typed = settings.is_typed(Key::ConfirmBy);
    let by = settings.confirm_by();
    if *target == Place::Here {
        let named = by.unwrap_or_else(|| {
            let builders = [settings.eval_hosts(), settings.build_hosts()];
            builders.into_iter().flatten().flatten().collect()
        });
        let mut hosts: Vec<Host> = Vec::new();
        for name in named {
            let host = place(Some(name), facts)?.and_then(|place| place.host().cloned());
            hosts.extend(host.filter(|host| !hosts.contains(host)));
        }
        return Ok(if hosts.is_empty() {
            Proof::Person
        } else {
            Proof::Reaching(hosts)
        });
    }
    match by.filter(|_| is_typed).as_deref() {
        None => Ok(Proof::Login),
        Some([""]) => Ok(Proof::Person),
        Some(hosts) => Err(Failure::usage(format!(
            "--confirm-by {}: a change of another machine is confirmed by a new login to it",
            hosts.join(",")
        ))
        .with_remedy("leave it out; or for a person who says so, by rebuild confirm: --confirm-by ''")),
    }
}

impl Confirmation {
    /// Returns the hosts of which one is to be reached.
    #[must_use]
    pub fn hosts(&self) -> &[Host] {
        match &self.by {
            Proof::Reaching(hosts) => hosts,
            Proof::Login | Proof::Person => &[],
        }
    }
}
