//! The one place that starts processes.
//!
//! Elsewhere a command is an [`Invocation`]: a plain value that can be compared and shown.

mod bounded;
pub mod companion;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod interactive;
pub mod lines;
pub mod quote;
pub mod room;
pub mod signals;

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;

use anyhow::Result;
use nix::sys::signal::{SigSet, Signal};

use crate::failure::Failure;
use lines::Lines;
use signals::Signals;

/// A command to be run: its words, and the variables that are added to this program's environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invocation {
    program: OsString,
    arguments: Vec<OsString>,
    /// Further arguments that only this program needs for running it: nobody would type them.
    own_arguments: Vec<OsString>,
    /// Variables that are added to this program's own.
    variables: Vec<(OsString, OsString)>,
}

impl Invocation {
    /// Makes a command without arguments, in this program's own environment.
    pub fn new(program: impl Into<OsString>) -> Self {
        Self {
            program: program.into(),
            arguments: Vec::new(),
            own_arguments: Vec::new(),
            variables: Vec::new(),
        }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<T: Into<OsString>>(mut self, arguments: impl IntoIterator<Item = T>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Adds arguments that come after all others and only serve the way in which this program runs the command: they
    /// are not shown as a part of it.
    #[must_use]
    pub fn own_args<T: Into<OsString>>(mut self, arguments: impl IntoIterator<Item = T>) -> Self {
        self.own_arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Adds an environment variable.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.variables.push((name.into(), value.into()));
        self
    }

    /// Returns the command's words, program first.
    pub fn words(&self) -> impl Iterator<Item = &OsStr> {
        std::iter::once(self.program.as_os_str()).chain(self.arguments.iter().map(OsString::as_os_str))
    }

    /// Runs the command to its end. What it prints to its stdout goes to this program's stderr, because this program's
    /// stdout is for the result.
    ///
    /// # Errors
    /// Fails if the command cannot be started, is interrupted, or ends with another exit status than 0; this program
    /// then ends with that status.
    pub fn run(&self, signals: &Signals) -> Result<()> {
        let mut command = self.command();
        command.stdout(Stdio::from(std::io::stderr().as_fd().try_clone_to_owned()?));
        self.finish(&mut command, signals).map(|_| ())
    }

    /// Runs it in the same way, with `input` on its stdin.
    ///
    /// # Errors
    /// Fails as [`Invocation::run`] does.
    pub fn run_with(&self, input: &[u8], signals: &Signals) -> Result<()> {
        let mut command = self.command();
        command.stdin(Stdio::piped());
        command.stdout(Stdio::from(std::io::stderr().as_fd().try_clone_to_owned()?));
        self.give(&mut command, input, signals).map(|_| ())
    }

    /// Runs it in the same way, and returns what it printed to its stdout.
    ///
    /// # Errors
    /// Fails as [`Invocation::run`] does.
    pub fn capture_with(&self, input: &[u8], signals: &Signals) -> Result<Vec<u8>> {
        let mut command = self.command();
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        self.give(&mut command, input, signals)
    }

    /// Runs it to its end and hands each line that it writes to its stderr to `each`.
    ///
    /// # Errors
    /// Fails as [`Invocation::run`] does.
    pub fn watch(&self, each: &mut dyn FnMut(&str), signals: &Signals) -> Result<()> {
        let mut command = self.command();
        command.stdin(Stdio::null()).stderr(Stdio::piped());
        command.stdout(Stdio::from(std::io::stderr().as_fd().try_clone_to_owned()?));
        let mut child = command.spawn().map_err(|error| self.not_started(&error))?;
        let guard = signals.pass_on_to(child.id());
        if let Some(stderr) = child.stderr.take() {
            let mut lines = Lines::new(stderr);
            while let Some(line) = lines.next_line() {
                each(&line.into_text());
            }
        }
        drop(guard);
        self.wait_for(child, signals).map(|_| ())
    }

    /// Runs it to its end, hands each line that it writes to its stderr to `each`, and returns what it printed to its
    /// stdout.
    ///
    /// # Errors
    /// Fails as [`Invocation::run`] does.
    pub fn capture_and_watch(&self, each: &mut dyn FnMut(&str), signals: &Signals) -> Result<Vec<u8>> {
        let mut command = self.command();
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| self.not_started(&error))?;
        let guard = signals.pass_on_to(child.id());
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        // Both streams are read at once: a full pipe would stop the command.
        let output = thread::spawn(move || {
            let mut output = Vec::new();
            stdout.map_or(Ok(0), |mut stdout| stdout.read_to_end(&mut output))?;
            std::io::Result::Ok(output)
        });
        if let Some(stderr) = stderr {
            let mut lines = Lines::new(stderr);
            while let Some(line) = lines.next_line() {
                each(&line.into_text());
            }
        }
        drop(guard);
        self.wait_for(child, signals)?;
        Ok(output.join().unwrap_or_else(|_| Ok(Vec::new()))?)
    }

    /// Runs it to its end and returns what it printed to its stdout.
    ///
    /// # Errors
    /// Fails as [`Invocation::run`] does.
    pub fn capture(&self, signals: &Signals) -> Result<Vec<u8>> {
        let mut command = self.command();
        command.stdout(Stdio::piped());
        self.finish(&mut command, signals)
    }

    /// Runs it to its end and returns what it printed to its stdout; what it says on its stderr is dropped.
    ///
    /// # Errors
    /// Fails as [`Invocation::run`] does.
    pub fn quietly(&self, signals: &Signals) -> Result<Vec<u8>> {
        let mut command = self.command();
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        self.finish(&mut command, signals)
    }

    /// Runs it to its end and drops what it says. This is for tidying up at the end, when a signal may have come
    /// already.
    ///
    /// # Errors
    /// Fails if it cannot be started.
    pub fn silently(&self) -> Result<ExitStatus> {
        let mut command = self.command();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().map_err(|error| self.not_started(&error).into())
    }

    /// Starts it with all three standard streams piped to this program, and deaf to Ctrl-C: the code that talks with it
    /// decides when it ends.
    ///
    /// # Errors
    /// Fails if it cannot be started.
    pub fn converse(&self) -> Result<Child> {
        // A child inherits its parent's signal mask, and ssh keeps it. So a Ctrl-C on the terminal does not cut the
        // connection before the other side has been told.
        let interrupt = SigSet::from(Signal::SIGINT);
        interrupt.thread_block()?;
        let child = self.converse_interruptibly();
        interrupt.thread_unblock()?;
        child
    }

    /// Starts it in the same way, if it may ask a person something on the terminal: there, Ctrl-C means no.
    ///
    /// # Errors
    /// Fails if it cannot be started.
    pub fn converse_interruptibly(&self) -> Result<Child> {
        let mut command = self.command();
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command.spawn().map_err(|error| self.not_started(&error).into())
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).args(&self.own_arguments);
        command.envs(self.variables.iter().cloned());
        command
    }

    fn give(&self, command: &mut Command, input: &[u8], signals: &Signals) -> Result<Vec<u8>> {
        let mut child = command.spawn().map_err(|error| self.not_started(&error))?;
        if let Some(mut stdin) = child.stdin.take() {
            // A command that does not read its input does not need it.
            let _ = stdin.write_all(input);
        }
        self.wait_for(child, signals)
    }

    fn finish(&self, command: &mut Command, signals: &Signals) -> Result<Vec<u8>> {
        let child = command.spawn().map_err(|error| self.not_started(&error))?;
        self.wait_for(child, signals)
    }

    fn wait_for(&self, child: Child, signals: &Signals) -> Result<Vec<u8>> {
        let guard = signals.pass_on_to(child.id());
        let output = child.wait_with_output()?;
        drop(guard);
        signals.check()?;
        if output.status.success() {
            Ok(output.stdout)
        } else {
            Err(self.failed(output.status).into())
        }
    }

    fn not_started(&self, error: &std::io::Error) -> Failure {
        let program = self.program.to_string_lossy();
        if error.kind() == std::io::ErrorKind::NotFound {
            Failure::new(format!("{program}: command not found")).with_code(127)
        } else {
            Failure::new(format!("{program}: cannot be started: {error}")).with_code(126)
        }
    }

    fn failed(&self, status: ExitStatus) -> Failure {
        let code = exit_code(status);
        let program = self.program.to_string_lossy();
        match status.signal() {
            // NixOS/nixpkgs#375725: the kernel kills a process that takes the last memory, and nobody says why.
            Some(9) => Failure::new(format!("{program} was killed: probably this machine ran out of memory"))
                .with_remedy("let a stronger machine do it: --eval-on HOST"),
            Some(signal) => Failure::new(format!("{program} was ended by signal {signal}")),
            None => Failure::new(format!("this command failed with exit status {code}: {self}")),
        }
        .with_code(code)
    }
}

/// Returns a process's exit status as shells count it: 128 plus the number of the signal, if one ended it.
#[must_use]
pub fn exit_code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}

impl fmt::Display for Invocation {
    /// Writes the command as it could be typed into a shell.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, word) in self.words().enumerate() {
            let quoted = quote::shell_word(word).map_err(|_| fmt::Error)?;
            let blank = if index == 0 { "" } else { " " };
            write!(formatter, "{blank}{}", String::from_utf8_lossy(&quoted))?;
        }
        Ok(())
    }
}
