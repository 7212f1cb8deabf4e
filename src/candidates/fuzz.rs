//! ssh's files, for `crate::fuzz`.

use std::fs;

use super::Places;
use super::ssh_files::SshFiles;
use crate::fuzz::FuzzTarget;

pub const TARGETS: &[FuzzTarget] = &[FuzzTarget {
    name: "ssh's files",
    files: &["candidates/ssh_files.rs"],
    examples: &[
        b"Host builder *.x !y\n  HostName 10.0.0.1\n  Port 22\nHost=\"a b\"\n",
        b"[host]:2222,10.0.0.1 ssh-ed25519 AAAA\n|1|abc|def ssh-rsa AAAA\n@revoked x y\n@cert-authority *.z w v\n",
    ],
    read: |bytes| {
        let Ok(place) = tempfile::tempdir() else { return };
        let places = Places {
            directory: place.path().to_owned(),
            home: place.path().to_owned(),
            ssh: place.path().join("etc"),
            profiles: place.path().to_owned(),
            system: place.path().to_owned(),
        };
        // A file that is included may be anywhere on the machine that runs the test.
        let lower = bytes.to_ascii_lowercase();
        if lower.windows(7).any(|word| word == b"include") || lower.windows(14).any(|word| word == b"knownhostsfile") {
            return;
        }
        let written = fs::create_dir(place.path().join(".ssh"))
            .and_then(|()| fs::write(place.path().join(".ssh/config"), bytes))
            .and_then(|()| fs::write(place.path().join(".ssh/known_hosts"), bytes));
        if written.is_ok() {
            let found = SshFiles::read(&places);
            assert!(found.configured.iter().all(|name| !name.contains('*')), "{found:?}");
            assert!(found.known.len() <= bytes.len());
        }
    },
}];
