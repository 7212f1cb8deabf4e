//! The password for becoming root: asked for once, held in memory, and written to the standard input of sessions only.
//!
//! It is in no argument, environment or file. That keeps it from other users. It is not hidden in the memory of this
//! process, which root and the user can read anyway.

use std::io::{self, BufRead, IsTerminal};

use anyhow::Result;
use nix::sys::signal::Signal;

use crate::failure::Interrupted;
use crate::harmless;

/// A password. It has no `Debug`, so that it comes into no message.
///
/// Only this copy is overwritten in the end. The copies that were made for a session's input stay in freed memory, and
/// so may the prompt's buffer.
pub(super) struct Password(Vec<u8>);

impl Password {
    /// Asks on the terminal. If there is no terminal, reads a line of stdin.
    pub(super) fn ask(program: &str, who: &str) -> Result<Self> {
        let prompt = format!("[{program}] password for {}: ", harmless::name(who));
        let text = if is_on_terminal() {
            rpassword::prompt_password(prompt).map_err(refused)?
        } else {
            let mut line = String::new();
            let length = std::io::stdin().lock().read_line(&mut line)?;
            anyhow::ensure!(
                length > 0,
                "there is no password on standard input, and no terminal to ask on"
            );
            line.truncate(line.trim_end_matches(['\n', '\r']).len());
            line
        };
        Ok(Self(text.into_bytes()))
    }

    /// The line that a program reads.
    pub(super) fn line(&self) -> Vec<u8> {
        [self.0.as_slice(), b"\n"].concat()
    }
}

/// Makes an error of what the prompt could not read. Ctrl-C at the prompt is an interrupt, as everywhere.
fn refused(error: io::Error) -> anyhow::Error {
    if error.kind() == io::ErrorKind::Interrupted {
        let signal = Signal::SIGINT as i32;
        return Interrupted { signal }.into();
    }
    anyhow::Error::new(error).context("the password cannot be read")
}

/// Whether a person can be asked, and asked again.
pub(super) fn is_on_terminal() -> bool {
    std::io::stdin().is_terminal()
}

impl Drop for Password {
    fn drop(&mut self) {
        self.0.fill(0);
        // So that the compiler does not leave out what nobody reads.
        std::hint::black_box(&self.0);
    }
}
