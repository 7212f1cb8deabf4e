//! Evaluating and building on this machine.

use std::ffi::OsString;
use std::path::Path;

use crate::cli::flags::FlakeFlags;
use crate::plan::{Installable, NixFlags};
use crate::process::Invocation;
use crate::store_path::StorePath;

/// The flags that Nix's new commands need where nobody has switched them on.
pub const FLAKES: [&str; 2] = ["--extra-experimental-features", "nix-command flakes"];

/// The link that a local build leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutLink<'a> {
    /// `./result`.
    Result,
    /// A link at this place, which keeps the result from being collected as long as the link exists. nixos-rebuild
    /// leaves none (nixpkgs#118804).
    Root(&'a Path),
    /// No link, because nothing is built.
    DryRun,
}

/// Evaluates and builds on this machine.
#[must_use]
pub fn build(subject: &Installable, flags: &NixFlags, link: OutLink) -> Invocation {
    match subject {
        Installable::Expression { file, attribute } => nix_build(file, attribute, flags, link),
        Installable::Flake {
            installable,
            flags: own,
        } => nix_build_flake(installable, own, flags, link),
    }
}

/// Evaluates on this machine, and prints the derivation. Unless the configuration is a flake, `root` becomes a link to
/// the derivation, which keeps it from being collected; the command for flakes cannot make one.
#[must_use]
pub fn evaluate(subject: &Installable, flags: &NixFlags, root: &Path) -> Invocation {
    match subject {
        Installable::Expression { file, attribute } => nix_instantiate(file, attribute, flags, root),
        Installable::Flake {
            installable,
            flags: own,
        } => nix_eval(installable, own, flags),
    }
}

/// Builds a derivation on this machine; the link keeps the result.
#[must_use]
pub fn realise(derivation: &StorePath, flags: &NixFlags, link: OutLink) -> Invocation {
    let command = Invocation::new("nix-store").args(["--realise", derivation.as_str()]);
    let command = match link {
        OutLink::Result => command.args(["--add-root", "result"]),
        OutLink::Root(root) => command.arg("--add-root").arg(root),
        OutLink::DryRun => command.arg("--dry-run"),
    };
    command
        .args(flags.common.arguments_with_log_format())
        .args(flags.build.realise_arguments())
}

/// Evaluates on another machine: returns the program and its arguments. The other machine sets the form of the log.
#[must_use]
pub fn evaluation_there(subject: &Installable, flags: &NixFlags) -> Vec<String> {
    there(subject, flags, "", &["nix-instantiate"], &["eval", "--raw"])
}

/// Returns the same, but so that nothing is kept: no derivation, and no result of an evaluation.
#[must_use]
pub fn look_there(subject: &Installable, flags: &NixFlags) -> Vec<String> {
    let flake = ["eval", "--raw", "--option", "eval-cache", "false"];
    there(subject, flags, ".drvPath", &["nix-instantiate", "--eval"], &flake)
}

fn there(subject: &Installable, flags: &NixFlags, suffix: &str, classic: &[&str], flake: &[&str]) -> Vec<String> {
    let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let common = [flags.common.arguments_there(), flags.evaluation.arguments()].concat();
    match subject {
        Installable::Expression { file, attribute } => [
            owned(classic),
            owned(&[file, "--attr"]),
            vec![format!("{attribute}{suffix}")],
            common,
            flags.build.realise_arguments(),
        ]
        .concat(),
        Installable::Flake {
            installable,
            flags: own,
        } => [
            vec!["nix".to_owned()],
            owned(&FLAKES),
            owned(flake),
            vec![format!("{installable}.drvPath")],
            common,
            flags.build.realise_arguments(),
            own.arguments(),
        ]
        .concat(),
    }
}

/// Makes a file known to git without adding its content, as Nix does with a new lock file.
#[must_use]
pub fn track(directory: &Path, file: &str) -> Invocation {
    Invocation::new("git")
        .arg("-C")
        .arg(directory)
        .args(["add", "--intent-to-add", "--", file])
}

/// Says what Nix's database has of these names in the store (`--hash`, `--size`), which are not read for that.
#[must_use]
pub fn of_database(flag: &str, names: &[OsString]) -> Invocation {
    let paths = names.iter().map(|name| Path::new("/nix/store").join(name));
    Invocation::new("nix-store").args(["--query", flag]).args(paths)
}

/// Says which Nix this is.
#[must_use]
pub fn version() -> Invocation {
    Invocation::new("nix").arg("--version")
}

fn nix_build(file: &str, attribute: &str, flags: &NixFlags, link: OutLink) -> Invocation {
    let command = Invocation::new("nix-build").args([file, "--attr", attribute]);
    let command = match link {
        OutLink::Result => command,
        OutLink::Root(root) => command.arg("--out-link").arg(root),
        OutLink::DryRun => command.arg("--dry-run"),
    };
    command
        .args(flags.common.arguments_with_log_format())
        .args(flags.evaluation.arguments())
        .args(flags.build.nix_build_arguments())
}

fn nix_instantiate(file: &str, attribute: &str, flags: &NixFlags, root: &Path) -> Invocation {
    Invocation::new("nix-instantiate")
        .args([file, "--attr", attribute, "--add-root"])
        .arg(root)
        .args(flags.common.arguments_with_log_format())
        .args(flags.evaluation.arguments())
        .args(flags.build.realise_arguments())
}

fn nix_build_flake(installable: &str, own: &FlakeFlags, flags: &NixFlags, link: OutLink) -> Invocation {
    let command = Invocation::new("nix")
        .args(FLAKES)
        .args(["build", "--print-out-paths", installable]);
    let command = match link {
        // nixos-rebuild gives -Q to `nix build` in the form of its other name, --no-link.
        OutLink::Result if flags.build.no_build_output => command.arg("--no-link"),
        OutLink::Result => command,
        OutLink::Root(root) => command.arg("--out-link").arg(root),
        OutLink::DryRun => command.arg("--dry-run"),
    };
    command.args(flake_arguments(own, flags))
}

fn nix_eval(installable: &str, own: &FlakeFlags, flags: &NixFlags) -> Invocation {
    Invocation::new("nix")
        .args(FLAKES)
        .args(["eval", "--raw"])
        .arg(format!("{installable}.drvPath"))
        .args(flake_arguments(own, flags))
}

/// Returns the flags for a command that evaluates a flake.
fn flake_arguments(own: &FlakeFlags, flags: &NixFlags) -> Vec<String> {
    [
        flags.common.arguments_with_log_format(),
        flags.evaluation.arguments(),
        flags.build.nix_arguments(),
        own.arguments(),
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::flags::{BuildFlags, CommonFlags, CopyFlags, EvaluationFlags};
    use crate::plan::{Configuration, Flake};

    const SYSTEM: &str = "config.system.build.toplevel";

    fn root() -> OutLink<'static> {
        OutLink::Root(Path::new("/t/result"))
    }

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
                ..EvaluationFlags::default()
            },
            build: BuildFlags {
                builders: Some(String::new()),
                print_build_logs: true,
                no_build_output: false,
            },
            copy: CopyFlags { use_substitutes: true },
            lend: true,
            asks_anew: false,
        }
    }

    #[test]
    fn a_local_build_gets_every_flag() {
        assert_eq!(
            build(&Configuration::Classic.subject(SYSTEM), &flags(), root()).to_string(),
            "nix-build '<nixpkgs/nixos>' --attr config.system.build.toplevel --out-link /t/result -v --repair --log-format raw \
             -I 'nixpkgs=/my nixpkgs' --show-trace --builders ''"
        );
    }

    /// nixos-rebuild passes `--print-build-logs` to nix-instantiate and nix-build, which reject it.
    #[test]
    fn an_evaluation_gets_no_flag_of_build_logs() {
        assert_eq!(
            evaluate(&Configuration::Classic.subject(SYSTEM), &flags(), Path::new("/t/drv")).to_string(),
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
            name: Some("pi".into()),
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
                OutLink::Result,
                "nix-build '<nixpkgs/nixos>' --attr config.system.build.toplevel",
            ),
            (
                Configuration::Classic,
                OutLink::DryRun,
                "nix-build '<nixpkgs/nixos>' --attr config.system.build.toplevel --dry-run",
            ),
            (
                file(),
                root(),
                "nix-build 'my hosts.nix' --attr pi.config.system.build.toplevel --out-link /t/result",
            ),
            (
                flake(),
                OutLink::Result,
                "nix --extra-experimental-features 'nix-command flakes' build --print-out-paths \
                 '/etc/nixos#nixosConfigurations.\"pi\".config.system.build.toplevel' \
                 --impure --override-input nixpkgs path:/n",
            ),
            (
                flake(),
                root(),
                "nix --extra-experimental-features 'nix-command flakes' build --print-out-paths \
                 '/etc/nixos#nixosConfigurations.\"pi\".config.system.build.toplevel' --out-link /t/result \
                 --impure --override-input nixpkgs path:/n",
            ),
            (
                flake(),
                OutLink::DryRun,
                "nix --extra-experimental-features 'nix-command flakes' build --print-out-paths \
                 '/etc/nixos#nixosConfigurations.\"pi\".config.system.build.toplevel' --dry-run \
                 --impure --override-input nixpkgs path:/n",
            ),
        ] {
            assert_eq!(
                build(&configuration.subject(SYSTEM), &plain, link).to_string(),
                expected
            );
        }
    }

    /// nixpkgs#474413: a flag of flakes reached the other machine. Here, other configurations cannot even hold such a
    /// flag.
    #[test]
    fn a_flakes_build_gets_every_flag_and_its_own_last() {
        assert_eq!(
            build(&flake().subject(SYSTEM), &flags(), root()).to_string(),
            "nix --extra-experimental-features 'nix-command flakes' build --print-out-paths \
             '/etc/nixos#nixosConfigurations.\"pi\".config.system.build.toplevel' --out-link /t/result -v --repair --log-format raw \
             -I 'nixpkgs=/my nixpkgs' --show-trace --builders '' --print-build-logs \
             --impure --override-input nixpkgs path:/n"
        );
    }

    /// For a flake, nixos-rebuild turns `-Q` into its other name `--no-link`, and passes that to `nix eval` as well,
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
        let building = |flags, link| build(&flake().subject(SYSTEM), flags, link);
        assert!(
            building(&quiet, OutLink::Result)
                .words()
                .any(|word| word == "--no-link")
        );
        assert_eq!(building(&quiet, root()), building(&NixFlags::default(), root()));
        let evaluation = |flags| evaluate(&flake().subject(SYSTEM), flags, Path::new("/t/drv"));
        assert_eq!(evaluation(&quiet), evaluation(&NixFlags::default()));
    }

    #[test]
    fn a_flakes_evaluation_prints_the_derivation() {
        assert_eq!(
            evaluate(&flake().subject(SYSTEM), &flags(), Path::new("/t/drv")).to_string(),
            "nix --extra-experimental-features 'nix-command flakes' eval --raw \
             '/etc/nixos#nixosConfigurations.\"pi\".config.system.build.toplevel.drvPath' -v --repair --log-format raw \
             -I 'nixpkgs=/my nixpkgs' --show-trace --builders '' --print-build-logs \
             --impure --override-input nixpkgs path:/n"
        );
    }

    #[test]
    fn a_file_is_evaluated_like_the_classic_configuration() {
        assert_eq!(
            evaluate(&file().subject(SYSTEM), &NixFlags::default(), Path::new("/t/drv")).to_string(),
            "nix-instantiate 'my hosts.nix' --attr pi.config.system.build.toplevel --add-root /t/drv"
        );
    }
}
