//! What a doctor's script says, for `crate::fuzz`.

use super::facts::{Facts, Told};
use super::finding::{Examined, Report};
use super::judge::judge;
use super::shown::{Looks, json, shown};
use super::{Patient, Roles};
use crate::fuzz::{FuzzTarget, is_harmless, text};
use crate::host::Place;
use crate::vocabulary::Elevation;

pub const TARGETS: &[FuzzTarget] = &[FuzzTarget {
    name: "a doctor's facts",
    files: &["doctor/facts.rs", "doctor/judge.rs", "doctor/judge/builder.rs", "doctor/judge/target.rs", "doctor/shown.rs"],
    examples: &[
        b"@rebuild hello",
        b"@rebuild looks daemon",
        b"@rebuild is memory 4000 0 0",
        b"@rebuild is setting system-features kvm big-parallel",
        b"@rebuild is feature kvm no",
        b"@rebuild is room-boot 1234 /boot",
        b"@rebuild is machine aarch64-linux\n@rebuild is nix /bin\n@rebuild is version 2.26\x1b[2J\n@rebuild is setting system x\x1b]0;t\x07\n\
          @rebuild is memory 4000 0 0\n@rebuild is room-boot 1234 /boot\n@rebuild is feature kvm no\n@rebuild is systemd no",
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
        let Ok(Place::There(host)) = Place::parse("builder", "own") else {
            return;
        };
        let roles = Roles {
            evaluates: true,
            builds: true,
            is_changed: true,
        };
        for elevation in [Elevation::None, Elevation::Sudo] {
            let patient = Patient {
                host: Some(&host),
                roles,
                system: None,
                elevation,
                lends: true,
            };
            let machines = vec![Examined {
                host: Some(host.clone()),
                roles: vec!["builds"],
                findings: judge(&facts, &patient),
            }];
            let report = Report {
                machines,
                ..Report::default()
            };
            let text = shown(&report, Looks::default());
            assert!(is_harmless(&text), "{text:?}");
            let text = json(&report).to_string();
            assert!(is_harmless(&text), "{text:?}");
        }
    },
}];
