//! Names of which nothing else goes to the other machine, as a list: in a tar stream each would take a kilobyte.

use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::mirror::{Entry, Kind};

/// Up to so many go among the files: to make them of a list takes some processes more there.
const FEW: usize = 1000;

/// A list of names, as `make_names` in `session/scripts/mirror.sh` has it. Both parts are paths from the mirror's own
/// directory, each ended by a NUL.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// The directories that they are in.
    pub parents: Vec<u8>,
    /// The names, each after a letter for what it is there.
    pub names: Vec<u8>,
}

impl Names {
    /// Of those that are there by their names only, if they are many; otherwise none of them.
    #[must_use]
    pub fn of<'a>(entries: impl Iterator<Item = (&'a Path, &'a Entry)>) -> Self {
        let shut: Vec<_> = entries
            .filter_map(|(path, entry)| Some((letter(path, entry)?, path)))
            .collect();
        if shut.len() <= FEW {
            return Self::default();
        }
        let parents: BTreeSet<&Path> = shut.iter().filter_map(|(_, path)| path.parent()).collect();
        let mut list = Self::default();
        for path in parents {
            list.parents.extend([b".", path.as_os_str().as_bytes(), b"\0"].concat());
        }
        for (letter, path) in shut {
            let path = path.as_os_str().as_bytes();
            list.names.extend([&[letter, b'.'], path, b"\0"].concat());
        }
        list
    }

    /// Whether what is there of a path goes in this list.
    #[must_use]
    pub fn have(&self, entry: &Entry) -> bool {
        !self.names.is_empty() && letter(Path::new(""), entry).is_some()
    }
}

fn letter(path: &Path, entry: &Entry) -> Option<u8> {
    match entry {
        Entry::Shut(Kind::Directory) => Some(b'd'),
        Entry::Shut(Kind::File) if path.extension().is_some_and(|extension| extension == "nix") => Some(b'n'),
        Entry::Shut(Kind::File) => Some(b'f'),
        _ => None,
    }
}
