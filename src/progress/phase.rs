//! What a run does at a moment, and where.

use crate::host::Host;

/// A part of a run that takes long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Phase {
    /// What is done.
    pub work: Work,
    /// The machine that it is done on or with (each [`Work`] says which); None is this machine.
    pub host: Option<Host>,
}

impl Phase {
    /// Returns the phase of this work, with the named host or on this machine.
    #[must_use]
    pub fn of(work: Work, host: Option<&Host>) -> Self {
        let host = host.cloned();
        Self { work, host }
    }

    /// Returns the line that announces the phase, if it has one.
    pub(super) fn announcement(&self) -> Option<String> {
        let host = self.host.as_ref()?;
        match self.work {
            Work::Connecting => Some(format!("connecting to {host}...")),
            Work::Fetching => Some(format!("fetching from {host}...")),
            _ => None,
        }
    }
}

/// What is done in a phase, in the order of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// This machine connects to the host. ssh may ask for a password.
    Connecting,
    /// The host is waited for, which was woken; or one of so many others.
    Waking(usize),
    /// A command for the host may ask the user something on the terminal.
    Asking,
    /// The host updates this machine's channels.
    Upgrading,
    /// This machine sends files to the host.
    Sending,
    /// The host fetches files itself that this machine would send otherwise.
    Obtaining,
    /// The host evaluates.
    Evaluating,
    /// The host builds.
    Building,
    /// The host receives what was made.
    Receiving,
    /// Nix fetches what was made from the host, over a connection of its own. ssh may ask for a password.
    Fetching,
    /// The doctor looks at this condition of the host.
    Looking(&'static str),
    /// The host activates its system. The word is that of `switch-to-configuration`.
    Activating(&'static str),
}

impl Work {
    /// Returns whether somebody else may write to the terminal meanwhile, so that nothing live may be drawn.
    pub(super) fn may_ask(self) -> bool {
        matches!(self, Self::Connecting | Self::Asking | Self::Fetching)
    }
}
