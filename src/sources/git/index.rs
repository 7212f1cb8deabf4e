//! A repository's index: what is tracked, and what of it is as it was committed.

use std::ffi::OsStr;
use std::fs::Metadata;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use sha1::{Digest, Sha1};

/// The part of an entry that is before its name; it ends with two bytes of flags, and there may be two more.
const FIXED: usize = 62;
const FLAGS: usize = 60;
/// git's "assume unchanged": who compares the tree with the index believes it (`CE_VALID`, `GIT_INDEX_ENTRY_VALID`).
const ASSUMED_VALID: u8 = 0x80;
const EXTENDED: u8 = 0x40;
const STAGE: u8 = 0x30;
const CHECKSUM: usize = 20;
/// What an evaluation may write: over there, it has to look for itself.
const WRITTEN: &str = "flake.lock";

/// What git tracks, by names that are relative to the root.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::sources) struct Tracked {
    /// Files and symlinks.
    pub files: Vec<PathBuf>,
    /// Submodules.
    pub modules: Vec<PathBuf>,
}

/// One entry of an index.
struct Listed<'a> {
    name: Vec<u8>,
    fixed: &'a [u8],
    /// Where it begins in the index.
    start: usize,
}

impl Listed<'_> {
    fn number(&self, at: usize) -> u32 {
        let bytes = self.fixed.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
        u32::from_be_bytes(bytes.unwrap_or_default())
    }

    fn flags(&self) -> u8 {
        self.fixed.get(FLAGS).copied().unwrap_or_default()
    }

    fn path(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.name))
    }

    fn is_inside(&self) -> bool {
        let mut parts = self.path().components();
        parts.all(|part| matches!(part, Component::Normal(_)))
    }

    fn is_module(&self) -> bool {
        self.number(24) & 0o170_000 == 0o160_000
    }

    /// Whether the file is as the index says by all that the file system says of it: the strictest of the rules by which
    /// git and libgit2 take it for unchanged without a look.
    fn fits(&self, data: &Metadata, rules: Rules) -> bool {
        let kind = (self.number(24) & 0o170_000) == (data.mode() & 0o170_000);
        let executable = data.is_symlink() || (self.number(24) & 0o100) == (data.mode() & 0o100);
        let changed = (low(data.ctime()), low(data.ctime_nsec()));
        let written = (low(data.mtime()), low(data.mtime_nsec()));
        // What was written in the moment of the index, or later, may have been written after it.
        let is_settled = written < rules.made;
        kind && (executable || !rules.modes_count)
            && is_settled
            && (self.number(8), self.number(12)) == written
            && (!rules.change_times_count || (self.number(0), self.number(4)) == changed)
            && self.number(20) == low_of(data.ino())
            && (self.number(28), self.number(32)) == (data.uid(), data.gid())
            && self.number(36) == low_of(data.len())
    }
}

/// By what a file is compared with the index.
#[derive(Debug, Clone, Copy)]
pub(in crate::sources) struct Rules {
    /// When the index itself was written: seconds of the epoch and nanoseconds, as an index has them.
    pub made: (u32, u32),
    /// `core.trustctime`.
    pub change_times_count: bool,
    /// `core.fileMode`.
    pub modes_count: bool,
}

impl Rules {
    /// For the index of which this is the metadata.
    pub fn of(index: &Metadata) -> Self {
        Self {
            made: (low(index.mtime()), low(index.mtime_nsec())),
            change_times_count: true,
            modes_count: true,
        }
    }
}

/// What an index lists. Nothing if it is of a kind that is not known here.
pub(in crate::sources) fn tracked(bytes: &[u8]) -> Option<Tracked> {
    let mut found = Tracked::default();
    for entry in entries(bytes)?.iter().filter(|entry| entry.is_inside()) {
        let paths = if entry.is_module() {
            &mut found.modules
        } else {
            &mut found.files
        };
        paths.push(entry.path().to_owned());
    }
    // An unmerged file is listed up to three times.
    found.files.dedup();
    Some(found)
}

/// The same index for a machine on which nothing of what the file system says of a file can be the same: what is unchanged
/// here by that is unchanged there. Else it would be compared by its content, which says something else where a filter
/// (git-crypt, git-lfs) stands between: NixOS/nix#5260. Nothing if the index is of a kind that is not known here.
pub(in crate::sources) fn with_unchanged_marked(
    bytes: &[u8],
    rules: Rules,
    metadata: impl Fn(&Path) -> Option<Metadata>,
) -> Option<Vec<u8>> {
    let mut marked = bytes.to_vec();
    for entry in entries(bytes)? {
        let path = entry.path();
        let is_plain = entry.flags() & (EXTENDED | STAGE) == 0 && !entry.is_module() && entry.is_inside();
        if is_plain && !path.ends_with(WRITTEN) && metadata(path).is_some_and(|data| entry.fits(&data, rules)) {
            *marked.get_mut(entry.start + FLAGS)? |= ASSUMED_VALID;
        }
    }
    let end = marked.len() - CHECKSUM;
    let (content, checksum) = marked.split_at_mut(end);
    // None at all if that is all zeros (index.skipHash).
    if checksum.iter().any(|byte| *byte != 0) {
        checksum.copy_from_slice(&Sha1::digest(content));
    }
    Some(marked)
}

/// git's `gitformat-index`, versions 2 to 4. An index in two parts ("link"), one with whole directories in it ("sdir") and
/// one with SHA-256 are not known here; nor to libgit2, with which Nix reads.
fn entries(bytes: &[u8]) -> Option<Vec<Listed<'_>>> {
    let mut rest = bytes.strip_prefix(b"DIRC")?;
    let version = number(&mut rest)?;
    let count = number(&mut rest)?;
    if !(2..=4).contains(&version) {
        return None;
    }
    let mut found = Vec::new();
    let mut name = Vec::new();
    for _ in 0..count {
        let fixed = rest.get(..FIXED)?;
        let is_extended = version > 2 && fixed[FLAGS] & EXTENDED != 0;
        let start = if is_extended { FIXED + 2 } else { FIXED };
        let mut after = rest.get(start..)?;
        let kept = if version == 4 {
            name.len().checked_sub(offset(&mut after)?)?
        } else {
            0
        };
        let end = after.iter().position(|byte| *byte == 0)?;
        name.truncate(kept);
        name.extend(&after[..end]);
        let size = if version == 4 {
            rest.len() - after.len() + end + 1
        } else {
            // One to eight NULs, up to a multiple of eight.
            (start + end + 8) / 8 * 8
        };
        found.push(Listed {
            name: name.clone(),
            fixed,
            start: bytes.len() - rest.len(),
        });
        rest = rest.get(size..)?;
    }
    ends_well(rest).then_some(found)
}

/// Extensions, and a checksum. Of one with a small letter nobody may say that he has read the index without it.
fn ends_well(mut rest: &[u8]) -> bool {
    fn extension(rest: &[u8]) -> Option<&[u8]> {
        let (signature, mut after) = rest.split_at_checked(4)?;
        let length = usize::try_from(number(&mut after)?).ok()?;
        after.get(length..).filter(|_| signature[0].is_ascii_uppercase())
    }
    while rest.len() > CHECKSUM {
        let Some(after) = extension(rest) else { return false };
        rest = after;
    }
    rest.len() == CHECKSUM
}

/// What an index has of a wider number: its low 32 bits.
fn low(number: i64) -> u32 {
    let [_, _, _, _, bytes @ ..] = number.to_be_bytes();
    u32::from_be_bytes(bytes)
}

fn low_of(number: u64) -> u32 {
    let [_, _, _, _, bytes @ ..] = number.to_be_bytes();
    u32::from_be_bytes(bytes)
}

fn number(rest: &mut &[u8]) -> Option<u32> {
    let (bytes, after) = rest.split_at_checked(4)?;
    *rest = after;
    Some(u32::from_be_bytes(bytes.try_into().ok()?))
}

/// The variable width of pack files' offsets.
fn offset(rest: &mut &[u8]) -> Option<usize> {
    let mut value = 0_usize;
    loop {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        value = value.checked_mul(128)? | usize::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Some(value);
        }
        value = value.checked_add(1)?;
    }
}

#[cfg(test)]
pub(in crate::sources) mod tests {
    use super::*;

    /// An index of version 2.
    pub(in crate::sources) fn index(entries: &[(&str, u32)]) -> Vec<u8> {
        let mut bytes = [b"DIRC".as_slice(), &2_u32.to_be_bytes()].concat();
        bytes.extend(u32::try_from(entries.len()).unwrap().to_be_bytes());
        for (name, mode) in entries {
            let start = bytes.len();
            bytes.extend([0; 62]);
            bytes[start + 24..start + 28].copy_from_slice(&mode.to_be_bytes());
            bytes.extend(name.as_bytes());
            let length = (bytes.len() - start + 8) / 8 * 8;
            bytes.resize(start + length, 0);
        }
        bytes.extend([0; 20]);
        bytes
    }

    /// Made by git 2.47: `git update-index --index-version 4`, an intent to add, a submodule, an extension.
    fn index_of_version_4() -> Vec<u8> {
        let entry = |flags: [u8; 2], more: &[u8], strip: &[u8], name: &str| {
            let mut bytes = [0; 62];
            bytes[24..28].copy_from_slice(&0o100_644_u32.to_be_bytes());
            bytes[60..].copy_from_slice(&flags);
            [&bytes, more, strip, name.as_bytes(), b"\0"].concat()
        };
        [
            b"DIRC\0\0\0\x04\0\0\0\x03".to_vec(),
            entry([0, 7], &[], &[0], "a/first"),
            entry([0x40, 8], &[0x20, 0], &[5], "second"),
            // 140 is more than there is to strip with one byte.
            entry([0, 1], &[], &[8], "z"),
            b"TREE\0\0\0\x02xy".to_vec(),
            vec![0; 20],
        ]
        .concat()
    }

    #[test]
    fn what_an_index_lists() {
        let link = 0o120_000;
        let bytes = index(&[
            ("a", 0o100_644),
            ("b\n\"c/d e", 0o100_755),
            ("l", link),
            ("module", 0o160_000),
            ("u", 0o100_644),
            ("u", 0o100_644),
            ("../out", 0o100_644),
        ]);
        let found = tracked(&bytes).unwrap();
        assert_eq!(found.files, ["a", "b\n\"c/d e", "l", "u"].map(PathBuf::from));
        assert_eq!(found.modules, [PathBuf::from("module")]);
        for length in 0..bytes.len() {
            assert_eq!(tracked(&bytes[..length]), None, "{length}");
        }
        let found = tracked(&index_of_version_4()).unwrap();
        assert_eq!(found.files, ["a/first", "a/second", "z"].map(PathBuf::from));
    }

    #[test]
    fn kinds_of_index_that_are_not_known() {
        let bytes = index(&[]);
        let (entries, checksum) = bytes.split_at(bytes.len() - 20);
        let with = |signature: &[u8]| [entries, signature, &[0, 0, 0, 1, b'x'], checksum].concat();
        assert_eq!(tracked(&with(b"EOIE")), Some(Tracked::default()));
        assert_eq!(tracked(&with(b"link")), None);
        assert_eq!(tracked(&[b"DIRC\0\0\0\x05\0\0\0\0".as_slice(), checksum].concat()), None);
    }

    #[test]
    fn the_width_of_an_offset() {
        for (bytes, expected) in [
            (&[5_u8] as &[u8], Some(5)),
            (&[0x80, 0], Some(128)),
            (&[0x81, 1], Some(257)),
            (&[0x80], None),
        ] {
            let mut rest = bytes;
            assert_eq!(offset(&mut rest), expected);
        }
    }
}
