//! How a run ends if the test program of scripts/emulation.sh cannot be built, in words that Nix was seen to say.

use std::process::Command;

/// Returns the stage at which a run ends if Nix fails with these words, and how often the build was tried.
fn ended(words: &str) -> (String, usize) {
    let place = tempfile::tempdir().unwrap();
    let lines = if words.is_empty() {
        String::new()
    } else {
        format!("{words}\n")
    };
    std::fs::write(place.path().join("words"), lines).unwrap();
    let script = [
        "set -u
         event() { :; }
         fail() { echo \"$1\"; exit 1; }
         obey_settings() { :; }
         with_client_build_flags() { \"$@\"; }
         mkdir bin of-the-run
         printf '#!/bin/sh\\necho >>tries\\n[ \"$TMPDIR\" = \"$PWD/of-the-run\" ] || exit 9\\ncat words >&2\\n[ ! -s words ]\\n' >bin/nix-build
         printf '#!/bin/sh\\necho \"post-build-hook = /etc/hook\"\\n' >bin/nix
         chmod +x bin/*
         nix_bin=$PWD/bin work=$PWD share=$PWD/of-the-run helpers='' record=$PWD/x is_detached=yes
         end_record() { :; }
         rb_system=aarch64-linux native_system=x86_64-linux rb_probe=x\n",
        include_str!("../scripts/attended.sh"),
        include_str!("../scripts/emulation.sh"),
        "start_probe 3</dev/null 4</dev/null; end_probe /nonexistent >log 3</dev/null 4</dev/null; echo built \"$emulation$helpers\"",
    ];
    let output = Command::new("sh")
        .current_dir(place.path())
        .args(["-c", &script.concat()])
        .output()
        .unwrap();
    let log = std::fs::read_to_string(place.path().join("log")).unwrap_or_default();
    let said = String::from_utf8(output.stdout).unwrap() + log.lines().last().unwrap_or_default();
    let tries = std::fs::read_to_string(place.path().join("tries")).unwrap();
    (said.trim().to_owned(), tries.lines().count())
}

/// Only what Nix says of systems counts as a failure of emulation. Any other failure is tried once.
#[test]
fn each_failure_has_its_own_reason() {
    for (words, stage) in [
        (
            "error: unable to start any build; either increase '--max-jobs' or enable remote builds.",
            "probe-jobs",
        ),
        (
            "error:\n  Unable to start any build;\n  either increase '--max-jobs' or enable remote builds.",
            "probe-jobs",
        ),
        // Nix 2.34
        (
            "error: Cannot build '/nix/store/x.drv'.\n  Reason: local builds are disabled (max-jobs = 0)\n  Hint: set 'max-jobs'",
            "probe-jobs",
        ),
        ("error: program '/etc/hook' failed with exit code 3", "probe-hook"),
        (
            "error: program '/etc/hook' failed due to signal 9 (Killed)",
            "probe-hook",
        ),
        (
            "error: creating directory '/tmp/nix-build-168-0': No space left on device",
            "probe-space",
        ),
        ("error: writing to file: Disk quota exceeded", "probe-space"),
        (
            "error: creating directory '/tmp/nix-build-159-0': Read-only file system",
            "probe-read-only",
        ),
        (
            "error: the group 'nonesuch' specified in 'build-users-group' does not exist",
            "probe-users",
        ),
        ("error: the build users group 'nobodies' has no members", "probe-users"),
        (
            "error: executing '/dev/shm/x/emulation-probe': Exec format error",
            "no-emulator",
        ),
        (
            "error: getting attributes of path '/nonexistent': No such file or directory",
            "probe",
        ),
    ] {
        assert_eq!(ended(words), (stage.to_owned(), 1), "{words}");
    }
}

/// A failure that is about systems is tried again with the platform given by us, whatever Nix calls it.
#[test]
fn a_system_that_nix_does_not_build_for_is_tried_once_more() {
    for words in [
        "error: a 'aarch64-linux' with features {} is required to build '/nix/store/x.drv', but I am a 'x86_64-linux' with features {}",
        "error: Cannot build '/nix/store/x.drv'.\n  Reason: required system or feature not available\n  Required system: 'aarch64-linux'",
    ] {
        assert_eq!(ended(words), ("no-platform".to_owned(), 2), "{words}");
    }
}

#[test]
fn what_is_built_needs_nothing_else() {
    assert_eq!(ended(""), ("built native".to_owned(), 1));
}
