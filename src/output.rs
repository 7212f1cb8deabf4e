//! Printing: the result goes to stdout, everything else to stderr. Either may be closed or full, or a pipe that nobody
//! reads any more; that must not look as if the work had failed.

use std::io::{self, ErrorKind, Write};

use crate::failure::Failure;
use crate::harmless::{self, Colours};

/// Says one or several lines to the person at the keyboard, in colours where they are wanted, and harmless whoever
/// wrote them. It does not matter if nobody listens.
pub fn say(line: &str) {
    // It is one write, so that lines of several threads do not mix.
    begin(&format!("{line}\n"));
}

/// Says a text after which the line goes on.
pub fn begin(text: &str) {
    let colours = if console::colors_enabled_stderr() {
        Colours::Kept
    } else {
        Colours::Dropped
    };
    let _ = io::stderr().write_all(harmless::text(text, colours).as_bytes());
}

/// Prints the result. It is no failure if the reader has gone: they had enough of it.
///
/// # Errors
/// Fails if it could not be printed for another reason, for example because the disk is full.
pub fn result(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::new(format!("the result could not be printed: {error}")))
        }
        _ => Ok(()),
    }
}
