//! A Nix daemon, through which store paths come to a machine.

use std::fmt;
use std::path::PathBuf;

use crate::process::Invocation;
use crate::surroundings::Surroundings;

/// What a command says, as a line, when it is about to be a daemon ...
pub const READY: &str = "@rebuild ready";

/// ... and the line for which it then waits. What comes before that is not for the daemon: a password that nobody asked
/// for. And nothing of ours comes sooner, for sudo-rs 0.2.5 swallows what comes together with the password.
pub const GO: &str = "@rebuild go";

/// A machine's Nix daemon, and how it is reached.
#[derive(Clone, PartialEq, Eq)]
pub enum Daemon {
    /// It listens here.
    Socket(PathBuf),
    /// This command becomes one, on its standard streams (`nix-daemon --stdio`): on another machine, or as root. It says
    /// [`READY`], and waits for [`GO`].
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
    /// This machine's own, as this user reaches it.
    #[must_use]
    pub fn own(around: &Surroundings) -> Self {
        let socket = around.variable("NIX_DAEMON_SOCKET_PATH");
        Self::Socket(socket.map_or_else(|| PathBuf::from("/nix/var/nix/daemon-socket/socket"), PathBuf::from))
    }
}

impl fmt::Debug for Daemon {
    /// Without what may be a password.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(path) => write!(formatter, "{}", path.display()),
            Self::Command { command, .. } => write!(formatter, "{command}"),
        }
    }
}
