//! The names that go to the other machine without any content, as a list: in a tar stream each name would take a
//! kilobyte.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::mirror::{Entry, FileKind};

/// Up to this many names go among the files, because the other machine needs some more processes to make names from a
/// list.
const FEW: usize = 1000;

/// Whether the names of a change go as a list. The names themselves are not kept here: there may be a hundred thousand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Names {
    are_listed: bool,
}

impl Names {
    /// Looks at the entries: the names go as a list if many entries are there by their names only.
    #[must_use]
    pub fn of<'a>(entries: impl Iterator<Item = (&'a Path, &'a Entry)>) -> Self {
        let shut = entries.filter(|(path, entry)| letter(path, entry).is_some());
        Self {
            are_listed: shut.count() > FEW,
        }
    }

    /// Writes the directories that hold these names: paths relative to the mirror's own directory, each ended by a NUL,
    /// as `make_names` in `builder/scripts/mirror.sh` reads them.
    ///
    /// # Errors
    /// Returns an error if they cannot be written.
    pub fn write_parents<'a>(
        self,
        entries: impl Iterator<Item = (&'a Path, &'a Entry)>,
        to: &mut impl Write,
    ) -> io::Result<()> {
        let parents = self.listed(entries).filter_map(|(_, path)| path.parent());
        for path in parents.collect::<BTreeSet<&Path>>() {
            to.write_all(&[b".", path.as_os_str().as_bytes(), b"\0"].concat())?;
        }
        Ok(())
    }

    /// Writes the names in the same way, each after a letter for its kind.
    ///
    /// # Errors
    /// Returns an error if they cannot be written.
    pub fn write_names<'a>(
        self,
        entries: impl Iterator<Item = (&'a Path, &'a Entry)>,
        to: &mut impl Write,
    ) -> io::Result<()> {
        for (letter, path) in self.listed(entries) {
            to.write_all(&[&[letter, b'.'], path.as_os_str().as_bytes(), b"\0"].concat())?;
        }
        Ok(())
    }

    fn listed<'a>(self, entries: impl Iterator<Item = (&'a Path, &'a Entry)>) -> impl Iterator<Item = (u8, &'a Path)> {
        let entries = entries.filter(move |_| self.are_listed);
        entries.filter_map(|(path, entry)| Some((letter(path, entry)?, path)))
    }

    /// Returns whether this entry goes in the list.
    #[must_use]
    pub fn have(self, entry: &Entry) -> bool {
        self.are_listed && letter(Path::new(""), entry).is_some()
    }
}

fn letter(path: &Path, entry: &Entry) -> Option<u8> {
    match entry {
        Entry::Shut(FileKind::Directory) => Some(b'd'),
        Entry::Shut(FileKind::File) if path.extension().is_some_and(|extension| extension == "nix") => Some(b'n'),
        Entry::Shut(FileKind::File) => Some(b'f'),
        _ => None,
    }
}
