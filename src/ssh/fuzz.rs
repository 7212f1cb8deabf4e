//! ssh's own output, for `crate::fuzz`.

use super::is_shared;
use super::led::Led;
use super::needs::in_the_way;
use super::reasons::no_session;
use crate::fuzz::{FuzzTarget, text};
use crate::host::{OwnNames, Place};

pub const TARGETS: &[FuzzTarget] = &[
    FuzzTarget {
        name: "ssh's words",
        files: &["ssh/reasons.rs"],
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
        },
    },
    FuzzTarget {
        name: "where ssh would go",
        files: &["ssh/led.rs", "ssh/mod.rs", "ssh/needs.rs"],
        examples: &[
            b"user me\nhostname 10.0.0.1\nport 2222\nproxyjump none\n",
            b"hostname localhost\nport 22\nproxycommand nc %h %p\n",
            b"controlpath none\nstdinnull yes\nSessionType none\ncontrolpath /x\n",
        ],
        read: |bytes| {
            let own = OwnNames::new("pi");
            let whole = text(bytes);
            assert!(!is_shared(&whole) || whole.contains("controlpath "));
            assert!(in_the_way(&whole).is_none() || whole.to_lowercase().contains(['y', 'n']));
            if let Some(away) = Led::parse(&whole).and_then(|led| led.away_from(&own)) {
                assert!(away.len() <= bytes.len() * 3 + 30, "{away}");
            }
        },
    },
];
