//! The names in a directory, and directories of this user's alone.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

/// Returns the names in a directory, in order; none if there is no such directory. Names that are no text are skipped:
/// Nix has none, and no command of this program could take them.
#[must_use]
pub fn names(directory: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect()
}

/// Makes a directory that nobody else may look into, and those above it that are not there.
///
/// # Errors
/// Fails if it cannot be made. That it is there already is no error, and nothing changes then.
pub fn make_private(directory: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    #[test]
    fn names_are_in_order_and_text() {
        let place = tempfile::tempdir().unwrap();
        for name in ["b", ".a", "c d"] {
            fs::write(place.path().join(name), "").unwrap();
        }
        fs::create_dir(place.path().join(OsStr::from_bytes(b"\xff"))).unwrap();
        assert_eq!(Vec::from_iter(names(place.path())), [".a", "b", "c d"]);
        assert!(names(Path::new("/nonexistent")).is_empty());
    }
}
