//! The question before a change (`--ask`).

use std::fs::OpenOptions;
use std::io::{self, BufRead, IsTerminal, Write};
use std::sync::mpsc::channel;
use std::thread;

use anyhow::{Context, Result};
use nix::sys::termios::{FlushArg, tcflush};

use crate::failure::Interrupted;
use crate::process::signals::Signals;

enum TerminalEvent {
    Line(io::Result<String>),
    Signal(i32),
}

/// Asks on the terminal. Only a clear yes counts as yes: Return alone, Ctrl-D and everything else mean no.
///
/// # Errors
/// Fails if a signal has come, such as the one from Ctrl-C, or if the terminal is gone.
pub(super) fn ask(question: &str, signals: &Signals) -> Result<bool> {
    let (sender, heard) = channel();
    let _guard = signals.forward(sender.clone(), TerminalEvent::Signal);
    signals.check()?;
    // Whatever was typed during the long work was no answer to this question.
    let _ = tcflush(io::stdin(), FlushArg::TCIFLUSH);
    say(&format!("{question} [y/N] ")).context("the question cannot be asked")?;
    // The answer may never come, and a signal must not have to wait for it.
    thread::spawn(move || {
        let mut line = String::new();
        let answer = io::stdin().lock().read_line(&mut line).map(|_| line);
        let _ = sender.send(TerminalEvent::Line(answer));
    });
    match heard.recv().context("nobody listens to the terminal")? {
        TerminalEvent::Line(Ok(line)) => {
            if !line.ends_with('\n') {
                // Ctrl-D leaves the cursor where it is.
                say("\n")?;
            }
            Ok(is_yes(&line))
        }
        TerminalEvent::Line(Err(error)) => Err(error).context("the answer cannot be read"),
        TerminalEvent::Signal(signal) => {
            let _ = say("\n");
            Err(Interrupted { signal }.into())
        }
    }
}

/// Writes to the terminal, where a person sees it, even if stderr is a file.
fn say(text: &str) -> io::Result<()> {
    let mut stderr = io::stderr();
    if stderr.is_terminal() {
        return stderr.write_all(text.as_bytes());
    }
    OpenOptions::new()
        .write(true)
        .open("/dev/tty")?
        .write_all(text.as_bytes())
}

fn is_yes(line: &str) -> bool {
    let answer = line.trim();
    answer.eq_ignore_ascii_case("y") || answer.eq_ignore_ascii_case("yes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clear_yes_is_one() {
        for line in ["y\n", "Y\n", " yes \n", "YES\r\n"] {
            assert!(is_yes(line), "{line:?}");
        }
        for line in ["", "\n", "n\n", "no\n", "yy\n", "ja\n", "y n\n", "yes!\n"] {
            assert!(!is_yes(line), "{line:?}");
        }
    }
}
