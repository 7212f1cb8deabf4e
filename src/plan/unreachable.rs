//! What becomes of a run whose evaluator or builder cannot be reached.

use super::{Making, Origin};
use crate::host::{Host, Place};
use crate::settings::{Key, Settings};
use crate::vocabulary::Fallback;

/// Who may turn out to be unreachable, and what becomes of the run then.
///
/// Of a host that this command names itself, nothing is made up: the run ends. A host that a setting names may be
/// at home while its user is not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IfUnreachable {
    /// The machines that this is about. They are waited for less long than others.
    pub hosts: Vec<Host>,
    /// What becomes of the run.
    pub then: Fallback,
}

impl IfUnreachable {
    pub(super) fn new(settings: &Settings, origin: &Origin, target: &Place) -> Self {
        let Origin::Made(making) = origin else {
            return Self::default();
        };
        let is_typed = |key| settings.is_typed(key);
        // Whoever is named as the evaluator, and builds for that.
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
    /// The same without this machine: what it was to do is done here.
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
