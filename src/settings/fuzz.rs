//! Files of settings, for `crate::fuzz`.

use super::file;
use crate::fuzz::FuzzTarget;

pub const TARGETS: &[FuzzTarget] = &[FuzzTarget {
    name: "settings",
    files: &["settings/file.rs"],
    examples: &[
        br#"{ "evalHost": "builder", "buildHost": null, "sudo": true, "diff": "none" }"#,
        br#"{ "evalHost": ["x", "me@y"], "wake": "true; x", "wakeTimeout": 5, "reconnectTimeout": 0, "unattendedTimeout": 604801 }"#,
        br#"{ "evalHost": ["x"], "unknown": { "a": 1e999 } }"#,
        b"[]",
    ],
    read: |bytes| {
        let Ok(place) = tempfile::tempdir() else { return };
        let path = place.path().join("rebuild.json");
        if std::fs::write(&path, bytes).is_ok() {
            let user = nix::unistd::getuid().as_raw();
            if let Err(failure) = file::read(&path, user, &mut Vec::new()) {
                assert!(failure.remedy().is_some(), "{failure}");
            }
        }
    },
}];
