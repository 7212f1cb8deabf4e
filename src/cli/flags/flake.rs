//! The flags that only the evaluation of a flake has.

use clap::{ArgAction, Args, ValueHint};

use super::Words;

/// Flags that only the evaluation of a flake has.
#[allow(clippy::struct_excessive_bools, reason = "each is a flag")]
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "Flakes")]
pub struct FlakeFlags {
    /// Accept the Nix settings that the flake asks for
    #[arg(long, hide_short_help = true)]
    pub accept_flake_config: bool,

    /// Look for new versions of what was fetched before
    #[arg(long, hide_short_help = true)]
    pub refresh: bool,

    /// Let the evaluation see the environment, <names> and files outside the flake
    #[arg(long)]
    pub impure: bool,

    /// Make the lock file anew
    #[arg(long, hide_short_help = true)]
    pub recreate_lock_file: bool,

    /// Fail if the lock file would change
    #[arg(long, hide_short_help = true)]
    pub no_update_lock_file: bool,

    /// Do not write a changed lock file
    #[arg(long, hide_short_help = true)]
    pub no_write_lock_file: bool,

    /// Look up no flake by a name of the registries
    #[arg(long, hide_short_help = true)]
    pub no_registries: bool,

    /// Commit a changed lock file
    #[arg(long, hide_short_help = true)]
    pub commit_lock_file: bool,

    /// Update one input in the lock file; may be given more than once
    #[arg(long, value_name = "INPUT", action = ArgAction::Append, hide_short_help = true)]
    pub update_input: Vec<String>,

    /// Use another flake for an input; may be given more than once
    #[arg(long, num_args = 2, value_names = ["INPUT", "FLAKE"], value_hint = ValueHint::AnyPath, action = ArgAction::Append)]
    pub override_input: Vec<String>,

    /// Take what was fetched before as new enough, and use no substituters
    #[arg(long, hide_short_help = true)]
    pub offline: bool,

    /// As --offline
    #[arg(long, hide_short_help = true)]
    pub no_net: bool,
}

impl FlakeFlags {
    /// Returns them as arguments of those of Nix's new commands that evaluate.
    #[must_use]
    pub fn arguments(&self) -> Vec<String> {
        let mut words = Words::default();
        words.flag("--offline", self.offline);
        words.flag("--no-net", self.no_net);
        words.flag("--accept-flake-config", self.accept_flake_config);
        words.flag("--refresh", self.refresh);
        words.flag("--impure", self.impure);
        words.flag("--recreate-lock-file", self.recreate_lock_file);
        words.flag("--no-update-lock-file", self.no_update_lock_file);
        words.flag("--no-write-lock-file", self.no_write_lock_file);
        words.flag("--no-registries", self.no_registries);
        words.flag("--commit-lock-file", self.commit_lock_file);
        for input in &self.update_input {
            words.value("--update-input", Some(input));
        }
        for pair in self.override_input.chunks_exact(2) {
            words
                .0
                .extend(["--override-input".to_owned(), pair[0].clone(), pair[1].clone()]);
        }
        words.0
    }

    /// Returns the name of a flag that was given, if one was.
    #[must_use]
    pub fn first(&self) -> Option<String> {
        self.arguments().into_iter().next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The order is that of nixos-rebuild's manual, in which its commands have them.
    #[test]
    fn the_flags_of_flakes() {
        let flags = FlakeFlags {
            accept_flake_config: true,
            refresh: true,
            impure: true,
            recreate_lock_file: true,
            no_update_lock_file: true,
            no_write_lock_file: true,
            no_registries: true,
            commit_lock_file: true,
            update_input: vec!["a".into(), "b".into()],
            override_input: ["c", "path:/d", "e", "f/g"].map(String::from).to_vec(),
            offline: true,
            no_net: true,
        };
        assert_eq!(
            flags.arguments().join(" "),
            "--offline --no-net --accept-flake-config --refresh --impure --recreate-lock-file --no-update-lock-file \
             --no-write-lock-file --no-registries --commit-lock-file --update-input a --update-input b \
             --override-input c path:/d --override-input e f/g"
        );
        assert_eq!(flags.first().as_deref(), Some("--offline"));
        assert_eq!(FlakeFlags::default().first(), None);
    }
}
