//! What git knows of a repository, read from git's files: a start of git would cost a weak machine more, and git need
//! not be installed.

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

/// A larger index, in bytes, is not read: it would list some eight million files.
const LARGEST_INDEX: u64 = 1 << 30;

/// Returns what an index lists, or None if the index is of a kind that is not known here.
pub(super) fn tracked(index: &Path) -> Option<Tracked> {
    match opening::read_at_most(index, LARGEST_INDEX) {
        Ok(bytes) => index::tracked(&bytes),
        // The index does not exist before the first `git add`.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Some(Tracked::default()),
        Err(_) => None,
    }
}

/// Returns the directories that git keeps for the repository with this `.git`. The `.git` of a worktree or a submodule
/// is a file that says where they are; a worktree shares most of them with another one; and objects may be borrowed.
pub(super) fn directories(git: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = Vec::new();
    // Directories are known by their real paths: files that name each other by `..` would give ever longer names for
    // the same directory.
    let mut seen = BTreeSet::new();
    let mut waiting = vec![named(git)];
    // A `.git` directory in its own place counts whatever it contains. A directory that is only named has to look like
    // git's, because somebody else may have written its name.
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

/// Returns whether a directory looks like one of git's: a repository's, a worktree's, or one of objects. Everything in
/// it is sent, and anybody can write a `.git` that names another directory.
fn is_gits(directory: &Path) -> bool {
    ["HEAD", "pack"].iter().any(|name| directory.join(name).exists())
}

/// Returns the directory that a `.git` is, or that it names: `gitdir: PATH`.
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
        // A broken `.git` directory is still in its own place; one that is a link counts like one that names another.
        write("broken/.git/config", "x");
        assert_eq!(directories(&path("broken/.git")), [path("broken/.git")]);
        fs::create_dir(path("linked")).unwrap();
        std::os::unix::fs::symlink("..", path("linked/.git")).unwrap();
        assert!(directories(&path("linked/.git")).is_empty());
    }
}
