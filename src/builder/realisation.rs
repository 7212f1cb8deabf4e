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

/// The programs for the emulation probe, by the systems that they are of: all for which NixOS knows an emulator
/// (`boot.binfmt.emulatedSystems`), but those that are no Linux.
const PROBES: [(&[&str], &[u8]); 21] = [
    (&["aarch64-linux"], include_bytes!("probes/aarch64.elf")),
    (&["aarch64_be-linux"], include_bytes!("probes/aarch64_be.elf")),
    (
        &["armv6l-linux", "armv7l-linux", "armv5tel-linux"],
        include_bytes!("probes/arm.elf"),
    ),
    (&["x86_64-linux"], include_bytes!("probes/x86_64.elf")),
    (
        &["i686-linux", "i586-linux", "i486-linux", "i386-linux"],
        include_bytes!("probes/i686.elf"),
    ),
    (&["riscv64-linux"], include_bytes!("probes/riscv64.elf")),
    (&["riscv32-linux"], include_bytes!("probes/riscv32.elf")),
    (&["powerpc64le-linux"], include_bytes!("probes/powerpc64le.elf")),
    (&["powerpc64-linux"], include_bytes!("probes/powerpc64.elf")),
    (&["powerpc-linux"], include_bytes!("probes/powerpc.elf")),
    (&["s390x-linux"], include_bytes!("probes/s390x.elf")),
    (&["mips-linux"], include_bytes!("probes/mips.elf")),
    (&["mipsel-linux"], include_bytes!("probes/mipsel.elf")),
    (&["mips64-linux"], include_bytes!("probes/mips64.elf")),
    (&["mips64el-linux"], include_bytes!("probes/mips64el.elf")),
    (&["mips64-linuxabin32"], include_bytes!("probes/mips64n32.elf")),
    (&["mips64el-linuxabin32"], include_bytes!("probes/mips64eln32.elf")),
    (&["sparc64-linux"], include_bytes!("probes/sparc64.elf")),
    (&["sparc-linux"], include_bytes!("probes/sparc.elf")),
    (&["alpha-linux"], include_bytes!("probes/alpha.elf")),
    (&["loongarch64-linux"], include_bytes!("probes/loongarch64.elf")),
];

/// Returns a program of another CPU for the emulation probe, in `printf`'s octal escapes. Empty if we have none: then
/// only the build itself shows whether emulation works.
#[must_use]
pub fn probe(system: &str) -> String {
    let found = PROBES.iter().find(|(systems, _)| systems.contains(&system));
    let program = found.map_or(&[][..], |(_, program)| program);
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
        assert_eq!(probe("x86_64-darwin"), "");
    }

    /// Each CPU for which NixOS knows an emulator has a program of its own kind: ELF for Linux, of that machine.
    #[test]
    fn every_cpu_that_nixos_emulates_has_a_probe() {
        for (system, machine, is_big) in [
            ("armv6l-linux", 40, false),
            ("armv7l-linux", 40, false),
            ("aarch64-linux", 183, false),
            ("aarch64_be-linux", 183, true),
            ("i386-linux", 3, false),
            ("i486-linux", 3, false),
            ("i586-linux", 3, false),
            ("i686-linux", 3, false),
            ("x86_64-linux", 62, false),
            ("alpha-linux", 0x9026, false),
            ("sparc64-linux", 43, true),
            ("sparc-linux", 2, true),
            ("powerpc-linux", 20, true),
            ("powerpc64-linux", 21, true),
            ("powerpc64le-linux", 21, false),
            ("mips-linux", 8, true),
            ("mipsel-linux", 8, false),
            ("mips64-linux", 8, true),
            ("mips64el-linux", 8, false),
            ("mips64-linuxabin32", 8, true),
            ("mips64el-linuxabin32", 8, false),
            ("riscv32-linux", 243, false),
            ("riscv64-linux", 243, false),
            ("loongarch64-linux", 258, false),
            ("s390x-linux", 22, true),
        ] {
            let (_, program) = PROBES.iter().find(|(systems, _)| systems.contains(&system)).unwrap();
            assert_eq!(&program[..4], b"\x7fELF", "{system}");
            let bytes = [program[18], program[19]];
            let own = if is_big {
                u16::from_be_bytes(bytes)
            } else {
                u16::from_le_bytes(bytes)
            };
            assert_eq!((own, program[5]), (machine, if is_big { 2 } else { 1 }), "{system}");
            // It goes with every run's script.
            assert!(program.len() < 900, "{system}");
        }
    }
}
