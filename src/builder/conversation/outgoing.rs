//! What is said and sent to the other machine, and what the user is told of it.

use std::ffi::OsString;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use anyhow::Result;

use super::{Conversation, Question};
use crate::builder::named::{refused, shown};
use crate::builder::reply::Has;
use crate::builder::sources::{Added, Steps};
use crate::progress::Amount;
use crate::progress::Counter;
use crate::progress::{Event, Work};
use crate::remote::channel::{Speech, framed};
use crate::sources::archive;
use crate::sources::bare::Names;
use crate::sources::collect::Refusal;
use crate::sources::mirror::Entry;

/// How many files are named, of those that were asked for at once.
const MOST_NAMED: usize = 10;

/// What is on its way to the other machine.
pub(super) enum Sending {
    Nothing,
    /// This number of files.
    Files(u64),
    /// Store paths of so many bytes, if Nix knows that. The files in them are not counted.
    Trees(Option<u64>),
}

impl Conversation<'_> {
    /// Sends the store paths that the other machine lacks, but only those that were offered to it.
    pub(super) fn send_trees(&mut self, names: Vec<String>) -> Result<()> {
        if names.is_empty() {
            return Ok(());
        }
        let names: Vec<OsString> = names.into_iter().map(Into::into).collect();
        for name in &names {
            let shown = name.to_string_lossy();
            anyhow::ensure!(
                self.sources.collection.trees().contains(name),
                "{} asks for {shown}, which it was not offered",
                self.peer.host
            );
            self.context.tell(Event::Detail(format!("sending /nix/store/{shown}")));
        }
        self.goes_to(Work::Sending);
        self.sending = Sending::Trees(self.size_of(&names));
        self.channel.say(Speech::files(move |output, counter| {
            let store = Path::new("/nix/store");
            framed(output, |frames| archive::write_trees(&names, store, frames, counter))
        }));
        Ok(())
    }

    /// Returns the size of these store paths. Nix counts their names as well, so less than this is sent.
    fn size_of(&self, names: &[OsString]) -> Option<u64> {
        let sizes = (self.peer.database)(Question::Size, names)?;
        sizes.iter().map(|size| size.parse::<u64>().ok()).sum()
    }

    pub(super) fn send_files(&mut self, has: Has) {
        self.name_refused();
        let Some(steps) = self.sources.change(has) else {
            let detail = format!("{} has the configuration's files already", self.peer.host);
            self.context.tell(Event::Detail(detail));
            return;
        };
        self.name_sent(&steps.added);
        let files = steps
            .added
            .iter()
            .filter(|(_, entry)| matches!(entry, Entry::Content { .. }));
        self.sending = Sending::Files(files.count() as u64);
        self.channel
            .say(Speech::files(move |output, counter| change(output, &steps, counter)));
    }

    fn name_sent(&mut self, added: &Added) {
        let files = added.iter().filter(|(_, entry)| matches!(entry, Entry::Content { .. }));
        let mut more: usize = 0;
        for (number, (path, _)) in files.enumerate() {
            let line = format!("sending {}", shown(path));
            // A file that no literal names is sent because the other machine asks for it. The user has to see that.
            self.context.tell(if self.rounds.has_begun() && number < MOST_NAMED {
                Event::Text(line)
            } else {
                more += 1;
                Event::Detail(line)
            });
        }
        if self.rounds.has_begun() && more > 0 {
            let host = self.peer.host;
            let text = format!("sending {more} more files that {host} asks for; -v names each");
            self.context.tell(Event::Text(text));
        }
    }

    pub(super) fn name_refused(&mut self) {
        for (path, refusal) in self.sources.collection.take_refused() {
            self.names_evaluators_own |= refusal == Refusal::TheEvaluators;
            if !self.named_refused.insert(path.clone()) {
                continue;
            }
            self.context.tell(Event::Text(refused(&path, refusal, self.peer.host)));
        }
    }
}

/// Writes a change in the form that `receive` in `scripts/mirror.sh` reads: first what has to go, then the files that
/// come only by their names, then the rest.
///
/// # Errors
/// A file cannot be read, or the output cannot be written.
pub(in crate::builder) fn change(output: &mut dyn Write, steps: &Steps, counter: &Counter) -> Result<Amount> {
    if let Some(paths) = &steps.removed {
        framed(output, |frames| {
            for path in paths {
                frames.write_all(&[b".", path.as_os_str().as_bytes(), b"\0"].concat())?;
            }
            Ok(())
        })?;
    }
    let names = Names::of(steps.added.iter());
    framed(output, |frames| Ok(names.write_parents(steps.added.iter(), frames)?))?;
    framed(output, |frames| Ok(names.write_names(steps.added.iter(), frames)?))?;
    framed(output, |frames| {
        let files = steps.added.iter().filter(|(_, entry)| !names.have(entry));
        archive::write_entries(files, frames, counter)
    })
}
