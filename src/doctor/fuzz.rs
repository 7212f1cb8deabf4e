//! What a doctor's script says, for `crate::fuzz`.

use super::facts::{Facts, Told};
use crate::fuzz::{FuzzTarget, text};

pub const TARGETS: &[FuzzTarget] = &[FuzzTarget {
    name: "a doctor's facts",
    files: &["doctor/facts.rs"],
    examples: &[
        b"@rebuild hello",
        b"@rebuild looks daemon",
        b"@rebuild is memory 4000 0 0",
        b"@rebuild is setting system-features kvm big-parallel",
        b"@rebuild is feature kvm no",
        b"@rebuild is room-boot 1234 /boot",
        b"@rebuild finished",
    ],
    read: |bytes| {
        let told = Told::parse(bytes);
        assert!(told.is_none() || bytes.starts_with(b"@rebuild "), "{told:?}");
        let mut facts = Facts::default();
        for line in text(bytes).lines() {
            if let Some(Told::Fact(name, value)) = Told::parse(line.as_bytes()) {
                facts.hear(name, value);
            }
        }
        let _ = (facts.numbers("memory"), facts.setting("system"));
    },
}];
