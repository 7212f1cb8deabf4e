//! How a user becomes root on the machine that is changed.

/// The program that makes the user root.
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

/// The rights that a run needs where it changes a system.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rights {
    /// How the user becomes root.
    pub elevation: Elevation,
    /// Whether the password is asked for here, once, at the beginning (`--ask-elevate-password`).
    pub ask_password: bool,
}
