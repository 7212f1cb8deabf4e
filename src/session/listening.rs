//! Everything that can happen while another machine works, as one stream.

use std::io::{BufRead, BufReader, Read};
use std::process::Child;
use std::sync::mpsc::Sender;
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
    Signal(i32),
}

/// Starts the threads that turn everything that can happen into one stream.
pub(super) fn listen(child: &mut Child, sender: Sender<Heard>) -> Result<Speaker> {
    let (Some(stdin), Some(stdout), Some(stderr)) = (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        anyhow::bail!("ssh was started without pipes");
    };
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
    Ok(speaker)
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
