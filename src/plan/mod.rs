//! What is going to happen, as a plain value. It is made from the command line before anything runs, and tested without
//! processes. `run` carries it out.

pub mod argv;
mod checkup;
mod configuration;
mod confirmation;
mod deployment;
mod detachment;
pub mod expression;
mod jobs;
mod product;
mod steps;
#[cfg(test)]
mod tests;
mod unreachable;

use std::path::PathBuf;

use crate::cli::flags::{BuildFlags, CommonFlags, CopyFlags, EvaluationFlags, FlakeFlags};
use crate::cli::{Arguments, ConfigurationFlags, Verb};
use crate::failure::Failure;
use crate::host::{Host, OwnNames, Place};
use crate::settings::Settings;
use crate::vocabulary::Rights;

pub use checkup::Checkup;
pub use configuration::{Configuration, FILE, Flake, Found, Installable};
pub use deployment::{Absence, ActivationPlan, Channels, Deployment, Making, Origin, Outcome};
use deployment::{place, rights};
pub use detachment::{AS_ROOT, BUILDER_ALONE, Detachment};
pub use jobs::{Chosen, JobsPlan, JobsTask, nowhere};
pub use product::{Product, ProductKind};
pub use steps::{Deed, Leg, Step};
pub use unreachable::{Candidates, IfUnreachable, Wake};

/// The facts of this machine and its user that decide over the plan.
#[derive(Debug, Clone)]
pub struct Facts {
    /// This machine's names on its own command lines, and where ssh leads them.
    pub own: OwnNames,
    /// Whether the user is root.
    pub is_root: bool,
    /// Whether a person at a terminal can be asked.
    pub has_terminal: bool,
    /// The files that may be the configuration.
    pub found: Found,
}

/// The whole run.
#[derive(Debug, PartialEq, Eq)]
pub struct Plan {
    /// What the run does.
    pub task: Task,
    /// The warnings that the user gets first.
    pub warnings: Vec<String>,
}

/// What a run does.
#[derive(Debug, PartialEq, Eq)]
pub enum Task {
    /// Makes a system, and then does something with it.
    Deploy(Box<Deployment>),
    /// Opens the configuration in an editor.
    Edit(Reading),
    /// Opens the configuration in `nix repl`.
    Repl(Reading),
    /// Confirms the change that waits for it.
    Confirm {
        /// The machine that was changed.
        target: Place,
        /// The user's rights on that machine.
        rights: Rights,
    },
    /// Lists the generations of a profile.
    ListGenerations {
        /// The profile.
        profile: PathBuf,
        /// Whether the list is JSON instead of a table.
        json: bool,
    },
    /// Shows the settings that apply.
    ShowSettings {
        /// The settings.
        settings: Settings,
        /// Whether they are shown as JSON instead of a table.
        json: bool,
    },
    /// Asks about jobs on other machines.
    Jobs(JobsPlan),
    /// Looks at what a run needs.
    Examine(Box<Checkup>),
    /// Opens the manual.
    Manual,
}

impl Task {
    /// The other machine that evaluates, if one does.
    fn evaluator(&self) -> Option<&Host> {
        match self {
            Self::Deploy(deployment) => deployment.origin.making()?.evaluator.host(),
            _ => None,
        }
    }

    /// Returns what is evaluated, if something is.
    fn configuration(&self) -> Option<&Configuration> {
        match self {
            Self::Deploy(deployment) => Some(&deployment.origin.making()?.configuration),
            Self::Edit(reading) | Self::Repl(reading) => Some(&reading.configuration),
            Self::Confirm { .. }
            | Self::ListGenerations { .. }
            | Self::ShowSettings { .. }
            | Self::Jobs(_)
            | Self::Examine(_)
            | Self::Manual => None,
        }
    }
}

/// A configuration that a person looks at.
#[derive(Debug, PartialEq, Eq)]
pub struct Reading {
    /// The configuration.
    pub configuration: Configuration,
    /// The flags for Nix.
    pub flags: NixFlags,
}

/// The user's flags for Nix, grouped by the commands that take them.
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
    /// Whether the target's daemon is lent to the builder, so that the builder can send the result.
    pub lend: bool,
    /// Whether another machine evaluates even if nothing has changed.
    pub asks_anew: bool,
}

impl NixFlags {
    fn of(arguments: &Arguments, settings: &Settings) -> Self {
        Self {
            common: arguments.common.clone(),
            evaluation: arguments.evaluation.clone(),
            build: arguments.build.clone(),
            copy: CopyFlags {
                use_substitutes: settings.use_substitutes(),
            },
            lend: settings.lend(),
            asks_anew: arguments.evaluation.no_eval_cache || arguments.flake.refresh,
        }
    }
}

impl Plan {
    /// Decides everything that can be decided before the first command. Settings supply what the command line does not
    /// say. A setting that means nothing for this command is no mistake, because it was not made for this command.
    ///
    /// # Errors
    /// Fails if the command line asks for something that cannot be done. It is refused here, before anything is changed
    /// or even begun.
    pub fn new(arguments: &Arguments, settings: &Settings, facts: &Facts) -> Result<Self, Failure> {
        let mut warnings = [settings.warnings().to_vec(), deprecated(arguments), detours(&facts.own)].concat();
        let task = Task::of(arguments, settings, facts, &mut warnings)?;
        if !matches!(task, Task::Deploy(_)) {
            detachment::means_something(arguments)?;
        }
        let flake = FlakeFlags {
            // Where another machine evaluates, it means something for every configuration.
            refresh: arguments.flake.refresh && task.evaluator().is_none(),
            ..arguments.flake.clone()
        };
        warnings.extend(task.configuration().and_then(|it| it.useless(&flake)));
        warnings.extend(useless(arguments));
        Ok(Self { task, warnings })
    }
}

impl Task {
    fn of(
        arguments: &Arguments,
        settings: &Settings,
        facts: &Facts,
        warnings: &mut Vec<String>,
    ) -> Result<Self, Failure> {
        Ok(match arguments.verb {
            _ if arguments.settings.show_settings => Self::ShowSettings {
                settings: settings.clone(),
                json: arguments.verbs.json,
            },
            Verb::Help => Self::Manual,
            Verb::Confirm => {
                let target = place(arguments.roles.target_host.as_deref(), facts)?.unwrap_or(Place::Here);
                Self::Confirm {
                    rights: rights(arguments, settings, facts, &target, true)?,
                    target,
                }
            }
            Verb::Status | Verb::Attach | Verb::Cancel => Self::Jobs(JobsPlan::new(arguments, settings, facts)?),
            Verb::Doctor => Self::Examine(Box::new(Checkup::new(arguments, settings, facts)?)),
            Verb::ListGenerations => {
                stays_here(arguments, facts, "on it: ssh HOST rebuild list-generations")?;
                Self::ListGenerations {
                    profile: profile(&arguments.activation.profile_name)?,
                    json: arguments.verbs.json,
                }
            }
            Verb::Edit => {
                stays_here(arguments, facts, "leave it out: what is edited is here")?;
                names_no_file(arguments)?;
                Self::Edit(reading(arguments, settings, facts)?)
            }
            Verb::Repl => {
                stays_here(arguments, facts, "leave it out: 'nix repl' evaluates here")?;
                let evaluator = arguments.roles.eval_host.as_deref().unwrap_or_default();
                if leaves(evaluator, facts)? {
                    warnings.push(format!("'nix repl' evaluates on this machine, not on {evaluator}"));
                }
                Self::Repl(reading(arguments, settings, facts)?)
            }
            _ => Self::Deploy(Box::new(Deployment::new(arguments, settings, facts, warnings)?)),
        })
    }
}

impl Plan {
    /// Returns what the run reads or leaves in the current directory, if there is such a thing: the configuration, or
    /// the link.
    #[must_use]
    pub fn of_the_current_directory(&self) -> Option<String> {
        let read = self
            .task
            .configuration()
            .filter(|configuration| configuration.is_relative());
        let is_linked = match &self.task {
            Task::Deploy(plan) => plan.outcome == Outcome::Link && plan.target == Place::Here,
            _ => false,
        };
        let written = is_linked.then(|| "the link 'result'".to_owned());
        read.map(ToString::to_string).or(written)
    }
}

/// Returns warnings about names that usually mean this machine and that ssh leads elsewhere.
fn detours(own: &OwnNames) -> Vec<String> {
    let line = |(name, there)| format!("'{name}' is another machine here: ssh leads it {there}; this machine is ''");
    own.detours().map(line).collect()
}

/// Returns warnings about old names of flags.
fn deprecated(arguments: &Arguments) -> Vec<String> {
    let other = &arguments.other;
    let names = [
        (
            other.fast,
            "--fast is an old name: write --no-reexec, which has no meaning here",
        ),
        (other.use_remote_sudo, "--use-remote-sudo is an old name: write --sudo"),
        (
            other.install_grub,
            "--install-grub is an old name: write --install-bootloader",
        ),
        (other.no_ssh_tty, "--no-ssh-tty has no meaning any more"),
        (other.no_build_nix, "--no-build-nix has no meaning any more"),
    ];
    let given = names.into_iter().filter(|(given, _)| *given);
    given.map(|(_, text)| text.to_owned()).collect()
}

/// Returns warnings about flags that mean nothing with this verb.
fn useless(arguments: &Arguments) -> Vec<String> {
    let shows_nothing = matches!(
        arguments.verb,
        Verb::Attach
            | Verb::Cancel
            | Verb::Confirm
            | Verb::Doctor
            | Verb::DryBuild
            | Verb::Edit
            | Verb::ListGenerations
            | Verb::Repl
            | Verb::Status
    );
    let no_system = matches!(
        arguments.verb,
        Verb::BuildVm | Verb::BuildVmWithBootloader | Verb::BuildImage
    );
    let flags = [
        (
            arguments.activation.diff && shows_nothing,
            "--diff: nothing is built, so there is nothing to compare",
        ),
        (
            arguments.activation.diff && no_system,
            "--diff: what is built is no system to be compared with this one",
        ),
        (
            arguments.activation.ask && !deployment::changes_the_system(arguments.verb),
            "--ask: nothing is changed, so there is no question",
        ),
        (
            arguments.verbs.job.is_some() && !matches!(arguments.verb, Verb::Attach | Verb::Cancel),
            "--job: only attach and cancel take a job",
        ),
        (
            arguments.verbs.all && arguments.verb != Verb::Cancel,
            "--all: only cancel takes all jobs",
        ),
    ];
    let useless = flags.into_iter().filter(|(is_useless, _)| *is_useless);
    useless.map(|(_, text)| text.to_owned()).collect()
}

/// Refuses a file for `edit`, which opens what a flake, a variable or the search path names.
fn names_no_file(arguments: &Arguments) -> Result<(), Failure> {
    if arguments.configuration.file.is_none() && arguments.configuration.attr.is_none() {
        return Ok(());
    }
    Err(
        Failure::usage("edit opens a flake, or what NIXOS_CONFIG or <nixos-config> names")
            .with_remedy("leave --file and --attr out, or open the file itself"),
    )
}

/// Refuses a run that would leave this machine. An evaluator may be named all the same, because many aliases name one.
fn stays_here(arguments: &Arguments, facts: &Facts, remedy: &str) -> Result<(), Failure> {
    let roles = [
        ("--build-host", &arguments.roles.build_host),
        ("--target-host", &arguments.roles.target_host),
    ];
    for (flag, host) in roles {
        let text = host.as_deref().unwrap_or_default();
        if leaves(text, facts)? {
            return Err(Failure::usage(format!("{flag}: this verb is of this machine alone")).with_remedy(remedy));
        }
    }
    Ok(())
}

/// Returns whether one of the hosts of a flag is another machine.
fn leaves(hosts: &str, facts: &Facts) -> Result<bool, Failure> {
    for host in hosts.split(',') {
        if Place::read(host, &facts.own)?.host().is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

fn reading(arguments: &Arguments, settings: &Settings, facts: &Facts) -> Result<Reading, Failure> {
    let (given, flags) = (named(arguments, settings), arguments.flake.clone());
    Ok(Reading {
        configuration: Configuration::choose(&given, flags, &facts.found, Some(facts.own.host_name()))?,
        flags: NixFlags::of(arguments, settings),
    })
}

/// Returns what is named as the configuration.
fn named(arguments: &Arguments, settings: &Settings) -> ConfigurationFlags {
    ConfigurationFlags {
        flake: settings.flake().map(str::to_owned),
        ..arguments.configuration.clone()
    }
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
