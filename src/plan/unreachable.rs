//! How a run goes on if its evaluator or builder cannot be reached.

use super::{Making, Origin};
use crate::host::{Host, Place};
use crate::settings::{Key, Settings};
use crate::vocabulary::Fallback;

/// The machines that may turn out to be unreachable, and how the run goes on then.
///
/// If this command itself names the host, no other way is made up: the run ends. A host that a setting names may simply
/// be at home while its user is away.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IfUnreachable {
    /// The machines that this is about. They are waited for less long than others.
    pub hosts: Vec<Host>,
    /// How the run goes on.
    pub then: Fallback,
}

impl IfUnreachable {
    pub(super) fn new(settings: &Settings, origin: &Origin, target: &Place) -> Self {
        let Origin::Made(making) = origin else {
            return Self::default();
        };
        let is_typed = |key| settings.is_typed(key);
        // A machine that is named as the evaluator builds, too.
        let builder_is_typed = if settings.build_host().is_some() {
            is_typed(Key::BuildHost)
        } else {
            is_typed(Key::EvalHost)
        };
        let roles = [
            (&making.evaluator, is_typed(Key::EvalHost)),
            (&making.builder, builder_is_typed),
        ];
        let mut hosts: Vec<Host> = Vec::new();
        for host in roles.iter().filter_map(|(place, _)| place.host()) {
            let is_named = roles
                .iter()
                .any(|(place, is_typed)| *is_typed && place.host() == Some(host));
            let is_ours = !is_named || is_typed(Key::Fallback);
            if is_ours && target.host() != Some(host) && !hosts.contains(host) {
                hosts.push(host.clone());
            }
        }
        Self {
            hosts,
            then: settings.fallback(),
        }
    }
}

impl Making {
    /// Returns the same making without this machine: this machine's work is done by the client.
    #[must_use]
    pub fn without(&self, host: &Host) -> Self {
        let here_instead = |place: &Place| match place {
            Place::There(other) if other == host => Place::Here,
            other => other.clone(),
        };
        let evaluator = here_instead(&self.evaluator);
        Self {
            verify_evaluation: self.verify_evaluation && evaluator != Place::Here,
            builder: here_instead(&self.builder),
            evaluator,
            ..self.clone()
        }
    }
}
