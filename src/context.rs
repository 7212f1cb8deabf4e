//! What every step of a run uses.

use crate::failure::Failure;
use crate::own_nix::OwnNix;
use crate::process::signals::Signals;
use crate::progress::{Event, Reporter};
use crate::ssh::Ssh;
use crate::surroundings::Surroundings;

/// One value for a run, lent to each of its steps; several threads may use it at once.
pub struct Context<'a> {
    /// This machine and its user.
    pub around: &'a Surroundings,
    /// This machine's Nix.
    pub nix: &'a OwnNix,
    /// The signals by which the user asks the run to stop.
    pub signals: &'a Signals,
    /// The connections to other machines.
    pub ssh: Ssh,
    /// Where the events of the run are reported.
    pub reporter: Reporter,
}

impl<'a> Context<'a> {
    /// Prepares for a run that may connect. No connection is made yet.
    ///
    /// # Errors
    /// Fails if no shell could read the user's options for ssh.
    pub fn new(
        around: &'a Surroundings,
        nix: &'a OwnNix,
        signals: &'a Signals,
        reporter: Reporter,
    ) -> Result<Self, Failure> {
        Ok(Self {
            ssh: Ssh::new(around)?,
            around,
            nix,
            signals,
            reporter,
        })
    }

    /// Reports that something has happened.
    pub fn tell(&self, event: Event) {
        self.reporter.tell(event);
    }
}
