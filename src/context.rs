//! What every step of a run has at hand.

use crate::failure::Failure;
use crate::own_nix::OwnNix;
use crate::process::signals::Signals;
use crate::progress::{Event, Reporter};
use crate::ssh::Ssh;
use crate::surroundings::Surroundings;

/// One for a run, lent to each of its steps; several threads may use it at once.
pub struct Context<'a> {
    /// This machine and its user.
    pub around: &'a Surroundings,
    /// Its Nix.
    pub nix: &'a OwnNix,
    /// Whether the user wants it to stop.
    pub signals: &'a Signals,
    /// How it connects.
    pub ssh: Ssh,
    /// Who is told what happens.
    pub reporter: Reporter,
}

impl<'a> Context<'a> {
    /// For a run that may connect. No connection is made yet.
    ///
    /// # Errors
    /// The user's options for ssh are such as no shell could read.
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

    /// Something has happened.
    pub fn tell(&self, event: Event) {
        self.reporter.tell(event);
    }
}
