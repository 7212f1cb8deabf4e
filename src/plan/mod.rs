//! What is going to happen, as a plain value: made from the command line before anything runs, and tested without
//! processes. Carrying it out is `run`'s.

pub mod argv;
mod configuration;
mod elevation;

use std::path::PathBuf;

use crate::cli::flags::{BuildFlags, CommonFlags, CopyFlags, EvaluationFlags};
use crate::cli::{Arguments, Verb};
use crate::failure::Failure;
use crate::host::{Host, Place};

pub use configuration::{Configuration, Flake, Found, Subject};
pub use elevation::{Elevation, Rights};

/// What of this machine and its user decides over the plan.
#[derive(Debug, Clone)]
pub struct Facts {
    /// The host name, as `uname -n` gives it.
    pub own_name: String,
    /// Whether the user is root.
    pub is_root: bool,
    /// What there is that may be the configuration.
    pub found: Found,
}

/// The whole run.
#[derive(Debug, PartialEq, Eq)]
pub struct Plan {
    /// What is evaluated.
    pub configuration: Configuration,
    /// How the system comes to be.
    pub making: Making,
    /// Whether what another machine evaluates is compared with an evaluation here (`--verify-eval`).
    pub verify_evaluation: bool,
    /// What becomes of it.
    pub outcome: Outcome,
    /// The flags for Nix.
    pub flags: NixFlags,
}

/// How the system comes to be: who evaluates and who builds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Making {
    /// Both here.
    Local,
    /// Evaluated here, built there (`--build-host` alone).
    BuildOn(Host),
    /// Both there (`--eval-host`).
    EvaluateOn(Host),
}

impl Making {
    /// The other machine.
    #[must_use]
    pub fn host(&self) -> Option<&Host> {
        match self {
            Self::Local => None,
            Self::BuildOn(host) | Self::EvaluateOn(host) => Some(host),
        }
    }
}

/// What becomes of the system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing: only say what would be built.
    DryBuild,
    /// A link named `result` in the current directory.
    Link,
    /// The steps of an activation.
    Activate(Activation),
}

/// The steps of an activation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Activation {
    /// The profile that gets a new generation first, if one does.
    pub profile: Option<PathBuf>,
    /// The word for `switch-to-configuration`.
    pub action: &'static str,
    /// Whether the boot loader is installed again.
    pub install_bootloader: bool,
}

/// The user's flags for Nix, by the commands that take them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NixFlags {
    /// For every command.
    pub common: CommonFlags,
    /// For the evaluation.
    pub evaluation: EvaluationFlags,
    /// For the build.
    pub build: BuildFlags,
    /// For copying.
    pub copy: CopyFlags,
    /// Whether our own daemon is lent to the builder, for it to send the result.
    pub lend: bool,
}

impl Plan {
    /// Decides everything that can be decided before the first command.
    ///
    /// # Errors
    /// What the command line asks for cannot be done: refused here, before anything is changed or even begun.
    pub fn new(arguments: Arguments, facts: &Facts) -> Result<Self, Failure> {
        if let Some(target) = &arguments.other.target_host {
            return Err(
                Failure::usage(format!("--target-host {target}: this version activates here only"))
                    .with_remedy("use nixos-rebuild for it, or type rebuild on that machine"),
            );
        }
        let making = making(&arguments, facts)?;
        let plan = Self {
            verify_evaluation: verify_evaluation(&arguments, &making)?,
            making,
            configuration: Configuration::choose(
                &arguments.configuration,
                arguments.flake.clone(),
                &facts.found,
                &facts.own_name,
            )?,
            outcome: outcome(&arguments)?,
            flags: NixFlags {
                common: arguments.common,
                evaluation: arguments.evaluation,
                build: arguments.build,
                copy: arguments.copy,
                lend: !arguments.roles.no_lend,
            },
        };
        let activates = matches!(plan.outcome, Outcome::Activate(_));
        if activates && !facts.is_root {
            // It would fail all the same, but after the long work.
            return Err(Failure::new("only root can activate a configuration")
                .with_remedy("sudo rebuild ...\nor, to see whether it builds: rebuild build ..."));
        }
        Ok(plan)
    }
}

/// Where `--eval-host` names this machine, there is nothing to compare: that is the evaluation here.
fn verify_evaluation(arguments: &Arguments, making: &Making) -> Result<bool, Failure> {
    if arguments.roles.verify_eval && arguments.roles.eval_host.is_none() {
        return Err(
            Failure::usage("--verify-eval compares with the evaluation on another machine, and none is named")
                .with_remedy("name it: --eval-on HOST"),
        );
    }
    Ok(arguments.roles.verify_eval && matches!(making, Making::EvaluateOn(_)))
}

fn making(arguments: &Arguments, facts: &Facts) -> Result<Making, Failure> {
    let place = |value: &Option<String>| {
        value
            .as_deref()
            .map(|text| Place::parse(text, &facts.own_name))
            .transpose()
    };
    let evaluator = place(&arguments.roles.eval_host)?;
    let builder = place(&arguments.roles.build_host)?;
    match (evaluator.unwrap_or(Place::Here), builder) {
        (Place::Here, None | Some(Place::Here)) => Ok(Making::Local),
        (Place::Here, Some(Place::There(builder))) => Ok(Making::BuildOn(builder)),
        (Place::There(evaluator), None) => Ok(Making::EvaluateOn(evaluator)),
        (Place::There(evaluator), Some(Place::There(builder))) if evaluator == builder => {
            Ok(Making::EvaluateOn(evaluator))
        }
        (Place::There(evaluator), Some(builder)) => {
            let there = builder.host().map_or("this machine", Host::destination);
            Err(Failure::usage(format!(
                "this version cannot evaluate on {evaluator} and build on {there}"
            ))
            .with_remedy(format!("let one host do both: --eval-on {evaluator}")))
        }
    }
}

fn outcome(arguments: &Arguments) -> Result<Outcome, Failure> {
    let (action, sets_profile) = match arguments.verb {
        Verb::DryBuild => return Ok(Outcome::DryBuild),
        Verb::Build => return Ok(Outcome::Link),
        Verb::Switch => ("switch", true),
        Verb::Boot => ("boot", true),
        Verb::Test => ("test", false),
        Verb::DryActivate => ("dry-activate", false),
    };
    let profile = profile(&arguments.activation.profile_name)?;
    Ok(Outcome::Activate(Activation {
        profile: sets_profile.then_some(profile),
        action,
        install_bootloader: arguments.activation.install_bootloader,
    }))
}

fn profile(name: &str) -> Result<PathBuf, Failure> {
    if name.is_empty() || name.starts_with('.') || name.contains('/') {
        return Err(Failure::usage(format!("--profile-name '{name}' is not a file name")));
    }
    let profiles = PathBuf::from("/nix/var/nix/profiles");
    Ok(match name {
        "system" => profiles.join("system"),
        other => profiles.join("system-profiles").join(other),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    fn facts() -> Facts {
        Facts {
            own_name: "pi".into(),
            is_root: true,
            found: Found::default(),
        }
    }

    fn plan_with(line: &str, facts: &Facts) -> Result<Plan, Failure> {
        let words = line.split(' ').map(|word| if word == "''" { "" } else { word });
        Plan::new(
            Arguments::try_parse_from(std::iter::once("rebuild").chain(words)).unwrap(),
            facts,
        )
    }

    fn plan(line: &str) -> Result<Plan, Failure> {
        plan_with(line, &facts())
    }

    fn host(name: &str) -> Host {
        Place::parse(name, "pi").unwrap().host().unwrap().clone()
    }

    #[test]
    fn who_evaluates_and_who_builds() {
        for (line, expected) in [
            ("switch", Making::Local),
            ("switch --eval-on builder", Making::EvaluateOn(host("builder"))),
            ("--eval-host me@builder switch", Making::EvaluateOn(host("me@builder"))),
            ("switch --eval-on b --build-on b", Making::EvaluateOn(host("b"))),
            ("switch --build-on b", Making::BuildOn(host("b"))),
            ("switch --eval-on localhost --build-on b", Making::BuildOn(host("b"))),
            ("switch --eval-on pi", Making::Local),
            ("switch --eval-on builder --eval-on ''", Making::Local),
            ("switch --build-on ''", Making::Local),
        ] {
            assert_eq!(plan(line).unwrap().making, expected, "{line}");
        }
    }

    #[test]
    fn a_target_is_refused_for_now() {
        assert_eq!(plan("switch --target-host x").unwrap_err().code(), 2);
    }

    #[test]
    fn two_other_hosts_are_refused_for_now() {
        for line in ["switch --eval-on a --build-on b", "switch --eval-on a --build-on ''"] {
            let failure = plan(line).unwrap_err();
            assert_eq!(failure.code(), 2, "{line}");
            assert_eq!(failure.remedy(), Some("let one host do both: --eval-on a"));
        }
    }

    #[test]
    fn what_becomes_of_the_result() {
        let activation = |profile: Option<&str>, action| {
            Outcome::Activate(Activation {
                profile: profile.map(PathBuf::from),
                action,
                install_bootloader: false,
            })
        };
        let system = Some("/nix/var/nix/profiles/system");
        for (line, expected) in [
            ("switch", activation(system, "switch")),
            ("boot", activation(system, "boot")),
            ("test", activation(None, "test")),
            ("dry-activate", activation(None, "dry-activate")),
            ("build", Outcome::Link),
            ("dry-build", Outcome::DryBuild),
            (
                "boot -p test",
                activation(Some("/nix/var/nix/profiles/system-profiles/test"), "boot"),
            ),
        ] {
            assert_eq!(plan(line).unwrap().outcome, expected, "{line}");
        }
    }

    #[test]
    fn profile_names_stay_in_their_directory() {
        for name in ["../system", "a/b", ".", ""] {
            assert_eq!(plan(&format!("boot --profile-name={name}")).unwrap_err().code(), 2);
        }
    }

    #[test]
    fn activation_without_root_is_refused_before_the_long_work() {
        let user = Facts {
            is_root: false,
            ..facts()
        };
        for line in ["switch", "boot", "test", "dry-activate"] {
            assert!(plan_with(line, &user).is_err(), "{line}");
        }
        for line in ["build", "dry-build --eval-on builder"] {
            assert!(plan_with(line, &user).is_ok(), "{line}");
        }
    }

    #[test]
    fn an_evaluation_is_verified_only_where_there_is_one_elsewhere() {
        let verified = |line: &str| plan(line).map(|plan| plan.verify_evaluation);
        assert_eq!(verified("switch --eval-on b --verify-eval"), Ok(true));
        assert_eq!(verified("switch --eval-on b"), Ok(false));
        assert_eq!(verified("switch --eval-on localhost --verify-eval"), Ok(false));
        for line in ["switch --verify-eval", "switch --build-on b --verify-eval"] {
            let failure = verified(line).unwrap_err();
            assert_eq!(failure.code(), 2, "{line}");
            assert_eq!(failure.remedy(), Some("name it: --eval-on HOST"));
        }
    }
}
