//! Gives all targets mutations of their examples: bytes are changed, inserted and removed (`mutatis`), and pieces of
//! examples are repeated, exchanged, removed and cut off.

use std::panic::{self, AssertUnwindSafe};
use std::time::{Duration, Instant};

use mutatis::Session;

use super::{FuzzTarget, targets};
use crate::{nix_text, output};

/// The number of mutations for each target if nobody has given a time: they are the same ones each time.
const FEW: usize = 600;

/// At most this many steps are made to find a smaller bad input.
const SHRINKING: usize = 3000;

const LONGEST: usize = 8 << 10;

struct Limit {
    began: Instant,
    time: Option<Duration>,
}

impl Limit {
    fn allows(&self, done: usize) -> bool {
        self.time.map_or(done < FEW, |time| self.began.elapsed() < time)
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

fn is_bad(target: &FuzzTarget, bytes: &[u8]) -> bool {
    nix_text::caught(|| (target.read)(bytes)).is_none()
}

/// Returns a number up to `most`.
fn up_to(session: &mut Session, most: usize) -> usize {
    usize::try_from(session.generate::<u64>().unwrap() % (most as u64 + 1)).unwrap()
}

/// Changes something in the examples, sometimes more than once.
fn mutate(session: &mut Session, examples: &[&[u8]], bytes: &mut Vec<u8>) {
    for _ in 0..=up_to(session, 3) {
        let (one, other) = (up_to(session, bytes.len()), up_to(session, bytes.len()));
        let (start, end) = (one.min(other), one.max(other));
        let end = end.min(start + 64);
        match up_to(session, 7) {
            0 => bytes.truncate(start),
            1 => drop(bytes.drain(start..end)),
            2 => {
                let piece = bytes[start..end].repeat(1 + up_to(session, 8));
                bytes.splice(start..start, piece);
            }
            3 => {
                let from = examples[up_to(session, examples.len() - 1)];
                let (one, other) = (up_to(session, from.len()), up_to(session, from.len()));
                bytes.splice(start..end, from[one.min(other)..one.max(other)].iter().copied());
            }
            4 => {
                let odd: [&[u8]; 16] = [
                    b"\0",
                    b"\n",
                    b"\r",
                    b"\"",
                    b"'",
                    b"..",
                    b"/",
                    b"\x1b[",
                    "∅".as_bytes(),
                    b"\xff",
                    b"-1",
                    b" ",
                    b":",
                    b"99999999999999999999",
                    b"{",
                    b"\\",
                ];
                bytes.splice(start..start, odd[up_to(session, odd.len() - 1)].iter().copied());
            }
            _ => session.mutate(bytes).unwrap(),
        }
        bytes.truncate(LONGEST);
    }
}

/// Returns a smaller input that is bad as well.
fn shrunk(target: &FuzzTarget, mut bad: Vec<u8>) -> Vec<u8> {
    let mut session = Session::new().seed(1);
    for _ in 0..SHRINKING {
        let mut smaller = bad.clone();
        let (one, other) = (up_to(&mut session, bad.len()), up_to(&mut session, bad.len()));
        smaller.drain(one.min(other)..one.max(other));
        if smaller.len() < bad.len() && is_bad(target, &smaller) {
            bad = smaller;
        }
    }
    bad
}

/// Runs a target, and returns how many inputs were tried.
fn run(target: &FuzzTarget, seed: u64, time: Option<Duration>) -> usize {
    let mut session = Session::new().seed(seed);
    let limit = Limit {
        began: Instant::now(),
        time,
    };
    let mut done = 0;
    let examples = target.examples.iter().map(|example| example.to_vec());
    let mut given: Vec<Vec<u8>> = examples.chain([Vec::new()]).collect();
    while let Some(bytes) = given.pop().or_else(|| {
        limit.allows(done).then(|| {
            let mut bytes = target.examples[done % target.examples.len()].to_vec();
            mutate(&mut session, target.examples, &mut bytes);
            bytes
        })
    }) {
        if is_bad(target, &bytes) {
            let bad = shrunk(target, bytes);
            let shown: String = bad.escape_ascii().to_string();
            // The bad input is read once more, for its message.
            let _ = panic::catch_unwind(AssertUnwindSafe(|| (target.read)(&bad)));
            panic!(
                "{}: this is read wrongly (REBUILD_FUZZ_SEED={seed}): b\"{shown}\"",
                target.name
            );
        }
        done += 1;
    }
    done
}

#[test]
fn nothing_that_is_read_is_a_crash_or_breaks_what_is_said_of_it() {
    let only = std::env::var("REBUILD_FUZZ_TARGET").ok();
    let time = number("REBUILD_FUZZ_SECONDS").map(Duration::from_secs);
    let now = || std::time::UNIX_EPOCH.elapsed().map_or(0, |now| now.as_secs());
    let seed = number("REBUILD_FUZZ_SEED").unwrap_or_else(|| time.map_or(1, |_| now()));
    let chosen = targets();
    let mut chosen = chosen
        .iter()
        .filter(|target| only.as_ref().is_none_or(|only| target.name == only))
        .peekable();
    assert!(chosen.peek().is_some(), "no such target: {only:?}");
    for target in chosen {
        if time.is_some() {
            // This line tells the seed even if the target never returns.
            output::say(&format!("{}, REBUILD_FUZZ_SEED={seed}", target.name));
        }
        let done = run(target, seed, time);
        if time.is_some() {
            output::say(&format!("  {done} inputs"));
        }
    }
}

#[test]
fn what_is_wrong_is_found_and_made_small() {
    let target = FuzzTarget {
        name: "wrong",
        files: &[],
        examples: &[b"some words with a number 12"],
        read: |bytes| assert!(!bytes.windows(2).any(|two| two == b"..")),
    };
    let found = panic::catch_unwind(|| run(&target, 1, None)).unwrap_err();
    let said = found.downcast_ref::<String>().unwrap();
    assert!(said.ends_with("b\"..\""), "{said}");
}

/// A target that is written down somewhere and is not in the list would be run by nobody.
#[test]
fn every_target_is_in_the_list_once() {
    let all = targets();
    let names: std::collections::BTreeSet<&str> = all.iter().map(|target| target.name).collect();
    assert_eq!(names.len(), all.len(), "two targets have the same name");
    let source = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut written = 0;
    for file in files(&source) {
        let name = file.file_name().unwrap_or_default();
        if name == "fuzz.rs" || file.ends_with("fuzz/mod.rs") {
            let text = std::fs::read_to_string(&file).unwrap();
            written += text.matches("\n        name: \"").count() + text.matches("\n    name: \"").count();
        }
    }
    assert_eq!(written, all.len(), "a target is not in the list of src/fuzz/mod.rs");
    assert!(
        all.iter()
            .all(|target| !target.examples.is_empty() && !target.files.is_empty())
    );
}

/// Returns all files below a directory.
fn files(directory: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(directory).unwrap().flatten();
    let paths = entries.map(|entry| entry.path());
    paths
        .flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] })
        .collect()
}

/// Code that looks as if it reads outside data belongs to a target, or to the list of places that do not.
#[test]
fn everybody_who_reads_is_a_target() {
    const SIGNS: [&str; 11] = [
        "fn parse(",
        "fn from_bytes(",
        "serde_json::from_",
        "shlex::split",
        "nix_text::read",
        "strip_ansi_codes",
        "from_be_bytes",
        ".lines()",
        "split_whitespace()",
        "from_utf8(",
        "read_to_string(",
    ];
    // clap reads the command line; the rest reads lines of this program's own texts, or uses the JSON parser alone.
    const OTHERWISE: &[&str] = &[
        "failure.rs",
        "plan/configuration.rs",
        "run/elsewhere.rs",
        "run/gather.rs",
        "run/reach.rs",
        "run_log/mod.rs",
        "builder/conversation/events.rs",
        "remote/channel.rs",
        "remote/relay/stdio.rs",
        "builder/lock.rs",
        "builder/jobs/talk.rs",
    ];
    let source = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let named: Vec<&str> = targets()
        .iter()
        .flat_map(|target| target.files.iter().copied())
        .collect();
    for file in named.iter().chain(OTHERWISE) {
        assert!(source.join(file).is_file(), "{file} is not there any more");
    }
    for path in files(&source) {
        let file = path.strip_prefix(&source).unwrap().to_str().unwrap();
        let is_code = path.extension().is_some_and(|extension| extension == "rs")
            && !file.contains("tests")
            && !file.contains("fuzz");
        if !is_code {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
        let sign = SIGNS.iter().find(|sign| code.contains(**sign));
        let (is_named, is_none) = (named.contains(&file), OTHERWISE.contains(&file));
        assert!(
            sign.is_none() || is_named || is_none,
            "{file} reads ({sign:?}) and is no target of src/fuzz, nor said to be none"
        );
        assert!(
            !is_none || (sign.is_some() && !is_named),
            "{file} need not be said to be no target"
        );
    }
}
