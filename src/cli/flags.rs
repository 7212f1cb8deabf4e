//! Nix's own flags, in groups: a group goes to the commands that take all of it and to no others.
//!
//! The groups, and which command gets them, are nixos-rebuild's (`nixos-rebuild-ng`, `models.py`) without its mistakes:
//! `--print-build-logs` and `--no-build-output` do not reach the commands that reject them.

mod common;
mod flake;

use clap::{ArgAction, Args, ValueHint};

pub use common::CommonFlags;
pub use flake::FlakeFlags;

/// Flags that change what is evaluated, or what is said of its errors.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "Nix")]
pub struct EvaluationFlags {
    /// Add a path to the Nix search path: PATH or NAME=PATH
    #[arg(long, short = 'I', value_name = "PATH", value_hint = ValueHint::AnyPath, action = ArgAction::Append)]
    pub include: Vec<String>,

    /// Show where in the configuration an evaluation error came from
    #[arg(long)]
    pub show_trace: bool,

    /// With --eval-host: let the configuration read this environment variable, though it may be a secret
    #[arg(long, value_name = "NAME", action = ArgAction::Append, help_heading = "Hosts", hide_short_help = true)]
    pub send_env: Vec<String>,

    /// With --eval-host: evaluate even if nothing has changed
    #[arg(long, help_heading = "Hosts", hide_short_help = true)]
    pub no_eval_cache: bool,
}

impl EvaluationFlags {
    /// Returns them as arguments of `nix-instantiate` or `nix-build`.
    #[must_use]
    pub fn arguments(&self) -> Vec<String> {
        let mut words = Words::default();
        for entry in &self.include {
            words.value("-I", Some(entry));
        }
        words.flag("--show-trace", self.show_trace);
        words.0
    }
}

/// Flags of a build.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "Nix")]
pub struct BuildFlags {
    /// Machines to which Nix may give builds
    #[arg(long, value_name = "MACHINES", hide_short_help = true)]
    pub builders: Option<String>,

    /// Show the logs of builds
    #[arg(long, short = 'L')]
    pub print_build_logs: bool,

    /// Do not show the logs of builds
    #[arg(long, short = 'Q', visible_alias = "no-link", hide_short_help = true)]
    pub no_build_output: bool,
}

impl BuildFlags {
    /// Returns them as arguments of `nix-build`. No version of it has `--print-build-logs`: it shows logs unless it is
    /// told not to.
    #[must_use]
    pub fn nix_build_arguments(&self) -> Vec<String> {
        let mut words = Words(self.realise_arguments());
        words.flag("--no-build-output", self.no_build_output);
        words.0
    }

    /// Returns them as arguments of Nix's new commands. These have no `--no-build-output`: they show no logs unless
    /// they are told to.
    #[must_use]
    pub fn nix_arguments(&self) -> Vec<String> {
        let mut words = Words(self.realise_arguments());
        words.flag("--print-build-logs", self.print_build_logs);
        words.0
    }

    /// Returns them as arguments of `nix-store --realise` or `nix-instantiate`, whose log this program reads.
    #[must_use]
    pub fn realise_arguments(&self) -> Vec<String> {
        let mut words = Words::default();
        words.value("--builders", self.builders.as_deref());
        words.0
    }
}

/// Flags of copying between stores.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "Nix")]
pub struct CopyFlags {
    /// Let the receiving machine fetch from its own substituters what they have
    #[arg(long, short = 's', visible_alias = "substitute-on-destination")]
    pub use_substitutes: bool,
}

impl CopyFlags {
    /// Returns them as arguments of `nix copy` or `nix-copy-closure`.
    #[must_use]
    pub fn arguments(&self) -> Vec<String> {
        let mut words = Words::default();
        words.flag("-s", self.use_substitutes);
        words.0
    }
}

/// The words of a command line.
#[derive(Default)]
struct Words(Vec<String>);

impl Words {
    fn flag(&mut self, name: &str, given: bool) {
        if given {
            self.0.push(name.to_owned());
        }
    }

    fn value(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.0.extend([name.to_owned(), value.to_owned()]);
        }
    }

    fn count(&mut self, letter: char, count: u8) {
        if count > 0 {
            self.0.push(format!("-{}", letter.to_string().repeat(count.into())));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_flags_reach_those_that_know_them() {
        let flags = BuildFlags {
            builders: Some("ssh://x".into()),
            print_build_logs: true,
            no_build_output: true,
        };
        assert_eq!(flags.realise_arguments(), ["--builders", "ssh://x"]);
        assert_eq!(flags.nix_arguments(), ["--builders", "ssh://x", "--print-build-logs"]);
        assert_eq!(
            flags.nix_build_arguments(),
            ["--builders", "ssh://x", "--no-build-output"]
        );
    }
}
