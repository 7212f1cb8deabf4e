//! What the last evaluation of a configuration on a host needed: kept here, so that the next one needs a single round and
//! an unchanged configuration no bytes. A record that is lost costs time and nothing else.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::mirror::Mirror;

/// As many records as are kept, of all hosts and configurations.
const MOST_RECORDS: usize = 32;

/// Where one host's and one configuration's record is.
#[derive(Debug, Clone)]
pub struct Record {
    file: PathBuf,
}

impl Record {
    /// The record in the cache directory `cache` for `what` is evaluated: every word that tells one such evaluation from
    /// another.
    #[must_use]
    pub fn new(cache: &Path, what: &[&str]) -> Self {
        let mut hash = Sha256::new();
        for word in what {
            hash.update(word.as_bytes());
            hash.update([0]);
        }
        let name: String = hash
            .finalize()
            .iter()
            .take(16)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        Self {
            file: cache.join("mirrors").join(name),
        }
    }

    /// What was there after the last evaluation. Empty if there was none.
    #[must_use]
    pub fn read(&self) -> Mirror {
        let bytes = fs::read(&self.file).unwrap_or_default();
        Mirror::from_bytes(&bytes).unwrap_or_default()
    }

    /// Keeps this for the next time; that it could not be kept is no failure.
    pub fn write(&self, mirror: &Mirror) {
        let _ = self.try_write(&mirror.to_bytes());
    }

    fn try_write(&self, bytes: &[u8]) -> std::io::Result<()> {
        let directory = self.file.parent().unwrap_or(Path::new("."));
        if fs::read(&self.file).is_ok_and(|kept| kept == bytes) {
            return Ok(());
        }
        fs::create_dir_all(directory)?;
        // Under its name when it is whole.
        let mut file = tempfile::NamedTempFile::new_in(directory)?;
        file.write_all(bytes)?;
        file.persist(&self.file)?;
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
    use crate::sources::mirror::{Entry, Kind};

    #[test]
    fn kept_apart_by_what_is_evaluated_and_no_more_than_some() {
        let cache = tempfile::tempdir().unwrap();
        let mirror = Mirror {
            entries: [("/a b\n".into(), Entry::Shut(Kind::File))].into(),
        };
        let record = |name: &str| Record::new(cache.path(), &["builder", name]);
        assert_eq!(record("x").read(), Mirror::default());
        record("x").write(&mirror);
        assert_eq!(record("x").read(), mirror);
        assert_eq!(record("y").read(), Mirror::default());
        for number in 0..40 {
            record(&number.to_string()).write(&mirror);
        }
        assert_eq!(
            fs::read_dir(cache.path().join("mirrors")).unwrap().count(),
            MOST_RECORDS
        );
    }

    #[test]
    fn what_is_no_record_counts_as_none() {
        let cache = tempfile::tempdir().unwrap();
        let record = Record::new(cache.path(), &["x"]);
        fs::create_dir_all(record.file.parent().unwrap()).unwrap();
        fs::write(&record.file, "o /a\0nonsense").unwrap();
        assert_eq!(record.read(), Mirror::default());
    }
}
