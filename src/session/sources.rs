//! This machine's files for one session: what is to be over there, and what is there already.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::reply::Has;
use super::request::Need;
use crate::failure::Failure;
use crate::sources::collect::Collection;
use crate::sources::environment::Environment;
use crate::sources::mirror::{Entry, Shared};
use crate::sources::proof::proof;
use crate::sources::record::{Kept, Record};
use crate::sources::search_path::SearchPath;

/// What is sent, and the memory of what was.
#[derive(Debug)]
pub struct Sources {
    /// What the evaluation needs, as far as it is known.
    pub collection: Collection,
    environment: Environment,
    record: Option<Record>,
    unread: BTreeSet<PathBuf>,
    /// What the other machine has, if it still has it: after the last evaluation, then after the last round of this one.
    base: Shared,
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
    All(Shared),
    /// What is new of it.
    Some(Vec<(PathBuf, Entry)>),
}

impl Added {
    /// Each of it.
    pub(super) fn iter(&self) -> Box<dyn Iterator<Item = (&Path, &Entry)> + '_> {
        match self {
            Self::All(mirror) => Box::new(mirror.entries.iter().map(|(path, entry)| (path.as_path(), entry))),
            Self::Some(entries) => Box::new(entries.iter().map(|(path, entry)| (path.as_path(), entry))),
        }
    }
}

/// The lock file of the flake that is evaluated.
#[derive(Debug)]
struct Lock {
    path: PathBuf,
    heard: String,
    is_written: bool,
}

impl Sources {
    /// For an evaluation whose files are recorded there.
    #[must_use]
    pub fn new(mut collection: Collection, environment: Environment, record: Record, lock: Option<PathBuf>) -> Self {
        let kept = record.read();
        collection.remember(&kept);
        let base = kept.mirror;
        Self {
            collection,
            environment,
            unread: BTreeSet::new(),
            record: Some(record),
            base,
            lock: lock.map(|path| Lock {
                path,
                heard: String::new(),
                is_written: false,
            }),
        }
    }

    /// For a session without an evaluation.
    #[must_use]
    pub fn none() -> Self {
        Self {
            collection: Collection::new(SearchPath::none(), PathBuf::from("/")),
            environment: Environment::default(),
            unread: BTreeSet::new(),
            record: None,
            base: Shared::default(),
            lock: None,
        }
    }

    /// What is needed, in the other machine's words.
    #[must_use]
    pub fn need(&self) -> Need {
        Need {
            mirror: self.collection.mirror().digest(),
            base: (self.base != Shared::default()).then(|| self.base.digest()),
            proof: proof(self.collection.mirror()),
            trees: self.collection.trees().iter().cloned().collect(),
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

    /// A file that the evaluation did not read.
    pub(super) fn hear_unread(&mut self, path: PathBuf) {
        self.unread.insert(path);
    }

    /// The environment for the evaluation.
    ///
    /// # Errors
    /// The configuration asks for a variable that cannot be the same over there.
    pub fn environment(&self) -> Result<Vec<(OsString, OsString)>, Failure> {
        self.environment.chosen(self.collection.asked()).map_err(|name| {
            Failure::new(format!(
                "the configuration asks for the environment variable {name}, which cannot be the same on another machine"
            ))
            .with_remedy("evaluate here: --eval-on ''\nthe build can be there all the same: --build-on")
        })
    }

    /// A line of the lock file as it is over there, after the evaluation.
    pub(super) fn hear_lock(&mut self, line: &str) {
        if let Some(lock) = &mut self.lock {
            lock.heard.push_str(line);
            lock.heard.push('\n');
        }
    }

    /// After a whole evaluation: what it needed is to be remembered, and its lock file kept.
    ///
    /// # Errors
    /// As [`Sources::keep_lock`].
    pub(super) fn keep(&mut self) -> Result<()> {
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
            record.write(&Kept { mirror, unread });
        }
        self.keep_lock()
    }

    /// A lock file that the evaluation has written is to be here, as it would be after an evaluation here, even if it
    /// failed later.
    ///
    /// # Errors
    /// The lock file cannot be written.
    pub(super) fn keep_lock(&mut self) -> Result<()> {
        let Some(lock) = self.lock.as_mut().filter(|lock| !lock.heard.is_empty()) else {
            return Ok(());
        };
        let text = std::mem::take(&mut lock.heard);
        // What it is goes into a file that Nix reads: nothing else than such a file is taken.
        serde_json::from_str::<serde::de::IgnoredAny>(&text).context("what came as flake.lock is none")?;
        std::fs::write(&lock.path, text).with_context(|| format!("cannot write {}", lock.path.display()))?;
        lock.is_written = true;
        Ok(())
    }

    /// The lock file, if it was written.
    #[must_use]
    pub fn written_lock(&self) -> Option<&Path> {
        let lock = self.lock.as_ref().filter(|lock| lock.is_written)?;
        Some(&lock.path)
    }
}
