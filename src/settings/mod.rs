//! Settings: they apply where the command line says nothing.
//!
//! They come from four places. For each setting, the strongest place that says something counts:
//!
//! 1. the command line,
//! 2. the environment: `REBUILD_EVAL_HOST` and the like,
//! 3. the user's file, `$XDG_CONFIG_HOME/rebuild.json` or `~/.config/rebuild.json`,
//! 4. the machine's file, `/etc/rebuild.json`.
//!
//! `sudo` and the like drop the environment, and root has another home. So what is to apply to `sudo rebuild` must be
//! in `/etc/rebuild.json`. A file that others may write is not obeyed, and root does not obey a file of another user's.
//! No variable can name another file in place of the machine's, because whoever can set the variable could then tell
//! root what to do.
//!
//! There is no setting for the machine that is changed, nor for the profile, nor for anything else that changes what a
//! machine is. Settings say who does the work and how it is shown; a forgotten setting must not activate a system on
//! another machine.
//!
//! A place that names an evaluator but no builder means both: `--eval-host ''` means "local, this once", whatever
//! builder a file names.

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
use std::time::Duration;

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

/// The place that a setting came from.
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

/// A setting's value and the place that it came from. Without a value, what applies if nobody says anything applies.
#[derive(Debug, Clone, PartialEq, Eq)]
struct SourcedValue {
    value: Option<SettingValue>,
    source: Source,
}

/// What one place says.
type Layer = BTreeMap<Key, SourcedValue>;

/// The settings that apply, and the places that they came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    said: Layer,
    warnings: Vec<String>,
}

impl Settings {
    /// Reads all places.
    ///
    /// # Errors
    /// Fails if one of them says what no setting says, or if a file cannot be read.
    pub fn gather(arguments: &Arguments, around: &Surroundings) -> Result<Self, Failure> {
        // A user who has made a mistake in a file must still be able to read the manual.
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

    /// Decides what applies if several places say something: the command line counts first, then the last of `layers`.
    fn resolve(arguments: &Arguments, layers: impl IntoIterator<Item = Layer>) -> Self {
        let mut said = Layer::new();
        for layer in layers.into_iter().chain([typed(arguments)]) {
            // A machine that is named as the evaluator builds, too.
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

    /// Returns the warnings about these places.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Returns whether the command line itself says it.
    #[must_use]
    pub fn is_typed(&self, key: Key) -> bool {
        self.said
            .get(&key)
            .is_some_and(|held| held.source == Source::CommandLine)
    }

    /// Returns who evaluates, if any place says so: the first of these machines that answers. The empty text is this
    /// machine.
    #[must_use]
    pub fn eval_hosts(&self) -> Option<Vec<&str>> {
        self.texts(Key::EvalHost)
    }

    /// Returns who builds, in the same way, if any place says so; otherwise the evaluator builds.
    #[must_use]
    pub fn build_hosts(&self) -> Option<Vec<&str>> {
        self.texts(Key::BuildHost)
    }

    /// Returns the command that wakes the evaluator or builder, if there is one.
    #[must_use]
    pub fn wake(&self) -> Option<&str> {
        self.text(Key::Wake)
    }

    /// Returns how long that may take.
    #[must_use]
    pub fn wake_timeout(&self) -> Duration {
        self.seconds(Key::WakeTimeout)
    }

    /// Returns how long a run tries to come back after its link broke while work goes on elsewhere. Zero: it does not try.
    #[must_use]
    pub fn reconnect_timeout(&self) -> Duration {
        self.seconds(Key::ReconnectTimeout)
    }

    /// Returns how long work elsewhere goes on that nobody follows.
    #[must_use]
    pub fn unattended_timeout(&self) -> Duration {
        self.seconds(Key::UnattendedTimeout)
    }

    /// Returns the address below which releases of channels are. Empty: no machine looks there.
    #[must_use]
    pub fn release_site(&self) -> &str {
        let said = self.text(Key::ReleaseSite);
        said.unwrap_or_else(|| match default(Key::ReleaseSite) {
            Some(SettingValue::Text(text)) => text,
            _ => "",
        })
    }

    /// Returns how a run goes on if its evaluator or builder cannot be reached.
    #[must_use]
    pub fn fallback(&self) -> Fallback {
        self.choice(Key::Fallback)
    }

    /// Returns whether this machine's Nix daemon is lent to the builder.
    #[must_use]
    pub fn lend(&self) -> bool {
        self.is_on(Key::Lend)
    }

    /// Returns whether an evaluation elsewhere is compared with one on this machine.
    #[must_use]
    pub fn verify_eval(&self) -> bool {
        self.is_on(Key::VerifyEval)
    }

    /// Returns how the user becomes root.
    #[must_use]
    pub fn elevate(&self) -> Elevation {
        self.choice(Key::Elevate)
    }

    /// Returns whether the user is asked before an activation.
    #[must_use]
    pub fn ask(&self) -> bool {
        self.is_on(Key::Ask)
    }

    /// Returns whether the packages that change are shown.
    #[must_use]
    pub fn diff(&self) -> bool {
        self.is_on(Key::Diff)
    }

    /// Returns whether the target goes back if the activation fails.
    #[must_use]
    pub fn rollback_on_failure(&self) -> bool {
        self.is_on(Key::RollbackOnFailure)
    }

    /// Returns how many seconds a change waits to be confirmed; 0 if it need not be confirmed.
    #[must_use]
    pub fn confirm(&self) -> u32 {
        let said = self.said.get(&Key::Confirm).and_then(|held| held.value.as_ref());
        match said.or(default(Key::Confirm)) {
            Some(SettingValue::Number(seconds)) => *seconds,
            _ => 0,
        }
    }

    /// Returns the machines of which one confirms a change of this machine by being reached, if any place names them. The
    /// empty text is for a person.
    #[must_use]
    pub fn confirm_by(&self) -> Option<Vec<&str>> {
        self.texts(Key::ConfirmBy)
    }

    /// Returns whether the receiving machine itself fetches what it can.
    #[must_use]
    pub fn use_substitutes(&self) -> bool {
        self.is_on(Key::UseSubstitutes)
    }

    /// Returns the configuration, if a flake is named.
    #[must_use]
    pub fn flake(&self) -> Option<&str> {
        self.text(Key::Flake)
    }

    /// Returns whether a log of the run is kept.
    #[must_use]
    pub fn log(&self) -> bool {
        self.is_on(Key::Log)
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

    fn seconds(&self, key: Key) -> Duration {
        match self.held(key).value {
            Some(SettingValue::Number(seconds)) => Duration::from_secs(seconds.into()),
            _ => Duration::ZERO,
        }
    }

    /// Returns the text that a place says.
    fn text(&self, key: Key) -> Option<&str> {
        match &self.said.get(&key)?.value {
            Some(SettingValue::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// Returns the texts that a place says: one, or a list.
    fn texts(&self, key: Key) -> Option<Vec<&str>> {
        match &self.said.get(&key)?.value {
            Some(SettingValue::List(texts)) => Some(texts.iter().map(String::as_str).collect()),
            _ => self.text(key).map(|text| vec![text]),
        }
    }

    fn is_on(&self, key: Key) -> bool {
        let said = self.said.get(&key).and_then(|held| held.value.as_ref());
        said.or(default(key)) == Some(&SettingValue::Switch(true))
    }

    fn choice<T: ValueEnum + Default>(&self, key: Key) -> T {
        // The tests make sure that the words are those of the type, and that its default is the setting's.
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

/// Returns the user's file. It is None for a user whose home nobody names: the settings of a service are the machine's.
fn users_file(around: &Surroundings) -> Option<PathBuf> {
    let is_named = |name| {
        around
            .variable(name)
            .is_some_and(|value| PathBuf::from(value).is_absolute())
    };
    (is_named("XDG_CONFIG_HOME") || is_named("HOME")).then(|| around.own_directory(Directory::Config).join(USER))
}
