//! What the last evaluation of a configuration on a host needed. It is kept here, so that the next evaluation needs a
//! single round, and an unchanged configuration sends no bytes. A lost record costs time and nothing else.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::answered::{Answered, MARK};
use super::mirror::{Mirror, SharedMirror, hexadecimal};
use crate::written;

/// The number of records that are kept, of all hosts and configurations.
const MOST_RECORDS: usize = 32;

/// What is kept of an evaluation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kept {
    /// The mirror that the evaluation saw.
    pub mirror: SharedMirror,
    /// Those of its files that were not read after all: they are not sent again, unless something names them again.
    pub unread: BTreeSet<PathBuf>,
    /// The environment variables that the evaluation asked for and that nobody had foreseen.
    pub variables: BTreeSet<String>,
    /// Its answer, if that may be remembered.
    pub answered: Option<Answered>,
}

impl Kept {
    /// Returns the record as bytes: the length of the mirror on a line, the mirror, the other paths, the variables and the
    /// answer's words, each ended by a NUL. A path begins with a slash, the answer's words have a mark of their own
    /// ([`Answered::words`]), and no variable that can be sent begins with either.
    fn to_bytes(&self) -> Vec<u8> {
        let mirror = self.mirror.to_bytes();
        let mut bytes = format!("{}\n", mirror.len()).into_bytes();
        bytes.extend(mirror);
        for path in &self.unread {
            bytes.extend([path.as_os_str().as_bytes(), b"\0"].concat());
        }
        let answer = self.answered.as_ref().map(Answered::words).unwrap_or_default();
        for word in self.variables.iter().chain(&answer) {
            bytes.extend([word.as_bytes(), b"\0"].concat());
        }
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let line = bytes.iter().position(|byte| *byte == b'\n')?;
        let length: usize = std::str::from_utf8(&bytes[..line]).ok()?.parse().ok()?;
        let (mirror, unread) = bytes[line + 1..].split_at_checked(length)?;
        let words = unread.split(|byte| *byte == 0).filter(|word| !word.is_empty());
        let (paths, names): (Vec<&[u8]>, Vec<&[u8]>) = words.partition(|word| word.starts_with(b"/"));
        let names = names.into_iter().filter_map(|name| std::str::from_utf8(name).ok());
        let (marked, names): (Vec<&str>, Vec<&str>) = names.partition(|name| name.starts_with(MARK));
        Some(Self {
            mirror: Mirror::from_bytes(mirror)?.into(),
            unread: paths
                .into_iter()
                .map(|path| PathBuf::from(OsStr::from_bytes(path)))
                .collect(),
            variables: names.into_iter().map(str::to_owned).collect(),
            answered: Answered::of_words(marked.into_iter()),
        })
    }
}

/// Fuzzing: reads any bytes. Whatever can be read is written as it was.
#[cfg(any(test, fuzzing))]
pub(super) fn look_at(bytes: &[u8]) {
    if let Some(kept) = Kept::from_bytes(bytes) {
        assert_eq!(Kept::from_bytes(&kept.to_bytes()), Some(kept));
    }
}

/// The file that holds the record of one host and one configuration.
#[derive(Debug, Clone)]
pub struct RecordFile {
    file: PathBuf,
}

impl RecordFile {
    /// Returns the record file in the cache directory `cache`. `what` names what is evaluated: every word that tells
    /// one such evaluation from another.
    #[must_use]
    pub fn new(cache: &Path, what: &[&str]) -> Self {
        let mut hash = Sha256::new();
        for word in what {
            hash.update(word.as_bytes());
            hash.update([0]);
        }
        let name = hexadecimal(&hash.finalize()[..16]);
        Self {
            file: cache.join("mirrors").join(name),
        }
    }

    /// Reads what was there after the last evaluation; empty if there was none.
    #[must_use]
    pub fn read(&self) -> Kept {
        fs::read(&self.file)
            .ok()
            .and_then(|bytes| Kept::from_bytes(&bytes))
            .unwrap_or_default()
    }

    /// Keeps this for the next time. If it cannot be kept, that is no failure.
    pub fn write(&self, kept: &Kept) {
        let _ = self.try_write(&kept.to_bytes());
    }

    fn try_write(&self, bytes: &[u8]) -> std::io::Result<()> {
        let directory = self.file.parent().unwrap_or(Path::new("."));
        if fs::read(&self.file).is_ok_and(|kept| kept == bytes) {
            return Ok(());
        }
        fs::create_dir_all(directory)?;
        written::keep(&self.file, bytes)?;
        forget_oldest(directory)
    }
}

fn forget_oldest(directory: &Path) -> std::io::Result<()> {
    let mut records: Vec<_> = fs::read_dir(directory)?
        .flatten()
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .collect();
    records.sort();
    let surplus = records.len().saturating_sub(MOST_RECORDS);
    for (_, path) in &records[..surplus] {
        fs::remove_file(path)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::answered::Reads;
    use crate::sources::mirror::{Entry, FileKind};
    use crate::store_path::StorePath;

    #[test]
    fn kept_apart_by_what_is_evaluated_and_no_more_than_some() {
        let cache = tempfile::tempdir().unwrap();
        let kept = Kept {
            mirror: Mirror {
                entries: [("/a b\n".into(), Entry::Shut(FileKind::File))].into(),
            }
            .into(),
            unread: ["/c\n".into(), "/d".into()].into(),
            variables: ["COLOUR".into(), "X".into()].into(),
            answered: Some(Answered {
                question: "0f".into(),
                reads: Reads {
                    names: ["EDITOR".into()].into(),
                    any: true,
                },
                derivation: StorePath::parse("/nix/store/00000000000000000000000000000000-x.drv").unwrap(),
                standing: "ab".into(),
                result: Some(StorePath::parse("/nix/store/00000000000000000000000000000000-x").unwrap()),
            }),
        };
        let record = |name: &str| RecordFile::new(cache.path(), &["builder", name]);
        assert_eq!(record("x").read(), Kept::default());
        record("x").write(&kept);
        assert_eq!(record("x").read(), kept);
        assert_eq!(record("y").read(), Kept::default());
        for number in 0..40 {
            record(&number.to_string()).write(&kept);
        }
        assert_eq!(
            fs::read_dir(cache.path().join("mirrors")).unwrap().count(),
            MOST_RECORDS
        );
    }

    #[test]
    fn what_is_no_record_counts_as_none() {
        let cache = tempfile::tempdir().unwrap();
        let record = RecordFile::new(cache.path(), &["x"]);
        fs::create_dir_all(record.file.parent().unwrap()).unwrap();
        fs::write(&record.file, "o /a\0nonsense").unwrap();
        assert_eq!(record.read(), Kept::default());
    }
}
