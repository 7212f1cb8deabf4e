//! A Nix daemon, through which store paths come to a machine.

use std::fmt;
use std::path::PathBuf;

use crate::process::Invocation;
use crate::surroundings::Surroundings;

/// The line that a command says when it is about to become a daemon.
pub const READY: &str = "@rebuild ready";

/// The line for which the command then waits. What comes before it is not for the daemon: a password for which nobody
/// has asked. The client sends nothing before [`READY`], because sudo-rs 0.2.5 swallows what comes together with the
/// password.
pub const GO: &str = "@rebuild go";

/// A machine's Nix daemon, and how it is reached.
#[derive(Clone, PartialEq, Eq)]
pub enum Daemon {
    /// It listens at this socket.
    Socket(PathBuf),
    /// This command becomes a daemon on its standard streams (`nix-daemon --stdio`), on another machine or as root. It
    /// says [`READY`], and waits for [`GO`].
    Command {
        /// The command.
        command: Invocation,
        /// What it reads first: a script, a password.
        first: Vec<u8>,
        /// Whether it may ask for a password on this machine's terminal.
        may_ask: bool,
    },
}

impl Daemon {
    /// Returns this machine's own daemon, as this user reaches it.
    #[must_use]
    pub fn own(around: &Surroundings) -> Self {
        let socket = around.variable("NIX_DAEMON_SOCKET_PATH");
        Self::Socket(socket.map_or_else(|| PathBuf::from("/nix/var/nix/daemon-socket/socket"), PathBuf::from))
    }
}

impl fmt::Debug for Daemon {
    /// Leaves out what may be a password.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(path) => write!(formatter, "{}", path.display()),
            Self::Command { command, .. } => write!(formatter, "{command}"),
        }
    }
}
