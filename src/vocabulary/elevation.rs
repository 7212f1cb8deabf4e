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

impl Elevation {
    /// Returns the program's name, which is also the word for the scripts (`rb_elevation`).
    #[must_use]
    pub fn program(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Sudo => "sudo",
            Self::Run0 => "run0",
            Self::Doas => "doas",
        }
    }
}

/// The rights that a run needs where it changes a system.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rights {
    /// How the user becomes root.
    pub elevation: Elevation,
    /// Whether the password is asked for here, once, at the beginning (`--ask-elevate-password`).
    pub ask_password: bool,
}
