//! Settings: what applies where the command line says nothing.
//!
//! They come from four places, of which the stronger one counts, setting by setting:
//!
//! 1. the command line,
//! 2. the environment: `REBUILD_EVAL_HOST` and the like,
//! 3. the user's file, `$XDG_CONFIG_HOME/rebuild.json` or `~/.config/rebuild.json`,
//! 4. the machine's file, `/etc/rebuild.json`.
//!
//! `sudo` and its like drop the environment, and root's home is another: what is to apply to `sudo rebuild` stands in
//! `/etc/rebuild.json`. A file that others may write is not obeyed, nor by root one that is another user's; there is no
//! variable that names another file in place of the machine's, for whoever can set one would be root's adviser.
//!
//! There is no setting for the machine that is changed, nor for the profile, nor for anything else that changes what a
//! machine is. Settings say who does the work and how it is shown; one that somebody has forgotten must not activate a
//! system on another machine.
//!
//! A place that names an evaluator and no builder means both: `--eval-host ''` is "local, this once", whatever builder a
//! file names.

mod definition;
mod environment;
mod file;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod kind;
mod show;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use clap::ValueEnum;

pub use definition::{ALL, Key};
pub use kind::{SettingKind, SettingValue};

use crate::cli::{Arguments, Verb};
use crate::failure::Failure;
use crate::surroundings::{Directory, Surroundings};
use crate::vocabulary::{Elevation, Fallback};
use kind::Statement;

/// The machine's file.
pub const SYSTEM: &str = "/etc/rebuild.json";

/// The name of the user's file, in the directory for configuration.
const USER: &str = "rebuild.json";

/// Where a setting came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Nobody has said anything.
    Default,
    /// A file.
    File(PathBuf),
    /// An environment variable.
    Variable(&'static str),
    /// The command line.
    CommandLine,
}

impl fmt::Display for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => formatter.write_str("default"),
            Self::File(path) => path.display().fmt(formatter),
            Self::Variable(name) => formatter.write_str(name),
            Self::CommandLine => formatter.write_str("command line"),
        }
    }
}

/// A setting and where it came from; no value: what applies if nobody says anything.
#[derive(Debug, Clone, PartialEq, Eq)]
struct SourcedValue {
    value: Option<SettingValue>,
    source: Source,
}

/// What one place says.
type Layer = BTreeMap<Key, SourcedValue>;

/// What applies, and where it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    said: Layer,
    warnings: Vec<String>,
}

impl Settings {
    /// Reads all places.
    ///
    /// # Errors
    /// One of them says what no setting says, or a file cannot be read.
    pub fn gather(arguments: &Arguments, around: &Surroundings) -> Result<Self, Failure> {
        // Whoever has made a mistake in a file must be able to read the manual.
        if arguments.verb == Verb::Help && !arguments.settings.show_settings {
            return Ok(Self::resolve(arguments, []));
        }
        let user = nix::unistd::geteuid().as_raw();
        let mut warnings = Vec::new();
        let of_system = file::read(Path::new(SYSTEM), user, &mut warnings)?;
        let of_user = match users_file(around) {
            Some(path) => file::read(&path, user, &mut warnings)?,
            None => Layer::new(),
        };
        let of_environment = environment::read(&around.variables, &mut warnings)?;
        Ok(Self {
            warnings,
            ..Self::resolve(arguments, [of_system, of_user, of_environment])
        })
    }

    /// Of what several places say, what applies: the command line first, then the last of `layers`.
    fn resolve(arguments: &Arguments, layers: impl IntoIterator<Item = Layer>) -> Self {
        let mut said = Layer::new();
        for layer in layers.into_iter().chain([typed(arguments)]) {
            // Whoever is named as the evaluator builds too.
            if layer.contains_key(&Key::EvalHost) {
                said.remove(&Key::BuildHost);
            }
            said.extend(layer);
        }
        Self {
            said,
            warnings: Vec::new(),
        }
    }

    /// What the user is told of the places.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Whether the command line itself says it.
    #[must_use]
    pub fn is_typed(&self, key: Key) -> bool {
        self.said
            .get(&key)
            .is_some_and(|held| held.source == Source::CommandLine)
    }

    /// Who evaluates, in the words of `--eval-host`, if anybody says.
    #[must_use]
    pub fn eval_host(&self) -> Option<&str> {
        self.text(Key::EvalHost)
    }

    /// Who builds, in the words of `--build-host`, if anybody says; otherwise it is who evaluates.
    #[must_use]
    pub fn build_host(&self) -> Option<&str> {
        self.text(Key::BuildHost)
    }

    /// What becomes of a run whose evaluator or builder cannot be reached.
    #[must_use]
    pub fn fallback(&self) -> Fallback {
        self.choice(Key::Fallback)
    }

    /// Whether this machine's Nix daemon is lent to the builder.
    #[must_use]
    pub fn lend(&self) -> bool {
        self.is_on(Key::Lend)
    }

    /// Whether an evaluation elsewhere is compared with one here.
    #[must_use]
    pub fn verify_eval(&self) -> bool {
        self.is_on(Key::VerifyEval)
    }

    /// How the user becomes root.
    #[must_use]
    pub fn elevate(&self) -> Elevation {
        self.choice(Key::Elevate)
    }

    /// Whether there is a question before an activation.
    #[must_use]
    pub fn ask(&self) -> bool {
        self.is_on(Key::Ask)
    }

    /// Whether the packages that change are shown.
    #[must_use]
    pub fn diff(&self) -> bool {
        self.is_on(Key::Diff)
    }

    /// Whether the receiving machine fetches what it can by itself.
    #[must_use]
    pub fn use_substitutes(&self) -> bool {
        self.is_on(Key::UseSubstitutes)
    }

    /// The configuration, if it is a flake that is named.
    #[must_use]
    pub fn flake(&self) -> Option<&str> {
        self.text(Key::Flake)
    }

    fn held(&self, key: Key) -> SourcedValue {
        let said = self.said.get(&key);
        let (value, source) = said.map_or((None, Source::Default), |held| {
            (held.value.clone(), held.source.clone())
        });
        SourcedValue {
            value: value.or_else(|| default(key).cloned()),
            source,
        }
    }

    /// The text that somebody says.
    fn text(&self, key: Key) -> Option<&str> {
        match &self.said.get(&key)?.value {
            Some(SettingValue::Text(text)) => Some(text),
            _ => None,
        }
    }

    fn is_on(&self, key: Key) -> bool {
        let said = self.said.get(&key).and_then(|held| held.value.as_ref());
        said.or(default(key)) == Some(&SettingValue::Switch(true))
    }

    fn choice<T: ValueEnum + Default>(&self, key: Key) -> T {
        // The tests see to it that the words are those of the type, and its default the setting's.
        let word = self.text(key).and_then(|word| T::from_str(word, false).ok());
        word.unwrap_or_default()
    }
}

fn default(key: Key) -> Option<&'static SettingValue> {
    let definition = ALL.iter().find(|definition| definition.key == key);
    definition.and_then(|definition| definition.default.as_ref())
}

fn typed(arguments: &Arguments) -> Layer {
    let all = ALL.iter().filter_map(|definition| {
        let value = match (definition.typed)(arguments) {
            Statement::Nothing => return None,
            Statement::TheDefault => None,
            Statement::This(value) => Some(value),
        };
        let source = Source::CommandLine;
        Some((definition.key, SourcedValue { value, source }))
    });
    all.collect()
}

/// Of a user whose home nobody names, none: a service's settings are the machine's.
fn users_file(around: &Surroundings) -> Option<PathBuf> {
    let is_named = |name| {
        around
            .variable(name)
            .is_some_and(|value| PathBuf::from(value).is_absolute())
    };
    (is_named("XDG_CONFIG_HOME") || is_named("HOME")).then(|| around.own_directory(Directory::Config).join(USER))
}
