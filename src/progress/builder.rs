//! The machine that builds, and whether it has the right CPU.

/// The machine on which builds run, unless Nix names another one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Builder {
    /// The machine's name for ssh; None is this machine.
    pub host: Option<String>,
    /// Whether it emulates the CPU for which it builds.
    pub emulates: bool,
}

impl Builder {
    /// Returns another machine, whose own system is `own`, as a builder for the system `wanted`.
    #[must_use]
    pub fn there(host: &str, own: &str, wanted: &str) -> Self {
        Self {
            host: Some(host.to_owned()),
            emulates: is_foreign(own, wanted),
        }
    }

    /// Returns this machine, whose own system is `own`, as a builder for the system `wanted`.
    #[must_use]
    pub fn here(own: &str, wanted: &str) -> Self {
        Self {
            host: None,
            emulates: is_foreign(own, wanted),
        }
    }
}

/// Returns whether a machine has to emulate a CPU to build for a system.
fn is_foreign(own: &str, wanted: &str) -> bool {
    let cpu = |system: &str| match system.split('-').next().unwrap_or(system) {
        // The CPU itself runs such programs in a 32-bit mode, without emulation.
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
