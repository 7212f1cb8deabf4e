//! The machine whose system is changed: this one or another. The same scripts (`scripts/`) do the work on both, so that
//! both behave alike.

use std::path::PathBuf;

use anyhow::Result;

use crate::daemon::Daemon;
use crate::host::Place;
use crate::plan::Rights;
use crate::process::signals::Signals;
use crate::progress::Observer;
use crate::ssh::Ssh;
use crate::store_path::StorePath;
use crate::surroundings::Surroundings;

/// What a run will do to the target.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wants {
    /// How the user becomes root there.
    pub rights: Rights,
    /// Whether [`Target::change`] will be called, which takes root.
    pub changes: bool,
    /// Whether [`Target::daemon`] will be used.
    pub receives: bool,
}

/// What [`Target::inspect`] looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject<'a> {
    /// This system, which is there.
    System(&'a StorePath),
    /// The generation before the current one of this profile.
    Previous(&'a PathBuf),
}

/// A change of the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change<'a> {
    /// The system.
    pub system: &'a StorePath,
    /// What becomes of a profile.
    pub profile: ProfileChange,
    /// What is run of the system, if anything.
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

/// A call of the system's `switch-to-configuration`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Activation {
    /// The specialisation, if not the system itself.
    pub specialisation: Option<String>,
    /// Its word: `switch`, `boot`, `test`, `dry-activate`.
    pub action: &'static str,
    /// Whether the boot loader is installed again.
    pub install_bootloader: bool,
}

/// The machine whose system is changed.
pub struct Target {
    place: Place,
    name: String,
}

impl Target {
    /// Logs in and looks, before the long work: who is there, whether this user may do what the run wants, and what the
    /// last activation came to.
    ///
    /// # Errors
    /// When there is no way in, or no way to root where that is wanted.
    pub fn open(
        place: &Place,
        wants: Wants,
        ssh: &mut Ssh,
        around: &Surroundings,
        observer: &mut dyn Observer,
        signals: &Signals,
    ) -> Result<Self> {
        let _ = (wants, observer, around);
        if let Place::There(host) = place {
            ssh.share(host, signals)?;
        }
        Ok(Self {
            place: place.clone(),
            name: around.own_name.clone(),
        })
    }

    /// The machine's own name (`uname -n`).
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How store paths get there. Nothing, where there is no Nix daemon.
    #[must_use]
    pub fn daemon(&self, ssh: &Ssh) -> Option<Daemon> {
        let _ = (&self.place, ssh);
        None
    }

    /// Finds the system and sees that it is one, and has the specialisation. Changes nothing and needs no rights.
    ///
    /// # Errors
    /// When it is not what it should be.
    pub fn inspect(
        &self,
        subject: &Subject,
        specialisation: Option<&str>,
        diff: bool,
        ssh: &Ssh,
        observer: &mut dyn Observer,
        signals: &Signals,
    ) -> Result<StorePath> {
        let _ = (subject, specialisation, diff, ssh, observer, signals);
        anyhow::bail!("not written yet")
    }

    /// Changes the profile, and activates. From here on an interrupt or a broken link stops nothing but our listening.
    ///
    /// # Errors
    /// What failed; `switch-to-configuration`'s exit status is ours.
    pub fn change(&self, change: &Change, ssh: &Ssh, observer: &mut dyn Observer, signals: &Signals) -> Result<()> {
        let _ = (change, ssh, observer, signals);
        anyhow::bail!("not written yet")
    }
}
