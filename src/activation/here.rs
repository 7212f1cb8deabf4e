//! One command of this machine, as root.

use anyhow::Result;

use super::password::Password;
use super::sudo_options;
use crate::process::Invocation;
use crate::process::signals::Signals;
use crate::surroundings::Surroundings;
use crate::vocabulary::{Elevation, Rights};

/// How this user becomes root on this machine, whether the target is this machine or another one.
pub struct RootHere<'a> {
    pub(super) rights: Rights,
    pub(super) sudo_options: Vec<String>,
    /// The password for this machine. Another machine's password is not given to the sudo here, which then asks on the
    /// terminal itself.
    pub(super) password: Option<&'a Password>,
}

impl<'a> RootHere<'a> {
    pub(super) fn new(rights: Rights, password: Option<&'a Password>, around: &Surroundings) -> Result<Self> {
        Ok(Self {
            rights,
            sudo_options: sudo_options::read(around, rights.elevation)?,
            password,
        })
    }

    /// Runs a command as root.
    ///
    /// # Errors
    /// As [`Invocation::run`].
    pub fn run(&self, command: &Invocation, signals: &Signals) -> Result<()> {
        let elevated = self.elevated(command);
        match self.password {
            Some(password) if self.rights.elevation == Elevation::Sudo => elevated.run_with(&password.line(), signals),
            _ => elevated.run(signals),
        }
    }

    /// Runs a command as root, and returns what it prints to its stdout.
    ///
    /// # Errors
    /// As [`Invocation::capture`].
    pub fn capture(&self, command: &Invocation, signals: &Signals) -> Result<Vec<u8>> {
        let elevated = self.elevated(command);
        match self.password {
            Some(password) if self.rights.elevation == Elevation::Sudo => {
                elevated.capture_with(&password.line(), signals)
            }
            _ => elevated.capture(signals),
        }
    }

    fn elevated(&self, command: &Invocation) -> Invocation {
        let words = command.words().map(std::ffi::OsStr::to_owned);
        let by_stdin = ["--prompt=", "--stdin"];
        match self.rights.elevation {
            Elevation::None => command.clone(),
            Elevation::Sudo => Invocation::new("sudo")
                .args(self.password.iter().flat_map(|_| by_stdin))
                .args(&self.sudo_options)
                .args(words),
            other => Invocation::new(other.program()).args(words),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_needs_nothing_and_others_their_program() {
        let command = Invocation::new("nix-channel").args(["--update", "nixos"]);
        for (elevation, expected) in [
            (Elevation::None, "nix-channel --update nixos"),
            (Elevation::Sudo, "sudo -H nix-channel --update nixos"),
            (Elevation::Run0, "run0 nix-channel --update nixos"),
            (Elevation::Doas, "doas nix-channel --update nixos"),
        ] {
            let root = RootHere {
                rights: Rights {
                    elevation,
                    ask_password: false,
                },
                sudo_options: vec!["-H".into()],
                password: None,
            };
            assert_eq!(root.elevated(&command).to_string(), expected);
        }
    }
}
