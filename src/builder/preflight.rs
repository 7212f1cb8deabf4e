//! What the other machine says before anything slow (`scripts/preflight.sh`), and what the user is told of it; and what a
//! failed build says of the machine. Nothing of the first ends a run: it might succeed all the same.

use crate::conditions::room::{Bounds, OF_CACHE, OF_STORE, size};
use crate::conditions::{Condition, Words};
use crate::host::Host;

/// How much is free there, in KiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FreeRoom {
    /// For what is kept of the client's files.
    pub cache: u64,
    /// In the store.
    pub store: u64,
}

impl FreeRoom {
    /// Returns the warnings about too little room. `evaluates` and `builds` are what the machine does in this run.
    #[must_use]
    pub(super) fn warnings(self, host: &Host, evaluates: bool, builds: bool) -> Vec<String> {
        let warning = |is_used: bool, free: u64, bounds: Bounds, condition, message: &str| {
            (is_used && free < bounds.bad).then(|| {
                let remedy = remedy(condition, host, "").replace('\n', "\n  ");
                format!("warning: {message}, {}: this may fail\n  {remedy}", size(free))
            })
        };
        let of_cache = format!("{host} has little room in ~/.cache");
        let of_store = format!("{host} has little room in /nix/store");
        let all = [
            warning(evaluates, self.cache, OF_CACHE, Condition::Room, &of_cache),
            warning(builds, self.store, OF_STORE, Condition::BuildRoom, &of_store),
        ];
        all.into_iter().flatten().collect()
    }
}

/// What a build could not have there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lack {
    /// These features of the machine, separated by blanks.
    Features(String),
    /// The system, for which it does not build.
    System(String),
}

impl Lack {
    /// Reads it from an error of Nix's, in the words of Nix up to 2.33 ("a 'SYSTEM' with features {F} is required to build
    /// 'DRV', but I am a 'SYSTEM' with features {F}") or of 2.34 ("Reason: missing system features / Required features: {F}
    /// / Available features: {F}", "Reason: platform mismatch / Required system: 'SYSTEM'").
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let text = console::strip_ansi_codes(text);
        let between = |text: &str, start: &str, end: &str| -> Option<String> {
            let rest = &text[text.find(start)? + start.len()..];
            Some(rest[..rest.find(end)?].to_owned())
        };
        if let Some((wanted, own)) = text
            .split_once(" is required to build ")
            .and_then(|(before, after)| Some((before, after.split_once("but I am a ")?.1)))
        {
            let system = between(
                &wanted[wanted.rfind(" a '").or_else(|| wanted.find("a '"))?..],
                "'",
                "'",
            )?;
            let features = |text: &str| Some(words(&between(text, "{", "}")?));
            let missing = missing(
                &features(wanted).unwrap_or_default(),
                &features(own).unwrap_or_default(),
            );
            let own_system = between(own, "'", "'")?;
            // A machine may build for more systems than its own; then only the features can be the reason.
            return Some(
                if missing.is_empty() || (system != own_system && features(wanted)?.is_empty()) {
                    Self::System(system)
                } else {
                    Self::Features(missing.join(" "))
                },
            );
        }
        if let Some(system) = between(&text, "Required system: '", "'") {
            return Some(Self::System(system));
        }
        let required = words(&between(&text, "Required features: {", "}")?);
        let available = between(&text, "Available features: {", "}").unwrap_or_default();
        let available = words(&available);
        let missing = missing(&required, &available);
        (!missing.is_empty()).then(|| Self::Features(missing.join(" ")))
    }

    /// Returns what the user reads of it, and what to do.
    #[must_use]
    pub(super) fn words(&self, host: &Host) -> (String, String) {
        match self {
            Self::Features(names) => (
                format!("Nix on {host} lacks the feature {names}, which a build requires; its CPU is not the matter"),
                remedy(Condition::Features, host, names),
            ),
            Self::System(system) => (
                format!("Nix on {host} does not build for {system}, which a build requires"),
                Condition::Platform.remedy(&Words {
                    host: &host.to_string(),
                    ssh: &host.words_for_ssh(),
                    system,
                    it: "",
                }),
            ),
        }
    }
}

fn words(text: &str) -> Vec<String> {
    let all = text.split([',', ' ', '\'', '"']).filter(|word| !word.is_empty());
    all.map(str::to_owned).collect()
}

fn missing(required: &[String], available: &[String]) -> Vec<String> {
    let all = required.iter().filter(|name| !available.contains(name));
    all.cloned().collect()
}

fn remedy(condition: Condition, host: &Host, it: &str) -> String {
    condition.remedy(&Words {
        host: &host.to_string(),
        ssh: &host.words_for_ssh(),
        system: "",
        it,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Place;

    /// In the words that Nix 2.8, 2.26 and 2.34 were seen to say.
    #[test]
    fn a_missing_feature_is_told_apart_from_a_missing_cpu() {
        for (text, expected) in [
            (
                "error: a 'x86_64-linux' with features {big-parallel} is required to build '/nix/store/x.drv', but I am a 'x86_64-linux' with features {benchmark}",
                Some(Lack::Features("big-parallel".into())),
            ),
            (
                "error: a 'aarch64-linux' with features {big-parallel, kvm} is required to build '/nix/store/x.drv', but I am a 'x86_64-linux' with features {benchmark, big-parallel}",
                Some(Lack::Features("kvm".into())),
            ),
            (
                "\u{1b}[31;1merror:\u{1b}[0m a '\u{1b}[35;1mriscv64-linux\u{1b}[0m' with features {} is required to build '\u{1b}[35;1m/nix/store/x.drv\u{1b}[0m', but I am a 'x86_64-linux' with features {benchmark}",
                Some(Lack::System("riscv64-linux".into())),
            ),
            (
                "error: a 'riscv64-linux' with features {kvm} is required to build 'x', but I am a 'x86_64-linux' with features {kvm}",
                Some(Lack::System("riscv64-linux".into())),
            ),
            (
                "error: Cannot build '/nix/store/a.drv'.\n       Reason: missing system features\n       Required features: {big-parallel, kvm}\n       Available features: {benchmark, kvm}",
                Some(Lack::Features("big-parallel".into())),
            ),
            (
                "error: Cannot build '/nix/store/a.drv'.\n       Reason: platform mismatch\n       Required system: 'riscv64-linux'\n       Current system: 'x86_64-linux'\n       Reason: missing system features\n       Required features: {kvm}\n       Available features: {}",
                Some(Lack::System("riscv64-linux".into())),
            ),
            ("error: builder for 'x' failed with exit code 1", None),
            ("a 'x is required to build but I am a ", None),
            ("Required features: {", None),
        ] {
            assert_eq!(Lack::read(text), expected, "{text}");
        }
    }

    #[test]
    fn too_little_room_is_a_warning_with_a_remedy() {
        let place = Place::parse("me@builder", "pi").unwrap();
        let host = place.host().unwrap();
        let free = FreeRoom {
            cache: 1000,
            store: 100_000,
        };
        let both = free.warnings(host, true, true);
        assert!(
            both[0].starts_with("warning: me@builder has little room in ~/.cache, 1000 KiB: this may fail\n  "),
            "{both:?}"
        );
        assert!(
            both[1].contains("/nix/store, 97 MiB") && both[1].contains("nix-collect-garbage -d"),
            "{both:?}"
        );
        assert_eq!(
            (
                free.warnings(host, true, false).len(),
                free.warnings(host, false, true).len()
            ),
            (1, 1)
        );
        let much = FreeRoom {
            cache: OF_CACHE.bad,
            store: OF_STORE.bad,
        };
        assert_eq!(much.warnings(host, true, true), Vec::<String>::new());
    }
}
