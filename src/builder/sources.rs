//! This machine's files for one session: what is to be over there, and what is there already.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::evaluation::Need;
use super::lock::Lock;
use super::reply::Has;
use crate::failure::Failure;
use crate::own_nix::search_path::SearchPath;
use crate::sources::collect::Collection;
use crate::sources::environment::{Chosen, Environment, Missed};
use crate::sources::large::large;
use crate::sources::mirror::{Entry, SharedMirror, each};
use crate::sources::proof::proof;
use crate::sources::record::{Kept, RecordFile};
use crate::store_path::StorePath;

/// What is sent, and the memory of what was.
#[derive(Debug)]
pub struct Sources {
    /// What the evaluation needs, as far as it is known.
    pub collection: Collection,
    environment: Environment,
    missed: Missed,
    record: Option<RecordFile>,
    unread: BTreeSet<PathBuf>,
    /// What the record had of that, and of variables.
    before: (BTreeSet<PathBuf>, BTreeSet<String>),
    /// What the other machine has, if it still has it: after the last evaluation, then after the last round of this
    /// one.
    base: SharedMirror,
    /// Whether something was sent since what is there was last remembered.
    has_news: bool,
    lock: Option<Lock>,
}

/// How much is collected: two are equal if nothing has come to it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Extent(String, usize);

/// What makes one mirror of another over there.
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
    /// What is new of it.
    Some(Vec<(PathBuf, Entry)>),
}

impl Added {
    /// Each of it.
    pub(super) fn iter(&self) -> Box<dyn Iterator<Item = (&Path, &Entry)> + '_> {
        match self {
            Self::All(mirror) => Box::new(mirror.entries.iter().map(|(path, entry)| (path.as_path(), entry))),
            Self::Some(entries) => Box::new(each(entries)),
        }
    }
}

/// Where a lock file is, or will be: its directory may be a link.
fn really(lock: &Lock) -> PathBuf {
    let path = lock.path();
    let directory = path.parent().and_then(|parent| parent.canonicalize().ok());
    let real = directory
        .zip(path.file_name())
        .map(|(directory, name)| directory.join(name));
    real.unwrap_or_else(|| path.to_owned())
}

impl Sources {
    /// For an evaluation whose files are recorded there.
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
        Self {
            collection,
            environment,
            missed: Missed::default(),
            unread: BTreeSet::new(),
            before: (kept.unread, kept.variables),
            has_news: false,
            record: Some(record),
            base,
            lock,
        }
    }

    /// For a session without an evaluation.
    #[must_use]
    pub fn none() -> Self {
        Self {
            collection: Collection::new(SearchPath::none(), PathBuf::from("/")),
            environment: Environment::default(),
            missed: Missed::default(),
            unread: BTreeSet::new(),
            before: (BTreeSet::new(), BTreeSet::new()),
            has_news: false,
            record: None,
            base: SharedMirror::default(),
            lock: None,
        }
    }

    /// What is needed, in the other machine's words.
    #[must_use]
    pub fn need(&self) -> Need {
        Need {
            mirror: self.collection.mirror().digest(),
            base: (self.base != SharedMirror::default()).then(|| self.base.digest()),
            proof: proof(self.collection.mirror()),
            trees: self.collection.trees().iter().cloned().collect(),
            fixed: self.collection.fixed().iter().cloned().collect(),
            large: large(self.collection.mirror(), self.lock.as_ref().map(really).as_deref()),
        }
    }

    /// How much is collected: it only grows.
    #[must_use]
    pub(super) fn extent(&self) -> Extent {
        Extent(self.collection.mirror().digest(), self.collection.trees().len())
    }

    /// What has to go and to come over there, where they have that much; nothing if they have all. Nothing has to go
    /// where nothing is.
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

    /// A file that the evaluation did not read. It is one of those that were sent, or nothing.
    pub(super) fn hear_unread(&mut self, path: PathBuf) {
        if self.collection.mirror().entries.contains_key(&path) {
            self.unread.insert(path);
        }
    }

    /// The environment for the evaluation.
    ///
    /// # Errors
    /// A repository that cannot go as a whole.
    pub fn environment(&self) -> Result<Chosen, Failure> {
        self.collection.expect_whole()?;
        Ok(self.environment.chosen(self.collection.asked()))
    }

    /// What the evaluation has missed of it so far is found out.
    pub(super) fn missed(&mut self) -> &mut Missed {
        &mut self.missed
    }

    /// All that it has missed is known now: the names of what is to be sent besides.
    ///
    /// # Errors
    /// What it asks for cannot be sent, or not without the user's word.
    pub(super) fn want_missed(&mut self) -> Result<BTreeSet<String>, Failure> {
        let missed = std::mem::take(&mut self.missed);
        self.environment.want(&missed, self.collection.asked())
    }

    /// Whether an evaluation over there can know of a store path that it asks for.
    pub(super) fn may_ask_for(&mut self, path: &StorePath) -> bool {
        let chosen = self.environment().unwrap_or_default();
        let values: Vec<&[u8]> = chosen.set.iter().map(|(_, value)| value.as_encoded_bytes()).collect();
        self.collection.may_ask_for(path, &values)
    }

    /// A line of the lock file as it is over there, after the evaluation.
    pub(super) fn hear_lock(&mut self, line: &str) {
        if let Some(lock) = &mut self.lock {
            lock.hear(line);
        }
    }

    /// The other machine has all that was sent, and may have made it of what we remember: of what is large it makes no
    /// copy (`take_over` in `scripts/mirror.sh`). So that is remembered at once, whatever comes of the evaluation.
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
            });
        }
    }

    /// After a whole evaluation: what it needed is to be remembered.
    pub(super) fn keep(&mut self) {
        if let Some(record) = &self.record {
            let mirror = self.collection.mirror().clone();
            let contents = mirror
                .entries
                .values()
                .filter(|entry| matches!(entry, Entry::Content { .. }));
            // Where no access times are kept, nothing has been read at all.
            let unread = if contents.count() > self.unread.len() {
                std::mem::take(&mut self.unread)
            } else {
                BTreeSet::new()
            };
            let variables = self.environment.wanted().clone();
            record.write(&Kept {
                mirror,
                unread,
                variables,
            });
        }
    }

    /// A lock file that the evaluation has written is to be here, as it would be after an evaluation here, even if it
    /// failed later. Gives its path if there is news in it.
    ///
    /// # Errors
    /// As [`Lock::keep`].
    pub(super) fn keep_lock(&mut self) -> Result<Option<PathBuf>> {
        self.lock.as_mut().map_or(Ok(None), Lock::keep)
    }

    /// What of this machine's files the evaluation has changed.
    #[must_use]
    pub(super) fn changed_file(&self) -> Option<&Path> {
        self.lock.as_ref().filter(|lock| lock.is_changed()).map(Lock::path)
    }

    /// The lock file, if it was written, be it the same as before.
    #[must_use]
    pub fn written_lock(&self) -> Option<&Path> {
        self.lock.as_ref().filter(|lock| lock.is_taken()).map(Lock::path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::mirror::{FileKind, Mirror};

    /// Sources with a directory of so many files, and what remembers them.
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

    /// Over there it may be made of what the last evaluation left: if this one fails, that is there no more.
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
        };
        record.write(&kept);
        let (mut many, record) = sources(1100, place.path());
        assert_eq!(many.need().base, Some(kept.mirror.digest()));
        many.change(Has::Nothing);
        many.keep_base();
        let then = record.read();
        assert_eq!(then.mirror.digest(), many.need().mirror);
        // Of what was read, only an evaluation that came to its end can tell.
        assert_eq!((then.unread, then.variables), (kept.unread, kept.variables));
        let (again, _) = sources(1100, place.path());
        assert_eq!(again.need().base, Some(many.need().mirror));
    }
}
