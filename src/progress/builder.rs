//! Which machine builds, and whether it has the CPU for it.

/// Where builds run that Nix says nothing else of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Builder {
    /// The machine, by ssh's name of it; this one if there is none.
    pub host: Option<String>,
    /// Whether it emulates the CPU that is built for.
    pub emulates: bool,
}

impl Builder {
    /// Another machine, of this system of its own, that builds for `wanted`.
    #[must_use]
    pub fn there(host: &str, own: &str, wanted: &str) -> Self {
        Self {
            host: Some(host.to_owned()),
            emulates: is_foreign(own, wanted),
        }
    }

    /// This machine.
    #[must_use]
    pub fn here(own: &str, wanted: &str) -> Self {
        Self {
            host: None,
            emulates: is_foreign(own, wanted),
        }
    }
}

/// Whether a machine has to emulate a CPU to build for a system.
fn is_foreign(own: &str, wanted: &str) -> bool {
    let cpu = |system: &str| match system.split('-').next().unwrap_or(system) {
        // Their CPUs' own modes.
        "i486" | "i586" | "i686" | "x86" => "x86_64".to_owned(),
        "armv6l" | "armv7l" | "arm" => "aarch64".to_owned(),
        other => other.to_owned(),
    };
    cpu(own) != cpu(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_emulated() {
        for (own, wanted, expected) in [
            ("x86_64-linux", "aarch64-linux", true),
            ("x86_64-linux", "x86_64-linux", false),
            ("x86_64-linux", "i686-linux", false),
            ("aarch64-linux", "armv7l-linux", false),
            ("x86_64-linux", "armv7l-linux", true),
        ] {
            assert_eq!(Builder::there("b", own, wanted).emulates, expected, "{own} {wanted}");
        }
    }
}
