//! One run of a script on the target, and what it says.

use std::collections::VecDeque;
use std::io::{BufRead, Read, Write};
use std::process::ChildStdin;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::reply::{Reply, chunk};
use crate::context::Context;
use crate::failure::{Failure, Interrupted};
use crate::harmless;
use crate::host::{Host, Place};
use crate::process::Invocation;
use crate::process::companion::Companion;
use crate::process::lines::{Line, Lines};
use crate::process::room::{Room, Taken};
use crate::progress::Event;
use crate::remote::daemon::{GO, READY};
use crate::ssh::{self, Awaited, Patience, Said, Silence, Ssh};

/// How long a signal may wait for us.
const TICK: Duration = Duration::from_millis(100);

/// How long the processes of a session may take to end when they are told to.
const FAREWELL: Duration = Duration::from_secs(2);

/// How long its last words may keep a session from ending, before it is looked at again.
const LAST: Duration = Duration::from_millis(5);

/// How long it may stay when the other side has closed its end.
const STAYING: Duration = Duration::from_secs(5);

/// As much of a line is kept, in characters.
const LONGEST: usize = 1000;

/// As many bytes are quoted of what was said out of turn.
const QUOTED: usize = 100;

/// As many lines of what was said are kept, for an error's sake.
const KEPT: usize = 20;

/// So many lines or pieces of output may wait until they are shown. Then the other side waits: whoever stops the screen is
/// not to lose memory by it.
const WAITING: usize = 64;
const WAITING_BYTES: usize = 2 << 20;

/// What an event of a script begins with.
const EVENT: &[u8] = b"@rebuild ";

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
    Line(Line),
    Output(Vec<u8>),
    Ended,
    Ssh(String),
    SshFellSilent,
}

/// Where what is heard goes.
#[derive(Clone)]
struct Post {
    sender: SyncSender<(Heard, Taken)>,
    room: Room,
}

impl Post {
    /// It goes nowhere, if nobody hears it any more.
    fn send(&self, heard: Heard, bytes: usize) {
        let _ = self.sender.send((heard, self.room.take(bytes)));
    }
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
    child: Companion,
    speeches: Option<Sender<Vec<u8>>>,
    /// What is said when it is ready for that; nothing any more, once it has been.
    after_go: Option<Vec<u8>>,
    inbox: Receiver<(Heard, Taken)>,
    greeted: bool,
    /// For another machine's next word, until root does there what takes long.
    waiting: Option<Patience>,
    /// After that.
    silence: Silence,
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
    pub(super) fn start(place: &Place, text: &Text, context: &Context) -> Result<Self> {
        let command = command(place, &context.ssh, text.script.len());
        if place.host().is_some() {
            context.tell(Event::Detail(format!("$ {command}")));
        }
        let mut child = Companion::new(if text.may_ask && place.host().is_none() {
            command.converse_interruptibly()?
        } else {
            command.converse()?
        });
        let (stdin, stdout, stderr) = child.streams()?;
        let (sender, inbox) = sync_channel(WAITING);
        let room = Room::new(WAITING_BYTES);
        let post = Post { sender, room };
        let texts = post.clone();
        thread::spawn(move || listen_to_ssh(stderr, &texts));
        thread::spawn(move || listen(stdout, &post));
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
            waiting: place.host().map(|_| Patience::new(Instant::now())),
            silence: Silence::new(Instant::now()),
            patience: Duration::ZERO,
            ssh_said: Said::default(),
            ssh_is_silent: false,
            said: VecDeque::new(),
            is_quiet: false,
        };
        session.say(&ssh::opening(&text.script));
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
    pub(super) fn next(&mut self, context: &Context) -> Result<Next> {
        loop {
            context.signals.check()?;
            self.be_patient(context)?;
            let heard = self.hear(TICK);
            self.mind_silence(&heard, context);
            match heard {
                Ok(Heard::Line(line)) if line.bytes == ssh::ALIVE.as_bytes() => {}
                Ok(Heard::Line(line)) if line.bytes == READY.as_bytes() => {
                    let words = self.after_go.take().unwrap_or_default();
                    self.say(&words);
                }
                Ok(Heard::Line(line)) if line.bytes.starts_with(EVENT) => {
                    return Ok(Next::Reply(self.event(&line)?));
                }
                Ok(Heard::Line(line)) => self.text(&line.into_text(), context),
                Ok(Heard::Output(bytes)) => return Ok(Next::Output(bytes)),
                Ok(Heard::Ssh(line)) => self.ssh_said(&line, context),
                Ok(Heard::SshFellSilent) => self.ssh_is_silent = true,
                Err(RecvTimeoutError::Timeout) => {}
                Ok(Heard::Ended) | Err(RecvTimeoutError::Disconnected) => return Ok(Next::End),
            }
        }
    }

    /// Whether the other machine is still there.
    fn mind_silence(&mut self, heard: &Result<Heard, RecvTimeoutError>, context: &Context) {
        let Some(host) = &self.host else { return };
        let now = Instant::now();
        let news = match heard {
            Ok(Heard::Line(line)) if line.bytes == ssh::ALIVE.as_bytes() => self.silence.lives(now),
            Ok(Heard::Line(_) | Heard::Output(_)) => self.silence.hears(now),
            Ok(Heard::Ssh(_) | Heard::SshFellSilent) => None,
            Err(RecvTimeoutError::Timeout) => self.silence.waits(host, now),
            // What that means is said otherwise.
            Ok(Heard::Ended) | Err(RecvTimeoutError::Disconnected) => self.silence.ends(),
        };
        if let Some(event) = news {
            context.tell(event);
        }
    }

    fn hear(&self, patience: Duration) -> Result<Heard, RecvTimeoutError> {
        self.inbox.recv_timeout(patience).map(|(heard, _)| heard)
    }

    /// What says that it is an event of the script counts as one, whole, or not at all.
    fn event(&mut self, line: &Line) -> Result<Reply, Failure> {
        let whole = Some(&line.bytes).filter(|_| line.gap.is_none());
        let reply = whole.and_then(|bytes| Reply::parse(bytes));
        let reply = reply.ok_or_else(|| self.misspoken(&line.bytes))?;
        self.greeted |= matches!(reply, Reply::Hello { .. });
        self.waiting = match reply {
            // What takes long from now on is seen.
            Reply::Root | Reply::Begun | Reply::Running => None,
            _ if self.waiting.is_some() => Some(Patience::new(Instant::now())),
            _ => None,
        };
        Ok(reply)
    }

    fn misspoken(&self, line: &[u8]) -> Failure {
        let text = String::from_utf8_lossy(&line[..line.len().min(QUOTED)]).into_owned();
        let said = text.strip_prefix("@rebuild ").unwrap_or(&text);
        self.out_of_turn(&format!("says '{}'", harmless::name(said)))
    }

    /// It says what nobody asked for, or not yet: that is not taken for an answer.
    pub(super) fn out_of_turn(&self, what: &str) -> Failure {
        let on = self
            .host
            .as_ref()
            .map_or_else(|| "this machine".to_owned(), Host::to_string);
        Failure::new(format!("{on} {what} out of turn: that is not taken"))
            .with_remedy("run the same command again: it says what the last change came to")
    }

    /// Says that we wait, when that takes long.
    fn be_patient(&mut self, context: &Context) -> Result<()> {
        if let (Some(host), Some(waiting)) = (&self.host, &mut self.waiting) {
            let awaited = if self.greeted { Awaited::More } else { Awaited::Greeting };
            let words = waiting.words(host, awaited, Instant::now())?;
            for line in words.iter().flat_map(|words| words.lines()) {
                context.tell(Event::Text(line.to_owned()));
            }
        }
        Ok(())
    }

    /// A login shell that greets everybody is not worth a line.
    fn text(&mut self, line: &str, context: &Context) {
        if !self.greeted {
            return;
        }
        if self.said.len() == KEPT {
            self.said.pop_front();
        }
        self.said.push_back(line.chars().take(LONGEST).collect());
        if !self.is_quiet {
            context.tell(Event::Text(line.to_owned()));
        }
    }

    /// Before the greeting this is the reason for a failure, which will be said in our words.
    fn ssh_said(&mut self, line: &str, context: &Context) {
        self.ssh_said.hear(line);
        if self.greeted && !self.is_quiet {
            context.tell(Event::Text(line.to_owned()));
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
    ///
    /// # Errors
    /// A signal has come.
    pub(super) fn broken(mut self, context: &Context) -> Result<Failure, Interrupted> {
        self.speeches = None;
        let deadline = Instant::now() + STAYING;
        let code = loop {
            match self.child.ended() {
                Ok(Some(code)) => break Some(code),
                Ok(None) => {}
                Err(_) => break Some(1),
            }
            context.signals.check()?;
            if Instant::now() >= deadline {
                break None;
            }
            // It does not end while nobody listens to it.
            if self.ssh_is_silent {
                thread::sleep(LAST);
            } else {
                self.last_word(LAST, context);
            }
        };
        // ssh's own last words may still be under way; not for long, though a process of its own may hold its stderr.
        while !self.ssh_is_silent && Instant::now() < deadline && self.last_word(TICK, context) {}
        Ok(match (&self.host, code) {
            (Some(host), Some(code)) if !self.greeted => ssh::no_session(host, code.max(1), self.ssh_said.text()),
            (Some(host), Some(_)) => Failure::new(format!("the connection to {host} broke"))
                .with_remedy("run the same command again")
                .with_code(255),
            (Some(host), None) => Failure::new(format!(
                "{host} closed the connection, and ssh did not end: it was ended"
            ))
            .with_remedy("run the same command again")
            .with_code(255),
            (None, code) => Failure::new("a script of ours ended too early on this machine")
                .with_remedy("is it out of memory? otherwise this is a mistake of rebuild's")
                .with_code(code.unwrap_or(1)),
        })
    }

    /// One of them; whether there may be more.
    fn last_word(&mut self, patience: Duration, context: &Context) -> bool {
        match self.hear(patience) {
            Ok(Heard::Ssh(line)) => self.ssh_said(&line, context),
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
        // What does not is ended with its guard.
        self.child.ends_within(self.patience);
    }
}

fn speak(mut stdin: ChildStdin, incoming: &Receiver<Vec<u8>>) {
    for speech in incoming {
        if stdin.write_all(&speech).and_then(|()| stdin.flush()).is_err() {
            return;
        }
    }
}

/// To the end of the stream, though nobody hear it any more: who writes must come to an end.
fn listen<R: Read>(stdout: R, post: &Post) {
    let mut lines = Lines::new(stdout);
    while let Some(line) = lines.next_line() {
        if let Some(length) = chunk(&line.bytes) {
            pass_on(lines.stream(), length, post);
        } else {
            let size = line.bytes.len();
            post.send(Heard::Line(line), size);
        }
    }
    post.send(Heard::Ended, 0);
}

/// Output of this length, in pieces as they come. Of what the link breaks in, as much as has come.
fn pass_on(reader: &mut impl BufRead, length: u64, post: &Post) {
    let mut reader = reader.take(length);
    while let Ok(piece) = reader.fill_buf() {
        let length = piece.len();
        if length == 0 {
            return;
        }
        post.send(Heard::Output(piece.to_owned()), length);
        reader.consume(length);
    }
}

/// To the end as well: a connection that others share must not hang on its words.
fn listen_to_ssh<R: Read>(stderr: R, post: &Post) {
    let mut lines = Lines::new(stderr);
    while let Some(line) = lines.next_line() {
        let size = line.bytes.len();
        post.send(Heard::Ssh(line.into_text()), size);
    }
    post.send(Heard::SshFellSilent, 0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    fn post() -> (Post, Receiver<(Heard, Taken)>) {
        let (sender, inbox) = sync_channel(WAITING);
        let room = Room::new(WAITING_BYTES);
        (Post { sender, room }, inbox)
    }

    /// A change may say more than a small machine holds.
    #[test]
    fn output_is_passed_on_in_pieces_as_it_comes() {
        let (mut far, near) = UnixStream::pair().unwrap();
        let (post, inbox) = post();
        thread::spawn(move || listen(near, &post));
        let mut output = Vec::new();
        let hear = |output: &mut Vec<u8>| match inbox.recv_timeout(Duration::from_secs(10)).unwrap().0 {
            Heard::Output(bytes) => {
                assert!(bytes.len() <= 64 << 10);
                output.extend(bytes);
                true
            }
            Heard::Line(line) => {
                assert_eq!(line.bytes, b"@rebuild finished");
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
        assert!(matches!(inbox.recv().unwrap().0, Heard::Ended));
    }

    /// Who shares the connection of a session that is over must not hang on its words.
    #[test]
    fn a_session_that_nobody_hears_can_come_to_its_end() {
        for listen in [listen::<UnixStream>, listen_to_ssh::<UnixStream>] {
            let (mut far, near) = UnixStream::pair().unwrap();
            let (post, inbox) = post();
            let listener = thread::spawn(move || listen(near, &post));
            drop(inbox);
            far.write_all(&b"words\n".repeat(100_000)).unwrap();
            drop(far);
            listener.join().unwrap();
        }
    }
}
