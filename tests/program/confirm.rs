//! `--confirm`: what confirms a change, and what becomes of one that nothing confirms.

use crate::scenarios::Scene;

/// Succeeds if these are the calls that change the machine, in their order. The system of before is `22222222…`.
fn expect_changes(scene: &Scene, expected: &[&str]) {
    let calls = scene.calls();
    let changes = calls.iter().filter_map(|call| {
        let call = call.trim_start_matches("target: ");
        let is_change = call.starts_with("switch-to-configuration ") || call.starts_with("nix-env ");
        is_change.then(|| call.split(" -p ").next().unwrap_or(call).to_owned())
    });
    assert_eq!(changes.collect::<Vec<_>>(), expected);
}

const STAYS: [&str; 3] = [
    "switch-to-configuration test",
    "nix-env",
    "switch-to-configuration boot",
];
const GOES_BACK: [&str; 2] = ["switch-to-configuration test", "switch-to-configuration test"];

/// The profile is changed only after the proof, and the login that proves it shares no connection.
#[test]
fn a_new_login_confirms_a_change_of_another_machine() {
    let scene = Scene::new();
    let run = scene.rebuild("switch --target-host target --confirm");
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(
        run.stderr.contains("confirmed by a new login to target"),
        "{}",
        run.stderr
    );
    expect_changes(&scene, &STAYS);
    let anew = "ssh -o ControlMaster=no -o ControlPath=none ";
    let calls = scene.calls();
    let logins = calls.iter().filter(|call| call.starts_with(anew));
    assert_eq!(logins.count(), 1, "{calls:?}");

    let scene = Scene::new();
    scene.stub("switch-to-configuration", "exit 4");
    let run = scene.rebuild("test --target-host target --confirm");
    assert_eq!(run.code, 4, "{}", run.stderr);
    expect_changes(&scene, &["switch-to-configuration test"]);
}

/// Our own connection goes on, but nobody gets in any more.
#[test]
fn without_a_new_login_the_other_machine_goes_back() {
    for (line, says) in [
        ("switch", "profile and boot default were never changed"),
        ("test", "the system that runs is the one of before again"),
    ] {
        let scene = Scene::new();
        // The first logins are for the look, for root, for the inspection and for the change.
        for login in 5..40 {
            scene.write(
                &format!("target/login-{login}"),
                "echo 'Connection refused' >&2; exit 255",
            );
        }
        let run = scene.rebuild(&format!("{line} --target-host target --confirm=2"));
        assert_eq!((run.code, run.stdout.as_str()), (195, ""), "{line}: {}", run.stderr);
        for text in ["not confirmed yet: ", "was not confirmed in time: it went back", says] {
            assert!(run.stderr.contains(text), "{line} {text}: {}", run.stderr);
        }
        expect_changes(&scene, &GOES_BACK);
    }
}

/// The target is this machine: another machine has to be reached, or a person says that all is well.
#[test]
fn this_machine_is_confirmed_by_another_one_or_by_a_person() {
    let scene = Scene::new();
    let run = scene.rebuild("switch --confirm --confirm-by builder");
    assert_eq!(run.code, 0, "{}", run.stderr);
    let text = "confirmed: builder can be reached from this machine";
    assert!(run.stderr.contains(text), "{}", run.stderr);
    expect_changes(&scene, &STAYS);

    let scene = Scene::new();
    let run = scene.rebuild("switch --confirm=1");
    assert_eq!(run.code, 195, "{}", run.stderr);
    let text = "within 1 seconds, if all is well: rebuild confirm\n";
    assert!(run.stderr.contains(text), "{}", run.stderr);
    expect_changes(&scene, &GOES_BACK);

    // It is reached before the work and before the change, and not after it.
    let scene = Scene::new();
    for login in 3..40 {
        scene.write(&format!("builder/login-{login}"), "exit 255");
    }
    let run = scene.rebuild("switch --confirm=2 --confirm-by builder");
    assert_eq!(run.code, 195, "{}", run.stderr);
    expect_changes(&scene, &GOES_BACK);
}

/// What could confirm nothing is refused before anything is changed.
#[test]
fn a_host_that_cannot_be_reached_is_refused_beforehand() {
    for (line, evaluator) in [
        ("switch --confirm --confirm-by nowhere", ""),
        ("switch --rollback --confirm --confirm-by nowhere", ""),
        // It would have confirmed the change. Now this machine does its work, and nobody is left.
        ("test --confirm", "nowhere"),
    ] {
        let scene = Scene::new();
        let no_route = "echo 'ssh: connect to host nowhere port 22: No route to host' >&2; exit 255";
        scene.hosts(&["builder"], no_route);
        scene.variable("REBUILD_EVAL_HOST", evaluator);
        scene.variable("REBUILD_FALLBACK", "local");
        let run = scene.rebuild(line);
        assert_ne!(run.code, 0, "{line}: {}", run.stderr);
        for text in ["nothing was changed", "by HOST", "by ''", "--no-confirm"] {
            assert!(run.stderr.contains(text), "{line} {text}: {}", run.stderr);
        }
        expect_changes(&scene, &[]);
        // Not even the long work was begun.
        let calls = scene.calls();
        assert!(!calls.iter().any(|call| call.starts_with("nix-build")), "{line}");
    }
}

/// Both nets together: what fails is not waited for.
#[test]
fn what_fails_goes_back_at_once() {
    for (line, status, code, text) in [
        ("--rollback-on-failure", 4, 195, "(units failed): it went back"),
        ("", 101, 195, "failed with exit status 101: it went back"),
        ("", 1, 1, "a check before the switch"),
        ("", 11, 11, "another activation was under way"),
        ("", 100, 100, "rebuild boot"),
    ] {
        let scene = Scene::new();
        scene.stub(
            "switch-to-configuration",
            &format!("case $0 in *22222222*) ;; *) exit {status} ;; esac"),
        );
        let run = scene.rebuild(&format!("switch --confirm=3600 {line}"));
        assert_eq!(run.code, code, "{line} {status}: {}", run.stderr);
        assert!(run.stderr.contains(text), "{line} {status}: {}", run.stderr);
        // The profile was never changed, so that it need not be put back.
        assert!(
            !run.stderr.contains("--switch-generation"),
            "{line} {status}: {}",
            run.stderr
        );
    }
}

/// What the last change came to is told by the next run, whatever has become of the machine in between.
#[test]
fn the_next_run_says_what_an_unconfirmed_change_came_to() {
    for (status, text) in [
        (
            "echo unconfirmed 0 - 0 2 2 >status",
            "was not confirmed in time, and it went back to what it had before",
        ),
        (
            "echo unconfirmed 0 - 1 2 2 >status",
            "it could not go back: reboot it: it boots what it booted before",
        ),
        ("echo another-boot >awaits", "was not confirmed before a reboot"),
        ("echo another-boot >tried", "was not confirmed before a reboot"),
        (
            "cat /proc/sys/kernel/random/boot_id >awaits",
            "was cut off before it was confirmed",
        ),
        ("echo another-boot >confirmed", "was cut off before its end"),
    ] {
        let scene = Scene::new();
        scene.prepare(&format!(
            "record=$root/var/lib/rebuild/{name}; mkdir -p \"$record\"; echo {name} >\"${{record%/*}}/last\"
             echo \"switch /nix/store/x $(date +%s)\" >\"$record/about\"; : >\"$record/begun\"
             (cd \"$record\" && {status})",
            name = "0123456789abcdef0123456789abcdef"
        ));
        let run = scene.rebuild("confirm");
        assert_eq!(run.code, 1, "{status}: {}", run.stderr);
        assert!(
            run.stderr.contains("no change of this machine waits to be confirmed"),
            "{}",
            run.stderr
        );
        let run = scene.rebuild("test");
        assert_eq!(run.code, 0, "{status}: {}", run.stderr);
        assert!(run.stderr.contains(text), "{status}: {}", run.stderr);
    }
}
