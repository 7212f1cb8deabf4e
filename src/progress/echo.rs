//! What is typed while something is drawn.

use std::os::fd::AsFd;

use nix::sys::termios::{LocalFlags, SetArg, tcgetattr, tcsetattr};
use nix::unistd::{getpgrp, tcgetpgrp};

/// The terminal's echo, held back while something is drawn: a `^C` or an empty line moves the cursor, and what is drawn
/// next, or taken away, would be a line off. What is typed goes to whoever reads it, as ever.
#[derive(Default)]
pub(super) struct Echo {
    is_held: bool,
}

impl Echo {
    /// Holds it back, if there is one.
    pub(super) fn hold(&mut self, terminal: impl AsFd) {
        if !self.is_held {
            self.is_held = switch(&terminal, false);
        }
    }

    /// Gives it back, if it was held.
    pub(super) fn release(&mut self, terminal: impl AsFd) {
        if std::mem::take(&mut self.is_held) {
            switch(&terminal, true);
        }
    }
}

/// Whether that was a change.
fn switch(terminal: &impl AsFd, on: bool) -> bool {
    // Whoever changes a terminal from the background is stopped; the shell has given it other settings by then.
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
