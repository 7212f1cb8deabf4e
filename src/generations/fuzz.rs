//! A profile's links, for `crate::fuzz`.

use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;

use super::links;
use crate::fuzz::FuzzTarget;

pub const TARGETS: &[FuzzTarget] = &[FuzzTarget {
    name: "generations",
    files: &["generations/mod.rs", "generations/listing.rs"],
    examples: &[
        b"system-1-link",
        b"system-18446744073709551616-link",
        b"system--1-link",
        b"system-+1-link",
    ],
    read: |bytes| {
        let Ok(place) = tempfile::tempdir() else { return };
        let profile = place.path().join("system");
        let name = std::ffi::OsStr::from_bytes(bytes);
        // A name that no file can have cannot be a link's.
        let is_name = !bytes.contains(&b'/') && symlink("/nonexistent", place.path().join(name)).is_ok();
        if is_name && symlink(name, &profile).is_ok() {
            let found = links(&profile).unwrap_or_default();
            assert!(
                found.len() <= 1 && found.iter().all(|link| link.is_current),
                "{}",
                found.len()
            );
        }
    },
}];
