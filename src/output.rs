//! What is printed: the result to stdout, all else to stderr. Both may be closed, full, or a pipe that nobody reads any
//! more, and that must not look like a failure of what was done.

use std::io::{self, ErrorKind, Write};

use crate::failure::Failure;
use crate::harmless::{self, Colours};

/// Says a line, or several, to the person at the keyboard: in colours where they are wanted, and harmless whoever they are
/// from. Nobody need listen.
pub fn say(line: &str) {
    // One write, so that lines of several threads do not mix.
    begin(&format!("{line}\n"));
}

/// The same for what goes on in the same line.
pub fn begin(text: &str) {
    let colours = if console::colors_enabled_stderr() {
        Colours::Kept
    } else {
        Colours::Dropped
    };
    let _ = io::stderr().write_all(harmless::text(text, colours).as_bytes());
}

/// Prints the result. A reader that has gone had enough of it.
///
/// # Errors
/// It could not be printed for another reason: the disk is full.
pub fn result(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::new(format!("the result could not be printed: {error}")))
        }
        _ => Ok(()),
    }
}
