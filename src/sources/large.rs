//! Directories of a mirror with so many names that an evaluation gets them in place, without a copy
//! (`builder/scripts/view.sh`).

use std::collections::HashMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::guard;
use super::mirror::{Entry, Mirror};

/// A directory with more names below it than this is large. A copy of so many names by links takes some 20 ms.
const MANY: usize = 1000;

/// A large directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Large {
    /// Its path.
    pub path: PathBuf,
    /// Whether nothing in it is shut. A look then tells nothing about it.
    pub is_whole: bool,
}

impl Large {
    /// Returns it as a word for a line and for an fstab, with `\ooo` for each character that could mean something there
    /// or to a shell.
    #[must_use]
    pub fn word(&self) -> OsString {
        let mut word = OsString::from(if self.is_whole { "whole:" } else { "large:" });
        for byte in self.path.as_os_str().as_bytes() {
            if byte.is_ascii_alphanumeric() || b"/._-".contains(byte) {
                word.push(char::from(*byte).to_string());
            } else {
                word.push(format!("\\{byte:03o}"));
            }
        }
        word
    }
}

/// What is known of a directory's names while they are counted, beginning with the last.
#[derive(Default)]
struct Below {
    names: usize,
    has_shut: bool,
}

/// Returns the directories with more than [`MANY`] names below them; the names in a lower large directory do not count
/// for the one above. Of two large directories of which one lies in the other, only the upper one is returned. None of
/// them is above `lock`, the file that an evaluation may write.
#[must_use]
pub fn large(mirror: &Mirror, lock: Option<&Path>) -> Vec<Large> {
    let mut open: HashMap<&Path, Below> = HashMap::new();
    let mut found: Vec<Large> = Vec::new();
    // The loop begins with the last entry, so the contents of a directory come before the directory.
    for (path, entry) in mirror.entries.iter().rev() {
        let mut own = open.remove(path.as_path()).unwrap_or_default();
        own.has_shut |= matches!(entry, Entry::Shut(_));
        if own.names > MANY && can_be_one(path, entry, lock) {
            found.push(Large {
                path: path.clone(),
                is_whole: !own.has_shut,
            });
            own.names = 0;
        }
        if let Some(parent) = path.parent() {
            let above = open.entry(parent).or_default();
            above.names += own.names + 1;
            above.has_shut |= own.has_shut;
        }
    }
    without_lower(found)
}

/// Returns whether nothing in the directory will be written: it is not above the lock file, and it is not in git's own
/// directory, where git writes when a lock file becomes tracked. (`view.sh` itself leaves out what is the builder's
/// own.)
fn can_be_one(path: &Path, entry: &Entry, lock: Option<&Path>) -> bool {
    let is_above_lock = lock.is_some_and(|lock| lock.starts_with(path));
    let is_open = matches!(entry, Entry::Open { .. }) && path != Path::new("/");
    is_open && !is_above_lock && !guard::is_in_git(path)
}

/// Sorts the directories by their names, and drops those that lie in another one.
fn without_lower(found: Vec<Large>) -> Vec<Large> {
    let mut kept: Vec<Large> = Vec::new();
    for large in found.into_iter().rev() {
        if kept.last().is_none_or(|last| !large.path.starts_with(&last.path)) {
            kept.push(large);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::super::mirror::{FileKind, Identity};
    use super::*;

    fn content() -> Entry {
        Entry::Content {
            executable: false,
            mtime: 0,
            identity: Identity::of_bytes(b""),
        }
    }

    fn mirror(files: &[(&str, usize, Entry)]) -> Mirror {
        let mut mirror = Mirror::default();
        for (directory, number, entry) in files {
            for above in Path::new(directory).ancestors() {
                let open = Entry::Open { mtime: None };
                mirror.entries.entry(above.to_owned()).or_insert(open);
            }
            for number in 0..*number {
                let path = Path::new(directory).join(format!("f{number}"));
                mirror.entries.insert(path, entry.clone());
            }
        }
        mirror
    }

    fn words(mirror: &Mirror, lock: Option<&str>) -> Vec<String> {
        let large = large(mirror, lock.map(Path::new));
        large.iter().map(|large| large.word().into_string().unwrap()).collect()
    }

    #[test]
    fn of_two_in_each_other_the_upper_one() {
        let shut = Entry::Shut(FileKind::File);
        let many = mirror(&[
            ("/c", 900, content()),
            ("/c/data/a", 1001, content()),
            ("/c/data/b", 1000, content()),
            ("/c/data/x y\n*'", 1500, content()),
            ("/d/e", 600, content()),
            ("/d/f", 600, content()),
            ("/few", 1000, content()),
            ("/g", 3000, content()),
            ("/g/h", 3000, shut.clone()),
            ("/s", 3000, shut),
        ]);
        // "/c/data" has more than a thousand names besides those of its large directories, and "/c" has not.
        assert_eq!(
            words(&many, None),
            ["whole:/c/data", "whole:/d", "large:/g", "large:/s"]
        );
        let lower = mirror(&[("/c/data/a", 1001, content()), ("/c/x y\n*'", 1500, content())]);
        assert_eq!(
            words(&lower, None),
            ["whole:/c/data/a", "whole:/c/x\\040y\\012\\052\\047"]
        );
    }

    #[test]
    fn not_where_a_lock_file_may_be_written() {
        let flake = mirror(&[("/f", 2000, content()), ("/f/g/h", 2000, content())]);
        assert_eq!(words(&flake, None), ["whole:/f"]);
        assert_eq!(words(&flake, Some("/f/flake.lock")), ["whole:/f/g/h"]);
        assert_eq!(words(&flake, Some("/f/g/flake.lock")), ["whole:/f/g/h"]);
        assert_eq!(words(&flake, Some("/f/g/h/flake.lock")), Vec::<String>::new());
        assert_eq!(words(&flake, Some("/f/g/hi/flake.lock")), ["whole:/f/g/h"]);
        let git = mirror(&[
            ("/f/.git/objects", 2000, content()),
            ("/f/.git", 2000, content()),
            ("/f/g", 2000, content()),
        ]);
        assert_eq!(words(&git, Some("/f/flake.lock")), ["whole:/f/g"]);
        assert_eq!(words(&git, None), ["whole:/f"]);
    }

    /// A directory of which only some names are known is never listed as it is, and is never mounted.
    #[test]
    fn only_directories_that_are_there_with_all_their_names() {
        let mut unsaid = mirror(&[("/n/s", 2000, content())]);
        unsaid.entries.remove(Path::new("/n/s"));
        unsaid.entries.remove(Path::new("/n"));
        assert_eq!(words(&unsaid, None), Vec::<String>::new());
    }
}
