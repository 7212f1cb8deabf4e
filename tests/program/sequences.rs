//! What all activations have in common: their commands, their environment, their exit status, and what keeps two of them
//! apart. The scenarios with other flags and other machines are in `scenarios*.rs`.

use super::scenarios::{BUILD, LOCK, SET, Scene, check};

#[test]
fn activations() {
    check("switch", &[BUILD, LOCK, "UNIT", SET, "switch-to-configuration switch"]);
    check("boot", &[BUILD, LOCK, "UNIT", SET, "switch-to-configuration boot"]);
    check("test", &[BUILD, LOCK, "UNIT", "switch-to-configuration test"]);
    check(
        "dry-activate",
        &[BUILD, LOCK, "UNIT", "switch-to-configuration dry-activate"],
    );
}

/// What activation may see, and nothing else (section 2.1 of the contract): `PATH`, `LOCALE_ARCHIVE`, `NIXOS_NO_CHECK` and
/// the question of the boot loader.
#[test]
fn the_environment_of_an_activation() {
    for (line, install) in [("boot", "0"), ("boot --install-bootloader", "1")] {
        let stage = Scene::new();
        stage.stub(
            "systemd-run",
            "env | grep -v -e ^PWD= -e ^_= -e ^OLDPWD= -e ^SHLVL= >environment",
        );
        stage.variable("NIXOS_NO_CHECK", "1");
        stage.variable("LD_PRELOAD_OF_SOMEBODY", "x");
        stage.rebuild(line);
        let environment = stage.sh("sort environment");
        let names: Vec<&str> = environment.lines().filter_map(|line| line.split('=').next()).collect();
        assert_eq!(names, ["NIXOS_INSTALL_BOOTLOADER", "NIXOS_NO_CHECK", "PATH"]);
        assert!(environment.contains(&format!("NIXOS_INSTALL_BOOTLOADER={install}\n")));
    }
}

/// Units that failed are no reason to go back, and the exit status says so.
#[test]
fn exit_status_4_of_the_activation_is_ours() {
    let stage = Scene::new();
    stage.stub(
        "switch-to-configuration",
        "echo 'warning: the following units failed' >&2; exit 4",
    );
    let run = stage.rebuild("switch");
    assert_eq!((run.code, run.stdout.as_str()), (4, ""), "{}", run.stderr);
    assert!(run.stderr.contains("the following units failed"), "{}", run.stderr);
}

/// Every status that has a meaning of its own says what has become of the system, and which of profile and system is new.
#[test]
fn exit_statuses_of_the_activation_are_explained() {
    let back = "nix-env --rollback -p";
    for (line, status, code, texts) in [
        (
            "switch",
            1,
            1,
            &["a check before the switch", "nothing was activated", back][..],
        ),
        ("test", 1, 1, &["a check before the switch", "nothing was activated"]),
        ("switch", 2, 2, &["the system is changed", "activation failed"]),
        ("switch", 3, 3, &["the system is changed", "systemd"]),
        ("boot", 11, 11, &["another activation was under way", back]),
        ("switch", 100, 0, &["takes effect at its next boot"]),
        ("test", 100, 100, &["rebuild boot"]),
        ("switch", 101, 101, &["failed with exit status 101"]),
    ] {
        let stage = Scene::new();
        stage.stub("switch-to-configuration", &format!("exit {status}"));
        let run = stage.rebuild(line);
        assert_eq!(run.code, code, "{line} {status}: {}", run.stderr);
        for text in texts {
            assert!(run.stderr.contains(text), "{line} {status}: {}", run.stderr);
        }
        let goes_back = run.stderr.contains(back);
        assert_eq!(goes_back, texts.contains(&back), "{line} {status}: {}", run.stderr);
    }
}

/// systemd's own lock: an activation that something else has begun.
#[test]
fn a_second_activation_changes_nothing() {
    let stage = Scene::new();
    stage.stub("systemctl", "exit 0");
    let run = stage.rebuild("switch");
    assert_eq!(run.code, 1, "{}", run.stderr);
    assert!(run.stderr.contains("an activation is under way"), "{}", run.stderr);
    assert_eq!(stage.seen().last().map(String::as_str), Some(LOCK));
}

/// nixos-rebuild's opt-out (`NIXOS_REBUILD_NO_SYSTEMD_RUN`).
#[test]
fn without_systemd_run() {
    let stage = Scene::new();
    stage.variable("NIXOS_REBUILD_NO_SYSTEMD_RUN", "1");
    stage.makes("switch", &[BUILD, SET, "switch-to-configuration switch"]);
}
