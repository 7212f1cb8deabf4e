//! `repl`: the configuration in `nix repl`.
//!
//! Before 2.10, `nix repl` has neither `--expr` nor `--file`, and takes files. So Nix is asked for its version first.

pub mod expression;

use std::ffi::OsStr;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::cli::flags::{CommonFlags, FlakeFlags};
use crate::nix_version::NixVersion;
use crate::plan::argv::{FLAKES, version};
use crate::plan::expression::of_file;
use crate::plan::{Configuration, Flake, NixFlags};
use crate::private;
use crate::process::Invocation;
use crate::process::signals::Signals;

/// The first Nix whose `nix repl` takes `--expr` and `--file`.
const TAKES_FLAGS_SINCE: NixVersion = NixVersion::new(2, 10);

/// What `nix repl` loads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Load {
    /// A file, and an attribute in it.
    File {
        /// The file as `nix-build` takes it.
        file: String,
        /// The attribute; None for the whole file.
        attribute: Option<String>,
    },
    /// Text of the Nix language, and the flags that only flakes have.
    Expression(String, FlakeFlags),
}

/// Opens a configuration for a person, until they leave. Relative paths start from `directory`.
///
/// # Errors
/// Fails if Nix cannot be started or ends with an error, or if it knows no such flake.
pub fn open(configuration: &Configuration, flags: &NixFlags, directory: &Path, signals: &Signals) -> Result<()> {
    let printed = version().capture(signals)?;
    let load = match configuration {
        Configuration::Flake(flake) => load_flake(flake, &address(&metadata(flake, flags).capture(signals)?)?),
        Configuration::Classic => load_file("<nixpkgs/nixos>", None),
        Configuration::File { file, attribute } => load_file(file, attribute.as_deref()),
    };
    if takes_flags(&String::from_utf8_lossy(&printed)) {
        return repl(&load, flags).interactively(signals);
    }
    let (text, own) = match load {
        Load::File { file, attribute: None } => {
            return old_repl(OsStr::new(&file), None, flags).interactively(signals);
        }
        Load::File {
            file,
            attribute: Some(attribute),
        } => (of_file(&file, &attribute, Some(directory)), None),
        Load::Expression(text, own) => (text, Some(own)),
    };
    // Each `:r` reads the file again, so it stays until the end.
    let place = private::directory(&std::env::temp_dir())?;
    let file = place.path().join("repl.nix");
    std::fs::write(&file, text)?;
    old_repl(file.as_os_str(), own.as_ref(), flags).interactively(signals)
}

/// Asks for a flake's address. Nix gets the reference as it is: resolving it here broke submodules (nixpkgs#422971).
#[must_use]
pub fn metadata(flake: &Flake, flags: &NixFlags) -> Invocation {
    // `#name` means the flake of the current directory.
    let reference = Some(flake.reference.as_str()).filter(|reference| !reference.is_empty());
    Invocation::new("nix")
        .args(FLAKES)
        .args(["flake", "metadata", "--json", reference.unwrap_or(".")])
        .args(arguments(&without_repair(&flags.common), flags))
        .args(flake.flags.arguments())
}

/// Returns the address from what Nix said of a flake. `builtins.getFlake` reads it as `nix build` does. It would copy a
/// plain path with everything that git does not know (nixpkgs#545430).
///
/// # Errors
/// Fails if the address is not there.
pub fn address(metadata: &[u8]) -> Result<String> {
    let metadata: Value =
        serde_json::from_slice(metadata).context("Nix printed something else than a flake's metadata")?;
    let url = metadata.get("resolvedUrl").or_else(|| metadata.get("url"));
    let url = url
        .and_then(Value::as_str)
        .context("Nix knows no address of this flake")?;
    Ok(url.to_owned())
}

/// Returns a flake's configuration, by the flake's address.
#[must_use]
pub fn load_flake(flake: &Flake, address: &str) -> Load {
    let name = flake.name.as_deref().unwrap_or("default");
    Load::Expression(expression::of_flake(address, name), flake.flags.clone())
}

fn load_file(file: &str, attribute: Option<&str>) -> Load {
    Load::File {
        file: file.to_owned(),
        attribute: attribute.map(str::to_owned),
    }
}

/// Returns whether this Nix's `nix repl` takes `--expr` and `--file`, by what `nix --version` printed. A version that
/// cannot be read counts as newer.
#[must_use]
pub fn takes_flags(version: &str) -> bool {
    NixVersion::read(version).is_none_or(|version| version >= TAKES_FLAGS_SINCE)
}

/// Returns the command.
#[must_use]
pub fn repl(load: &Load, flags: &NixFlags) -> Invocation {
    let command = Invocation::new("nix").args(FLAKES).arg("repl");
    match load {
        Load::File { file, attribute } => command
            .args(["--file", file])
            .args(attribute.clone())
            .args(arguments(&flags.common, flags)),
        Load::Expression(text, own) => command
            .args(["--impure", "--expr", text])
            .args(arguments(&flags.common, flags))
            .args(own.arguments()),
    }
}

/// Returns the command for a Nix before 2.10, which takes a file. `own` are a flake's flags.
#[must_use]
pub fn old_repl(file: &OsStr, own: Option<&FlakeFlags>, flags: &NixFlags) -> Invocation {
    // Its `nix repl` rejects the other flags. They were for `nix flake metadata`, which writes the lock file.
    let own = own.map(|own| FlakeFlags {
        offline: own.offline,
        no_net: own.no_net,
        accept_flake_config: own.accept_flake_config,
        refresh: own.refresh,
        ..FlakeFlags::default()
    });
    Invocation::new("nix")
        .args(FLAKES)
        .args(["repl", "--impure"])
        .arg(file)
        .args(arguments(&without_repair(&flags.common), flags))
        .args(own.unwrap_or_default().arguments())
}

/// Removes `--repair`, which Nix 2.8 has only for commands that build.
fn without_repair(common: &CommonFlags) -> CommonFlags {
    CommonFlags {
        repair: false,
        ..common.clone()
    }
}

/// Returns the flags that a build gets.
fn arguments(common: &CommonFlags, flags: &NixFlags) -> Vec<String> {
    [
        common.arguments_with_log_format(),
        flags.evaluation.arguments(),
        flags.build.nix_arguments(),
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::flags::{BuildFlags, EvaluationFlags};

    const NIX: &str = "nix --extra-experimental-features 'nix-command flakes'";

    fn flags() -> NixFlags {
        NixFlags {
            common: CommonFlags {
                verbose: 1,
                repair: true,
                ..CommonFlags::default()
            },
            evaluation: EvaluationFlags {
                include: vec!["x=/y".into()],
                show_trace: true,
                ..EvaluationFlags::default()
            },
            build: BuildFlags {
                print_build_logs: true,
                no_build_output: true,
                ..BuildFlags::default()
            },
            ..NixFlags::default()
        }
    }

    fn flake(reference: &str) -> Flake {
        Flake {
            reference: reference.into(),
            name: Some("pi".into()),
            flags: FlakeFlags {
                offline: true,
                no_write_lock_file: true,
                ..FlakeFlags::default()
            },
        }
    }

    #[test]
    fn a_file_with_the_flags_of_a_build() {
        for (load, expected) in [
            (load_file("<nixpkgs/nixos>", None), "'<nixpkgs/nixos>'"),
            (load_file("x.nix", Some("a.b")), "x.nix a.b"),
        ] {
            assert_eq!(
                repl(&load, &flags()).to_string(),
                format!("{NIX} repl --file {expected} -v --repair -I 'x=/y' --show-trace --print-build-logs")
            );
        }
    }

    #[test]
    fn a_flake_is_asked_for_by_its_own_reference() {
        for (reference, expected) in [("", "."), (".", "."), ("/a?submodules=1", "'/a?submodules=1'")] {
            assert_eq!(
                metadata(&flake(reference), &flags()).to_string(),
                format!(
                    "{NIX} flake metadata --json {expected} -v -I 'x=/y' --show-trace --print-build-logs --offline \
                     --no-write-lock-file"
                )
            );
        }
        let both = br#"{"url":"git+file:///a?rev=1","resolvedUrl":"git+file:///a?submodules=1"}"#;
        assert_eq!(address(both).unwrap(), "git+file:///a?submodules=1");
        assert_eq!(address(br#"{"url":"path:/a"}"#).unwrap(), "path:/a");
        assert!(address(b"{}").is_err() && address(b"warning").is_err());
    }

    #[test]
    fn a_flake_is_an_expression() {
        let load = load_flake(&flake("."), "git+file:///a");
        let command = repl(&load, &flags());
        let words: Vec<_> = command.words().map(|word| word.to_string_lossy()).collect();
        assert_eq!(words[3..6], ["repl", "--impure", "--expr"]);
        assert_eq!(words[6], expression::of_flake("git+file:///a", "pi"));
        let rest = "-v --repair -I x=/y --show-trace --print-build-logs --offline --no-write-lock-file";
        assert_eq!(words[7..].join(" "), rest);
    }

    #[test]
    fn an_old_nix_gets_a_file_and_only_what_it_knows() {
        assert_eq!(
            old_repl(OsStr::new("/t/x.nix"), Some(&flake(".").flags), &flags()).to_string(),
            format!("{NIX} repl --impure /t/x.nix -v -I 'x=/y' --show-trace --print-build-logs --offline")
        );
    }

    #[test]
    fn versions() {
        for (text, expected) in [
            ("nix (Nix) 2.8.0\n", false),
            ("nix (Nix) 2.9.2", false),
            ("nix (Nix) 2.10.3", true),
            ("nix (Nix) 2.26.3", true),
            ("nix (Nix) 2.35.0pre20260701_abc", true),
            ("nix (Lix, like Nix) 2.91.1", true),
            ("nix (Determinate Nix 3.1.0) 2.27.0", true),
            ("nix (Nix) 3.0", true),
            ("", true),
        ] {
            assert_eq!(takes_flags(text), expected, "{text}");
        }
    }
}
