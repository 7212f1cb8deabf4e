//! What a target says, for `crate::fuzz`.

use super::reply::TargetEvent;
use crate::fuzz::FuzzTarget;

pub const TARGETS: &[FuzzTarget] = &[FuzzTarget {
    name: "a target's events",
    files: &["activation/reply.rs"],
    examples: &[
        b"@rebuild hello 1000",
        b"@rebuild current /run/a /run/b",
        b"@rebuild closure 123 /nix/store/x",
        b"@rebuild next-boot 6.1 6.6 kernel initrd",
        b"@rebuild record rebuild-1 switch /nix/store/x 1700000000",
        b"@rebuild ended activation 4",
        b"@rebuild ended back 4 0 - 17 18",
        "@rebuild difference a: 1 → 2".as_bytes(),
        b"@rebuild nix /nix/bin",
        b"@rebuild room 12345 /boot",
    ],
    read: |bytes| {
        let event = TargetEvent::parse(bytes);
        assert!(event.is_none() || bytes.starts_with(b"@rebuild "), "{event:?}");
    },
}];
