//! What Nix and the target report of a difference, for `crate::fuzz`.

use super::line::PackageChange;
use super::next_boot::NextBoot;
use crate::fuzz::{FuzzTarget, is_harmless, text};

pub const TARGETS: &[FuzzTarget] = &[
    FuzzTarget {
        name: "differences",
        files: &["difference/line.rs"],
        examples: &[
            "firefox: 120.0 → 121.0, \x1b[31;1m+2832.0 KiB\x1b[0m".as_bytes(),
            "gone: 2, 3.1 → ∅, -30.2 KiB".as_bytes(),
            b"etc: -1953.1 KiB",
            "x: ε → 1, 99999999999999999999 TiB".as_bytes(),
        ],
        read: |bytes| {
            if let Some(line) = PackageChange::parse(&text(bytes)) {
                let words = line.from.iter().chain(&line.to).chain([&line.name]);
                for word in words {
                    assert!(is_harmless(word) && !word.contains([' ', '/', '\n']), "{line:?}");
                }
            }
        },
    },
    FuzzTarget {
        name: "the next boot",
        files: &["difference/next_boot.rs"],
        examples: &[b"6.1 6.6 kernel initrd parameters", b"- - kernel"],
        read: |bytes| {
            if let Some(boot) = NextBoot::parse(&text(bytes)) {
                assert!(is_harmless(&boot.hint("test", Some("x"))), "{boot:?}");
            }
        },
    },
];
