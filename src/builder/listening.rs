//! Everything that can happen while another machine works, as one stream. A signal is none of it: it does not wait
//! behind what is still to be shown.

use std::io::Read;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use anyhow::Result;

use super::speaker::Speaker;
use crate::process::companion::Companion;
use crate::process::lines::{Line, Lines};
use crate::process::room::{Room, Taken};
use crate::progress::Amount;
use crate::ssh::ALIVE;

/// What can happen.
pub(super) enum Heard {
    Line(Line),
    /// The script says that it lives.
    Alive,
    StreamEnded,
    Ssh(String),
    SshFellSilent,
    Sent(Result<Amount>),
}

/// So much may wait until it is shown, in lines and in bytes. Then the other machine waits: whoever stops the screen is
/// not to lose memory by it.
const WAITING: usize = 256;
const WAITING_BYTES: usize = 2 << 20;

/// The receiving end.
pub(super) struct Inbox(Receiver<(Heard, Taken)>);

impl Inbox {
    /// The next thing that happens.
    ///
    /// # Errors
    /// Nothing has happened for so long, or nothing more can.
    pub(super) fn next(&self, patience: Duration) -> Result<Heard, RecvTimeoutError> {
        self.0.recv_timeout(patience).map(|(heard, _)| heard)
    }
}

/// Starts the threads that turn everything that can happen into one stream.
///
/// They end with their streams, or soon after the receiver is gone: nobody waits for them.
pub(super) fn listen(child: &mut Companion) -> Result<(Speaker, Inbox)> {
    let (stdin, stdout, stderr) = child.streams()?;
    let (sender, inbox): (SyncSender<(Heard, Taken)>, _) = sync_channel(WAITING);
    let room = Room::new(WAITING_BYTES);
    let post = move |heard, bytes| sender.send((heard, room.take(bytes))).is_ok();
    let reports = post.clone();
    let speaker = Speaker::start(stdin, move |amount| _ = reports(Heard::Sent(amount), 0));
    let texts = post.clone();
    thread::spawn(move || {
        lines(stderr, |line| {
            let size = line.bytes.len();
            let text = line.into_text();
            match text.strip_suffix(ALIVE) {
                None => texts(Heard::Ssh(text), size),
                Some("") => texts(Heard::Alive, 0),
                // The end of what somebody did not end.
                Some(before) => texts(Heard::Ssh(before.to_owned()), size) && texts(Heard::Alive, 0),
            }
        });
        texts(Heard::SshFellSilent, 0)
    });
    thread::spawn(move || {
        lines(stdout, |line| {
            let size = line.bytes.len();
            post(Heard::Line(line), size)
        });
        post(Heard::StreamEnded, 0)
    });
    Ok((speaker, Inbox(inbox)))
}

/// Calls `each` for every line until it says no or there are no more.
fn lines(stream: impl Read, mut each: impl FnMut(Line) -> bool) {
    let mut lines = Lines::new(stream);
    while let Some(line) = lines.next_line() {
        if !each(line) {
            break;
        }
    }
}
