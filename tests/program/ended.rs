//! Changes that end badly: what has become of the system, what to do, and what the next run says about it.

use crate::SYSTEM;
use crate::scenarios::Scene;

/// Failed units are no reason to go back, and the exit status tells of them. What was done, and how long it took, is
/// said as at any other end.
#[test]
fn exit_status_4_of_the_activation_is_ours() {
    let scene = Scene::new();
    scene.stub(
        "switch-to-configuration",
        "echo 'warning: the following units failed' >&2; exit 4",
    );
    let run = scene.rebuild("switch");
    assert_eq!((run.code, run.stdout.as_str()), (4, ""), "{}", run.stderr);
    assert!(run.stderr.contains("the following units failed"), "{}", run.stderr);
    assert!(
        run.stderr.contains("\nnothing was built; ") && run.stderr.contains("activated in "),
        "{}",
        run.stderr
    );
}

/// For every status with a meaning of its own, the error says what has become of the system, and whether profile and
/// system are new.
#[test]
fn exit_statuses_of_the_activation_are_explained() {
    let back = "/nix/var/nix/profiles/system is at generation 4 now, which has the system that was not activated; to put it \
                back, as root there: nix-env -p /nix/var/nix/profiles/system --switch-generation 2";
    let kernel = "the kernel has changed (6.1.2 → 6.1.5)";
    for (line, status, code, texts) in [
        (
            "switch",
            1,
            1,
            &["a check before the switch", "nothing was activated", back][..],
        ),
        ("test", 1, 1, &["a check before the switch", "nothing was activated"]),
        ("switch", 2, 2, &["the system is changed", "activation failed", kernel]),
        ("switch", 3, 3, &["the system is changed", "systemd", kernel]),
        ("switch", 4, 4, &["the system is changed", "systemctl --failed", kernel]),
        ("boot", 11, 11, &["another activation was under way", back]),
        ("test", 11, 11, &["another activation was under way"]),
        ("switch", 100, 0, &["takes effect at its next boot"]),
        ("test", 100, 100, &["rebuild boot"]),
        ("switch", 101, 101, &["failed with exit status 101"]),
    ] {
        for on in ["", " --target-host target"] {
            let scene = Scene::new();
            scene.stub("switch-to-configuration", &format!("exit {status}"));
            let run = scene.rebuild(&format!("{line}{on}"));
            assert_eq!(run.code, code, "{line} {status}: {}", run.stderr);
            for text in texts {
                assert!(run.stderr.contains(text), "{line} {status}: {}", run.stderr);
            }
            for text in [back, kernel] {
                let is_said = run.stderr.contains(text);
                let is_expected = texts.contains(&text) || (text == kernel && code == 0);
                assert_eq!(is_said, is_expected, "{line} {status} {text}: {}", run.stderr);
            }
            assert!(run.stderr.contains("activated in "), "{line} {status}: {}", run.stderr);
        }
    }
}

/// After a rollback, the way back is forward. If the profile was at that system before, there is nowhere to go.
#[test]
fn the_way_back_is_a_number() {
    for (line, expected) in [
        ("switch --rollback", Some("is at generation 1 now")),
        ("boot --profile-name my", None),
        (&format!("switch --store-path {SYSTEM}"), None),
    ] {
        let scene = Scene::new();
        scene.stub("switch-to-configuration", "exit 1");
        if line.starts_with("switch --store-path") {
            // Nix does nothing if this is the profile's latest generation already.
            scene.stub("nix-env", "");
        }
        let run = scene.rebuild(line);
        assert_eq!(run.code, 1, "{line}: {}", run.stderr);
        match expected {
            Some(text) => assert!(
                run.stderr.contains(text) && run.stderr.contains("--switch-generation 2"),
                "{line}: {}",
                run.stderr
            ),
            None => assert!(!run.stderr.contains("--switch-generation"), "{line}: {}", run.stderr),
        }
        let is_new = run.stderr.contains("my has the system now that was not activated");
        assert_eq!(is_new, line.contains("my"), "{line}: {}", run.stderr);
    }
}

/// The link broke, or somebody pressed Ctrl-C, and the change went on.
#[test]
fn the_next_run_says_what_an_activation_came_to() {
    let boot = "takes effect at the next boot of that machine";
    for (action, status, text, is_warning) in [
        ("switch", "activation 100 1 2", boot, false),
        // An older version of this program has written it like this.
        ("boot", "activation 100", boot, false),
        (
            "test",
            "activation 100 - -",
            "takes effect only by a boot, for which: rebuild boot",
            true,
        ),
        (
            "switch",
            "activation 4 1 2",
            "status 4: the system is changed, but units failed",
            true,
        ),
        (
            "switch",
            "activation 2 1 2",
            "status 2: the system is changed, but a part",
            true,
        ),
        (
            "switch",
            "activation 1 1 2",
            "its profile is at generation 2 now, and was at 1",
            true,
        ),
        ("test", "activation 11 - -", "nothing was activated", true),
        (
            "switch",
            "back 4 0 0 1 1",
            "it failed with exit status 4 (units failed), and it went back to what it had before",
            true,
        ),
        ("switch", "back 1 0 4 1 1", "systemctl --failed", true),
        ("test", "back 4 - 1 - -", "could not go back: reboot it into", true),
        ("boot", "back 1 7 0 1 2", "could not go back: reboot it into", true),
        ("switch", "no-way-back 1", "was not begun: there was no way back", true),
        ("switch", "activation 101 1 2", "it ended with exit status 101", true),
        (
            "switch",
            "activation 0 1 2",
            "was done after its connection broke",
            false,
        ),
    ] {
        for on in ["", " --target-host target"] {
            let scene = Scene::new();
            scene.prepare(&format!(
                "record=$root/var/lib/rebuild/ab; mkdir -p \"$record\"; : >\"$record/begun\"
                 echo '{action} {SYSTEM} 12' >\"$record/about\"; echo '{status}' >\"$record/status\"
                 echo ab >\"$root/var/lib/rebuild/last\""
            ));
            let run = scene.rebuild(&format!("switch{on}"));
            assert_eq!(run.code, 0, "{status}: {}", run.stderr);
            let said: Vec<&str> = run.stderr.lines().filter(|line| line.contains(SYSTEM)).collect();
            let line = said
                .iter()
                .find(|line| line.contains(&format!("{action} of {SYSTEM} on ")));
            let line = line.unwrap_or_else(|| panic!("{status}: {}", run.stderr));
            assert!(line.contains(text), "{status}: {line}");
            assert_eq!(line.starts_with("warning: "), is_warning, "{status}: {line}");
        }
    }
}

/// What runs before a change in these tests.
const BEFORE: &str = "22222222222222222222222222222222-nixos-system-pi";

/// The stand-in ends in one way as the new system's and in another way as that of before.
fn switching(status: u8, back: u8) -> String {
    format!("case $0 in *{BEFORE}*) exit {back} ;; *) exit {status} ;; esac")
}

/// The exit status says whether the machine is as it was, and the text what is to be looked at.
#[test]
fn a_change_that_went_back_has_a_status_of_its_own() {
    let generation = "/nix/var/nix/profiles/system is at generation 2 again";
    let kernel = "the kernel has changed";
    for (line, status, back, code, texts) in [
        ("switch", 0, 0, 0, &[kernel][..]),
        ("switch", 100, 0, 0, &["takes effect at its next boot"]),
        (
            "switch",
            4,
            0,
            195,
            &[
                "failed with exit status 4 (units failed): it went back",
                "the system that runs is the one of before again",
                generation,
            ],
        ),
        ("switch", 1, 0, 195, &["status 1: it went back", generation]),
        (
            "switch",
            2,
            4,
            195,
            &[
                "(a part of the activation failed): it went back",
                "systemctl --failed",
                generation,
            ],
        ),
        (
            "switch",
            4,
            1,
            196,
            &[
                "(units failed), and it could not go back",
                "could not be activated (exit status 1)",
                generation,
                "boot loader's menu",
            ],
        ),
        (
            "switch",
            4,
            2,
            196,
            &[
                "it could not go back",
                "a part of its activation failed (exit status 2)",
                generation,
            ],
        ),
        (
            "switch",
            11,
            0,
            195,
            &["(another activation was under way): it went back", generation],
        ),
        ("boot", 1, 0, 195, &["status 1: it went back", generation]),
        (
            "test",
            4,
            0,
            195,
            &[
                "(units failed): it went back",
                "the system that runs is the one of before again",
            ],
        ),
        ("test", 4, 101, 196, &["could not be activated (exit status 101)"]),
        ("test", 11, 0, 11, &["another activation was under way there"]),
        ("switch --rollback", 4, 0, 195, &["it went back", generation]),
    ] {
        for on in ["", " --target-host target"] {
            let scene = Scene::new();
            scene.stub("switch-to-configuration", &switching(status, back));
            let run = scene.rebuild(&format!("{line} --rollback-on-failure{on}"));
            assert_eq!(run.code, code, "{line} {status}: {}", run.stderr);
            assert_eq!(run.stdout.is_empty(), code != 0, "{line} {status}: {}", run.stdout);
            for text in texts {
                assert!(run.stderr.contains(text), "{line} {status} {text}: {}", run.stderr);
            }
            for text in [generation, kernel] {
                let is_expected = texts.contains(&text) || (text == kernel && code == 0);
                assert_eq!(
                    run.stderr.contains(text),
                    is_expected,
                    "{line} {status} {text}: {}",
                    run.stderr
                );
            }
        }
    }
}

/// Files and variables may ask for it, and one run may do without.
#[test]
fn going_back_is_a_setting() {
    for (variable, line, code) in [
        ("1", "switch", 195),
        ("1", "switch --no-rollback-on-failure", 4),
        ("0", "switch", 4),
        ("0", "switch --rollback-on-failure", 195),
        ("1", "dry-activate", 4),
    ] {
        let scene = Scene::new();
        scene.variable("REBUILD_ROLLBACK_ON_FAILURE", variable);
        scene.stub("switch-to-configuration", &switching(4, 0));
        let run = scene.rebuild(line);
        assert_eq!(run.code, code, "{variable} {line}: {}", run.stderr);
    }
}

/// A machine without a running system is refused before the build, and one whose running system cannot be activated
/// before the change.
#[test]
fn without_a_way_back_nothing_is_changed() {
    let unusable = format!("rm \"$root/nix/store/{BEFORE}/bin/switch-to-configuration\"");
    for (preparation, line, builds) in [
        ("rm \"$root/run/current-system\"", "switch", false),
        ("rm \"$root/run/current-system\"", "test --target-host target", false),
        (&unusable, "switch", true),
        (&unusable, "test --target-host target", true),
    ] {
        let scene = Scene::new();
        scene.prepare(preparation);
        let run = scene.rebuild(&format!("{line} --rollback-on-failure"));
        assert_eq!(run.code, 1, "{line}: {}", run.stderr);
        assert!(
            run.stderr.contains("would have no way back") && run.stderr.contains("--no-rollback-on-failure"),
            "{line}: {}",
            run.stderr
        );
        assert_eq!(
            run.stderr.contains("has no bin/switch-to-configuration"),
            builds,
            "{line}: {}",
            run.stderr
        );
        let calls = scene.calls();
        let has = |program: &str| {
            calls
                .iter()
                .any(|call| call.trim_start_matches("target: ").starts_with(program))
        };
        assert_eq!(has("nix-build"), builds, "{line}: {calls:?}");
        assert!(!has("nix-env") && !has("switch-to-configuration"), "{line}: {calls:?}");
    }
}

/// There is a way without systemd-run. It is named if systemd-run fails, but not to a user who goes that way already.
#[test]
fn where_systemd_run_fails_the_way_without_it_is_named() {
    let fails = "echo 'Failed to connect to bus: No such file or directory' >&2; exit 1";
    for line in ["switch", "boot --rollback", "test --target-host target"] {
        let scene = Scene::new();
        scene.stub("systemd-run", fails);
        scene.stub_on("target", "systemd-run", fails);
        let run = scene.rebuild(line);
        assert_eq!(run.code, 1, "{line}: {}", run.stderr);
        for text in [
            "Failed to connect to bus",
            "could not be started",
            "NIXOS_REBUILD_NO_SYSTEMD_RUN=1",
        ] {
            assert!(run.stderr.contains(text), "{line}: {}", run.stderr);
        }
        // This is that way.
        scene.variable("NIXOS_REBUILD_NO_SYSTEMD_RUN", "1");
        let run = scene.rebuild(line);
        assert_eq!(run.code, 0, "{line}: {}", run.stderr);
    }
}

/// systemd's own lock, and the lock of switch-to-configuration itself, show an activation that something else has
/// begun.
#[test]
fn an_activation_by_something_else_changes_nothing() {
    let held = "mkdir -p \"$root/run/nixos\"; : >\"$root/run/nixos/switch-to-configuration.lock\"
                exec 9<\"$root/run/nixos/switch-to-configuration.lock\"; flock 9";
    for (line, preparation, is_active) in [
        ("switch", "", true),
        ("switch", held, false),
        ("test --target-host target", held, false),
        ("switch --rollback", held, false),
    ] {
        let scene = Scene::new();
        scene.prepare(preparation);
        if is_active {
            scene.stub("systemctl", "exit 0");
        }
        let run = scene.rebuild(line);
        assert_eq!(run.code, 1, "{line}: {}", run.stderr);
        assert!(
            run.stderr.contains("an activation is under way") && run.stderr.contains("nothing was changed"),
            "{line}: {}",
            run.stderr
        );
        let calls = scene.calls();
        let changed = calls
            .iter()
            .map(|call| call.trim_start_matches("target: "))
            .find(|call| {
                ["nix-env", "systemd-run", "switch-to-configuration"]
                    .iter()
                    .any(|it| call.starts_with(it))
            });
        assert_eq!(changed, None, "{line}: {calls:?}");
    }
}

/// With `system.switch.enable = false` it is a system, but has nothing to switch with.
#[test]
fn a_system_that_cannot_be_switched_to_is_none_the_less_a_system() {
    for line in ["switch", "test --target-host target", "boot --rollback"] {
        let scene = Scene::new();
        scene.prepare("rm \"$root${system%-pi}\"-*/bin/switch-to-configuration");
        let run = scene.rebuild(line);
        assert_eq!(run.code, 1, "{line}: {}", run.stderr);
        assert!(
            run.stderr
                .contains("cannot be switched to: it has no bin/switch-to-configuration")
                && run.stderr.contains("system.switch.enable")
                && !run.stderr.contains("is not a NixOS system"),
            "{line}: {}",
            run.stderr
        );
    }
    // A directory that is no system is still refused.
    let scene = Scene::new();
    scene.prepare("rm \"$root$system\"/nixos-version");
    let run = scene.rebuild("switch");
    assert!(
        run.stderr.contains("is not a NixOS system: it has no nixos-version"),
        "{}",
        run.stderr
    );
}
