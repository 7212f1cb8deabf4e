//! `rebuild doctor`: which machines are looked at, and as what.

use super::{Candidates, Configuration, Facts, named};
use crate::cli::Arguments;
use crate::failure::Failure;
use crate::host::{Host, Place};
use crate::settings::{Key, Settings};
use crate::vocabulary::Elevation;

/// The run that `rebuild switch` would be with the same words, as far as the machines go.
#[derive(Debug, PartialEq, Eq)]
pub struct Checkup {
    /// Who may evaluate and build: all of them are looked at.
    pub candidates: Candidates,
    /// Whose system is changed.
    pub target: Place,
    /// Whether anybody has said who evaluates or builds, even if it is this machine.
    pub is_named: bool,
    /// The configuration, or why there is none.
    pub configuration: Result<Configuration, Failure>,
    /// How the user becomes root on the target.
    pub elevation: Elevation,
    /// Whether the target's daemon is lent to the builder.
    pub lends: bool,
    /// Whether the report is JSON.
    pub json: bool,
    /// The flags for hosts, as they were typed, with which a run goes the same way.
    pub flags: Vec<String>,
}

impl Checkup {
    pub(super) fn new(arguments: &Arguments, settings: &Settings, facts: &Facts) -> Result<Self, Failure> {
        let target = arguments.roles.target_host.as_deref();
        let target = target.map(|text| Place::read(text, &facts.own)).transpose()?;
        let target = target.unwrap_or(Place::Here);
        let name = (target == Place::Here).then(|| facts.own.host_name());
        let given = named(arguments, settings);
        let rights = &arguments.rights;
        Ok(Self {
            is_named: settings.eval_hosts().is_some() || settings.build_hosts().is_some(),
            configuration: Configuration::choose(&given, arguments.flake.clone(), &facts.found, name),
            elevation: match settings.elevate() {
                Elevation::None if rights.ask_elevate_password && rights.elevate.is_none() => Elevation::Sudo,
                elevation => elevation,
            },
            lends: settings.lend(),
            json: arguments.verbs.json,
            flags: flags(arguments, settings),
            candidates: Candidates::new(settings, facts)?,
            target,
        })
    }

    /// Returns the other machines, each once, in the order in which they are looked at: the target first, because it
    /// says which CPU the others must run.
    #[must_use]
    pub fn hosts(&self) -> Vec<&Host> {
        let mut hosts: Vec<&Host> = Vec::new();
        for host in self.target.host().into_iter().chain(self.candidates.hosts()) {
            if !hosts.contains(&host) {
                hosts.push(host);
            }
        }
        hosts
    }
}

/// Returns the flags for hosts, as they were typed.
pub(super) fn flags(arguments: &Arguments, settings: &Settings) -> Vec<String> {
    let typed = |key, flag: &str, hosts: Option<Vec<&str>>| {
        let hosts = hosts.filter(|_| settings.is_typed(key))?;
        Some([flag.to_owned(), hosts.join(",")])
    };
    let target = arguments.roles.target_host.clone();
    let roles = [
        typed(Key::EvalHost, "--eval-on", settings.eval_hosts()),
        typed(Key::BuildHost, "--build-on", settings.build_hosts()),
        target.map(|host| ["--target-host".to_owned(), host]),
    ];
    roles.into_iter().flatten().flatten().collect()
}
