//! One run of a script on the target, and what it says.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::reply::{Reply, chunk};
use crate::daemon::{GO, READY};
use crate::failure::Failure;
use crate::host::{Host, Place};
use crate::process::signals::Signals;
use crate::process::{Invocation, exit_code};
use crate::progress::{Event, Observer};
use crate::ssh::{self, Ssh};

/// How long a signal may wait for us.
const TICK: Duration = Duration::from_millis(100);

/// How long the processes of a session may take to end when they are told to.
const FAREWELL: Duration = Duration::from_secs(2);

/// As many lines of what was said are kept, for an error's sake.
const KEPT: usize = 20;

/// What the other side does next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// It says something.
    Reply(Reply),
    /// Output of a change, as it is.
    Output(Vec<u8>),
    /// It says no more: the script has come to its end, or the link broke.
    End,
}

enum Heard {
    Line(Vec<u8>),
    Output(Vec<u8>),
    Ended,
    Ssh(String),
    SshFellSilent,
}

/// What is to run.
pub(super) struct Text {
    /// The script.
    pub(super) script: Vec<u8>,
    /// What it reads first.
    pub(super) input: Vec<u8>,
    /// What it reads when it has said that it is ready for it.
    pub(super) after_go: Vec<u8>,
    /// Whether it may ask for a password on this machine's terminal.
    pub(super) may_ask: bool,
}

/// A script that runs.
pub(super) struct Session {
    host: Option<Host>,
    child: Child,
    speeches: Option<Sender<Vec<u8>>>,
    /// What is said when it is ready for that; nothing any more, once it has been.
    after_go: Option<Vec<u8>>,
    inbox: Receiver<Heard>,
    greeted: bool,
    /// How long it may take to end by itself.
    patience: Duration,
    /// What ssh itself said.
    ssh_text: String,
    ssh_is_silent: bool,
    /// The last lines that were no events.
    said: VecDeque<String>,
    /// Whether such lines are kept back from the user.
    pub(super) is_quiet: bool,
}

/// The command that runs a script of this length, which it reads from its stdin.
pub(super) fn command(place: &Place, ssh: &Ssh, script_length: usize) -> Invocation {
    match place {
        Place::Here => ssh::here(script_length),
        Place::There(host) => ssh.session(host, None, script_length),
    }
}

impl Session {
    /// Starts a script.
    pub(super) fn start(place: &Place, ssh: &Ssh, text: &Text, observer: &mut dyn Observer) -> Result<Self> {
        let command = command(place, ssh, text.script.len());
        if place.host().is_some() {
            observer.see(Event::Detail(format!("$ {command}")));
        }
        let mut child = if text.may_ask && place.host().is_none() {
            command.converse_interruptibly()?
        } else {
            command.converse()?
        };
        let (Some(stdin), Some(stdout), Some(stderr)) = (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            anyhow::bail!("a session was started without pipes");
        };
        let (sender, inbox) = channel();
        let texts = sender.clone();
        thread::spawn(move || listen_to_ssh(stderr, &texts));
        thread::spawn(move || listen(stdout, &sender));
        let (speeches, incoming) = channel();
        // A full pipe must not keep us from listening.
        thread::spawn(move || speak(stdin, &incoming));
        let session = Self {
            host: place.host().cloned(),
            child,
            speeches: Some(speeches),
            after_go: Some([GO.as_bytes(), b"\n", &text.after_go].concat()),
            inbox,
            greeted: false,
            patience: Duration::ZERO,
            ssh_text: String::new(),
            ssh_is_silent: false,
            said: VecDeque::new(),
            is_quiet: false,
        };
        session.say(&text.script);
        session.say(&text.input);
        Ok(session)
    }

    /// Says something to the script.
    pub(super) fn say(&self, bytes: &[u8]) {
        if let Some(speeches) = &self.speeches {
            // If the thread has ended, the other side has, and that is heard.
            let _ = speeches.send(bytes.to_owned());
        }
    }

    /// Waits for what comes next; text goes to the observer.
    ///
    /// # Errors
    /// A signal has come. The session goes on until it is dropped.
    pub(super) fn next(&mut self, observer: &mut dyn Observer, signals: &Signals) -> Result<Next> {
        loop {
            signals.check()?;
            match self.inbox.recv_timeout(TICK) {
                Ok(Heard::Line(line)) => {
                    if line == READY.as_bytes() {
                        let words = self.after_go.take().unwrap_or_default();
                        self.say(&words);
                        continue;
                    }
                    if let Some(reply) = Reply::parse(&line) {
                        if matches!(reply, Reply::Hello { .. }) {
                            self.greeted = true;
                        }
                        return Ok(Next::Reply(reply));
                    }
                    self.text(&String::from_utf8_lossy(&line), observer);
                }
                Ok(Heard::Output(bytes)) => return Ok(Next::Output(bytes)),
                Ok(Heard::Ssh(line)) => self.ssh_said(&line, observer),
                Ok(Heard::SshFellSilent) => self.ssh_is_silent = true,
                Err(RecvTimeoutError::Timeout) => {}
                Ok(Heard::Ended) | Err(RecvTimeoutError::Disconnected) => return Ok(Next::End),
            }
        }
    }

    /// A login shell that greets everybody is not worth a line.
    fn text(&mut self, line: &str, observer: &mut dyn Observer) {
        if !self.greeted {
            return;
        }
        if self.said.len() == KEPT {
            self.said.pop_front();
        }
        self.said.push_back(line.to_owned());
        if !self.is_quiet {
            observer.see(Event::Text(line.to_owned()));
        }
    }

    /// Before the greeting this is the reason for a failure, which will be said in our words.
    fn ssh_said(&mut self, line: &str, observer: &mut dyn Observer) {
        self.ssh_text.push_str(line);
        self.ssh_text.push('\n');
        if self.greeted && !self.is_quiet {
            observer.see(Event::Text(line.to_owned()));
        }
    }

    /// Whether root has been told what to do, so that it may be doing that.
    pub(super) fn has_gone_on(&self) -> bool {
        self.after_go.is_none()
    }

    /// The last of what was said and was no event.
    pub(super) fn last_words(&self) -> Option<&str> {
        let mut lines = self.said.iter().rev().map(|line| line.trim());
        lines.find(|line| !line.is_empty())
    }

    /// Why there is nothing more to hear, though there should be.
    pub(super) fn broken(mut self, observer: &mut dyn Observer) -> Failure {
        self.speeches = None;
        let code = self.child.wait().map_or(1, exit_code);
        // ssh's own last words may still be under way; not for long, though a process of its own may hold its stderr.
        while !self.ssh_is_silent {
            match self.inbox.recv_timeout(TICK) {
                Ok(Heard::Ssh(line)) => self.ssh_said(&line, observer),
                Ok(Heard::SshFellSilent) | Err(_) => self.ssh_is_silent = true,
                Ok(_) => {}
            }
        }
        match &self.host {
            Some(host) if !self.greeted => ssh::no_session(host, code.max(1), &self.ssh_text),
            Some(host) => Failure::new(format!("the connection to {host} broke"))
                .with_remedy("run the same command again")
                .with_code(255),
            None => Failure::new("a script of ours ended too early on this machine")
                .with_remedy("is it out of memory? otherwise this is a mistake of rebuild's")
                .with_code(code.max(1)),
        }
    }

    /// All has been heard that was to be heard.
    pub(super) fn is_over(&mut self) {
        self.patience = FAREWELL;
    }
}

impl Drop for Session {
    /// Who has no more to hear ends by itself; otherwise it is ended, and what it started for good goes on.
    fn drop(&mut self) {
        self.speeches = None;
        let deadline = Instant::now() + self.patience;
        while self.child.try_wait().is_ok_and(|status| status.is_none()) {
            if Instant::now() > deadline {
                // Not SIGKILL: sudo gives the terminal its echo back.
                if let Ok(pid) = i32::try_from(self.child.id()) {
                    let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
                }
                return;
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

fn speak(mut stdin: ChildStdin, incoming: &Receiver<Vec<u8>>) {
    for speech in incoming {
        if stdin.write_all(&speech).and_then(|()| stdin.flush()).is_err() {
            return;
        }
    }
}

fn listen(stdout: impl Read, sender: &Sender<Heard>) {
    let mut reader = BufReader::new(stdout);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
        let end = line.iter().rposition(|byte| !b"\n\r".contains(byte));
        line.truncate(end.map_or(0, |last| last + 1));
        let heard = match chunk(&line) {
            None => Heard::Line(std::mem::take(&mut line)),
            Some(length) => {
                let mut bytes = Vec::new();
                line.clear();
                // Of what the link breaks in, as much as has come.
                let _ = (&mut reader).take(length).read_to_end(&mut bytes);
                Heard::Output(bytes)
            }
        };
        if sender.send(heard).is_err() {
            return;
        }
    }
    let _ = sender.send(Heard::Ended);
}

fn listen_to_ssh(stderr: impl Read, sender: &Sender<Heard>) {
    let mut reader = BufReader::new(stderr);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        line.clear();
        if sender.send(Heard::Ssh(text)).is_err() {
            return;
        }
    }
    let _ = sender.send(Heard::SshFellSilent);
}
