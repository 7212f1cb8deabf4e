//! Evaluating and building here.

use std::path::Path;

use crate::plan::{Configuration, Flake, NixFlags, Subject};
use crate::process::Invocation;

/// What Nix's new commands need where nobody has switched them on.
const FLAKES: [&str; 2] = ["--extra-experimental-features", "nix-command flakes"];

/// Where a local build puts its link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// `./result`.
    Result,
    /// Nowhere.
    None,
    /// Nothing is built.
    DryRun,
}

/// Evaluates and builds here.
#[must_use]
pub fn build(configuration: &Configuration, flags: &NixFlags, link: Link) -> Invocation {
    match configuration.subject() {
        Subject::Expression(words) => nix_build(words, flags, link),
        Subject::Flake(flake) => nix_build_flake(flake, flags, link),
    }
}

/// Evaluates here, and prints the derivation. Of what is no flake, `root` becomes a link to the derivation that keeps it
/// from being collected; the command for flakes has no such thing.
#[must_use]
pub fn evaluate(configuration: &Configuration, flags: &NixFlags, root: &Path) -> Invocation {
    match configuration.subject() {
        Subject::Expression(words) => nix_instantiate(words, flags, root),
        Subject::Flake(flake) => nix_eval(flake, flags),
    }
}

/// Evaluates on another machine: the program and its arguments. The form of its log is set there.
#[must_use]
pub fn evaluation_there(configuration: &Configuration, flags: &NixFlags) -> Vec<String> {
    there(configuration, flags, "", &["nix-instantiate"], &["eval", "--raw"])
}

/// The same, but nothing of it is kept: no derivation, no result of an evaluation.
#[must_use]
pub fn look_there(configuration: &Configuration, flags: &NixFlags) -> Vec<String> {
    let flake = ["eval", "--raw", "--option", "eval-cache", "false"];
    there(configuration, flags, ".drvPath", &["nix-instantiate", "--eval"], &flake)
}

fn there(
    configuration: &Configuration,
    flags: &NixFlags,
    suffix: &str,
    classic: &[&str],
    flake: &[&str],
) -> Vec<String> {
    let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let common = [flags.common.arguments(), flags.evaluation.arguments()].concat();
    match configuration.subject() {
        Subject::Expression([file, attr, attribute]) => [
            owned(classic),
            vec![file, attr, attribute + suffix],
            common,
            flags.build.realise_arguments(),
        ]
        .concat(),
        Subject::Flake(named) => [
            vec!["nix".to_owned()],
            owned(&FLAKES),
            owned(flake),
            vec![format!("{}.drvPath", named.installable())],
            common,
            flags.build.realise_arguments(),
            named.flags.arguments(),
        ]
        .concat(),
    }
}

/// Makes a file known to git without adding its content: as Nix does with a new lock file.
#[must_use]
pub fn track(directory: &Path, file: &str) -> Invocation {
    Invocation::new("git")
        .arg("-C")
        .arg(directory)
        .args(["add", "--intent-to-add", "--", file])
}

/// Says which Nix this is.
#[must_use]
pub fn version() -> Invocation {
    Invocation::new("nix").arg("--version")
}

fn nix_build(expression: [String; 3], flags: &NixFlags, link: Link) -> Invocation {
    let command = Invocation::new("nix-build").args(expression);
    let command = match link {
        Link::Result => command,
        Link::None => command.arg("--no-out-link"),
        Link::DryRun => command.arg("--dry-run"),
    };
    command
        .args(flags.common.arguments_with_log_format())
        .args(flags.evaluation.arguments())
        .args(flags.build.nix_build_arguments())
}

fn nix_instantiate(expression: [String; 3], flags: &NixFlags, root: &Path) -> Invocation {
    Invocation::new("nix-instantiate")
        .args(expression)
        .arg("--add-root")
        .arg(root)
        .args(flags.common.arguments_with_log_format())
        .args(flags.evaluation.arguments())
        .args(flags.build.realise_arguments())
}

fn nix_build_flake(flake: &Flake, flags: &NixFlags, link: Link) -> Invocation {
    let command = Invocation::new("nix")
        .args(FLAKES)
        .args(["build", "--print-out-paths"])
        .arg(flake.installable());
    let command = match link {
        // To `nix build`, nixos-rebuild's -Q, whose other name is --no-link, is that.
        Link::Result if !flags.build.no_build_output => command,
        Link::Result | Link::None => command.arg("--no-link"),
        Link::DryRun => command.arg("--dry-run"),
    };
    command.args(flake_arguments(flake, flags))
}

fn nix_eval(flake: &Flake, flags: &NixFlags) -> Invocation {
    Invocation::new("nix")
        .args(FLAKES)
        .args(["eval", "--raw"])
        .arg(format!("{}.drvPath", flake.installable()))
        .args(flake_arguments(flake, flags))
}

fn flake_arguments(flake: &Flake, flags: &NixFlags) -> Vec<String> {
    [
        flags.common.arguments_with_log_format(),
        flags.evaluation.arguments(),
        flags.build.nix_arguments(),
        flake.flags.arguments(),
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::flags::{BuildFlags, CommonFlags, CopyFlags, EvaluationFlags, FlakeFlags};

    fn flags() -> NixFlags {
        NixFlags {
            common: CommonFlags {
                verbose: 1,
                repair: true,
                log_format: Some("raw".into()),
                ..CommonFlags::default()
            },
            evaluation: EvaluationFlags {
                include: vec!["nixpkgs=/my nixpkgs".into()],
                show_trace: true,
            },
            build: BuildFlags {
                builders: Some(String::new()),
                print_build_logs: true,
                no_build_output: false,
            },
            copy: CopyFlags { use_substitutes: true },
            lend: true,
        }
    }

    #[test]
    fn a_local_build_gets_every_flag() {
        assert_eq!(
            build(&Configuration::Classic, &flags(), Link::None).to_string(),
            "nix-build '<nixpkgs/nixos>' --attr config.system.build.toplevel --no-out-link -v --repair --log-format raw \
             -I 'nixpkgs=/my nixpkgs' --show-trace --builders '' --print-build-logs"
        );
    }

    /// nixos-rebuild sends `--print-build-logs` to nix-instantiate, which rejects it.
    #[test]
    fn an_evaluation_gets_no_flag_of_build_logs() {
        assert_eq!(
            evaluate(&Configuration::Classic, &flags(), Path::new("/t/drv")).to_string(),
            "nix-instantiate '<nixpkgs/nixos>' --attr config.system.build.toplevel --add-root /t/drv -v --repair \
             --log-format raw -I 'nixpkgs=/my nixpkgs' --show-trace --builders ''"
        );
    }

    fn file() -> Configuration {
        Configuration::File {
            file: "my hosts.nix".into(),
            attribute: Some("pi".into()),
        }
    }

    fn flake() -> Configuration {
        Configuration::Flake(Flake {
            reference: "/etc/nixos".into(),
            name: "pi".into(),
            flags: FlakeFlags {
                impure: true,
                override_input: vec!["nixpkgs".into(), "path:/n".into()],
                ..FlakeFlags::default()
            },
        })
    }

    #[test]
    fn where_a_local_build_leaves_its_link() {
        let plain = NixFlags::default();
        for (configuration, link, expected) in [
            (
                Configuration::Classic,
                Link::Result,
                "nix-build '<nixpkgs/nixos>' --attr config.system.build.toplevel",
            ),
            (
                Configuration::Classic,
                Link::DryRun,
                "nix-build '<nixpkgs/nixos>' --attr config.system.build.toplevel --dry-run",
            ),
            (
                file(),
                Link::None,
                "nix-build 'my hosts.nix' --attr pi.config.system.build.toplevel --no-out-link",
            ),
            (
                flake(),
                Link::Result,
                "nix --extra-experimental-features 'nix-command flakes' build --print-out-paths \
                 '/etc/nixos#nixosConfigurations.\"pi\".config.system.build.toplevel' \
                 --impure --override-input nixpkgs path:/n",
            ),
            (
                flake(),
                Link::None,
                "nix --extra-experimental-features 'nix-command flakes' build --print-out-paths \
                 '/etc/nixos#nixosConfigurations.\"pi\".config.system.build.toplevel' --no-link \
                 --impure --override-input nixpkgs path:/n",
            ),
            (
                flake(),
                Link::DryRun,
                "nix --extra-experimental-features 'nix-command flakes' build --print-out-paths \
                 '/etc/nixos#nixosConfigurations.\"pi\".config.system.build.toplevel' --dry-run \
                 --impure --override-input nixpkgs path:/n",
            ),
        ] {
            assert_eq!(build(&configuration, &plain, link).to_string(), expected);
        }
    }

    /// nixpkgs#474413: a flag of flakes that reached the other machine; here the others cannot even hold one.
    #[test]
    fn a_flakes_build_gets_every_flag_and_its_own_last() {
        assert_eq!(
            build(&flake(), &flags(), Link::None).to_string(),
            "nix --extra-experimental-features 'nix-command flakes' build --print-out-paths \
             '/etc/nixos#nixosConfigurations.\"pi\".config.system.build.toplevel' --no-link -v --repair --log-format raw \
             -I 'nixpkgs=/my nixpkgs' --show-trace --builders '' --print-build-logs \
             --impure --override-input nixpkgs path:/n"
        );
    }

    /// nixos-rebuild makes `--no-link` of `-Q` for a flake, as its other name is, and sends that to `nix eval` as well,
    /// which rejects it.
    #[test]
    fn the_quiet_flag_is_no_link_for_a_flakes_build_and_nothing_for_its_evaluation() {
        let quiet = NixFlags {
            build: BuildFlags {
                no_build_output: true,
                ..BuildFlags::default()
            },
            ..NixFlags::default()
        };
        for link in [Link::Result, Link::None] {
            assert_eq!(
                build(&flake(), &quiet, link),
                build(&flake(), &NixFlags::default(), Link::None)
            );
        }
        let evaluation = |flags| evaluate(&flake(), flags, Path::new("/t/drv"));
        assert_eq!(evaluation(&quiet), evaluation(&NixFlags::default()));
    }

    #[test]
    fn a_flakes_evaluation_prints_the_derivation() {
        assert_eq!(
            evaluate(&flake(), &flags(), Path::new("/t/drv")).to_string(),
            "nix --extra-experimental-features 'nix-command flakes' eval --raw \
             '/etc/nixos#nixosConfigurations.\"pi\".config.system.build.toplevel.drvPath' -v --repair --log-format raw \
             -I 'nixpkgs=/my nixpkgs' --show-trace --builders '' --print-build-logs \
             --impure --override-input nixpkgs path:/n"
        );
    }

    #[test]
    fn a_file_is_evaluated_like_the_classic_configuration() {
        assert_eq!(
            evaluate(&file(), &NixFlags::default(), Path::new("/t/drv")).to_string(),
            "nix-instantiate 'my hosts.nix' --attr pi.config.system.build.toplevel --add-root /t/drv"
        );
    }
}
