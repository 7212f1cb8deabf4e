//! What went wrong, in words for the person at the keyboard.

use std::fmt;

use crate::conditions::{Condition, Words};
use crate::harmless::{self, Colours};
use crate::host::{Host, NoHost};

/// A failure whose text is meant for the user: what failed and where, what to do about it, and the exit status.
///
/// It travels inside [`anyhow::Error`], so that a reason can be wrapped around it on the way up; `main` looks for it
/// there to find the exit status. An error without a `Failure` ends with status 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    message: String,
    remedy: Option<String>,
    code: u8,
    unreachable: Option<Host>,
    condition: Option<Condition>,
    is_refusal: bool,
}

impl Failure {
    /// Makes a failure of this program's own (exit status 1), named by `message`: no capital, no full stop.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            remedy: None,
            code: 1,
            unreachable: None,
            is_refusal: false,
            condition: None,
        }
    }

    /// Makes a failure that means that a condition does not hold: its remedy is that of the table
    /// ([`crate::conditions`]).
    pub fn of(condition: Condition, message: impl Into<String>, words: &Words) -> Self {
        Self {
            condition: Some(condition),
            ..Self::new(message).with_remedy(condition.remedy(words))
        }
    }

    /// Makes a failure for a command line that cannot be carried out as it is (exit status 2, as nixos-rebuild's
    /// argument errors).
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(message).with_code(2)
    }

    /// Adds what to type or change next.
    #[must_use]
    pub fn with_remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// Sets the exit status. If a command failed, it is that command's. 0 never counts as the status of a failure.
    #[must_use]
    pub fn with_code(mut self, code: u8) -> Self {
        self.code = code.max(1);
        self
    }

    /// Says that this machine cannot be reached at all: nothing has been begun there.
    #[must_use]
    pub fn of_unreachable(mut self, host: &Host) -> Self {
        self.unreachable = Some(host.clone());
        self
    }

    /// Says that the machine is there and will not do it, however often it is asked: it refuses this user's keys, or it
    /// is another one.
    #[must_use]
    pub fn of_refusal(mut self) -> Self {
        self.is_refusal = true;
        self
    }

    /// Says that the machine had been reached before: if it cannot be reached now, the link broke.
    #[must_use]
    pub fn after_being_reached(mut self) -> Self {
        self.unreachable = None;
        self
    }

    /// Returns the machine that cannot be reached, if that is the failure.
    #[must_use]
    pub fn unreachable(&self) -> Option<&Host> {
        self.unreachable.as_ref()
    }

    /// Returns the condition that does not hold, if the failure is of one.
    #[must_use]
    pub fn condition(&self) -> Option<Condition> {
        self.condition
    }

    /// Returns whether the machine refuses this, and waiting would be in vain.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        self.is_refusal
    }

    /// Returns the process's exit status.
    #[must_use]
    pub fn code(&self) -> u8 {
        self.code
    }

    /// Returns what to do about it, if that is known.
    #[must_use]
    pub fn remedy(&self) -> Option<&str> {
        self.remedy.as_deref()
    }
}

impl From<NoHost> for Failure {
    fn from(no_host: NoHost) -> Self {
        Self::usage(no_host.message).with_remedy(no_host.remedy)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// Ctrl-C, or another signal that asks this program to stop. Nothing is printed, as with any interrupted command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interrupted {
    /// The signal's number.
    pub signal: i32,
}

impl Interrupted {
    /// Returns 128 plus the signal's number, as shells count it: 130 for Ctrl-C.
    #[must_use]
    pub fn code(self) -> u8 {
        u8::try_from(128 + self.signal).unwrap_or(1)
    }
}

impl fmt::Display for Interrupted {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "interrupted by signal {}", self.signal)
    }
}

impl std::error::Error for Interrupted {}

/// The user was asked and said no. This is what they are told; it is no error.
///
/// The exit status is 1 all the same, like that of apt, pacman or terraform: a user who writes `rebuild switch --ask &&
/// ...` wants the rest to run only after a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declined(pub String);

impl fmt::Display for Declined {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Declined {}

/// The result itself has told what is wrong; nothing more is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    /// The exit status.
    pub code: u8,
}

impl fmt::Display for Told {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("something is amiss")
    }
}

impl std::error::Error for Told {}

/// Returns the exit status for an error that nobody handled.
#[must_use]
pub fn exit_code(error: &anyhow::Error) -> u8 {
    if let Some(told) = error.downcast_ref::<Told>() {
        return told.code;
    }
    if let Some(interrupted) = error.downcast_ref::<Interrupted>() {
        return interrupted.code();
    }
    error.downcast_ref::<Failure>().map_or(1, Failure::code)
}

/// Returns the error as it is shown: the reasons from the outermost inwards, then the remedy. Returns None for an
/// interrupt. Quotes of other machines and files in it are harmless.
#[must_use]
pub fn describe(error: &anyhow::Error) -> Option<String> {
    if error.is::<Interrupted>() || error.is::<Told>() {
        return None;
    }
    let harmless = |text: String| harmless::text(&text.replace('\r', " "), Colours::Dropped);
    if let Some(Declined(text)) = error.downcast_ref::<Declined>() {
        return Some(harmless(text.clone()));
    }
    let mut text = format!("error: {error:#}");
    if let Some(remedy) = error.downcast_ref::<Failure>().and_then(Failure::remedy) {
        for line in remedy.lines() {
            text.push_str("\n  ");
            text.push_str(line);
        }
    }
    Some(harmless(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn the_code_and_the_remedy_survive_being_wrapped() {
        let failure = Failure::new("the link broke").with_code(255).with_remedy("try again");
        let error = Err::<(), _>(failure).context("client → builder").unwrap_err();
        assert_eq!(exit_code(&error), 255);
        assert_eq!(
            describe(&error).as_deref(),
            Some("error: client → builder: the link broke\n  try again")
        );
    }

    #[test]
    fn no_failure_has_exit_status_0() {
        assert_eq!(Failure::new("no").with_code(0).code(), 1);
        assert_eq!(exit_code(&Failure::new("no").with_code(0).into()), 1);
    }

    #[test]
    fn what_an_error_quotes_is_harmless() {
        let failure =
            Failure::new("no '\u{1b}]0;title\u{7}x\rerror: y\u{9b}\u{202e}'").with_remedy("try\n\u{1b}[2Jthis");
        assert_eq!(
            describe(&failure.into()).as_deref(),
            Some("error: no 'x error: y'\n  try\n  this")
        );
    }

    #[test]
    fn a_no_is_no_error_and_no_success() {
        let error = anyhow::Error::new(Declined("nothing was changed".into()));
        assert_eq!(exit_code(&error), 1);
        assert_eq!(describe(&error).as_deref(), Some("nothing was changed"));
    }

    #[test]
    fn an_interrupt_is_silent_and_says_130() {
        let error = anyhow::Error::new(Interrupted { signal: 2 });
        assert_eq!(exit_code(&error), 130);
        assert_eq!(describe(&error), None);
    }
}
