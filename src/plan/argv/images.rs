//! Which images a configuration has. One evaluation; nixos-rebuild has two besides the build's.

use serde::Deserialize;

use super::making::FLAKES;
use crate::plan::{Making, NixFlags, Subject};
use crate::process::Invocation;

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Images {
    /// The names of all.
    pub variants: Vec<String>,
    /// Where the file of the chosen one lies in its output, if it says so.
    pub file: Option<String>,
}

/// Asks here. The answer is JSON of [`Images`].
#[must_use]
pub fn images(making: &Making, variant: &str, flags: &NixFlags) -> Invocation {
    let words = question(making, variant, flags);
    let mut words = words.into_iter();
    Invocation::new(words.next().unwrap_or_default()).args(words)
}

/// Asks on another machine: the program and its arguments.
#[must_use]
pub fn images_there(making: &Making, variant: &str, flags: &NixFlags) -> Vec<String> {
    question(making, variant, flags)
}

fn question(making: &Making, variant: &str, flags: &NixFlags) -> Vec<String> {
    let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let common = [
        flags.common.arguments(),
        flags.evaluation.arguments(),
        flags.build.realise_arguments(),
    ]
    .concat();
    match making.configuration.subject(&making.product.images()) {
        Subject::Expression { file, attribute } => {
            let expression = format!(
                "let value = import {}; set = if builtins.isFunction value then value {{ }} else value; \
                 in ({}) set.{attribute}",
                path_expression(file),
                selection(variant)
            );
            [
                owned(&["nix-instantiate", "--eval", "--strict", "--json", "--expr"]),
                vec![expression],
                common,
            ]
            .concat()
        }
        Subject::Flake {
            installable,
            flags: own,
        } => [
            owned(&["nix"]),
            owned(&FLAKES),
            owned(&["eval", "--json"]),
            vec![installable, "--apply".to_owned(), selection(variant)],
            common,
            own.arguments(),
        ]
        .concat(),
    }
}

/// A function from all images to [`Images`]. The variant's name has no character that would end it (`plan::product`).
fn selection(variant: &str) -> String {
    format!(
        "images: {{ variants = builtins.attrNames images; \
         file = if images ? \"{variant}\" then images.\"{variant}\".passthru.filePath or null else null; }}"
    )
}

/// A file as `nix-build` takes it, in a Nix expression.
fn path_expression(file: &str) -> String {
    if file.starts_with('<') || file.contains("://") {
        return if file.contains("://") {
            format!("(builtins.fetchTarball \"{file}\")")
        } else {
            file.to_owned()
        };
    }
    let quoted: String = file
        .chars()
        .flat_map(|c| if "\"\\$".contains(c) { vec!['\\', c] } else { vec![c] })
        .collect();
    if file.starts_with('/') {
        format!("(/. + \"{quoted}\")")
    } else {
        format!("(./. + \"/{quoted}\")")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::flags::{EvaluationFlags, FlakeFlags};
    use crate::host::Place;
    use crate::plan::{Configuration, Flake, Kind, Product};

    fn making(configuration: Configuration) -> Making {
        Making {
            configuration,
            product: Product {
                kind: Kind::Image("iso".into()),
                specialisation: None,
            },
            evaluator: Place::Here,
            builder: Place::Here,
            verify_evaluation: false,
        }
    }

    /// nixos-rebuild gives these evaluations no `-I`.
    #[test]
    fn one_evaluation_that_gets_the_search_path() {
        let flags = NixFlags {
            evaluation: EvaluationFlags {
                include: vec!["nixpkgs=/n".into()],
                show_trace: false,
            },
            ..NixFlags::default()
        };
        let command = images(&making(Configuration::Classic), "iso", &flags).to_string();
        assert_eq!(
            command,
            "nix-instantiate --eval --strict --json --expr 'let value = import <nixpkgs/nixos>; \
             set = if builtins.isFunction value then value { } else value; \
             in (images: { variants = builtins.attrNames images; \
             file = if images ? \"iso\" then images.\"iso\".passthru.filePath or null else null; }) \
             set.config.system.build.images' -I 'nixpkgs=/n'"
        );
        let flake = Configuration::Flake(Flake {
            reference: "/f".into(),
            name: Some("pi".into()),
            flags: FlakeFlags {
                impure: true,
                ..FlakeFlags::default()
            },
        });
        let command = images(&making(flake), "", &flags).to_string();
        assert!(
            command.starts_with(
                "nix --extra-experimental-features 'nix-command flakes' eval --json \
                 '/f#nixosConfigurations.\"pi\".config.system.build.images' --apply "
            ) && command.ends_with("-I 'nixpkgs=/n' --impure"),
            "{command}"
        );
    }

    #[test]
    fn files_of_any_name() {
        for (file, expected) in [
            ("<nixpkgs/nixos>", "<nixpkgs/nixos>"),
            ("/a b/x.nix", "(/. + \"/a b/x.nix\")"),
            ("dir", "(./. + \"/dir\")"),
            ("../${x}", "(./. + \"/../\\${x}\")"),
        ] {
            assert_eq!(path_expression(file), expected);
        }
    }
}
