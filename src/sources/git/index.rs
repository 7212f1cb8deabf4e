//! A repository's index: which files git tracks, and which of them are as they were committed.

use std::ffi::OsStr;
use std::fs::Metadata;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use sha1::{Digest, Sha1};

/// The length of the part of an entry before its name, in bytes. It ends with two bytes of flags, and two more may
/// follow.
const FIXED: usize = 62;
const FLAGS: usize = 60;
/// git's "skip worktree" flag, in the second two bytes of flags: a comparison of the tree with the index takes the file
/// for unchanged, but still sees what is new or staged. ("Assume unchanged" would be nearer, but with it libgit2
/// overlooks new files that are staged.)
const UNCHANGED: [u8; 2] = [0x40, 0];
const EXTENDED: u8 = 0x40;
const STAGE: u8 = 0x30;
const CHECKSUM: usize = 20;
/// Extensions that hold offsets of other parts; no index needs them.
const OF_OFFSETS: [&[u8]; 2] = [b"EOIE", b"IEOT"];
/// A file that an evaluation may write: git on the other machine has to look at it for itself.
const WRITTEN: &str = "flake.lock";

/// What git tracks, by names relative to the root.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::sources) struct Tracked {
    /// Files and symlinks.
    pub files: Vec<PathBuf>,
    /// Submodules.
    pub modules: Vec<PathBuf>,
}

/// The parts of an index.
struct Index<'a> {
    version: u32,
    entries: Vec<Listed<'a>>,
    /// The extensions, each with its signature and length.
    extensions: Vec<&'a [u8]>,
    checksum: &'a [u8],
}

/// One entry of an index.
struct Listed<'a> {
    name: Vec<u8>,
    /// All of its bytes.
    bytes: &'a [u8],
}

impl Listed<'_> {
    fn number(&self, at: usize) -> u32 {
        let bytes = self.bytes.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
        u32::from_be_bytes(bytes.unwrap_or_default())
    }

    fn flags(&self) -> u8 {
        self.bytes.get(FLAGS).copied().unwrap_or_default()
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

    /// Returns the same entry, marked as unchanged.
    fn marked(&self, version: u32) -> Vec<u8> {
        let (fixed, rest) = self.bytes.split_at(FIXED);
        let mut bytes = fixed.to_vec();
        bytes[FLAGS] |= EXTENDED;
        bytes.extend(UNCHANGED);
        if version == 4 {
            bytes.extend(rest);
        } else {
            bytes.extend(&self.name);
            bytes.resize(padded(bytes.len()), 0);
        }
        bytes
    }

    /// Returns whether everything that the file system says of a file is as the index says. This is the strictest of
    /// the rules by which git and libgit2 take a file for unchanged without reading it.
    fn fits(&self, data: &Metadata, rules: Rules) -> bool {
        let kind = (self.number(24) & 0o170_000) == (data.mode() & 0o170_000);
        let executable = data.is_symlink() || (self.number(24) & 0o100) == (data.mode() & 0o100);
        let changed = (low(data.ctime()), low(data.ctime_nsec()));
        let written = (low(data.mtime()), low(data.mtime_nsec()));
        // A file that was written at the moment of the index, or later, may have been written after the index.
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

/// The rules by which a file is compared with the index.
#[derive(Debug, Clone, Copy)]
pub(in crate::sources) struct Rules {
    /// The time at which the index itself was written: seconds of the epoch and nanoseconds, as an index has them.
    pub made: (u32, u32),
    /// `core.trustctime`.
    pub change_times_count: bool,
    /// `core.fileMode`.
    pub modes_count: bool,
}

impl Rules {
    /// Makes the rules for the index with this metadata.
    pub fn of(index: &Metadata) -> Self {
        Self {
            made: (low(index.mtime()), low(index.mtime_nsec())),
            change_times_count: true,
            modes_count: true,
        }
    }
}

/// Returns what an index lists, or None if the index is of a kind that is not known here.
pub(in crate::sources) fn tracked(bytes: &[u8]) -> Option<Tracked> {
    let mut found = Tracked::default();
    for entry in read(bytes)?.entries.iter().filter(|entry| entry.is_inside()) {
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

/// Returns the same index for another machine, on which nothing that the file system says of a file can be the same:
/// files that count as unchanged here by that are marked as unchanged. Otherwise they would be compared by their
/// content, and a filter between the two (git-crypt, git-lfs) makes the content differ: NixOS/nix#5260. Returns None if
/// the index is of a kind that is not known here.
pub(in crate::sources) fn with_unchanged_marked(
    bytes: &[u8],
    rules: Rules,
    metadata: impl Fn(&Path) -> Option<Metadata>,
) -> Option<Vec<u8>> {
    let Index {
        version,
        entries,
        extensions,
        checksum,
    } = read(bytes)?;
    // A bit that version 2 does not have would have a meaning in version 3.
    if version < 3 && entries.iter().any(|entry| entry.flags() & EXTENDED != 0) {
        return None;
    }
    let is_unchanged = |entry: &Listed| {
        let is_plain = entry.flags() & (EXTENDED | STAGE) == 0 && !entry.is_module() && entry.is_inside();
        let path = entry.path();
        is_plain && !path.ends_with(WRITTEN) && metadata(path).is_some_and(|data| entry.fits(&data, rules))
    };
    let mut made = [b"DIRC".as_slice(), &version.max(3).to_be_bytes()].concat();
    made.extend(u32::try_from(entries.len()).ok()?.to_be_bytes());
    for entry in entries {
        if is_unchanged(&entry) {
            made.extend(entry.marked(version));
        } else {
            made.extend(entry.bytes);
        }
    }
    let kept = extensions
        .iter()
        .filter(|bytes| !OF_OFFSETS.iter().any(|known| bytes.starts_with(known)));
    kept.for_each(|extension| made.extend(*extension));
    // A checksum of zeros means that there is none (index.skipHash).
    let is_checked = checksum.iter().any(|byte| *byte != 0);
    let digest = Sha1::digest(&made);
    made.extend(if is_checked { digest.as_slice() } else { checksum });
    Some(made)
}

/// Reads an index as git's `gitformat-index` describes it, versions 2 to 4. Three kinds are not known here: an index in
/// two parts ("link"), one with whole directories in it ("sdir") and one with SHA-256. libgit2, with which Nix reads an
/// index, does not know them either.
fn read(bytes: &[u8]) -> Option<Index<'_>> {
    let mut rest = bytes.strip_prefix(b"DIRC")?;
    let version = number(&mut rest)?;
    let count = number(&mut rest)?;
    if !(2..=4).contains(&version) {
        return None;
    }
    let mut entries = Vec::new();
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
            padded(start + end)
        };
        let (bytes, after) = rest.split_at_checked(size)?;
        entries.push(Listed {
            name: name.clone(),
            bytes,
        });
        rest = after;
    }
    let (extensions, checksum) = extensions(rest)?;
    Some(Index {
        version,
        entries,
        extensions,
        checksum,
    })
}

/// Returns the length with one to eight NULs added, up to a multiple of eight.
fn padded(length: usize) -> usize {
    (length + 8) / 8 * 8
}

/// Reads the extensions, which a checksum follows. An extension whose signature starts with a small letter must be
/// understood: an index that has one cannot be read here.
fn extensions(mut rest: &[u8]) -> Option<(Vec<&[u8]>, &[u8])> {
    let mut found = Vec::new();
    while rest.len() > CHECKSUM {
        let length = number(&mut rest.get(4..)?)?;
        let (extension, after) = rest.split_at_checked(usize::try_from(length).ok()?.checked_add(8)?)?;
        if !extension.first()?.is_ascii_uppercase() {
            return None;
        }
        found.push(extension);
        rest = after;
    }
    (rest.len() == CHECKSUM).then_some((found, rest))
}

/// Returns the low 32 bits of a number, which are all that an index keeps of it.
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

/// Reads a number of variable width, as pack files have it for offsets.
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
pub(in crate::sources) mod tests;
