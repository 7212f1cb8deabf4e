//! The identity of a file's content: what tells one content from another.

use std::fs::Metadata;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use sha2::{Digest, Sha256};

use super::hexadecimal;
use crate::sources::opening;

/// What tells one content of a file from another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// Its SHA-256.
    Digest([u8; 32]),
    /// What the file system says, for files that are too large to be read each time: size in bytes, times in
    /// nanoseconds.
    Stat(String),
    /// Bytes that go in the file's place.
    Made(Replacement),
}

/// Bytes that go in a file's place.
#[derive(Debug, Clone)]
pub struct Replacement {
    digest: [u8; 32],
    /// None if this was read from a record, which keeps only the digest.
    bytes: Option<Arc<[u8]>>,
}

impl Replacement {
    /// Makes a replacement of these bytes.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self {
            digest: Sha256::digest(&bytes).into(),
            bytes: Some(bytes.into()),
        }
    }

    /// Returns their SHA-256.
    #[must_use]
    pub fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// Returns the bytes, to be sent.
    ///
    /// # Errors
    /// Returns an error if this was read from a record.
    pub fn bytes(&self) -> io::Result<&[u8]> {
        let bytes = self.bytes.as_deref();
        bytes.ok_or_else(|| io::Error::other("only its digest is known"))
    }
}

impl PartialEq for Replacement {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl Eq for Replacement {}

/// A file of up to this size, in bytes, is known by its digest.
pub const READ_WHOLE: u64 = 1 << 20;

impl Identity {
    /// Identifies bytes that have been read already, by their digest.
    #[cfg(test)]
    pub fn of_bytes(bytes: &[u8]) -> Self {
        Self::Digest(Sha256::digest(bytes).into())
    }

    /// Identifies a file by what the file system says of it.
    #[must_use]
    pub fn of_metadata(data: &Metadata) -> Self {
        Self::Stat(format!(
            "{},{},{}.{:09},{}.{:09}",
            data.len(),
            data.ino(),
            data.mtime(),
            data.mtime_nsec(),
            data.ctime(),
            data.ctime_nsec()
        ))
    }

    /// Identifies a file by its digest if it is small enough to be read for that. No link may lead to the file.
    ///
    /// # Errors
    /// Returns an error if the file cannot be read.
    pub fn of_file(path: &Path, data: &Metadata) -> io::Result<Self> {
        if data.len() > READ_WHOLE {
            return Self::of_settled(path, data);
        }
        Self::by_reading(path)
    }

    /// Identifies a file by what the file system says, unless the file has changed just now; then by its digest. As
    /// long as the file system's clock has not moved on, another change leaves the same times (git calls such a file
    /// racily clean).
    ///
    /// # Errors
    /// Returns an error if the file cannot be read.
    pub fn of_settled(path: &Path, data: &Metadata) -> io::Result<Self> {
        // A clock that is not set yet says nothing: every file counts as young.
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |now| now.as_secs());
        Self::at(path, data, i64::try_from(now).unwrap_or(i64::MAX))
    }

    fn at(path: &Path, data: &Metadata, now: i64) -> io::Result<Self> {
        if data.ctime().max(data.mtime()) < now.saturating_sub(YOUNG) {
            return Ok(Self::of_metadata(data));
        }
        Self::by_reading(path)
    }

    fn by_reading(path: &Path) -> io::Result<Self> {
        let mut digest = Sha256::new();
        let (mut file, _) = opening::open(path)?;
        let mut buffer = vec![0; 64 << 10];
        loop {
            match file.read(&mut buffer)? {
                0 => return Ok(Self::Digest(digest.finalize().into())),
                read => digest.update(&buffer[..read]),
            }
        }
    }

    /// Returns it as one word, without blanks.
    pub(super) fn word(&self) -> String {
        match self {
            Self::Digest(digest) => hexadecimal(digest),
            Self::Stat(text) => format!("={text}"),
            Self::Made(made) => format!("+{}", hexadecimal(&made.digest)),
        }
    }

    /// Reads what [`Identity::word`] wrote; None if the word is something else.
    pub(super) fn of_word(word: &str) -> Option<Self> {
        if let Some(stat) = word.strip_prefix('=') {
            return Some(Self::Stat(stat.to_owned()));
        }
        if let Some(digits) = word.strip_prefix('+') {
            let digest = digest_of(digits)?;
            return Some(Self::Made(Replacement { digest, bytes: None }));
        }
        digest_of(word).map(Self::Digest)
    }
}

/// A file is young for this many seconds: the coarsest clock of a file system (FAT's) moves on every other second.
const YOUNG: i64 = 3;

fn digest_of(text: &str) -> Option<[u8; 32]> {
    let mut digest = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (at, byte) in digest.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_file_is_known_by_its_times_once_they_are_past() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("file");
        std::fs::write(&path, vec![b'a'; 2 << 20]).unwrap();
        let data = std::fs::metadata(&path).unwrap();
        let by_digest = Identity::by_reading(&path).unwrap();
        assert_eq!(Identity::of_file(&path, &data).unwrap(), by_digest);
        for (later, is_settled) in [(0, false), (2, false), (3, false), (4, true), (-100, false)] {
            let identity = Identity::at(&path, &data, data.ctime() + later).unwrap();
            assert_eq!(matches!(identity, Identity::Stat(_)), is_settled, "{later}");
        }
        // The clock has gone wrong.
        assert_eq!(Identity::at(&path, &data, 0).unwrap(), by_digest);
    }

    /// The size and the time of the content can be set to what they were; the time of the change cannot.
    #[test]
    fn a_change_with_the_same_size_and_time_is_another_content() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("file");
        let identity = || Identity::of_metadata(&std::fs::metadata(&path).unwrap());
        std::fs::write(&path, "one").unwrap();
        let (before, time) = (identity(), std::fs::metadata(&path).unwrap().modified().unwrap());
        // The kernel's clock moves on in steps.
        let ctime = || {
            std::fs::write(&path, "two").unwrap();
            std::fs::File::options()
                .write(true)
                .open(&path)
                .unwrap()
                .set_modified(time)
                .unwrap();
            let data = std::fs::metadata(&path).unwrap();
            (data.ctime(), data.ctime_nsec())
        };
        let first = ctime();
        while ctime() == first {}
        assert_eq!(std::fs::metadata(&path).unwrap().modified().unwrap(), time);
        assert_ne!(identity(), before);
    }
}
