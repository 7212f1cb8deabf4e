//! `edit`: the configuration in the user's editor.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::failure::Failure;
use crate::own_nix::search_path::SearchPath;
use crate::own_nix::{OwnNix, named_configuration};
use crate::plan::argv::FLAKES;
use crate::plan::{Flake, NixFlags};
use crate::process::Invocation;
use crate::process::signals::Signals;
use crate::surroundings::Surroundings;
use crate::vocabulary::FlakeReference;

/// The place of NixOS's configuration if nothing names another one.
const DEFAULT: &str = "/etc/nixos";

/// Opens the configuration, and waits until the user has closed it. It is a flake's configuration, or the one that
/// `<nixpkgs/nixos>` would read.
///
/// # Errors
/// Fails if there is no such file or no such editor, or if the editor ends with an error.
pub fn open(
    flake: Option<&Flake>,
    flags: &NixFlags,
    around: &Surroundings,
    nix: &OwnNix,
    signals: &Signals,
) -> Result<()> {
    let command = if let Some(flake) = flake {
        match file_of_flake(flake, &around.directory) {
            Some(file) => editor(around.text("EDITOR").as_deref(), &file)?,
            None => of_flake(flake, flags),
        }
    } else {
        let file = file(around, &nix.search_path)?;
        editor(around.text("EDITOR").as_deref(), &file)?
    };
    command.interactively(signals)
}

/// Returns the file: the one that `NIXOS_CONFIG` names, else `<nixos-config>`, else the one in /etc/nixos.
///
/// # Errors
/// Fails if the file does not exist.
pub fn file(around: &Surroundings, search_path: &SearchPath) -> Result<PathBuf, Failure> {
    let (path, reason) = if let Some((path, by)) = named_configuration(around, search_path) {
        (path, format!("{by} names it"))
    } else if search_path.is_address("nixos-config") {
        return Err(
            Failure::new("<nixos-config> is an address, and no file of this machine")
                .with_remedy("name a file: NIXOS_CONFIG=FILE"),
        );
    } else {
        let reason = "neither NIXOS_CONFIG nor <nixos-config> names another file";
        (PathBuf::from(DEFAULT), reason.to_owned())
    };
    let path = if path.is_dir() { path.join("default.nix") } else { path };
    if path.exists() {
        return Ok(path);
    }
    Err(Failure::new(format!("there is no {}: {reason}", path.display()))
        .with_remedy("name the file: NIXOS_CONFIG=FILE; a flake: --flake URI"))
}

/// Returns the editor's command: `EDITOR` may have arguments, and quotes as in a shell. nixos-rebuild takes `code -w`
/// for a program's name.
///
/// # Errors
/// Fails if a quote in it is not closed.
pub fn editor(variable: Option<&str>, file: &Path) -> Result<Invocation, Failure> {
    let text = variable.filter(|text| !text.trim().is_empty()).unwrap_or("nano");
    let words = shlex::split(text);
    let Some([program, arguments @ ..]) = words.as_deref() else {
        return Err(
            Failure::usage(format!("EDITOR={text}: this cannot be read as a command"))
                .with_remedy("is a quote not closed?"),
        );
    };
    Ok(Invocation::new(program).args(arguments).arg(file))
}

/// Returns the `flake.nix` of a flake that is a path. As with Nix, it is in that directory or in one above it.
///
/// nixos-rebuild leaves this to `nix edit`, which fails for every NixOS configuration ("cannot find position
/// information").
#[must_use]
pub fn file_of_flake(flake: &Flake, directory: &Path) -> Option<PathBuf> {
    let reference = FlakeReference::read(&flake.reference);
    reference.is_path().then(|| reference.file_here(directory))?
}

/// Opens the file with another flake's configuration by Nix, which starts `EDITOR` itself.
#[must_use]
pub fn of_flake(flake: &Flake, flags: &NixFlags) -> Invocation {
    Invocation::new("nix")
        .args(FLAKES)
        .arg("edit")
        .args(flags.common.arguments_with_log_format())
        .args(flags.evaluation.arguments())
        .args(flags.build.nix_arguments())
        .args(flake.flags.arguments())
        .args(["--", &flake.installable()])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::flags::{EvaluationFlags, FlakeFlags};
    use std::fs;

    fn around(named: Option<&str>) -> Surroundings {
        Surroundings::with(&named.map_or_else(Vec::new, |named| vec![("NIXOS_CONFIG", named)]))
    }

    fn search_path(text: &str) -> SearchPath {
        SearchPath::of_variable(text, Path::new("/"))
    }

    #[test]
    fn the_variable_goes_before_the_search_path_and_a_directory_means_its_default() {
        let place = tempfile::tempdir().unwrap();
        let path = |name: &str| place.path().join(name);
        fs::create_dir(path("directory")).unwrap();
        for name in ["one.nix", "two.nix", "directory/default.nix"] {
            fs::write(path(name), "").unwrap();
        }
        let search = search_path(&format!("nixos-config={}", path("two.nix").display()));
        let found = |named: Option<&str>| {
            let mut around = around(named);
            around.directory = place.path().to_owned();
            file(&around, &search).unwrap()
        };
        assert_eq!(found(Some(path("one.nix").to_str().unwrap())), path("one.nix"));
        assert_eq!(found(Some("one.nix")), path("one.nix"));
        assert_eq!(found(Some("directory")), path("directory/default.nix"));
        assert_eq!(found(Some("")), path("two.nix"));
        assert_eq!(found(None), path("two.nix"));
    }

    #[test]
    fn what_is_not_there_is_named() {
        let place = tempfile::tempdir().unwrap();
        let text = |named: Option<&Path>, search: &str| {
            let around = around(named.and_then(Path::to_str));
            file(&around, &search_path(search)).unwrap_err().to_string()
        };
        let missing = text(Some(place.path()), "");
        let expected = format!(
            "there is no {}: NIXOS_CONFIG names it",
            place.path().join("default.nix").display()
        );
        assert_eq!(missing, expected);
        assert!(text(None, "nixos-config=https://h/x.tar.gz").contains("is an address"));
    }

    #[test]
    fn an_editor_may_have_arguments() {
        for (variable, expected) in [
            (Some("code -w"), "code -w '/my file'"),
            (Some("'my editor' -n \"a b\""), "'my editor' -n 'a b' '/my file'"),
            (Some(" "), "nano '/my file'"),
            (None, "nano '/my file'"),
        ] {
            let command = editor(variable, Path::new("/my file")).unwrap();
            assert_eq!(command.to_string(), expected);
        }
        for variable in ["'x", "# nothing"] {
            assert_eq!(editor(Some(variable), Path::new("/x")).unwrap_err().code(), 2);
        }
    }

    #[test]
    fn a_flake_that_is_here_is_opened_itself() {
        let place = tempfile::tempdir().unwrap();
        let root = place.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("flake/hosts")).unwrap();
        fs::write(root.join("flake/flake.nix"), "").unwrap();
        let found = |reference: &str, directory: &str| {
            let flake = Flake {
                reference: reference.into(),
                name: None,
                flags: FlakeFlags::default(),
            };
            file_of_flake(&flake, &root.join(directory))
        };
        let file = Some(root.join("flake/flake.nix"));
        for (reference, directory) in [("", "flake"), (".", "flake/hosts"), ("./flake?submodules=1", ".")] {
            assert_eq!(found(reference, directory), file, "{reference}");
        }
        for reference in ["github:me/x", "nixpkgs", "./none"] {
            assert_eq!(found(reference, "flake"), None, "{reference}");
        }
    }

    #[test]
    fn another_flake_is_opened_by_nix() {
        let flake = Flake {
            reference: "github:me/x".into(),
            name: Some("pi".into()),
            flags: FlakeFlags {
                offline: true,
                ..FlakeFlags::default()
            },
        };
        let flags = NixFlags {
            evaluation: EvaluationFlags {
                include: Vec::new(),
                show_trace: true,
                ..EvaluationFlags::default()
            },
            ..NixFlags::default()
        };
        assert_eq!(
            of_flake(&flake, &flags).to_string(),
            "nix --extra-experimental-features 'nix-command flakes' edit --show-trace --offline -- \
             'github:me/x#nixosConfigurations.\"pi\"'"
        );
    }
}
