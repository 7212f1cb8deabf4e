//! ssh's own words, for `crate::fuzz`.

use super::reasons::no_session;
use super::said::Said;
use crate::fuzz::{Target, text};
use crate::host::Place;

pub(crate) const TARGETS: &[Target] = &[Target {
    name: "ssh's words",
    files: &["ssh/reasons.rs", "ssh/said.rs"],
    examples: &[
        b"ssh: Could not resolve hostname builder: Name or service not known",
        b"ssh: connect to host builder port 22: Connection refused\r\nx",
        b"root@builder: Permission denied (publickey).",
        b"Host key verification failed.",
        "banner ü\nkex_exchange_identification: x".as_bytes(),
    ],
    read: |bytes| {
        let whole = text(bytes);
        let Ok(Place::There(host)) = Place::parse("builder", "own") else {
            return;
        };
        for code in [0, 1, 255] {
            let failure = no_session(&host, code, &whole);
            assert!(failure.to_string().len() <= 2 * whole.len() + 300, "{failure}");
        }
        let mut said = Said::default();
        for _ in 0..20 {
            said.hear(&whole);
        }
        assert!(said.text().len() <= (64 << 10), "{}", said.text().len());
    },
}];
