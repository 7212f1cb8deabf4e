//! What is evaluated: which file or flake is *the configuration*, and under which name the system stands in it.
//!
//! The order in which it is looked for is nixos-rebuild's of 26.05 (nixpkgs#493229).

use std::path::{Path, PathBuf};

use crate::cli::ConfigurationFlags;
use crate::cli::flags::FlakeFlags;
use crate::failure::Failure;
use crate::vocabulary::{FlakeReference, Form, is_configuration, not_a_flag, split_name};

/// nixos-rebuild's name for a configuration whose machine has none.
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
        /// As `nix-build` takes it: a path, relative to the current directory; a `<name>`; or an address. A directory
        /// means its `default.nix` (one with a `system.nix` is not named as such).
        file: String,
        /// Where in it the configuration is; nothing if it is the whole.
        attribute: Option<String>,
    },
    /// One of a flake's `nixosConfigurations`.
    Flake(Flake),
}

/// One of a flake's `nixosConfigurations`, and the flags that only flakes have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flake {
    /// What stands before the `#`, as it was given: Nix reads it. Resolving it broke submodules (nixpkgs#422971).
    pub reference: String,
    /// The configuration's name, with neither `"` nor `#` in it. None: the target's host name, which is learnt from that
    /// machine (nixos-rebuild takes `default` where ssh fails).
    pub name: Option<String>,
    /// The flags. They are here and not among the others, so that they can reach no other configuration.
    pub flags: FlakeFlags,
}

/// Something of a configuration, by the Nix commands that know it.
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

/// What of this machine may be the configuration when the command line names none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// The directory of `/etc/nixos/flake.nix`, or of the file that this is a symlink to.
    pub system_flake: Option<PathBuf>,
    /// Whether `--file` names a directory in which there is a `system.nix`.
    pub file_in_directory: bool,
    /// The file in the current directory that `--attr` is of: its `system.nix`, or else its `default.nix`, which was the only
    /// one before 26.05.
    pub file_here: Option<&'static str>,
    /// Whether the search path has a `<nixos-system>`.
    pub nixos_system: bool,
    /// Whether there is an `/etc/nixos/system.nix`.
    pub system_file: bool,
}

impl Configuration {
    /// Decides which it is; `target_name` is the host name of the machine that it is for, where that is known.
    ///
    /// # Errors
    /// The flags contradict each other, name nothing, or are of another kind of configuration.
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
        // nixpkgs#527046: --attr is of a file, so it is not for the flake that is found.
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

    /// What is to be said of flags that only flakes have, where this is none: nixos-rebuild takes them and has no use for
    /// them, and many an alias or script gives them always.
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

    /// Whether it is named as seen from the current directory.
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

    /// An attribute of it, as Nix's commands take it, here or on another machine.
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

    /// The same with the target's host name for a name, if it has none; `target` is the target, for messages.
    ///
    /// # Errors
    /// The host name, which is whatever that machine says, can be no name of a configuration.
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
    /// For messages.
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
    /// Reads the value of `--flake`; without a name it is the target's.
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

    /// The configuration, as Nix's new commands take it.
    #[must_use]
    pub fn installable(&self) -> String {
        let name = self.name.as_deref().unwrap_or(NAMELESS);
        format!("{}#nixosConfigurations.\"{name}\"", self.reference)
    }
}

/// The name that a machine's host name is.
fn own(host_name: &str, machine: &str) -> Result<String, Failure> {
    if !is_configuration(host_name) {
        let message = format!("the host name of {machine}, '{host_name}', is no name of a configuration");
        return Err(Failure::usage(message).with_remedy("name the configuration: --flake URI#NAME"));
    }
    let name = if host_name.is_empty() { NAMELESS } else { host_name };
    Ok(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Arguments;
    use clap::Parser;

    fn choose(line: &str, found: &Found) -> Result<Configuration, Failure> {
        let words = line.split(' ').filter(|word| !word.is_empty());
        let words = words.map(|word| if word == "''" { "" } else { word });
        let arguments = Arguments::try_parse_from(["rebuild", "build"].into_iter().chain(words)).unwrap();
        Configuration::choose(&arguments.configuration, arguments.flake, found, Some("pi.lan"))
    }

    fn file(file: &str, attribute: Option<&str>) -> Configuration {
        Configuration::File {
            file: file.into(),
            attribute: attribute.map(str::to_owned),
        }
    }

    fn flake(reference: &str, name: &str) -> Configuration {
        Configuration::Flake(Flake {
            reference: reference.into(),
            name: Some(name.into()),
            flags: FlakeFlags::default(),
        })
    }

    /// A machine with all that can be found.
    fn all() -> Found {
        Found {
            system_flake: Some("/home/me/flake".into()),
            file_in_directory: false,
            file_here: Some(FILE),
            nixos_system: true,
            system_file: true,
        }
    }

    #[test]
    fn a_flake_that_is_named() {
        for (line, reference, name) in [
            // nixpkgs#101648: both mean the same.
            ("--flake", ".", "pi.lan"),
            ("--flake .", ".", "pi.lan"),
            ("-F .#", ".", "pi.lan"),
            ("-F", ".", "pi.lan"),
            ("--flake #lab", "", "lab"),
            ("--flake /my-flake#other", "/my-flake", "other"),
            // A name with a dot in it is one attribute.
            ("--flake .#pi.lan", ".", "pi.lan"),
            // nixpkgs#422971: not resolved.
            ("--flake ../up?submodules=1#x", "../up?submodules=1", "x"),
            (
                "--flake github:me/flake/branch?dir=nixos#x",
                "github:me/flake/branch?dir=nixos",
                "x",
            ),
            ("--no-flake --flake a#b", "a", "b"),
            ("--flake a#b --flake c#d", "c", "d"),
            ("--flake . --file '' --attr ''", ".", "pi.lan"),
        ] {
            for found in [all(), Found::default()] {
                assert_eq!(choose(line, &found), Ok(flake(reference, name)), "{line}");
            }
        }
    }

    #[test]
    fn what_is_found_when_nothing_is_named() {
        let without_flake = Found {
            system_flake: None,
            ..all()
        };
        let file_only = Found {
            system_file: true,
            ..Found::default()
        };
        let here_only = Found {
            file_here: Some(FILE),
            ..Found::default()
        };
        let old_here = Found {
            file_here: Some("default.nix"),
            ..all()
        };
        let in_directory = Found {
            file_in_directory: true,
            ..all()
        };
        for (line, found, expected) in [
            ("", &all(), flake("/home/me/flake", "pi.lan")),
            ("", &without_flake, file("<nixos-system>", None)),
            ("", &file_only, file("/etc/nixos/system.nix", None)),
            // Only with --attr: it may be the file of something else.
            ("", &here_only, Configuration::Classic),
            ("", &Found::default(), Configuration::Classic),
            ("--no-flake", &all(), file("<nixos-system>", None)),
            ("--flake . --no-flake", &Found::default(), Configuration::Classic),
            // nixpkgs#527046: --file and --attr turn the finding of a flake off.
            ("--attr pi", &all(), file("system.nix", Some("pi"))),
            ("--attr pi", &old_here, file("default.nix", Some("pi"))),
            // A directory means its system.nix, if it has one, and else what Nix makes of it: its default.nix.
            ("--file dir", &in_directory, file("dir/system.nix", None)),
            (
                "--file ./dir/ -A pi",
                &in_directory,
                file("./dir/system.nix", Some("pi")),
            ),
            ("--file dir", &all(), file("dir", None)),
            (
                "-A hosts.pi",
                &file_only,
                file("/etc/nixos/system.nix", Some("hosts.pi")),
            ),
            ("--file /x.nix", &all(), file("/x.nix", None)),
            ("-f ./dir -A pi", &all(), file("./dir", Some("pi"))),
            ("--file '' --attr ''", &all(), flake("/home/me/flake", "pi.lan")),
            // How to have the classic one where there are others.
            ("--file <nixpkgs/nixos>", &all(), Configuration::Classic),
        ] {
            assert_eq!(choose(line, found), Ok(expected), "{line}");
        }
    }

    #[test]
    fn contradictions_and_nonsense_are_refused_with_a_remedy() {
        for (line, message, remedy) in [
            (
                "--flake . --file x.nix",
                "--flake . and --file x.nix name two configurations",
                "--flake URI#NAME",
            ),
            ("--flake --attr pi", "--flake . and --attr pi", "leave one out"),
            ("--attr pi", "there is no ./system.nix", "--file FILE --attr pi"),
            ("--flake .#a#b", "'a#b' is no name", "REFERENCE#NAME"),
            ("--flake .#nixosConfigurations.\"pi\"", "is no name", "without quotes"),
            ("--flake=-x", "begins with a hyphen", "--flake ./-x"),
            ("--file=-x", "begins with a hyphen", "--file ./-x"),
        ] {
            let failure = choose(line, &Found::default()).unwrap_err();
            assert_eq!(failure.code(), 2, "{line}");
            assert!(failure.to_string().contains(message), "{line}: {failure}");
            assert!(
                failure.remedy().unwrap().contains(remedy),
                "{line}: {:?}",
                failure.remedy()
            );
        }
    }

    /// nixos-rebuild takes them, and so do aliases and scripts: no refusal.
    #[test]
    fn flags_of_flakes_without_a_flake_are_useless_and_no_error() {
        for (line, found, expected) in [
            (
                "--impure",
                Found::default(),
                Some("--impure has no effect: it is for flakes, and the classic configuration is none"),
            ),
            (
                "--file x.nix --override-input a b",
                all(),
                Some("--override-input has no effect: it is for flakes, and the configuration x.nix"),
            ),
            (
                "--no-flake --flake . --no-flake --offline",
                Found::default(),
                Some("--offline has no effect"),
            ),
            ("--refresh", Found::default(), Some("--refresh has no effect")),
            ("--impure", all(), None),
            ("--flake . --refresh", Found::default(), None),
            ("", Found::default(), None),
        ] {
            let words = line.split(' ').filter(|word| !word.is_empty());
            let arguments = Arguments::try_parse_from(["rebuild", "build"].into_iter().chain(words)).unwrap();
            let said = choose(line, &found).unwrap().useless(&arguments.flake);
            match (said.as_deref(), expected) {
                (said, None) => assert_eq!(said, None, "{line}"),
                (Some(said), Some(expected)) => assert!(said.starts_with(expected), "{line}: {said}"),
                (None, Some(_)) => unreachable!("{line}: nothing was said"),
            }
        }
    }

    #[test]
    fn the_flags_of_flakes_are_with_the_flake() {
        for line in ["--flake . --impure", "--impure"] {
            let Ok(Configuration::Flake(flake)) = choose(line, &all()) else {
                unreachable!("{line}: a flake");
            };
            assert!(flake.flags.impure);
        }
    }

    #[test]
    fn attributes_as_nix_takes_them() {
        for (configuration, file, attribute) in [
            (Configuration::Classic, "<nixpkgs/nixos>", "a.b"),
            (file("x y.nix", None), "x y.nix", "a.b"),
            (file("dir", Some("hosts.pi")), "dir", "hosts.pi.a.b"),
        ] {
            let attribute = attribute.to_owned();
            assert_eq!(
                configuration.subject("a.b"),
                Installable::Expression { file, attribute }
            );
        }
        let flake = flake("path:/x?a=b", "pi.lan");
        let Installable::Flake { installable, .. } = flake.subject("a.b") else {
            unreachable!("a flake");
        };
        assert_eq!(installable, "path:/x?a=b#nixosConfigurations.\"pi.lan\".a.b");
    }

    #[test]
    fn what_is_named_as_seen_from_the_current_directory() {
        for (line, expected) in [
            ("--flake .", true),
            ("--flake ./x#y", true),
            ("--flake path:.#y", true),
            ("--flake path:/x#y", false),
            ("--flake /x", false),
            ("--flake github:a/b", false),
            ("--flake mine#pi", false),
            ("--file x.nix", true),
            ("--file /x.nix", false),
            ("--file <x>", false),
            ("--file https://x/y.tar.gz", false),
            ("", false),
        ] {
            assert_eq!(
                choose(line, &Found::default()).unwrap().is_relative(),
                expected,
                "{line}"
            );
        }
    }

    #[test]
    fn a_name_that_is_not_known_yet_is_the_targets() {
        let arguments = Arguments::try_parse_from(["rebuild", "build", "--flake", "."]).unwrap();
        let choose = |name| {
            let flags = FlakeFlags::default();
            Configuration::choose(&arguments.configuration, flags, &Found::default(), name).unwrap()
        };
        assert_ne!(choose(None), flake(".", "target"));
        assert_eq!(choose(None).named("target", "b"), Ok(flake(".", "target")));
        assert_eq!(choose(Some("pi")).named("target", "b"), Ok(flake(".", "pi")));
        assert_eq!(choose(None).named("", "b"), Ok(flake(".", "default")));
        // Whatever it calls itself where it is not asked.
        assert_eq!(choose(Some("pi")).named("a\"b", "b"), Ok(flake(".", "pi")));
    }

    #[test]
    fn a_host_name_that_would_be_more_than_a_name_is_refused() {
        let choose = |found: &Found, given: &[&str], name| {
            let arguments = Arguments::try_parse_from(["rebuild", "build"].iter().chain(given)).unwrap();
            Configuration::choose(&arguments.configuration, FlakeFlags::default(), found, name)
        };
        let unnamed = choose(&Found::default(), &["--flake", "."], None);
        for name in ["a\".x.\"b", "a#b", "a\nb"] {
            let there = unnamed.clone().unwrap().named(name, "me@target").unwrap_err();
            assert!(there.to_string().contains("the host name of me@target, "), "{there}");
            for here in [
                choose(&Found::default(), &["--flake", "."], Some(name)),
                choose(&all(), &[], Some(name)),
            ] {
                let here = here.unwrap_err();
                assert!(here.to_string().contains("the host name of this machine, "), "{here}");
                assert_eq!((here.code(), there.code()), (2, 2));
                assert!(here.remedy().is_some_and(|remedy| remedy.contains("--flake URI#NAME")));
            }
            assert_eq!(choose(&all(), &["--flake", ".#pi"], Some(name)), Ok(flake(".", "pi")));
        }
    }
}
