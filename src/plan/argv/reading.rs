//! `edit` and `repl`.

use super::making::{FLAKES, flake_arguments};
use crate::plan::{Configuration, Flake, NixFlags, Subject};
use crate::process::Invocation;

/// Opens the file in which a flake's configuration is, in the user's editor.
#[must_use]
pub fn edit_flake(flake: &Flake, flags: &NixFlags) -> Invocation {
    Invocation::new("nix")
        .args(FLAKES)
        .arg("edit")
        .args(flake_arguments(&flake.flags, flags))
        .args(["--", &flake.installable()])
}

/// Asks for a flake's address.
#[must_use]
pub fn flake_metadata(flake: &Flake, flags: &NixFlags) -> Invocation {
    // A path that is not one of Nix's addresses is one of the current directory.
    let reference = if flake.reference.is_empty() {
        "."
    } else {
        &flake.reference
    };
    Invocation::new("nix")
        .args(FLAKES)
        .args(["flake", "metadata", "--json", reference])
        .args(flake_arguments(&flake.flags, flags))
}

/// Opens a configuration that is no flake.
#[must_use]
pub fn repl(configuration: &Configuration, flags: &NixFlags) -> Invocation {
    let Subject::Expression { file, attribute } = configuration.subject("") else {
        return Invocation::new("nix").args(["repl"]);
    };
    let attribute = attribute.trim_end_matches('.').to_owned();
    // What follows --file are attributes in it.
    Invocation::new("nix")
        .args(FLAKES)
        .args(["repl", "--file", file])
        .args((!attribute.is_empty()).then_some(attribute))
        .args(flags.common.arguments_with_log_format())
        .args(flags.evaluation.arguments())
        .args(flags.build.realise_arguments())
}

/// Opens a flake's configuration, with its options, packages and inputs in scope.
#[must_use]
pub fn repl_of_flake(flake: &Flake, address: &str, flags: &NixFlags) -> Invocation {
    let name = flake.name.as_deref().unwrap_or("default");
    let greeting = format!(
        "\nIn scope: config, options, pkgs, lib and extendModules of nixosConfigurations.{name}, \
         flake, inputs\n:r loads the flake again, :? shows all commands\n"
    );
    let expression = format!(
        "let flake = builtins.getFlake {}; system = flake.nixosConfigurations.{}; \
         in builtins.trace {} ({{ inherit (system) config options pkgs; lib = system.lib or system.pkgs.lib; \
         extendModules = system.extendModules or null; inherit flake; inherit (flake) inputs; }})",
        nix_string(address),
        nix_string(name),
        nix_string(&greeting)
    );
    Invocation::new("nix")
        .args(FLAKES)
        .args(["repl", "--impure", "--expr", &expression])
        .args(flake_arguments(&flake.flags, flags))
}

/// A text as Nix's own literal.
fn nix_string(text: &str) -> String {
    let quoted = text
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace("${", "\\${")
        .replace('\n', "\\n");
    format!("\"{quoted}\"")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::flags::{EvaluationFlags, FlakeFlags};

    fn flake() -> Flake {
        Flake {
            reference: String::new(),
            name: Some("pi".into()),
            flags: FlakeFlags {
                offline: true,
                ..FlakeFlags::default()
            },
        }
    }

    fn flags() -> NixFlags {
        NixFlags {
            evaluation: EvaluationFlags {
                include: vec!["x=/y".into()],
                show_trace: true,
            },
            ..NixFlags::default()
        }
    }

    #[test]
    fn what_is_opened() {
        let nix = "nix --extra-experimental-features 'nix-command flakes'";
        let file = |attribute: Option<&str>| Configuration::File {
            file: "x.nix".into(),
            attribute: attribute.map(str::to_owned),
        };
        for (command, expected) in [
            (
                repl(&Configuration::Classic, &flags()),
                "repl --file '<nixpkgs/nixos>' -I 'x=/y' --show-trace",
            ),
            (repl(&file(Some("a.b")), &NixFlags::default()), "repl --file x.nix a.b"),
            (repl(&file(None), &NixFlags::default()), "repl --file x.nix"),
            (
                edit_flake(&flake(), &flags()),
                "edit -I 'x=/y' --show-trace --offline -- '#nixosConfigurations.\"pi\"'",
            ),
            (
                flake_metadata(&flake(), &NixFlags::default()),
                "flake metadata --json . --offline",
            ),
        ] {
            assert_eq!(command.to_string(), format!("{nix} {expected}"));
        }
    }

    #[test]
    fn a_flakes_expression_has_its_names_as_literals() {
        let command = repl_of_flake(&flake(), "path:/a\"${b}", &NixFlags::default());
        let expression = command.words().nth(6).map(|word| word.to_string_lossy().into_owned());
        let expected = r#"let flake = builtins.getFlake "path:/a\"\${b}"; system = flake.nixosConfigurations."pi";"#;
        assert!(expression.as_ref().unwrap().starts_with(expected), "{expression:?}");
        assert_eq!(nix_string("a\\b\n"), "\"a\\\\b\\n\"");
    }
}
