//! Making the system on another machine.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::gather::{self, Gathered, gather};
use super::{System, here};
use crate::host::Host;
use crate::nix_settings::NixSettings;
use crate::plan::{Configuration, Outcome, Plan, argv};
use crate::process::signals::Signals;
use crate::progress::{Event, Observer};
use crate::session::relay::Relay;
use crate::session::request::{Evaluation, Request, Work};
use crate::session::sources::Sources;
use crate::session::{Answer, CannotEvaluate, Peer, converse};
use crate::sources::environment::Environment;
use crate::sources::record::Record;
use crate::ssh::{self, Ssh};
use crate::store_path::StorePath;
use crate::surroundings::Surroundings;

/// What another machine is to make.
pub(super) struct Errand<'a> {
    host: &'a Host,
    plan: &'a Plan,
    around: &'a Surroundings,
    ssh: &'a Ssh,
    settings: NixSettings,
}

impl<'a> Errand<'a> {
    pub(super) fn new(host: &'a Host, plan: &'a Plan, around: &'a Surroundings, ssh: &'a Ssh) -> Self {
        let settings = NixSettings::read(|name| around.variable(name));
        Self {
            host,
            plan,
            around,
            ssh,
            settings,
        }
    }

    /// Evaluates and builds there. Nothing comes of a dry run.
    pub(super) fn evaluate_and_build(&self, observer: &mut dyn Observer, signals: &Signals) -> Result<Option<System>> {
        let flags = &self.plan.flags;
        let expected = self.own_derivation(signals)?;
        let Gathered { collection, lock } = gather(self.plan, self.around, &self.settings)?;
        let environment = Environment(self.around.variables.clone());
        let mut sources = Sources::new(collection, environment, self.record(), lock.clone());
        let evaluation = Evaluation {
            command: argv::evaluation_there(&self.plan.configuration, flags),
            look: argv::look_there(&self.plan.configuration, flags),
            lock,
            registry: gather::registry(self.around),
            environment: sources.environment()?,
            settings: self.settings.of_evaluation(),
            directory: self.around.directory.clone(),
            need: sources.need(),
            is_large: sources.collection.mirror().entries.len() > 20_000,
        };
        let known = expected.clone();
        let result = self.make(
            Work::Evaluate(Box::new(evaluation)),
            expected,
            &mut sources,
            observer,
            signals,
        );
        if let Some(reason) = result
            .as_ref()
            .err()
            .and_then(|error| error.downcast_ref::<CannotEvaluate>())
        {
            for line in reason.warning().lines() {
                observer.see(Event::Text(line.to_owned()));
            }
            return match known {
                Some(derivation) => self.build_derivation(&derivation, observer, signals),
                None => self.build(observer, signals),
            };
        }
        if let Some(lock) = sources.written_lock() {
            track(lock, signals);
        }
        result
    }

    /// For `--verify-eval`: what this machine itself makes of the configuration.
    fn own_derivation(&self, signals: &Signals) -> Result<Option<StorePath>> {
        if !self.plan.verify_evaluation {
            return Ok(None);
        }
        eprintln!("evaluating here first, to compare...");
        let roots = tempfile::Builder::new().prefix("rebuild.").tempdir()?;
        let root = roots.path().join("derivation");
        let output = argv::evaluate(&self.plan.configuration, &self.plan.flags, &root).capture(signals)?;
        Ok(Some(here::store_path(&output)?))
    }

    /// What was needed over there the last time, for the same configuration by the same names.
    fn record(&self) -> Record {
        let cache = self
            .around
            .variable("XDG_CACHE_HOME")
            .map_or_else(|| self.around.home().join(".cache"), PathBuf::from);
        let configuration = self.plan.configuration.to_string();
        let include = self.plan.flags.evaluation.include.join("\n");
        let directory = self.around.directory.to_string_lossy();
        let variable = |name| self.around.text(name).unwrap_or_default();
        let (config, path) = (variable("NIXOS_CONFIG"), variable("NIX_PATH"));
        let what = [
            self.host.destination(),
            &configuration,
            &directory,
            &include,
            &config,
            &path,
        ];
        Record::new(&cache.join("rebuild"), &what)
    }

    /// Evaluates here and builds there: nixos-rebuild's `--build-host`. The derivation goes there with all that it is
    /// made from; the build and the way back are as with the other.
    pub(super) fn build(&self, observer: &mut dyn Observer, signals: &Signals) -> Result<Option<System>> {
        let roots = tempfile::Builder::new().prefix("rebuild.").tempdir()?;
        let root = roots.path().join("derivation");
        let output = argv::evaluate(&self.plan.configuration, &self.plan.flags, &root).capture(signals)?;
        self.build_derivation(&here::store_path(&output)?, observer, signals)
    }

    fn build_derivation(
        &self,
        derivation: &StorePath,
        observer: &mut dyn Observer,
        signals: &Signals,
    ) -> Result<Option<System>> {
        observer.see(Event::Detail(format!("derivation: {derivation}")));
        let options = self.around.text("NIX_SSHOPTS");
        argv::copy_derivation_to(&self.plan.flags, self.host, derivation, options.as_deref())
            .run(signals)
            .with_context(|| format!("this machine → {}", self.host))?;
        let mut nothing = Sources::none();
        let derivation = derivation.to_string();
        self.make(Work::Build { derivation }, None, &mut nothing, observer, signals)
    }

    /// The session, and the fetching of the result where the session could not bring it.
    fn make(
        &self,
        work: Work,
        expected: Option<StorePath>,
        sources: &mut Sources,
        observer: &mut dyn Observer,
        signals: &Signals,
    ) -> Result<Option<System>> {
        let flags = &self.plan.flags;
        let dry_run = self.plan.outcome == Outcome::DryBuild;
        let relay = if dry_run || !flags.lend {
            None
        } else {
            self.lend(observer)
        };
        let request = Request {
            client: client_name(&self.around.own_name),
            system: self.system(&["system"]),
            evaluated_system: self.system(&["eval-system", "system"]),
            work,
            expected,
            dry_run,
            build_flags: [flags.common.arguments(), flags.build.realise_arguments()].concat(),
            copy_flags: flags.copy.arguments(),
            socket: relay.as_ref().map(|_| ssh::socket_there()).transpose()?,
        };
        let options = self.around.text("NIX_SSHOPTS");
        let import = |path: &StorePath| {
            let command = argv::copy_derivation_to(flags, self.host, path, options.as_deref());
            command.run(signals)
        };
        let peer = Peer {
            host: self.host,
            ssh: self.ssh,
            relay: relay.as_ref(),
            own_nix: &|| self.own_nix(signals),
            importer: &import,
        };
        let answer = converse(&peer, &request, sources, observer, signals)?;
        let Answer {
            result: Some(path),
            copied,
            ..
        } = answer
        else {
            return Ok(None);
        };
        if !copied {
            argv::copy_result_from(flags, self.host, &path, options.as_deref())
                .run(signals)
                .with_context(|| format!("{} → this machine: nothing was changed here", self.host))?;
        }
        Ok(Some(System { path, keeper: relay }))
    }

    /// The first of these settings that there is, by the user's flags before the machine's files.
    fn system(&self, names: &[&str]) -> String {
        let given = names.iter().find_map(|name| self.plan.flags.common.setting(name));
        let set = || {
            names
                .iter()
                .find_map(|name| self.settings.get(name).filter(|value| !value.is_empty()))
        };
        given.or_else(set).map_or_else(|| self.settings.system(), str::to_owned)
    }

    /// Of flakes, a newer Nix may make more than an older one, and another derivation.
    fn own_nix(&self, signals: &Signals) -> Option<String> {
        let Configuration::Flake(_) = self.plan.configuration else {
            return None;
        };
        let output = argv::version().capture(signals).ok()?;
        let text = String::from_utf8_lossy(&output);
        text.split_whitespace().next_back().map(str::to_owned)
    }

    /// Our daemon, if there is one that we may reach.
    fn lend(&self, observer: &mut dyn Observer) -> Option<Relay> {
        let socket = self
            .around
            .variable("NIX_DAEMON_SOCKET_PATH")
            .map_or_else(|| PathBuf::from("/nix/var/nix/daemon-socket/socket"), PathBuf::from);
        match Relay::new(&socket) {
            Ok(relay) => Some(relay),
            Err(error) => {
                observer.see(Event::Detail(format!("{error:#}: the result will be fetched instead")));
                None
            }
        }
    }
}

/// A written lock file in a git repository is made known to git, as Nix does: a flake's files are those that git knows.
fn track(lock: &Path, signals: &Signals) {
    let Some(directory) = lock.parent() else { return };
    if directory.ancestors().any(|parent| parent.join(".git").exists()) {
        // Without git here Nix could not do it either.
        let _ = argv::track(directory, "flake.lock").capture(signals);
    }
}

/// A host name as a file name.
fn client_name(own_name: &str) -> String {
    let kept = own_name.chars().map(|c| {
        if c.is_ascii_alphanumeric() || "-_".contains(c) {
            c
        } else {
            '-'
        }
    });
    let name: String = kept.collect();
    if name.is_empty() { "client".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_names_are_file_names() {
        assert_eq!(client_name("pi.lan/../x"), "pi-lan----x");
        assert_eq!(client_name(""), "client");
    }
}
