//! Keeps what the user types from disturbing the live display.

use std::os::fd::AsFd;

use nix::sys::termios::{LocalFlags, SetArg, tcgetattr, tcsetattr};
use nix::unistd::{getpgrp, tcgetpgrp};

/// The terminal's echo, held back while the display is drawn. An echoed `^C` or empty line moves the cursor, and the next
/// drawing or clearing would be a line off. Programs still read what the user types.
#[derive(Default)]
pub(super) struct Echo {
    is_held: bool,
}

impl Echo {
    /// Holds the echo back, if there is a terminal that echoes.
    pub(super) fn hold(&mut self, terminal: impl AsFd) {
        if !self.is_held {
            self.is_held = switch(&terminal, false);
        }
    }

    /// Switches the echo on again, if it was held back.
    pub(super) fn release(&mut self, terminal: impl AsFd) {
        if std::mem::take(&mut self.is_held) {
            switch(&terminal, true);
        }
    }
}

/// Switches the echo on or off, and returns whether that changed it.
fn switch(terminal: &impl AsFd, on: bool) -> bool {
    // The kernel stops a background process that changes its terminal. The shell has given it other settings by then.
    if tcgetpgrp(terminal) != Ok(getpgrp()) {
        return false;
    }
    let Ok(mut settings) = tcgetattr(terminal) else {
        return false;
    };
    if settings.local_flags.contains(LocalFlags::ECHO) == on {
        return false;
    }
    settings.local_flags.set(LocalFlags::ECHO, on);
    tcsetattr(terminal, SetArg::TCSANOW, &settings).is_ok()
}
