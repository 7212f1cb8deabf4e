//! This machine's files for one run on another machine: what has to be there, and what is there already.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::evaluation::Need;
use super::lock::Lock;
use super::reply::Has;
use crate::failure::Failure;
use crate::own_nix::search_path::SearchPath;
use crate::sources::answered::Answered;
use crate::sources::collect::Collection;
use crate::sources::environment::{Chosen, Environment, Missed};
use crate::sources::large::large;
use crate::sources::mirror::{Entry, SharedMirror, each};
use crate::sources::proof::proof;
use crate::sources::record::{Kept, RecordFile};
use crate::store_path::StorePath;

/// What is sent, and the memory of what was sent.
#[derive(Debug)]
pub struct Sources {
    /// What the evaluation needs, as far as it is known.
    pub collection: Collection,
    environment: Environment,
    missed: Missed,
    record: Option<RecordFile>,
    unread: BTreeSet<PathBuf>,
    /// The unread files and the variables that the record had before this run.
    before: (BTreeSet<PathBuf>, BTreeSet<String>),
    /// The answer that it had.
    answered: Option<Answered>,
    /// The mirror that the other machine had last, and may still have: at first that of the last evaluation, then that
    /// of this run's last round.
    base: SharedMirror,
    /// Whether something was sent since the mirror there was last remembered.
    has_news: bool,
    lock: Option<Lock>,
}

/// How much is collected. Two extents are equal if nothing was added between them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Extent(String, usize);

/// What makes one mirror of another on the other machine.
#[derive(Debug)]
pub(super) struct Steps {
    /// What has to go, if there is something to begin with.
    pub removed: Option<Vec<PathBuf>>,
    /// What has to come.
    pub added: Added,
}

/// What has to come, parents before children.
#[derive(Debug)]
pub(super) enum Added {
    /// A whole mirror.
    All(SharedMirror),
    /// What is new in it.
    Some(Vec<(PathBuf, Entry)>),
}

impl Added {
    /// Goes through all of it.
    pub(super) fn iter(&self) -> Box<dyn Iterator<Item = (&Path, &Entry)> + '_> {
        match self {
            Self::All(mirror) => Box::new(mirror.entries.iter().map(|(path, entry)| (path.as_path(), entry))),
            Self::Some(entries) => Box::new(each(entries)),
        }
    }
}

/// Returns where a lock file really is, or will be, because its directory may be a link.
fn really(lock: &Lock) -> PathBuf {
    let path = lock.path();
    let directory = path.parent().and_then(|parent| parent.canonicalize().ok());
    let real = directory
        .zip(path.file_name())
        .map(|(directory, name)| directory.join(name));
    real.unwrap_or_else(|| path.to_owned())
}

impl Sources {
    /// Makes the sources of an evaluation whose files `record` remembers.
    #[must_use]
    pub fn new(
        mut collection: Collection,
        mut environment: Environment,
        record: RecordFile,
        lock: Option<Lock>,
    ) -> Self {
        let kept = record.read();
        collection.remember(&kept);
        environment.remember(kept.variables.clone());
        let base = kept.mirror;
        let answered = kept.answered;
        Self {
            collection,
            environment,
            missed: Missed::default(),
            unread: BTreeSet::new(),
            before: (kept.unread, kept.variables),
            answered,
            has_news: false,
            record: Some(record),
            base,
            lock,
        }
    }

    /// Makes the sources of a run without an evaluation.
    #[must_use]
    pub fn none() -> Self {
        Self {
            collection: Collection::new(SearchPath::none(), PathBuf::from("/")),
            environment: Environment::default(),
            missed: Missed::default(),
            unread: BTreeSet::new(),
            before: (BTreeSet::new(), BTreeSet::new()),
            answered: None,
            has_news: false,
            record: None,
            base: SharedMirror::default(),
            lock: None,
        }
    }

    /// Returns what the evaluation needs, by the names that the other machine knows.
    #[must_use]
    pub fn need(&self) -> Need {
        Need {
            mirror: self.collection.mirror().digest(),
            question: self.collection.mirror().digest_of_question(),
            base: (self.base != SharedMirror::default()).then(|| self.base.digest()),
            proof: proof(self.collection.mirror()),
            trees: self.collection.trees().iter().cloned().collect(),
            fixed: self.collection.fixed().iter().cloned().collect(),
            large: large(self.collection.mirror(), self.lock.as_ref().map(really).as_deref()),
        }
    }

    /// Returns how much is collected. It only grows.
    #[must_use]
    pub(super) fn extent(&self) -> Extent {
        Extent(self.collection.mirror().digest(), self.collection.trees().len())
    }

    /// Returns what has to go and to come on a machine that has so much (`has`) already. None if it has everything. If
    /// it has nothing, nothing has to go.
    pub(super) fn change(&mut self, has: Has) -> Option<Steps> {
        let wanted = self.collection.mirror().clone();
        let base = std::mem::replace(&mut self.base, wanted);
        self.has_news |= has != Has::All;
        match has {
            Has::All => None,
            Has::Base => {
                let change = self.base.change_from(&base);
                Some(Steps {
                    removed: Some(change.removed),
                    added: Added::Some(change.added),
                })
            }
            Has::Nothing => Some(Steps {
                removed: None,
                added: Added::All(self.base.clone()),
            }),
        }
    }

    /// Notes a file that the evaluation did not read. It counts only if it was sent.
    pub(super) fn hear_unread(&mut self, path: PathBuf) {
        if self.collection.mirror().entries.contains_key(&path) {
            self.unread.insert(path);
        }
    }

    /// Returns the environment for the evaluation.
    ///
    /// # Errors
    /// A repository cannot go as a whole.
    pub fn environment(&self) -> Result<Chosen, Failure> {
        self.collection.expect_whole()?;
        Ok(self.environment.chosen(self.collection.asked()))
    }

    /// Gives access to what the evaluation has missed of the environment, as far as it is known.
    pub(super) fn missed(&mut self) -> &mut Missed {
        &mut self.missed
    }

    /// Decides about all that the evaluation has missed of the environment. Returns the names of the variables that are
    /// sent besides.
    ///
    /// # Errors
    /// A variable that it asks for cannot be sent, or not without the user's word.
    pub(super) fn want_missed(&mut self) -> Result<BTreeSet<String>, Failure> {
        let missed = std::mem::take(&mut self.missed);
        self.environment.want(&missed, self.collection.asked())
    }

    /// Whether an evaluation there can know of this store path, so that it may ask for it.
    pub(super) fn may_ask_for(&mut self, path: &StorePath) -> bool {
        let chosen = self.environment().unwrap_or_default();
        let values: Vec<&[u8]> = chosen.set.iter().map(|(_, value)| value.as_encoded_bytes()).collect();
        self.collection.may_ask_for(path, &values)
    }

    /// Takes a line of the lock file as the other machine has it after the evaluation.
    pub(super) fn hear_lock(&mut self, line: &str) {
        if let Some(lock) = &mut self.lock {
            lock.hear(line);
        }
    }

    /// Remembers the mirror that the other machine has now, at once, whatever comes of the evaluation. The machine may
    /// have made it of the one that we remember, which is then gone: large directories are not copied (`take_over` in
    /// `scripts/mirror.sh`).
    pub(super) fn keep_base(&mut self) {
        if !std::mem::take(&mut self.has_news) || large(&self.base, None).is_empty() {
            return;
        }
        let (unread, variables) = self.before.clone();
        let mirror = self.base.clone();
        if let Some(record) = &self.record {
            record.write(&Kept {
                mirror,
                unread,
                variables,
                answered: self.answered.clone(),
            });
        }
    }

    /// Returns the answer that is remembered.
    #[must_use]
    pub(super) fn answered(&self) -> Option<&Answered> {
        self.answered.as_ref()
    }

    /// Remembers what an evaluation needed that has come to its end, and its answer, if that may be remembered. What was
    /// answered before is forgotten: it was another question, or was asked anew.
    pub(super) fn keep(&mut self, answered: Option<Answered>) {
        if let Some(record) = &self.record {
            let mirror = self.collection.mirror().clone();
            let contents = mirror
                .entries
                .values()
                .filter(|entry| matches!(entry, Entry::Content { .. }));
            // If every file is unread, the machine keeps no access times, and this tells nothing.
            let unread = if contents.count() > self.unread.len() {
                std::mem::take(&mut self.unread)
            } else {
                BTreeSet::new()
            };
            let variables = self.environment.wanted().clone();
            self.answered.clone_from(&answered);
            record.write(&Kept {
                mirror,
                unread,
                variables,
                answered,
            });
        }
    }

    /// Remembers what was built of the answer, for a run in which the other machine cannot be reached.
    pub fn keep_result(&mut self, derivation: &StorePath, result: &StorePath) {
        let Some((record, answered)) = self.record.as_ref().zip(self.answered.as_mut()) else {
            return;
        };
        if answered.derivation != *derivation || answered.result.as_ref() == Some(result) {
            return;
        }
        let kept = record.read();
        // Another run may have been told something else meanwhile.
        let is_the_same = kept.answered.as_ref() == Some(&*answered);
        answered.result = Some(result.clone());
        if is_the_same {
            record.write(&Kept {
                answered: self.answered.clone(),
                ..kept
            });
        }
    }

    /// Whether the evaluation has written the lock file: the answer to the same question may be another one later.
    #[must_use]
    pub(super) fn has_heard_lock(&self) -> bool {
        self.lock.as_ref().is_some_and(Lock::is_heard)
    }

    /// Writes the lock file that the evaluation has written, as an evaluation here would do, even if the evaluation
    /// failed later. Returns its path if that has changed it.
    ///
    /// # Errors
    /// As [`Lock::keep`].
    pub(super) fn keep_lock(&mut self) -> Result<Option<PathBuf>> {
        self.lock.as_mut().map_or(Ok(None), Lock::keep)
    }

    /// Returns the file of this machine that the evaluation has changed, if there is one.
    #[must_use]
    pub(super) fn changed_file(&self) -> Option<&Path> {
        self.lock.as_ref().filter(|lock| lock.is_changed()).map(Lock::path)
    }

    /// Returns the lock file if the evaluation has written it, even if it is the same as before.
    #[must_use]
    pub fn written_lock(&self) -> Option<&Path> {
        self.lock.as_ref().filter(|lock| lock.is_taken()).map(Lock::path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::mirror::{FileKind, Mirror};

    /// Returns sources with a directory of `number` files, and the record that remembers them.
    fn sources(number: usize, place: &Path) -> (Sources, RecordFile) {
        let directory = place.join("data");
        std::fs::create_dir_all(&directory).unwrap();
        for number in 0..number {
            std::fs::write(directory.join(number.to_string()), "x").unwrap();
        }
        let mut collection = Collection::new(SearchPath::none(), PathBuf::from("/"));
        collection.add_asked(&directory);
        let record = RecordFile::new(&place.join("cache"), &["x"]);
        let sources = Sources::new(collection, Environment::default(), record.clone(), None);
        (sources, record)
    }

    /// The other machine may make a mirror of the last one, which is then gone even if the evaluation fails.
    #[test]
    fn what_is_large_is_remembered_before_anything_comes_of_it() {
        let place = tempfile::tempdir_in("/var/tmp").unwrap();
        let (mut few, record) = sources(10, place.path());
        few.change(Has::Nothing);
        few.keep_base();
        assert_eq!(record.read(), Kept::default());
        let (mut many, record) = sources(1100, place.path());
        assert_eq!(many.need().large.len(), 1);
        many.change(Has::All);
        many.keep_base();
        assert_eq!(record.read(), Kept::default());
        let kept = Kept {
            mirror: Mirror {
                entries: [("/x".into(), Entry::Shut(FileKind::File))].into(),
            }
            .into(),
            unread: [place.path().join("data/7")].into(),
            variables: ["COLOUR".to_owned()].into(),
            answered: None,
        };
        record.write(&kept);
        let (mut many, record) = sources(1100, place.path());
        assert_eq!(many.need().base, Some(kept.mirror.digest()));
        many.change(Has::Nothing);
        many.keep_base();
        let then = record.read();
        assert_eq!(then.mirror.digest(), many.need().mirror);
        // Only an evaluation that came to its end can tell what was read.
        assert_eq!((then.unread, then.variables), (kept.unread, kept.variables));
        let (again, _) = sources(1100, place.path());
        assert_eq!(again.need().base, Some(many.need().mirror));
    }
}
