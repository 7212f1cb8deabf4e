//! `edit` and `repl`: the configuration, for a person.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::failure::Failure;
use crate::nix_settings::NixSettings;
use crate::plan::{Configuration, Flake, Reading, argv};
use crate::process::Invocation;
use crate::process::signals::Signals;
use crate::sources::search_path::SearchPath;
use crate::surroundings::Surroundings;

/// Opens it in the user's editor; a flake in that of `nix edit`.
pub(super) fn in_editor(reading: &Reading, around: &Surroundings) -> Result<()> {
    let file = match &reading.configuration {
        Configuration::Flake(flake) => return argv::edit_flake(flake, &reading.flags).interactive(),
        Configuration::File { file, .. } if !file.starts_with('<') => PathBuf::from(file),
        Configuration::File { .. } | Configuration::Classic => entry(reading, around),
    };
    let file = if file.is_dir() { file.join("default.nix") } else { file };
    if !file.exists() {
        return Err(Failure::new(format!("there is no {}", file.display()))
            .with_remedy("the configuration is what NIXOS_CONFIG or <nixos-config> names")
            .into());
    }
    editor(around, &file)?.interactive()
}

fn entry(reading: &Reading, around: &Surroundings) -> PathBuf {
    let settings = NixSettings::read(|name| around.variable(name));
    let search_path = SearchPath::new(
        &reading.flags.evaluation.include,
        around.text("NIX_PATH").as_deref(),
        settings.get("nix-path"),
        &around.home(),
        &around.directory,
    );
    let named = around.variable("NIXOS_CONFIG").filter(|value| !value.is_empty());
    named
        .map(PathBuf::from)
        .or_else(|| search_path.find("nixos-config"))
        .unwrap_or_else(|| PathBuf::from("/etc/nixos"))
}

/// `EDITOR` with its arguments; nixos-rebuild takes `code -w` for a program's name.
fn editor(around: &Surroundings, file: &Path) -> Result<Invocation, Failure> {
    let text = around.text("EDITOR").filter(|text| !text.trim().is_empty());
    let text = text.unwrap_or_else(|| "nano".to_owned());
    let words = shlex::split(&text).filter(|words| !words.is_empty());
    let Some([program, arguments @ ..]) = words.as_deref() else {
        return Err(Failure::usage(format!(
            "EDITOR cannot be read, a quote is not closed: {text}"
        )));
    };
    Ok(Invocation::new(program).args(arguments).arg(file))
}

/// Opens it in `nix repl`.
pub(super) fn in_repl(reading: &Reading, signals: &Signals) -> Result<()> {
    let flags = &reading.flags;
    match &reading.configuration {
        Configuration::Flake(flake) => {
            let address = address(flake, reading, signals)?;
            argv::repl_of_flake(flake, &address, flags).interactive()
        }
        other => argv::repl(other, flags).interactive(),
    }
}

/// Where Nix finds the flake, in words that do not depend on the current directory.
fn address(flake: &Flake, reading: &Reading, signals: &Signals) -> Result<String> {
    let output = argv::flake_metadata(flake, &reading.flags).capture(signals)?;
    let metadata: Value =
        serde_json::from_slice(&output).context("Nix printed something else than a flake's metadata")?;
    let url = metadata
        .get("resolvedUrl")
        .or(metadata.get("url"))
        .and_then(Value::as_str);
    url.map(str::to_owned).context("Nix knows no address of this flake")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn around(editor: &str) -> Surroundings {
        Surroundings {
            variables: vec![("EDITOR".into(), editor.into())],
            directory: "/".into(),
            own_name: "pi".into(),
        }
    }

    #[test]
    fn an_editor_may_have_arguments() {
        for (text, expected) in [
            ("code -w", "code -w /x"),
            ("'my editor' -n 'a b'", "'my editor' -n 'a b' /x"),
            ("", "nano /x"),
        ] {
            assert_eq!(editor(&around(text), Path::new("/x")).unwrap().to_string(), expected);
        }
        assert!(editor(&around("'x"), Path::new("/x")).is_err());
    }
}
