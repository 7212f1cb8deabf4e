//! Everything that can happen while a script works, as one stream. A signal is none of it: it does not wait behind what
//! is still to be shown.

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

/// What can happen.
pub(super) enum News {
    Event(Line),
    Line(Line),
    /// Says how many bytes follow.
    Count(Line),
    Output(Vec<u8>),
    /// The script says that it lives, beside its events.
    Alive,
    StreamEnded,
    Ssh(String),
    SshFellSilent,
    Sent(Result<Amount>),
}

/// So much may wait until it is shown, in pieces and in bytes. Then the other side waits: whoever stops the screen is not
/// to lose memory by it.
const WAITING: usize = 256;
const WAITING_BYTES: usize = 2 << 20;

/// The receiving end.
pub(super) struct Inbox(Receiver<(News, Taken)>);

impl Inbox {
    /// The next thing that happens.
    ///
    /// # Errors
    /// Nothing has happened for so long, or nothing more can.
    pub(super) fn next(&self, patience: Duration) -> Result<News, RecvTimeoutError> {
        self.0.recv_timeout(patience).map(|(news, _)| news)
    }

    /// Nobody hears any more of it. It is read all the same: who writes must come to an end, and a connection that others
    /// share must not hang on its words.
    pub(super) fn close(&mut self) {
        self.0 = sync_channel(0).1;
    }
}

/// Where what happens goes.
#[derive(Clone)]
pub(super) struct Post {
    sender: SyncSender<(News, Taken)>,
    room: Room,
}

/// Both ends.
pub(super) fn post() -> (Post, Inbox) {
    let (sender, inbox) = sync_channel(WAITING);
    let room = Room::new(WAITING_BYTES);
    (Post { sender, room }, Inbox(inbox))
}

impl Post {
    /// It goes nowhere, if nobody hears it any more.
    fn send(&self, news: News, bytes: usize) {
        let _ = self.sender.send((news, self.room.take(bytes)));
    }
}

/// Starts the threads that turn everything that can happen into one stream. They end with their streams: nobody waits for
/// them.
pub(super) fn listen(child: &mut Companion) -> Result<(Speaker, Inbox)> {
    let (stdin, stdout, stderr) = child.streams()?;
    let (post, inbox) = post();
    let [reports, texts] = [post.clone(), post.clone()];
    let speaker = Speaker::start(stdin, move |amount| reports.send(News::Sent(amount), 0));
    thread::spawn(move || hear_ssh(stderr, &texts));
    thread::spawn(move || hear_script(stdout, &post));
    Ok((speaker, inbox))
}

/// The script, to the end of the stream.
pub(super) fn hear_script<R: Read>(stdout: R, post: &Post) {
    let mut lines = Lines::new(stdout);
    while let Some(line) = lines.next_line() {
        let size = line.bytes.len();
        if let Some(length) = chunk(&line.bytes) {
            post.send(News::Count(line), size);
            pass_on(lines.stream(), length, post);
        } else if line.bytes.starts_with(EVENT) {
            post.send(News::Event(line), size);
        } else {
            post.send(News::Line(line), size);
        }
    }
    post.send(News::StreamEnded, 0);
}

/// The length of what follows the line, if it is such a line.
fn chunk(line: &[u8]) -> Option<u64> {
    let number = line.strip_prefix(EVENT)?.strip_prefix(b"chunk ")?;
    std::str::from_utf8(number).ok()?.parse().ok()
}

/// Bytes of this length, in pieces as they come. Of what the link breaks in, as much as has come.
fn pass_on(reader: &mut impl BufRead, length: u64, post: &Post) {
    let mut reader = reader.take(length);
    while let Ok(piece) = reader.fill_buf() {
        let length = piece.len();
        if length == 0 {
            return;
        }
        post.send(News::Output(piece.to_owned()), length);
        reader.consume(length);
    }
}

/// ssh itself, and the script's word that it lives, which goes by the same way. To the end as well.
fn hear_ssh<R: Read>(stderr: R, post: &Post) {
    let mut lines = Lines::new(stderr);
    while let Some(line) = lines.next_line() {
        let size = line.bytes.len();
        let text = line.into_text();
        match text.strip_suffix(ALIVE) {
            None => post.send(News::Ssh(text), size),
            Some("") => post.send(News::Alive, 0),
            // The end of what somebody did not end.
            Some(before) => {
                post.send(News::Ssh(before.to_owned()), size);
                post.send(News::Alive, 0);
            }
        }
    }
    post.send(News::SshFellSilent, 0);
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
                News::Event(line) => format!("event {}", line.into_text()),
                News::Line(line) => format!("line {}", line.into_text()),
                News::Count(line) => format!("count {}", line.into_text()),
                News::Output(bytes) => format!("output {}", String::from_utf8_lossy(&bytes)),
                News::Alive => "alive".to_owned(),
                News::StreamEnded => "end".to_owned(),
                News::Ssh(text) => format!("ssh {text}"),
                News::SshFellSilent => "silent".to_owned(),
                News::Sent(_) => "sent".to_owned(),
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
            News::Output(bytes) => {
                assert!(bytes.len() <= 64 << 10);
                output.extend(bytes);
                true
            }
            News::Count(_) => true,
            News::Event(line) => {
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
        assert!(matches!(inbox.next(Duration::from_secs(10)), Ok(News::StreamEnded)));
    }

    /// Who shares the connection of a script that is over must not hang on its words.
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
