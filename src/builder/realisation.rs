//! A build on the other machine, in the words that `scripts/build.sh` takes.

use crate::failure::Failure;
use crate::remote::script::Script;

/// What becomes of a derivation there.
#[derive(Debug)]
pub struct Realisation {
    /// Whether it is really built.
    pub building: Building,
    /// Flags of `nix-store --realise`.
    pub flags: Vec<String>,
}

/// Whether something is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Building {
    /// It is built.
    Real,
    /// The machine only says what a build would mean.
    Dry,
}

impl Realisation {
    /// Adds the words for the script. `system` is the system for which it builds.
    pub(super) fn describe(&self, system: &str, script: &mut Script) -> Result<(), Failure> {
        let probe = match self.building {
            Building::Real => probe(system),
            Building::Dry => String::new(),
        };
        script.set("rb_probe", probe)?;
        script.wrapper("with_client_build_flags", &self.flags)
    }
}

/// Returns a program of another CPU for the emulation probe, in `printf`'s octal escapes. Empty if we have none: then
/// only the build itself shows whether emulation works.
fn probe(system: &str) -> String {
    let program: &[u8] = match system {
        "aarch64-linux" => include_bytes!("probes/aarch64.elf"),
        _ => &[],
    };
    program
        .iter()
        .fold(String::new(), |text, byte| text + &format!("\\0{byte:03o}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn the_probe_is_the_program_again() {
        let decoded = Command::new("sh")
            .arg("-c")
            .arg(format!("printf %b '{}'", probe("aarch64-linux")))
            .output()
            .unwrap();
        assert!(decoded.stdout == include_bytes!("probes/aarch64.elf"));
        assert_eq!(probe("x86_64-linux"), "");
    }
}
