//! Lines of other processes, for `crate::fuzz`.

use super::lines::Lines;
use crate::fuzz::FuzzTarget;

pub const TARGETS: &[FuzzTarget] = &[FuzzTarget {
    name: "lines of other processes",
    files: &["process/lines.rs"],
    examples: &[b"@rebuild hello /nix x\r\n\n@nix {}\nend", b"\xff\0\n"],
    read: |bytes| {
        let (mut lines, mut kept) = (Lines::new(bytes), 0);
        while let Some(line) = lines.next_line() {
            assert!(!line.bytes.contains(&b'\n'));
            kept += line.bytes.len() as u64 + line.gap.map_or(0, |(_, missing)| missing);
            let _ = line.into_text();
        }
        assert!(kept <= bytes.len() as u64);
    },
}];
