//! Everything that can happen while a script works, as one stream. A signal is no part of it, so that it does not wait
//! behind what is still to be shown.

use std::io::{BufRead, Read};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use anyhow::Result;

use super::speaker::Speaker;
use super::{ALIVE, EVENT};
use crate::process::companion::Companion;
use crate::process::lines::{Line, Lines};
use crate::process::room::{Room, Taken};
use crate::progress::Amount;

/// Something that has happened.
pub(super) enum Arrival {
    Event(Line),
    Line(Line),
    /// The line that says how many counted bytes follow.
    Count(Line),
    Output(Vec<u8>),
    /// The script has said, beside its events, that it lives.
    Alive,
    StreamEnded,
    Ssh(String),
    SshFellSilent,
    Sent(Result<Amount>),
}

/// How much may wait until it is shown, in pieces and in bytes. If there is more, the other side waits, so that a
/// stopped screen costs no memory.
const WAITING: usize = 256;
const WAITING_BYTES: usize = 2 << 20;

/// The receiving end.
pub(super) struct Inbox(Receiver<(Arrival, Taken)>);

impl Inbox {
    /// Waits for the next thing that happens.
    ///
    /// # Errors
    /// Nothing has happened for so long, or nothing more can happen.
    pub(super) fn next(&self, patience: Duration) -> Result<Arrival, RecvTimeoutError> {
        self.0.recv_timeout(patience).map(|(news, _)| news)
    }

    /// Drops everything that comes from now on. It is read all the same, so that the script can end, and so that a
    /// connection that others share does not hang on its words.
    pub(super) fn close(&mut self) {
        self.0 = sync_channel(0).1;
    }
}

/// The sending end.
#[derive(Clone)]
pub(super) struct Post {
    sender: SyncSender<(Arrival, Taken)>,
    room: Room,
}

/// Makes both ends.
pub(super) fn post() -> (Post, Inbox) {
    let (sender, inbox) = sync_channel(WAITING);
    let room = Room::new(WAITING_BYTES);
    (Post { sender, room }, Inbox(inbox))
}

impl Post {
    /// Sends what has happened. It is dropped if nobody hears it any more.
    fn send(&self, news: Arrival, bytes: usize) {
        let _ = self.sender.send((news, self.room.take(bytes)));
    }
}

/// Starts the threads that turn everything that can happen into one stream. They end with their streams, and nobody
/// waits for them.
pub(super) fn listen(child: &mut Companion) -> Result<(Speaker, Inbox)> {
    let (stdin, stdout, stderr) = child.streams()?;
    let (post, inbox) = post();
    let [reports, texts] = [post.clone(), post.clone()];
    let speaker = Speaker::start(stdin, move |amount| reports.send(Arrival::Sent(amount), 0));
    thread::spawn(move || hear_ssh(stderr, &texts));
    thread::spawn(move || hear_script(stdout, &post));
    Ok((speaker, inbox))
}

/// Hears the script, to the end of its stream.
pub(super) fn hear_script<R: Read>(stdout: R, post: &Post) {
    let mut lines = Lines::new(stdout);
    while let Some(line) = lines.next_line() {
        let size = line.bytes.len();
        if let Some(length) = chunk(&line.bytes) {
            post.send(Arrival::Count(line), size);
            pass_on(lines.stream(), length, post);
        } else if line.bytes.starts_with(EVENT) {
            post.send(Arrival::Event(line), size);
        } else {
            post.send(Arrival::Line(line), size);
        }
    }
    post.send(Arrival::StreamEnded, 0);
}

/// Returns the number of bytes that follow this line, if it says so.
fn chunk(line: &[u8]) -> Option<u64> {
    let number = line.strip_prefix(EVENT)?.strip_prefix(b"chunk ")?;
    std::str::from_utf8(number).ok()?.parse().ok()
}

/// Passes on so many bytes, in pieces as they come. If the link breaks, passes on what has come.
fn pass_on(reader: &mut impl BufRead, length: u64, post: &Post) {
    let mut reader = reader.take(length);
    while let Ok(piece) = reader.fill_buf() {
        let length = piece.len();
        if length == 0 {
            return;
        }
        post.send(Arrival::Output(piece.to_owned()), length);
        reader.consume(length);
    }
}

/// Hears ssh, and the script's word that it lives, which comes by the same stream, to the end of that stream.
fn hear_ssh<R: Read>(stderr: R, post: &Post) {
    let mut lines = Lines::new(stderr);
    while let Some(line) = lines.next_line() {
        let size = line.bytes.len();
        let text = line.into_text();
        match text.strip_suffix(ALIVE) {
            None => post.send(Arrival::Ssh(text), size),
            Some("") => post.send(Arrival::Alive, 0),
            // The word stands at the end of a line that somebody else has not ended.
            Some(before) => {
                post.send(Arrival::Ssh(before.to_owned()), size);
                post.send(Arrival::Alive, 0);
            }
        }
    }
    post.send(Arrival::SshFellSilent, 0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    #[test]
    fn what_is_said_is_told_apart() {
        let (post, inbox) = post();
        let said = b"welcome\n@rebuild hello x\n@rebuild alive\n@rebuild chunk 3\n@re@rebuild chunk x\nend";
        hear_script(&said[..], &post);
        hear_ssh(&b"banner\n@rebuild alive\nhalf@rebuild alive\n"[..], &post);
        let mut heard = Vec::new();
        while let Ok(news) = inbox.next(Duration::ZERO) {
            heard.push(match news {
                Arrival::Event(line) => format!("event {}", line.into_text()),
                Arrival::Line(line) => format!("line {}", line.into_text()),
                Arrival::Count(line) => format!("count {}", line.into_text()),
                Arrival::Output(bytes) => format!("output {}", String::from_utf8_lossy(&bytes)),
                Arrival::Alive => "alive".to_owned(),
                Arrival::StreamEnded => "end".to_owned(),
                Arrival::Ssh(text) => format!("ssh {text}"),
                Arrival::SshFellSilent => "silent".to_owned(),
                Arrival::Sent(_) => "sent".to_owned(),
            });
        }
        let expected = [
            "line welcome",
            "event @rebuild hello x",
            "event @rebuild alive",
            "count @rebuild chunk 3",
            "output @re",
            "event @rebuild chunk x",
            "line end",
            "end",
            "ssh banner",
            "alive",
            "ssh half",
            "alive",
            "silent",
        ];
        assert_eq!(heard, expected);
    }

    /// A change may say more than a small machine holds.
    #[test]
    fn output_is_passed_on_in_pieces_as_it_comes() {
        let (mut far, near) = UnixStream::pair().unwrap();
        let (post, inbox) = post();
        thread::spawn(move || hear_script(near, &post));
        let mut output = Vec::new();
        let hear = |output: &mut Vec<u8>| match inbox.next(Duration::from_secs(10)).unwrap() {
            Arrival::Output(bytes) => {
                assert!(bytes.len() <= 64 << 10);
                output.extend(bytes);
                true
            }
            Arrival::Count(_) => true,
            Arrival::Event(line) => {
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
        assert!(matches!(inbox.next(Duration::from_secs(10)), Ok(Arrival::StreamEnded)));
    }

    /// Others that share the connection of a script that is over must not hang on its words.
    #[test]
    fn what_nobody_hears_can_come_to_its_end() {
        for listen in [hear_script::<UnixStream>, hear_ssh::<UnixStream>] {
            let (mut far, near) = UnixStream::pair().unwrap();
            let (post, mut inbox) = post();
            let listener = thread::spawn(move || listen(near, &post));
            inbox.close();
            far.write_all(&b"words\n".repeat(100_000)).unwrap();
            drop(far);
            listener.join().unwrap();
        }
    }
}
