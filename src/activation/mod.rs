//! The machine whose system is changed: this one or another. The same scripts (`scripts/`) do the work on both, so that
//! both behave alike.
//!
//! - [`opening`]: the first look, and the way to root;
//! - [`inspection`]: whether the system that is to be activated is one, and what it changes;
//! - [`changing`]: the change, which is begun, followed, and found again after a broken link;
//! - [`back`]: what is said of a change that failed, or was not confirmed, and went back;
//! - [`confirming`]: showing that the target can still be reached, or saying so;
//! - [`session`]: one run of a script there, and [`reply`]: what the script says;
//! - [`text`]: the scripts' texts, with the client's words;
//! - [`password`] and [`sudo_options`]: what becoming root takes;
//! - [`here`]: a single command as root on this machine, whatever the target is.

mod back;
mod changing;
mod confirming;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod here;
mod inspection;
mod opening;
mod password;
mod preflight;
mod reply;
mod session;
mod sudo_options;
#[cfg(test)]
mod tests;
mod text;

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::host::{Host, Place};
use crate::remote::daemon::Daemon;
use crate::ssh::{self, Ssh};
use crate::store_path::StorePath;
use crate::surroundings::Surroundings;
use crate::vocabulary::{Confirmation, Elevation, Rights};
pub use changing::Incomplete;
pub use confirming::{can_be_confirmed, confirm};
pub use here::RootHere;
pub use inspection::Inquiry;
pub use opening::{Connection, reach, try_to_reach};
use password::Password;
use session::Session;
use text::Elevating;

/// What a run will do to the target.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wants {
    /// How the user becomes root there.
    pub rights: Rights,
    /// Whether [`Target::change`] will be called, which takes root.
    pub changes: bool,
    /// Whether the change is to go back to the system that runs, if it fails.
    pub goes_back_to_running: bool,
    /// What [`Target::daemon`] will be used for.
    pub receives: Receives,
    /// Whether [`Target::root_here`] will be used.
    pub upgrades: bool,
}

/// What comes into the target's store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Receives {
    /// Nothing.
    #[default]
    Nothing,
    /// What the target builds itself.
    ItsOwn,
    /// What another machine sends, which takes root where the user is not trusted.
    FromElsewhere,
}

/// What [`Target::inspect`] looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject<'a> {
    /// This system, which the target has.
    System(&'a StorePath),
    /// The generation before the current one of this profile.
    Previous(&'a Path),
}

/// A change of the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change<'a> {
    /// The system.
    pub system: &'a StorePath,
    /// What becomes of a profile.
    pub profile: ProfileChange,
    /// The activation, if one is run.
    pub activation: Option<Activation>,
}

/// What becomes of a profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProfileChange {
    /// It stays.
    Keep,
    /// The system is this profile's new generation.
    Set(PathBuf),
    /// This profile goes back to the generation before the current one.
    Rollback(PathBuf),
}

impl ProfileChange {
    /// Returns the profile that is changed.
    fn path(&self) -> Option<&Path> {
        match self {
            Self::Keep => None,
            Self::Set(path) | Self::Rollback(path) => Some(path),
        }
    }
}

/// A call of the system's `switch-to-configuration`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Activation {
    /// The specialisation, if not the system itself.
    pub specialisation: Option<String>,
    /// What it is told to do: `switch`, `boot`, `test`, `dry-activate`.
    pub action: &'static str,
    /// Whether the boot loader is installed again.
    pub install_bootloader: bool,
    /// Whether the target goes back if the activation fails.
    pub goes_back: bool,
    /// What is to confirm the change, if it goes back without that.
    pub confirmation: Option<Confirmation>,
}

impl Change<'_> {
    fn goes_back(&self) -> bool {
        self.activation.as_ref().is_some_and(|activation| activation.goes_back)
    }

    fn confirmation(&self) -> Option<&Confirmation> {
        self.activation.as_ref()?.confirmation.as_ref()
    }

    /// Whether there has to be a way back.
    fn may_go_back(&self) -> bool {
        self.goes_back() || self.confirmation().is_some()
    }
}

/// The machine whose system is changed.
pub struct Target {
    place: Place,
    name: String,
    /// The system that ran at the beginning, and that of the system profile.
    current: [String; 2],
    /// How this user becomes root. Users who are root already have `Elevation::None`.
    rights: Rights,
    password: Option<Password>,
    /// The words of `NIX_SUDOOPTS`.
    sudo_options: Vec<String>,
    has_terminal: bool,
    /// The directory of Nix's programs, if there are any.
    nix: Option<PathBuf>,
    uid: u32,
    /// This machine's daemon, which is used if the target is this machine.
    own_daemon: Daemon,
    /// Whether systemd-run may be used.
    systemd_run: bool,
    /// Whether a path that is no NixOS system is accepted as one.
    careless: bool,
    /// Keeps open the connection that the other sessions share.
    #[allow(dead_code, reason = "it is kept, not used")]
    first: Option<Session>,
}

impl Target {
    /// The machine's own name (`uname -n`).
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the daemon to which store paths are sent. None if the target has no Nix.
    ///
    /// # Errors
    /// A word with a NUL byte in it.
    pub fn daemon(&self, ssh: &Ssh) -> Result<Option<Daemon>> {
        let is_here = self.place == Place::Here;
        if is_here && (self.uid == 0 || self.rights.elevation == Elevation::None) {
            return Ok(Some(self.own_daemon.clone()));
        }
        if self.nix.is_none() {
            return Ok(None);
        }
        let text = self.elevating().daemon()?;
        Ok(Some(Daemon::Command {
            command: session::command(&self.place, ssh, text.script.len()),
            first: [ssh::opening(&text.script), text.input].concat(),
            may_ask: text.may_ask && is_here,
        }))
    }

    /// Returns how a command runs as root on *this* machine, with the rights that the user asked for.
    ///
    /// # Errors
    /// `NIX_SUDOOPTS` is no text that a shell could read, or has an option with which sudo does not run our command.
    pub fn root_here(&self, rights: Rights, is_root: bool, around: &Surroundings) -> Result<RootHere<'_>> {
        let is_here = self.place == Place::Here;
        let rights = if is_root { Rights::default() } else { rights };
        RootHere::new(rights, self.password.as_ref().filter(|_| is_here), around)
    }

    /// Whether this change leaves everything as it was at the beginning, as far as that is known. `profile` is the
    /// profile that the change sets, if it sets one.
    #[must_use]
    pub fn has_all_of(&self, system: &StorePath, activation: &Activation, profile: Option<&Path>) -> bool {
        // The second one is the system of the system profile: it runs after the next boot, and need not run now.
        let [running, of_profile] = self.current.each_ref().map(|path| path == system.as_str());
        let is_set = profile.is_none_or(|profile| of_profile && profile == Path::new("/nix/var/nix/profiles/system"));
        let is_activated = match activation.action {
            "boot" => true,
            "switch" | "test" => running && activation.specialisation.is_none(),
            _ => false,
        };
        is_set && is_activated && !activation.install_bootloader
    }

    fn elevating(&self) -> Elevating<'_> {
        Elevating {
            rights: self.rights,
            sudo_options: &self.sudo_options,
            password: self.password.as_ref(),
            has_terminal: self.has_terminal,
        }
    }

    /// Returns the name that messages use for the target.
    #[must_use]
    pub fn label(&self) -> String {
        match &self.place {
            Place::Here => "this machine".to_owned(),
            Place::There(host) => host.to_string(),
        }
    }
}

/// Returns the Nix daemon of a builder, as its ssh user reaches it, for sending a derivation to it.
///
/// # Errors
/// A word with a NUL byte in it.
pub fn daemon_of(host: &Host, ssh: &Ssh) -> Result<Daemon> {
    let text = Elevating {
        rights: Rights::default(),
        sudo_options: &[],
        password: None,
        has_terminal: false,
    }
    .daemon()?;
    Ok(Daemon::Command {
        command: ssh.session(host, None, text.script.len()),
        first: ssh::opening(&text.script),
        may_ask: false,
    })
}
