//! A client with another CPU: whether the builder builds for it, and how.

use super::{BUILD, Builder, PROGRAMS, events};

const CLIENTS: &str = "aarch64-linux";

/// A builder whose Nix builds for others in this way.
fn builder(builds: &str) -> Option<Builder> {
    let builder = Builder::new()?;
    builder.configure("motd = builtins.readFile ./motd;");
    builder.write("client/nixos/motd", "good morning");
    builder.variable("NIX_CONFIG", &format!("system = {CLIENTS}"));
    builder.write(&format!("{PROGRAMS}/builds"), builds);
    Some(builder)
}

/// With its own settings, or with the platform given by us: it is evaluated for the client and built.
#[test]
fn a_builder_that_builds_for_the_client() {
    for builds in ["native", "option"] {
        let Some(builder) = builder(builds) else { return };
        let evaluated = builder.evaluates();
        assert!(evaluated.seen.contains("\"aarch64-linux\""), "{}", evaluated.seen);
        assert_eq!(evaluated.events("built").len(), 1, "{builds}");
        // The system is the client's, so nobody has to be told.
        assert_eq!(evaluated.events("platform"), [""; 0], "{builds}");
    }
}

/// It is said before anything is built, each with its own remedy.
#[test]
fn a_builder_that_does_not() {
    for (builds, stage) in [
        ("no-platform", "no-platform 1"),
        ("executing '/probe': Exec format error", "no-emulator 1"),
        ("unable to start any build; local builds are disabled", "probe-jobs 1"),
        ("the build failed", "probe 1"),
    ] {
        let Some(builder) = builder(builds) else { return };
        let (run, said) = builder.run(BUILD);
        assert_eq!(
            (run.code, run.stdout.as_str()),
            (1, ""),
            "{builds}: {}{said}",
            run.stderr
        );
        assert_eq!(events(&said, "failed"), [stage], "{}", run.stderr);
        assert_eq!(events(&said, "building"), [""; 0], "{builds}");
        builder.nothing_is_left();
    }
}

/// A system for another machine than the client's: nothing was tried, and the kernel's word is taken for it.
#[test]
fn a_system_that_is_not_the_clients() {
    for (emulator, is_built) in [("qemu-riscv64", true), ("riscv64-linux", true), ("qemu-arm", false)] {
        let Some(builder) = builder("option") else { return };
        if !std::path::Path::new("/proc/sys/fs/binfmt_misc").exists() {
            let _: Option<()> = super::skip("this kernel knows no emulators (binfmt_misc)");
            return;
        }
        builder.variable("NIX_CONFIG", "");
        builder.configure("system = riscv64-linux;");
        builder.write(&format!("builder/emulators/{emulator}"), "");
        let (run, said) = builder.run(BUILD);
        assert_eq!(events(&said, "platform"), ["riscv64-linux x86_64-linux"], "{said}");
        assert_eq!(run.code == 0, is_built, "{emulator}: {}", run.stderr);
        builder.nothing_is_left();
    }
}
