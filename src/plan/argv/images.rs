//! The images of a configuration. One evaluation finds them; nixos-rebuild makes two of them besides the build's.

use serde::Deserialize;

use super::making::FLAKES;
use crate::plan::expression::{of_file, string};
use crate::plan::{Installable, Making, NixFlags};
use crate::process::Invocation;

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Images {
    /// The names of all images.
    pub variants: Vec<String>,
    /// The place of the chosen image's file in its output, if the image says so.
    pub file: Option<String>,
}

/// Asks on this machine. The answer is JSON of [`Images`].
#[must_use]
pub fn images(making: &Making, variant: &str, flags: &NixFlags) -> Invocation {
    let words = question(making, variant, flags, flags.common.arguments());
    let mut words = words.into_iter();
    Invocation::new(words.next().unwrap_or_default()).args(words)
}

/// Asks on another machine: returns the program and its arguments.
#[must_use]
pub fn images_there(making: &Making, variant: &str, flags: &NixFlags) -> Vec<String> {
    question(making, variant, flags, flags.common.arguments_there())
}

fn question(making: &Making, variant: &str, flags: &NixFlags, common: Vec<String>) -> Vec<String> {
    let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let common = [common, flags.evaluation.arguments(), flags.build.realise_arguments()].concat();
    match making.configuration.subject(&making.product.images()) {
        Installable::Expression { file, attribute } => {
            let expression = format!("({}) ({})", selection(variant), of_file(file, &attribute, None));
            [
                owned(&["nix-instantiate", "--eval", "--strict", "--json", "--expr"]),
                vec![expression],
                common,
            ]
            .concat()
        }
        Installable::Flake {
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

/// Returns a function from all images to [`Images`].
fn selection(variant: &str) -> String {
    let variant = string(variant);
    format!(
        "images: {{ variants = builtins.attrNames images; \
         file = if images ? {variant} then images.{variant}.passthru.filePath or null else null; }}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::flags::{EvaluationFlags, FlakeFlags};
    use crate::host::Place;
    use crate::plan::{Configuration, Flake, Product, ProductKind};

    fn making(configuration: Configuration) -> Making {
        Making {
            configuration,
            product: Product {
                kind: ProductKind::Image("iso".into()),
                specialisation: None,
            },
            evaluator: Place::Here,
            builder: Place::Here,
            verify_evaluation: false,
        }
    }

    /// nixos-rebuild does not pass `-I` on to these evaluations.
    #[test]
    fn one_evaluation_that_gets_the_search_path() {
        let flags = NixFlags {
            evaluation: EvaluationFlags {
                include: vec!["nixpkgs=/n".into()],
                show_trace: false,
                ..EvaluationFlags::default()
            },
            ..NixFlags::default()
        };
        let words = images_there(&making(Configuration::Classic), "iso", &flags);
        assert_eq!(
            words.join(" "),
            "nix-instantiate --eval --strict --json --expr \
             (images: { variants = builtins.attrNames images; \
             file = if images ? \"iso\" then images.\"iso\".passthru.filePath or null else null; }) \
             (let call = value: if builtins.isFunction value then value { } else value; in \
             builtins.foldl' (value: name: (call value).${name}) \
             (import (builtins.findFile builtins.nixPath \"nixpkgs/nixos\")) \
             [ \"config\" \"system\" \"build\" \"images\" ]) -I nixpkgs=/n"
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
}
