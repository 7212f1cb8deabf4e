//! What git knows of a repository, read from its files: starting git would cost a weak machine more, and it need not be
//! there.

pub(super) mod config;
pub(super) mod index;
pub(super) mod settings;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::opening;
pub(super) use index::Tracked;

/// One that is larger, in bytes, is not read: some eight million files.
const LARGEST_INDEX: u64 = 1 << 30;

/// What an index lists. Nothing if it is of a kind that is not known here.
pub(super) fn tracked(index: &Path) -> Option<Tracked> {
    match opening::read_at_most(index, LARGEST_INDEX) {
        Ok(bytes) => index::tracked(&bytes),
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
    // What is in its own place is there whatever is in it; what names another, somebody else may have written.
    let own = fs::symlink_metadata(git)
        .is_ok_and(|data| data.is_dir())
        .then(|| git.to_owned());
    while let Some(directory) = waiting.pop() {
        let is_sensible = own.as_ref() == Some(&directory) || is_gits(&directory);
        let place = fs::canonicalize(&directory)
            .ok()
            .filter(|place| is_sensible && place.is_dir());
        if !place.is_some_and(|place| seen.insert(place)) {
            continue;
        }
        let text = |name: &str| opening::read_short(&directory.join(name)).unwrap_or_default();
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

/// Whether a directory looks like one of git's: a repository's or a worktree's, or objects. All that is in it is sent, and
/// anybody can write a `.git` that names another.
fn is_gits(directory: &Path) -> bool {
    ["HEAD", "pack"].iter().any(|name| directory.join(name).exists())
}

/// The directory that a `.git` is, or names: `gitdir: PATH`.
fn named(git: &Path) -> PathBuf {
    let text = opening::read_short(git).unwrap_or_default();
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

#[cfg(test)]
mod tests {
    use super::*;

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
        write("lender/.git/objects/pack/x.pack", "x");
        write("main/.git/HEAD", "x");
        write("main/.git/worktrees/tree/HEAD", "x");
        write("tree/.git", "gitdir: ../main/.git/worktrees/tree\n");
        let found = directories(&path("tree/.git"));
        let real: Vec<_> = found.iter().map(|path| fs::canonicalize(path).unwrap()).collect();
        let expected = ["main/.git/worktrees/tree", "main/.git", "lender/.git/objects"];
        assert_eq!(real, expected.map(|name| fs::canonicalize(path(name)).unwrap()));
        assert_eq!(directories(&path("main/.git")).len(), 2);
        write("other/.git", "gitdir: ..\n");
        assert!(directories(&path("other/.git")).is_empty());
        // A broken one is still in its place, and one by a link is as one that names another.
        write("broken/.git/config", "x");
        assert_eq!(directories(&path("broken/.git")), [path("broken/.git")]);
        fs::create_dir(path("linked")).unwrap();
        std::os::unix::fs::symlink("..", path("linked/.git")).unwrap();
        assert!(directories(&path("linked/.git")).is_empty());
    }
}
