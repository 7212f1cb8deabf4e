//! What is evaluated: which file or flake is *the configuration*, and under which name the system is found in it.
//!
//! It is looked for in the order of nixos-rebuild 26.05 (nixpkgs#493229).

use std::path::{Path, PathBuf};

use crate::cli::ConfigurationFlags;
use crate::cli::flags::FlakeFlags;
use crate::failure::Failure;
use crate::vocabulary::{FlakeReference, Form, is_configuration, not_a_flag, split_name};

/// nixos-rebuild's name for the configuration of a machine without a name.
const NAMELESS: &str = "default";

/// The classic entry point, which reads `NIXOS_CONFIG` or `<nixos-config>`.
const CLASSIC: &str = "<nixpkgs/nixos>";

/// The file of a configuration that is neither a module nor a flake, in a directory that is named for it.
pub const FILE: &str = "system.nix";

/// What the user, or this machine, names as the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Configuration {
    /// The module that `NIXOS_CONFIG` or `<nixos-config>` names, evaluated by `<nixpkgs/nixos>`.
    Classic,
    /// A file that evaluates to a configuration, or to a set of them.
    File {
        /// A path relative to the current directory, a `<name>`, or an address, as `nix-build` takes it. A directory
        /// means its `default.nix` (if it has a `system.nix`, that file is named instead).
        file: String,
        /// The place of the configuration in the file; None if it is the whole file.
        attribute: Option<String>,
    },
    /// One of a flake's `nixosConfigurations`.
    Flake(Flake),
}

/// One of a flake's `nixosConfigurations`, and the flags that only flakes have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flake {
    /// The text before the `#`, as it was given: Nix reads it. Resolving it here broke submodules (nixpkgs#422971).
    pub reference: String,
    /// The configuration's name, which contains neither `"` nor `#`. None means the target's host name, which is learnt
    /// from the target (nixos-rebuild takes `default` if ssh fails).
    pub name: Option<String>,
    /// The flags. They are kept here, apart from the others, so that they cannot reach any other configuration.
    pub flags: FlakeFlags,
}

/// A part of a configuration, for the Nix commands that know such a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Installable<'a> {
    /// For `nix-build` and `nix-instantiate`.
    Expression {
        /// The file.
        file: &'a str,
        /// The attribute in it.
        attribute: String,
    },
    /// For `nix`.
    Flake {
        /// What is built.
        installable: String,
        /// The flags that only flakes have.
        flags: &'a FlakeFlags,
    },
}

/// The files of this machine that may be the configuration if the command line names none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// The directory of `/etc/nixos/flake.nix`, or of the file that this is a symlink to.
    pub system_flake: Option<PathBuf>,
    /// Whether `--file` names a directory that contains a `system.nix`.
    pub file_in_directory: bool,
    /// The file in the current directory that `--attr` refers to: its `system.nix`, or else its `default.nix`, which
    /// was the only one before 26.05.
    pub file_here: Option<&'static str>,
    /// Whether the search path has a `<nixos-system>`.
    pub nixos_system: bool,
    /// Whether there is an `/etc/nixos/system.nix`.
    pub system_file: bool,
}

impl Configuration {
    /// Decides which configuration it is. `target_name` is the host name of the machine that it is for, if that is
    /// known.
    ///
    /// # Errors
    /// Fails if the flags contradict each other, name nothing, or belong to another kind of configuration.
    pub fn choose(
        given: &ConfigurationFlags,
        flags: FlakeFlags,
        found: &Found,
        target_name: Option<&str>,
    ) -> Result<Self, Failure> {
        let file = given.file.as_deref().filter(|text| !text.is_empty());
        let attribute = given.attr.as_deref().filter(|text| !text.is_empty());
        if let Some(reference) = &given.flake {
            if let Some((flag, value)) = file
                .map(|file| ("--file", file))
                .or(attribute.map(|name| ("--attr", name)))
            {
                return Err(Failure::usage(format!(
                    "--flake {reference} and {flag} {value} name two configurations"
                ))
                .with_remedy("leave one out; of a flake, --flake URI#NAME names the configuration"));
            }
            return Ok(Self::Flake(Flake::parse(reference, target_name, flags)?));
        }
        // nixpkgs#527046: --attr refers to a file, so it does not go with the flake that is found.
        let may_be_flake = !given.no_flake && file.is_none() && attribute.is_none();
        if let Some(directory) = found.system_flake.as_ref().filter(|_| may_be_flake) {
            return Ok(Self::Flake(Flake {
                reference: directory.to_string_lossy().into_owned(),
                name: target_name.map(|name| own(name, "this machine")).transpose()?,
                flags,
            }));
        }
        Self::without_flake(file, attribute, found)
    }

    /// Returns what to say about flags that only flakes have, if this is no flake. nixos-rebuild accepts them without
    /// using them, and many aliases and scripts always give them.
    #[must_use]
    pub fn useless(&self, flags: &FlakeFlags) -> Option<String> {
        if matches!(self, Self::Flake(_)) {
            return None;
        }
        let flag = flags.first()?;
        Some(format!(
            "{flag} has no effect: it is for flakes, and {self} is none (a flake is named by --flake URI)"
        ))
    }

    fn without_flake(file: Option<&str>, attribute: Option<&str>, found: &Found) -> Result<Self, Failure> {
        let in_directory = file.filter(|_| found.file_in_directory);
        let in_directory = in_directory.map(|directory| Path::new(directory).join(FILE).to_string_lossy().into_owned());
        let here = found.file_here.filter(|_| attribute.is_some());
        let file = match (in_directory.as_deref().or(file).or(here), attribute) {
            (Some(file), _) => file,
            _ if found.nixos_system => "<nixos-system>",
            _ if found.system_file => "/etc/nixos/system.nix",
            (None, None) => CLASSIC,
            (None, Some(attribute)) => {
                return Err(Failure::usage(format!(
                    "--attr {attribute}: of no file: there is no ./system.nix, no ./default.nix, no <nixos-system> and no \
                     /etc/nixos/system.nix"
                ))
                .with_remedy(format!("name the file: --file FILE --attr {attribute}")));
            }
        };
        if (file, attribute) == (CLASSIC, None) {
            return Ok(Self::Classic);
        }
        not_a_flag("--file", file)?;
        Ok(Self::File {
            file: file.to_owned(),
            attribute: attribute.map(str::to_owned),
        })
    }

    /// Returns whether its name depends on the current directory.
    #[must_use]
    pub fn is_relative(&self) -> bool {
        match self {
            Self::Classic => false,
            Self::File { file, .. } => !file.starts_with(['/', '<', '~']) && !file.contains(':'),
            Self::Flake(flake) => match FlakeReference::read(&flake.reference).form {
                Form::Path(path) => !path.starts_with(['/', '~']),
                Form::Address { scheme: "path", rest } => Form::file_of(rest).is_relative(),
                Form::Address { .. } | Form::Name(_) => false,
            },
        }
    }

    /// Returns an attribute of it, as Nix's commands take it, here or on another machine.
    #[must_use]
    pub fn subject(&self, attribute: &str) -> Installable<'_> {
        let (file, attribute) = match self {
            Self::Classic => (CLASSIC, attribute.to_owned()),
            Self::File { file, attribute: None } => (file.as_str(), attribute.to_owned()),
            Self::File {
                file,
                attribute: Some(first),
            } => (file.as_str(), format!("{first}.{attribute}")),
            Self::Flake(flake) => {
                return Installable::Flake {
                    installable: format!("{}.{attribute}", flake.installable()),
                    flags: &flake.flags,
                };
            }
        };
        Installable::Expression { file, attribute }
    }

    /// Returns the same configuration, with the target's host name as its name if it has none. `target` is the target
    /// as messages call it.
    ///
    /// # Errors
    /// Fails if the host name, which is whatever that machine says, cannot be the name of a configuration.
    pub fn named(mut self, target_name: &str, target: &str) -> Result<Self, Failure> {
        if let Self::Flake(flake) = &mut self {
            if flake.name.is_none() {
                flake.name = Some(own(target_name, target)?);
            }
        }
        Ok(self)
    }
}

impl std::fmt::Display for Configuration {
    /// Writes it for messages.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Classic => formatter.write_str("the classic configuration"),
            Self::File { file, .. } => write!(formatter, "the configuration {file}"),
            Self::Flake(Flake { reference, name, .. }) => match name {
                Some(name) => write!(formatter, "the flake {reference}#{name}"),
                None => write!(formatter, "the flake {reference}"),
            },
        }
    }
}

impl Flake {
    /// Reads the value of `--flake`; without a name, the name is the target's.
    fn parse(text: &str, target_name: Option<&str>, flags: FlakeFlags) -> Result<Self, Failure> {
        let (reference, name) = split_name("--flake", text)?;
        Ok(Self {
            reference: reference.to_owned(),
            name: match name {
                Some(name) => Some(name.to_owned()),
                None => target_name.map(|name| own(name, "this machine")).transpose()?,
            },
            flags,
        })
    }

    /// Returns the configuration as Nix's new commands take it.
    #[must_use]
    pub fn installable(&self) -> String {
        let name = self.name.as_deref().unwrap_or(NAMELESS);
        format!("{}#nixosConfigurations.\"{name}\"", self.reference)
    }
}

/// Returns the name of a configuration that a machine's host name stands for.
fn own(host_name: &str, machine: &str) -> Result<String, Failure> {
    if !is_configuration(host_name) {
        let message = format!("the host name of {machine}, '{host_name}', is no name of a configuration");
        return Err(Failure::usage(message).with_remedy("name the configuration: --flake URI#NAME"));
    }
    let name = if host_name.is_empty() { NAMELESS } else { host_name };
    Ok(name.to_owned())
}

#[cfg(test)]
mod tests;
