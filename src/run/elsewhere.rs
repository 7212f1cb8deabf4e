//! Making the system on another machine.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::{Surroundings, System, here};
use crate::failure::Failure;
use crate::host::Host;
use crate::nix_settings::NixSettings;
use crate::plan::{Configuration, Outcome, Plan, Subject, argv};
use crate::process::signals::Signals;
use crate::progress::{Event, Observer};
use crate::session::relay::Relay;
use crate::session::request::{Evaluation, Request, Work};
use crate::session::{Answer, converse, ssh};
use crate::sources::collect::Collection;
use crate::sources::search_path::SearchPath;

/// What another machine is to make.
pub(super) struct Errand<'a> {
    host: &'a Host,
    plan: &'a Plan,
    around: &'a Surroundings,
    settings: NixSettings,
}

impl<'a> Errand<'a> {
    pub(super) fn new(host: &'a Host, plan: &'a Plan, around: &'a Surroundings) -> Self {
        let settings = NixSettings::read(|name| around.variable(name));
        Self {
            host,
            plan,
            around,
            settings,
        }
    }

    /// Evaluates and builds there. Nothing comes of a dry run.
    pub(super) fn evaluate_and_build(&self, observer: &mut dyn Observer, signals: &Signals) -> Result<Option<System>> {
        let flags = &self.plan.flags;
        // Until what the others consist of is sent, too.
        let (Configuration::Classic, Subject::Expression(expression)) =
            (&self.plan.configuration, self.plan.configuration.subject())
        else {
            return Err(Failure::usage(format!(
                "{}: this version evaluates only classic configurations on another machine",
                self.plan.configuration
            ))
            .with_remedy("evaluate it here; the build can be there: --build-on instead of --eval-on")
            .into());
        };
        let mut collection = configuration(self.plan, self.around, &self.settings)?;
        let evaluation = Evaluation {
            expression: expression.to_vec(),
            flags: [
                flags.common.arguments(),
                flags.evaluation.arguments(),
                flags.build.realise_arguments(),
            ]
            .concat(),
            environment: environment(self.around, &collection),
            settings: self.settings.of_evaluation(),
            directory: self.around.directory.clone(),
            trees: collection.trees().iter().cloned().collect(),
        };
        self.make(Work::Evaluate(evaluation), &mut collection, observer, signals)
    }

    /// Evaluates here and builds there: nixos-rebuild's `--build-host`. The derivation goes there with all that it is
    /// made from; the build and the way back are as with the other.
    pub(super) fn build(&self, observer: &mut dyn Observer, signals: &Signals) -> Result<Option<System>> {
        let flags = &self.plan.flags;
        let roots = tempfile::Builder::new().prefix("rebuild.").tempdir()?;
        let output =
            argv::evaluate(&self.plan.configuration, flags, &roots.path().join("derivation")).capture(signals)?;
        let derivation = here::store_path(&output)?;
        observer.see(Event::Detail(format!("derivation: {derivation}")));
        let options = self.around.text("NIX_SSHOPTS");
        argv::copy_derivation_to(flags, self.host, &derivation, options.as_deref())
            .run(signals)
            .with_context(|| format!("this machine → {}", self.host))?;
        let mut nothing = Collection::new(SearchPath::none(), self.around.home());
        let derivation = derivation.to_string();
        self.make(Work::Build { derivation }, &mut nothing, observer, signals)
    }

    /// The session, and the fetching of the result where the session could not bring it.
    fn make(
        &self,
        work: Work,
        collection: &mut Collection,
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
            system: flags
                .common
                .setting("system")
                .map_or_else(|| self.settings.system(), str::to_owned),
            work,
            dry_run,
            build_flags: [flags.common.arguments(), flags.build.realise_arguments()].concat(),
            copy_flags: flags.copy.arguments(),
            socket: relay.as_ref().map(|_| ssh::socket_there()).transpose()?,
        };
        let options = self.around.text("NIX_SSHOPTS");
        let answer = converse(
            self.host,
            options.as_deref(),
            &request,
            collection,
            relay.as_ref(),
            observer,
            signals,
        )?;
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

/// The files that the configuration begins with: what `<nixpkgs/nixos>` reads.
fn configuration(plan: &Plan, around: &Surroundings, settings: &NixSettings) -> Result<Collection> {
    let search_path = SearchPath::new(
        &plan.flags.evaluation.include,
        around.text("NIX_PATH").as_deref(),
        settings.get("nix-path"),
        &around.home(),
        &around.directory,
    );
    let mut collection = Collection::new(search_path, around.home());
    if !collection.add_lookup("nixpkgs") && !collection.is_address("nixpkgs") {
        return Err(Failure::new("<nixpkgs> is not in the Nix search path of this user")
            .with_remedy("is NIX_PATH set? with sudo: sudo -i\nor name it: -I nixpkgs=PATH")
            .into());
    }
    // As nixos/lib/from-env.nix does: the variable, then the search path.
    let entry = around
        .variable("NIXOS_CONFIG")
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
        .or_else(|| collection.find("nixos-config"));
    let Some(entry) = entry else {
        return Err(
            Failure::new("no configuration: neither NIXOS_CONFIG nor <nixos-config> names one")
                .with_remedy("name it: -I nixos-config=/etc/nixos/configuration.nix")
                .into(),
        );
    };
    if !entry.exists() {
        return Err(Failure::new(format!("the configuration {} does not exist", entry.display())).into());
    }
    let entry = around.directory.join(entry);
    let default = entry.join("default.nix");
    if entry.is_dir() && default.exists() {
        collection.add_configuration(&default);
    } else {
        collection.add_configuration(&entry);
    }
    Ok(collection)
}

/// The variables that an evaluation here would see and that change what it gives: those that NixOS and nixpkgs read, and
/// those that the configuration asks for by name. Not all of them: an environment holds secrets.
fn environment(around: &Surroundings, collection: &Collection) -> Vec<(OsString, OsString)> {
    const KNOWN: [&str; 5] = ["HOME", "USER", "LOGNAME", "NIX_PATH", "NIXOS_CONFIG"];
    // What belongs to the machine that evaluates.
    const ITS_OWN: [&str; 6] = [
        "PATH",
        "TMPDIR",
        "XDG_RUNTIME_DIR",
        "XDG_CACHE_HOME",
        "NIX_REMOTE",
        "NIX_CONF_DIR",
    ];
    let asked_for = |name: &str| {
        KNOWN.contains(&name)
            || name.starts_with("NIXPKGS_")
            || (name.starts_with("NIXOS_") && !name.starts_with("NIXOS_REBUILD_"))
            || (collection.variables().contains(name) && !ITS_OWN.contains(&name))
    };
    let chosen = around
        .variables
        .iter()
        .filter(|(name, _)| name.to_str().is_some_and(asked_for));
    chosen.cloned().collect()
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

    fn around(variables: &[(&str, &str)]) -> Surroundings {
        Surroundings {
            variables: variables
                .iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
            directory: "/".into(),
            own_name: "pi".into(),
        }
    }

    #[test]
    fn of_the_environment_goes_what_evaluation_asks_for() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("configuration.nix");
        std::fs::write(&file, r#"builtins.getEnv "COLOUR" + builtins.getEnv "PATH""#).unwrap();
        let mut collection = Collection::new(SearchPath::none(), "/root".into());
        collection.add_configuration(&file);
        let around = around(&[
            ("HOME", "/root"),
            ("PATH", "/bin"),
            ("AWS_SECRET_ACCESS_KEY", "x"),
            ("NIXPKGS_ALLOW_UNFREE", "1"),
            ("NIXOS_REBUILD_NO_SYSTEMD_RUN", "1"),
            ("COLOUR", "red"),
        ]);
        let names: Vec<_> = environment(&around, &collection)
            .into_iter()
            .map(|(name, _)| name)
            .collect();
        assert_eq!(names, ["HOME", "NIXPKGS_ALLOW_UNFREE", "COLOUR"]);
    }

    #[test]
    fn client_names_are_file_names() {
        assert_eq!(client_name("pi.lan/../x"), "pi-lan----x");
        assert_eq!(client_name(""), "client");
    }
}
