//! A profile's links, for `crate::fuzz`.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;

use super::{GenerationLink, links, read, table};
use crate::fuzz::{FuzzTarget, is_harmless};

pub const TARGETS: &[FuzzTarget] = &[
    FuzzTarget {
        name: "what a generation says of itself",
        files: &["generations/mod.rs", "generations/table.rs"],
        examples: &[b"25.05.1234.abcdef0\nmy-name\n6.6.0", b"\x1b[2J\xc2\x9b\ni't\ns\n\"q\""],
        read: |bytes| {
            let Ok(place) = tempfile::tempdir() else { return };
            let system = place.path().join("system-1-link");
            // The names are short: no file has a longer one.
            let names = bytes
                .split(|byte| *byte == b'\n')
                .map(|name| &name[..name.len().min(100)]);
            let made = fs::create_dir_all(system.join("specialisation"))
                .and_then(|()| fs::write(system.join("nixos-version"), bytes));
            if made.is_err() {
                return;
            }
            for name in names.filter(|name| !name.contains(&b'/')).take(20) {
                let name = std::ffi::OsStr::from_bytes(name);
                let _ = fs::write(system.join("specialisation").join(name), "");
                let _ = fs::create_dir_all(system.join("kernel-modules/lib/modules").join(name));
            }
            let link = GenerationLink {
                number: 1,
                path: system,
                is_current: true,
            };
            let revision = String::from_utf8_lossy(bytes).into_owned();
            let generation = read(&link, Some(revision));
            let shown = table(std::slice::from_ref(&generation));
            assert!(is_harmless(&shown) && shown.lines().count() == 2, "{shown:?}");
            assert!(serde_json::to_string(&generation).is_ok());
        },
    },
    FuzzTarget {
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
    },
];
