//! How a user becomes root on the machine that is changed.

/// The program that does it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Elevation {
    /// None: the user is root, or it is not needed.
    #[default]
    None,
    /// sudo or sudo-rs
    Sudo,
    /// systemd's run0
    Run0,
    /// doas
    Doas,
}

/// The rights that a run takes itself where it changes a system.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rights {
    /// How.
    pub elevation: Elevation,
    /// Whether the password is asked for here, once, at the beginning (`--ask-elevate-password`).
    pub ask_password: bool,
}
