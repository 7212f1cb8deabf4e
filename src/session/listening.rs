//! Everything that can happen while another machine works, as one stream. A signal is none of it: it does not wait behind
//! what is still to be shown.

use std::io::{BufRead, BufReader, Read};
use std::process::Child;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use anyhow::Result;

use super::speaker::Speaker;
use crate::sources::archive::Amount;

/// What can happen.
pub(super) enum Heard {
    Line(Vec<u8>),
    StreamEnded,
    Ssh(String),
    SshFellSilent,
    Sent(Result<Amount>),
}

/// So much may wait until it is shown. Then the other machine waits: whoever stops the screen is not to lose memory by it.
const WAITING: usize = 256;

/// Starts the threads that turn everything that can happen into one stream.
///
/// They end with their streams, or soon after the receiver is gone: nobody waits for them.
pub(super) fn listen(child: &mut Child) -> Result<(Speaker, Receiver<Heard>)> {
    let (Some(stdin), Some(stdout), Some(stderr)) = (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        anyhow::bail!("ssh was started without pipes");
    };
    let (sender, inbox): (SyncSender<Heard>, _) = sync_channel(WAITING);
    let reports = sender.clone();
    let speaker = Speaker::start(stdin, move |amount| {
        let _ = reports.send(Heard::Sent(amount));
    });
    let texts = sender.clone();
    thread::spawn(move || {
        lines(stderr, |line| {
            texts
                .send(Heard::Ssh(String::from_utf8_lossy(&line).into_owned()))
                .is_ok()
        });
        let _ = texts.send(Heard::SshFellSilent);
    });
    thread::spawn(move || {
        lines(stdout, |line| sender.send(Heard::Line(line)).is_ok());
        let _ = sender.send(Heard::StreamEnded);
    });
    Ok((speaker, inbox))
}

/// Calls `each` for every line until it says no or there are no more.
fn lines(stream: impl Read, mut each: impl FnMut(Vec<u8>) -> bool) {
    let mut reader = BufReader::new(stream);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
        let end = line.iter().rposition(|byte| !b"\n\r".contains(byte));
        line.truncate(end.map_or(0, |last| last + 1));
        if !each(std::mem::take(&mut line)) {
            break;
        }
    }
}
