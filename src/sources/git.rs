//! What git knows of a repository, read from its files: starting git would cost a weak machine more, and it need not be
//! there.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

/// What git tracks, by names that are relative to the root.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Tracked {
    /// Files and symlinks.
    pub files: Vec<PathBuf>,
    /// Submodules.
    pub modules: Vec<PathBuf>,
}

/// What an index lists. Nothing if it is of a kind that is not known here.
pub(super) fn tracked(index: &Path) -> Option<Tracked> {
    match fs::read(index) {
        Ok(bytes) => parse(&bytes),
        // Before the first `git add`.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Some(Tracked::default()),
        Err(_) => None,
    }
}

/// The directories that git keeps of the repository whose `.git` this is: a worktree's or a submodule's `.git` is a file
/// that says where they are, a worktree shares most with another, and objects may be borrowed.
pub(super) fn directories(git: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = Vec::new();
    // By what they are: files that name each other by `..` give ever longer names for the same directory.
    let mut seen = BTreeSet::new();
    let mut waiting = vec![named(git)];
    while let Some(directory) = waiting.pop() {
        let place = fs::canonicalize(&directory).ok().filter(|place| place.is_dir());
        if !place.is_some_and(|place| seen.insert(place)) {
            continue;
        }
        let text = |name: &str| fs::read(directory.join(name)).unwrap_or_default();
        if let Some(line) = lines(&text("commondir")).first() {
            waiting.push(directory.join(line));
        }
        let objects = directory.join("objects");
        let borrowed = lines(&text("objects/info/alternates"));
        waiting.extend(borrowed.iter().map(|line| objects.join(line)));
        found.push(directory);
    }
    found
}

/// The directory that a `.git` is, or names: `gitdir: PATH`.
fn named(git: &Path) -> PathBuf {
    let text = fs::read(git).unwrap_or_default();
    let target = text.strip_prefix(b"gitdir: ").map(lines);
    match target.as_deref() {
        Some([line, ..]) => git.parent().unwrap_or(Path::new("/")).join(line),
        _ => git.to_owned(),
    }
}

fn lines(text: &[u8]) -> Vec<PathBuf> {
    let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| PathBuf::from(OsStr::from_bytes(line))).collect()
}

/// git's `gitformat-index`, versions 2 to 4. An index in two parts ("link"), one with whole directories in it ("sdir") and
/// one with SHA-256 are not known here; nor to libgit2, with which Nix reads.
fn parse(bytes: &[u8]) -> Option<Tracked> {
    const FIXED: usize = 62;
    let mut rest = bytes.strip_prefix(b"DIRC")?;
    let version = number(&mut rest)?;
    let count = number(&mut rest)?;
    if !(2..=4).contains(&version) {
        return None;
    }
    let mut found = Tracked::default();
    let mut name = Vec::new();
    for _ in 0..count {
        let fixed = rest.get(..FIXED)?;
        let mode = u32::from_be_bytes(fixed.get(24..28)?.try_into().ok()?);
        let is_extended = version > 2 && fixed[60] & 0x40 != 0;
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
        rest = rest.get(size..)?;
        let path = PathBuf::from(OsStr::from_bytes(&name));
        if path.components().all(|part| matches!(part, Component::Normal(_))) {
            match mode & 0o170_000 {
                0o160_000 => found.modules.push(path),
                _ => found.files.push(path),
            }
        }
    }
    // Extensions, and a checksum. Of one with a small letter nobody may say that he has read the index without it.
    while rest.len() > 20 {
        let (signature, after) = rest.split_at_checked(4)?;
        rest = after;
        if !signature[0].is_ascii_uppercase() {
            return None;
        }
        let length = number(&mut rest)?;
        rest = rest.get(usize::try_from(length).ok()?..)?;
    }
    // An unmerged file is listed up to three times.
    found.files.dedup();
    (rest.len() == 20).then_some(found)
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
pub(super) mod tests {
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
        let found = parse(&bytes).unwrap();
        assert_eq!(found.files, ["a", "b\n\"c/d e", "l", "u"].map(PathBuf::from));
        assert_eq!(found.modules, [PathBuf::from("module")]);
        for length in 0..bytes.len() {
            assert_eq!(parse(&bytes[..length]), None, "{length}");
        }
        let found = parse(&index_of_version_4()).unwrap();
        assert_eq!(found.files, ["a/first", "a/second", "z"].map(PathBuf::from));
    }

    #[test]
    fn kinds_of_index_that_are_not_known() {
        let bytes = index(&[]);
        let (entries, checksum) = bytes.split_at(bytes.len() - 20);
        let with = |signature: &[u8]| [entries, signature, &[0, 0, 0, 1, b'x'], checksum].concat();
        assert_eq!(parse(&with(b"EOIE")), Some(Tracked::default()));
        assert_eq!(parse(&with(b"link")), None);
        assert_eq!(parse(&[b"DIRC\0\0\0\x05\0\0\0\0".as_slice(), checksum].concat()), None);
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

    #[test]
    fn where_git_keeps_what_it_keeps() {
        let root = tempfile::tempdir().unwrap();
        let path = |name: &str| root.path().join(name);
        let write = |name: &str, text: &str| {
            fs::create_dir_all(path(name).parent().unwrap()).unwrap();
            fs::write(path(name), text).unwrap();
        };
        write("main/.git/worktrees/tree/commondir", "../..\n");
        write(
            "main/.git/objects/info/alternates",
            "/nowhere\n../../../lender/.git/objects\n",
        );
        write("lender/.git/objects/12/34", "x");
        write("tree/.git", "gitdir: ../main/.git/worktrees/tree\n");
        let found = directories(&path("tree/.git"));
        let real: Vec<_> = found.iter().map(|path| fs::canonicalize(path).unwrap()).collect();
        let expected = ["main/.git/worktrees/tree", "main/.git", "lender/.git/objects"];
        assert_eq!(real, expected.map(|name| fs::canonicalize(path(name)).unwrap()));
        assert_eq!(directories(&path("main/.git")).len(), 2);
    }
}
