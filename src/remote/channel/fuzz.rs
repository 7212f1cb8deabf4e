//! What the other end of a talk says, for `crate::fuzz`.

use std::time::Duration;

use super::inbox::{Arrival, hear_script, post};
use super::said::Said;
use crate::fuzz::{FuzzTarget, text};

/// How many lines one thread may say while nobody listens. With more it would wait for ever.
const LINES: usize = 200;

pub const TARGETS: &[FuzzTarget] = &[
    FuzzTarget {
        name: "a script's stream",
        files: &["remote/channel/inbox.rs"],
        examples: &[
            b"welcome\n@rebuild hello 1000\n@rebuild chunk 5\na\nb\n@rebuild ended finished 0\n",
            b"@rebuild chunk 17\n@rebuild alive\nxx",
            b"@rebuild chunk 99999999999999999999\n@rebuild chunk -1\n\n",
            b"@rebuild alive\n@rebuild alive \n @rebuild alive",
        ],
        read: |bytes| {
            let lines = bytes.split(|byte| *byte == b'\n').take(LINES);
            let bytes = lines.collect::<Vec<_>>().join(&b'\n');
            let (sender, inbox) = post();
            hear_script(&bytes[..], &sender);
            let mut heard = 0;
            loop {
                match inbox.next(Duration::ZERO) {
                    Ok(Arrival::Event(line)) => {
                        assert!(line.bytes.starts_with(b"@rebuild "));
                        heard += line.bytes.len();
                    }
                    Ok(Arrival::Line(line) | Arrival::Count(line)) => heard += line.bytes.len(),
                    Ok(Arrival::Output(piece)) => heard += piece.len(),
                    Ok(Arrival::Alive) => {}
                    Ok(Arrival::StreamEnded) => break,
                    _ => unreachable!("the script's stream alone is heard"),
                }
            }
            assert!(heard <= bytes.len(), "{heard}");
        },
    },
    FuzzTarget {
        name: "what is kept of ssh's words",
        files: &["remote/channel/said.rs"],
        examples: &["banner ü\nkex_exchange_identification: x".as_bytes()],
        read: |bytes| {
            let whole = text(bytes);
            let mut said = Said::default();
            for _ in 0..20 {
                said.hear(&whole);
            }
            assert!(said.text().len() <= (64 << 10), "{}", said.text().len());
        },
    },
];
