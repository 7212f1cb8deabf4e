//! The files of this machine that are on the other one, as a value that can be named, kept, and compared with another.

mod identity;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fmt::Write;
use std::ops::{Deref, DerefMut};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::generations::Generations;
pub use identity::{Identity, READ_WHOLE, Replacement};

/// What the other machine has of one path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A directory with all of its names. Its time counts where the directory may be a part of a flake: the
    /// `lastModified` of a flake without git is the newest of its times.
    Open {
        /// Modification time, in seconds of the epoch.
        mtime: Option<i64>,
    },
    /// A file with its content.
    Content {
        /// Whether its owner may execute it; Nix keeps nothing else of the mode.
        executable: bool,
        /// Modification time, in seconds of the epoch.
        mtime: i64,
        /// What tells this content from another.
        identity: Identity,
    },
    /// A symlink.
    Link {
        /// Where it leads.
        target: PathBuf,
        /// Modification time, as a directory's.
        mtime: Option<i64>,
    },
    /// A name alone. Looking inside fails (mode 000), and the error says what is missing.
    Shut(FileKind),
}

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// A file.
    File,
    /// A directory.
    Directory,
    /// A socket, a pipe, a device.
    Other,
}

/// The files of this machine that are there on the other one. Every directory in it either has all of its names or is
/// shut. So an evaluation that uses the mirror sees exactly what it would see on this machine, or fails.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mirror {
    /// What is there of each path; parents come before children.
    pub entries: BTreeMap<PathBuf, Entry>,
}

/// A mirror that several holders share. It is copied only when one of them changes it: a mirror of 100,000 files takes
/// 20 MB.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SharedMirror(Arc<Mirror>);

impl From<Mirror> for SharedMirror {
    fn from(mirror: Mirror) -> Self {
        Self(Arc::new(mirror))
    }
}

impl Deref for SharedMirror {
    type Target = Mirror;

    fn deref(&self) -> &Mirror {
        &self.0
    }
}

impl DerefMut for SharedMirror {
    fn deref_mut(&mut self) -> &mut Mirror {
        Arc::make_mut(&mut self.0)
    }
}

/// The steps that turn one mirror into another.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct MirrorChange {
    /// The paths that have to go, first.
    pub removed: Vec<PathBuf>,
    /// The paths that have to come, parents before children.
    pub added: Vec<(PathBuf, Entry)>,
}

impl Mirror {
    /// Returns the name of exactly this mirror: a digest of everything in it, in hexadecimal digits.
    #[must_use]
    pub fn digest(&self) -> String {
        let mut sum = Sha256::new();
        self.write(|bytes| sum.update(bytes));
        hexadecimal(&sum.finalize()[..20])
    }

    /// Returns the digest of what belongs to the question that an evaluation is ([`generations`](super::generations)).
    #[must_use]
    pub fn digest_of_question(&self) -> String {
        let generations = Generations::of(self);
        let mut sum = Sha256::new();
        self.write_some(|path, entry| !generations.has(path, entry), |bytes| sum.update(bytes));
        hexadecimal(&sum.finalize()[..20])
    }

    /// Returns the directories that exist only because something lies in them, and whose names nothing is said about.
    /// The store is one of them.
    #[must_use]
    pub fn unsaid_parents(&self) -> BTreeSet<&Path> {
        let mut unsaid = BTreeSet::new();
        for path in self.entries.keys() {
            let mut above = path.parent();
            while let Some(parent) =
                above.filter(|parent| *parent != Path::new("/") && !self.entries.contains_key(*parent))
            {
                if !unsaid.insert(parent) {
                    break;
                }
                above = parent.parent();
            }
        }
        unsaid
    }

    /// Returns what has to go and what has to come so that `base` becomes this mirror.
    #[must_use]
    pub fn change_from(&self, base: &Self) -> MirrorChange {
        let mut change = MirrorChange::default();
        let unsaid = self.unsaid_parents();
        let stays = |path: &Path, old: Option<&Entry>| match (old, self.entries.get(path)) {
            (Some(old), Some(new)) => becomes(old, new),
            (None, Some(new)) => matches!(new, Entry::Open { .. }),
            (None, None) => unsaid.contains(path),
            (Some(_), None) => false,
        };
        let mut all: BTreeMap<&Path, Option<&Entry>> =
            base.unsaid_parents().into_iter().map(|path| (path, None)).collect();
        all.extend(base.entries.iter().map(|(path, old)| (path.as_path(), Some(old))));
        for (path, old) in all {
            // The contents of a directory that goes have gone with it.
            let gone_already = change.removed.last().is_some_and(|last| path.starts_with(last));
            if !gone_already && !stays(path, old) {
                change.removed.push(path.to_path_buf());
            }
        }
        let stays =
            |path: &Path, entry: &Entry| base.entries.get(path) == Some(entry) && !is_under(path, &change.removed);
        // Taking a name out of a directory, or putting one in, changes the directory's time.
        let new = self.entries.iter().filter(|(path, entry)| !stays(path, entry));
        let touched = new.map(|(path, _)| path).chain(&change.removed);
        let touched: BTreeSet<&Path> = touched.filter_map(|path| path.parent()).collect();
        for (path, entry) in &self.entries {
            let is_touched = matches!(entry, Entry::Open { mtime: Some(_) }) && touched.contains(path.as_path());
            if is_touched || !stays(path, entry) {
                change.added.push((path.clone(), entry.clone()));
            }
        }
        change
    }

    /// Returns the mirror as bytes, to be kept in a file: for each path its entry, a blank, and the path, ended by a
    /// NUL.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.write(|piece| bytes.extend_from_slice(piece));
        bytes
    }

    /// Writes the same, piece by piece.
    fn write(&self, to: impl FnMut(&[u8])) {
        self.write_some(|_, _| true, to);
    }

    /// Writes those of the entries that are wanted.
    fn write_some(&self, is_wanted: impl Fn(&Path, &Entry) -> bool, mut to: impl FnMut(&[u8])) {
        for (path, entry) in self.entries.iter().filter(|(path, entry)| is_wanted(path, entry)) {
            let (word, target) = match entry {
                Entry::Open { mtime: None } => ("o".to_owned(), None),
                Entry::Open { mtime: Some(time) } => (format!("o{time}"), None),
                Entry::Shut(FileKind::File) => ("sf".to_owned(), None),
                Entry::Shut(FileKind::Directory) => ("sd".to_owned(), None),
                Entry::Shut(FileKind::Other) => ("so".to_owned(), None),
                Entry::Link { target, mtime: None } => ("l".to_owned(), Some(target)),
                Entry::Link {
                    target,
                    mtime: Some(time),
                } => (format!("l{time}"), Some(target)),
                Entry::Content {
                    executable,
                    mtime,
                    identity,
                } => {
                    let kind = if *executable { 'x' } else { 'f' };
                    (format!("{kind}{mtime}:{}", identity.word()), None)
                }
            };
            for piece in [word.as_bytes(), b" ", path.as_os_str().as_bytes(), b"\0"] {
                to(piece);
            }
            if let Some(target) = target {
                to(target.as_os_str().as_bytes());
                to(b"\0");
            }
        }
    }

    /// Reads what [`Mirror::to_bytes`] wrote; None if the bytes are something else.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut entries = BTreeMap::new();
        let mut pieces = bytes.strip_suffix(b"\0")?.split(|byte| *byte == 0);
        while let Some(piece) = pieces.next() {
            let blank = piece.iter().position(|byte| *byte == b' ')?;
            let word = std::str::from_utf8(&piece[..blank]).ok()?;
            let path = path_of(&piece[blank + 1..]);
            let entry = match word.split_at_checked(1)? {
                ("o", "") => Entry::Open { mtime: None },
                ("o", time) => Entry::Open {
                    mtime: Some(time.parse().ok()?),
                },
                ("s", "f") => Entry::Shut(FileKind::File),
                ("s", "d") => Entry::Shut(FileKind::Directory),
                ("s", "o") => Entry::Shut(FileKind::Other),
                ("l", time) => Entry::Link {
                    target: path_of(pieces.next()?),
                    mtime: Some(time)
                        .filter(|time| !time.is_empty())
                        .map(str::parse)
                        .transpose()
                        .ok()?,
                },
                (kind @ ("x" | "f"), rest) => {
                    let (mtime, identity) = rest.split_once(':')?;
                    Entry::Content {
                        executable: kind == "x",
                        mtime: mtime.parse().ok()?,
                        identity: Identity::of_word(identity)?,
                    }
                }
                _ => return None,
            };
            entries.insert(path, entry);
        }
        Some(Self { entries })
    }
}

/// Returns these entries as a mirror gives its own.
pub fn each(entries: &[(PathBuf, Entry)]) -> impl Iterator<Item = (&Path, &Entry)> {
    entries.iter().map(|(path, entry)| (path.as_path(), entry))
}

/// Returns bytes as hexadecimal digits.
#[must_use]
pub fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing into a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Returns whether the old entry can become the new one without being removed first.
fn becomes(old: &Entry, new: &Entry) -> bool {
    old == new || matches!((old, new), (Entry::Open { .. }, Entry::Open { .. }))
}

/// Returns whether a path is one of `removed` or lies below one; `removed` is sorted.
fn is_under(path: &Path, removed: &[PathBuf]) -> bool {
    path.ancestors()
        .any(|ancestor| removed.binary_search_by(|gone| gone.as_path().cmp(ancestor)).is_ok())
}

fn path_of(bytes: &[u8]) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(text: &str) -> Entry {
        Entry::Content {
            executable: false,
            mtime: 7,
            identity: Identity::of_bytes(text.as_bytes()),
        }
    }

    fn link(target: &str, mtime: Option<i64>) -> Entry {
        Entry::Link {
            target: target.into(),
            mtime,
        }
    }

    fn mirror(entries: &[(&str, Entry)]) -> Mirror {
        let entries = entries.iter().map(|(path, entry)| (path.into(), entry.clone()));
        Mirror {
            entries: entries.collect(),
        }
    }

    #[test]
    fn bytes_and_back() {
        let stat = Entry::Content {
            executable: true,
            mtime: -1,
            identity: Identity::Stat("1,2,3.000000004,5.6".into()),
        };
        let made = Entry::Content {
            executable: false,
            mtime: 8,
            identity: Identity::Made(Replacement::new(b"index".into())),
        };
        let all = mirror(&[
            ("/", Entry::Open { mtime: None }),
            ("/a b\n", Entry::Open { mtime: Some(-3) }),
            ("/a b\n/c", content("x")),
            ("/d", stat),
            ("/i", made),
            ("/l", link("to a\nplace", None)),
            ("/m", link("..", Some(5))),
            ("/s", Entry::Shut(FileKind::File)),
            ("/t", Entry::Shut(FileKind::Directory)),
            ("/u", Entry::Shut(FileKind::Other)),
        ]);
        assert_eq!(Mirror::from_bytes(&all.to_bytes()), Some(all.clone()));
        assert_eq!(all.digest().len(), 40);
        let mut other = all.clone();
        other.entries.insert("/a b\n/c".into(), content("y"));
        assert_ne!(other.digest(), all.digest());
    }

    #[test]
    fn a_shared_mirror_is_copied_when_it_is_changed_and_not_before() {
        let mut first = SharedMirror::from(mirror(&[("/", Entry::Open { mtime: None })]));
        let second = first.clone();
        assert!(Arc::ptr_eq(&first.0, &second.0));
        first.entries.insert("/a".into(), content("x"));
        assert!(!Arc::ptr_eq(&first.0, &second.0));
        assert_eq!((first.entries.len(), second.entries.len()), (2, 1));
    }

    #[test]
    fn a_directory_keeps_its_time_when_something_in_it_changes() {
        let dated = Entry::Open { mtime: Some(3) };
        let base = mirror(&[
            ("/", Entry::Open { mtime: None }),
            ("/c", dated.clone()),
            ("/c/a", content("1")),
            ("/d", dated.clone()),
            ("/d/b", content("1")),
            ("/e", dated),
        ]);
        let mut new = base.clone();
        new.entries.insert("/c/a".into(), content("2"));
        new.entries.remove(Path::new("/d/b"));
        let added: Vec<_> = new.change_from(&base).added.into_iter().map(|(path, _)| path).collect();
        assert_eq!(added, ["/c", "/c/a", "/d"].map(PathBuf::from));
    }

    /// Nothing unwanted stays in the store, or in a directory that the store has become a link to.
    #[test]
    fn directories_that_nothing_is_said_of_go_with_what_lay_in_them() {
        let shut = Entry::Shut(FileKind::Directory);
        let base = mirror(&[("/n/s/x", shut.clone()), ("/m/y", shut.clone()), ("/o/z", shut.clone())]);
        let unsaid: Vec<_> = base.unsaid_parents().into_iter().collect();
        assert_eq!(unsaid, ["/m", "/n", "/n/s", "/o"].map(Path::new));
        let new = mirror(&[("/n/t", shut.clone()), ("/m", link("/n", None)), ("/o/w", shut)]);
        let removed = new.change_from(&base).removed;
        assert_eq!(removed, ["/m", "/n/s", "/o/z"].map(PathBuf::from));
    }

    #[test]
    fn a_change_takes_away_what_cannot_stay_and_brings_what_is_new() {
        let open = Entry::Open { mtime: None };
        let base = mirror(&[
            ("/", open.clone()),
            ("/c", open.clone()),
            ("/c/a.nix", content("1")),
            ("/c/gone", Entry::Shut(FileKind::File)),
            ("/c/same", content("2")),
            ("/d", Entry::Shut(FileKind::Directory)),
            ("/e", open.clone()),
            ("/e/x", content("3")),
        ]);
        let new = mirror(&[
            ("/", open.clone()),
            ("/c", Entry::Open { mtime: Some(1) }),
            ("/c/a.nix", content("changed")),
            ("/c/same", content("2")),
            ("/d", open.clone()),
            ("/d/y", content("4")),
            ("/e", link("/c", None)),
        ]);
        let change = new.change_from(&base);
        let removed: Vec<_> = change.removed.iter().filter_map(|path| path.to_str()).collect();
        assert_eq!(removed, ["/c/a.nix", "/c/gone", "/d", "/e"]);
        let added: Vec<_> = change.added.iter().filter_map(|(path, _)| path.to_str()).collect();
        assert_eq!(added, ["/c", "/c/a.nix", "/d", "/d/y", "/e"]);
        assert_eq!(base.change_from(&base), MirrorChange::default());
        assert_eq!(base.change_from(&Mirror::default()).added.len(), 8);
    }
}
