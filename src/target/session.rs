//! One run of a script on the target, and what it says.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
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
use crate::ssh::{self, Said, Ssh};

/// How long a signal may wait for us.
const TICK: Duration = Duration::from_millis(100);

/// How long the processes of a session may take to end when they are told to.
const FAREWELL: Duration = Duration::from_secs(2);

/// How long its last words may keep a session from ending, before it is looked at again.
const LAST: Duration = Duration::from_millis(5);

/// As many lines of what was said are kept, for an error's sake.
const KEPT: usize = 20;

/// So many lines or pieces of output may wait until they are shown. Then the other side waits: whoever stops the screen is
/// not to lose memory by it.
const WAITING: usize = 64;

/// What the other side does next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// It says something.
    Reply(Reply),
    /// A piece of a change's output, as it is.
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
    ssh_said: Said,
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
        let (sender, inbox) = sync_channel(WAITING);
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
            ssh_said: Said::default(),
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
        self.ssh_said.hear(line);
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
        let code = loop {
            match self.child.try_wait() {
                Ok(Some(status)) => break exit_code(status),
                Ok(None) => {}
                Err(_) => break 1,
            }
            // It does not end while nobody listens to it.
            if self.ssh_is_silent {
                thread::sleep(LAST);
            } else {
                self.last_word(LAST, observer);
            }
        };
        // ssh's own last words may still be under way; not for long, though a process of its own may hold its stderr.
        while !self.ssh_is_silent && self.last_word(TICK, observer) {}
        match &self.host {
            Some(host) if !self.greeted => ssh::no_session(host, code.max(1), self.ssh_said.text()),
            Some(host) => Failure::new(format!("the connection to {host} broke"))
                .with_remedy("run the same command again")
                .with_code(255),
            None => Failure::new("a script of ours ended too early on this machine")
                .with_remedy("is it out of memory? otherwise this is a mistake of rebuild's")
                .with_code(code.max(1)),
        }
    }

    /// One of them; whether there may be more.
    fn last_word(&mut self, patience: Duration, observer: &mut dyn Observer) -> bool {
        match self.inbox.recv_timeout(patience) {
            Ok(Heard::Ssh(line)) => self.ssh_said(&line, observer),
            Ok(Heard::SshFellSilent) | Err(RecvTimeoutError::Disconnected) => self.ssh_is_silent = true,
            Ok(_) => {}
            Err(RecvTimeoutError::Timeout) => return false,
        }
        true
    }

    /// All has been heard that was to be heard. What is still said is for nobody, but must not be in the way of its end, or
    /// of those who share its connection.
    pub(super) fn is_over(&mut self) {
        self.patience = FAREWELL;
        self.inbox = sync_channel(0).1;
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

/// To the end of the stream, though nobody hear it any more: who writes must come to his end.
fn listen<R: Read>(stdout: R, sender: &SyncSender<Heard>) {
    let mut reader = BufReader::new(stdout);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
        let end = line.iter().rposition(|byte| !b"\n\r".contains(byte));
        line.truncate(end.map_or(0, |last| last + 1));
        if let Some(length) = chunk(&line) {
            pass_on(&mut reader, length, sender);
        } else {
            let _ = sender.send(Heard::Line(std::mem::take(&mut line)));
        }
        line.clear();
    }
    let _ = sender.send(Heard::Ended);
}

/// Output of this length, in pieces as they come. Of what the link breaks in, as much as has come.
fn pass_on(reader: &mut impl BufRead, length: u64, sender: &SyncSender<Heard>) {
    let mut reader = reader.take(length);
    while let Ok(piece) = reader.fill_buf() {
        let length = piece.len();
        if length == 0 {
            return;
        }
        let _ = sender.send(Heard::Output(piece.to_owned()));
        reader.consume(length);
    }
}

/// To the end as well: a connection that others share must not hang on its words.
fn listen_to_ssh<R: Read>(stderr: R, sender: &SyncSender<Heard>) {
    let mut reader = BufReader::new(stderr);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        line.clear();
        let _ = sender.send(Heard::Ssh(text));
    }
    let _ = sender.send(Heard::SshFellSilent);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    /// A change may say more than a small machine holds.
    #[test]
    fn output_is_passed_on_in_pieces_as_it_comes() {
        let (mut far, near) = UnixStream::pair().unwrap();
        let (sender, inbox) = sync_channel(WAITING);
        thread::spawn(move || listen(near, &sender));
        let mut output = Vec::new();
        let hear = |output: &mut Vec<u8>| match inbox.recv_timeout(Duration::from_secs(10)).unwrap() {
            Heard::Output(bytes) => {
                assert!(bytes.len() <= 64 << 10);
                output.extend(bytes);
                true
            }
            Heard::Line(line) => {
                assert_eq!(line, b"@rebuild finished");
                false
            }
            _ => panic!("something else"),
        };
        far.write_all(b"@rebuild chunk 1000005\nfirst").unwrap();
        while output.len() < 5 {
            hear(&mut output);
        }
        let rest = thread::spawn(move || {
            far.write_all(&vec![b'\n'; 1_000_000]).unwrap();
            far.write_all(b"@rebuild finished\n@rebuild chunk 10\nbroken").unwrap();
        });
        while hear(&mut output) {}
        assert_eq!(output.len(), 1_000_005);
        output.clear();
        while output.len() < 6 {
            hear(&mut output);
        }
        assert_eq!(output, b"broken");
        rest.join().unwrap();
        assert!(matches!(inbox.recv().unwrap(), Heard::Ended));
    }

    /// Who shares the connection of a session that is over must not hang on its words.
    #[test]
    fn a_session_that_nobody_hears_can_come_to_its_end() {
        for listen in [listen::<UnixStream>, listen_to_ssh::<UnixStream>] {
            let (mut far, near) = UnixStream::pair().unwrap();
            let (sender, inbox) = sync_channel(WAITING);
            let listener = thread::spawn(move || listen(near, &sender));
            drop(inbox);
            far.write_all(&b"words\n".repeat(100_000)).unwrap();
            drop(far);
            listener.join().unwrap();
        }
    }
}
