//! `--detach` with a change: the whole run goes on as a unit of systemd, and the next run tells what it came to.

use crate::scenarios::Scene;

/// A systemd that runs what it is given as it does: with an environment of its own, in `/`, and to its end.
const SYSTEMD: &str = "while [ \"$1\" != /bin/sh ]; do shift; done
cp \"$2\" \"$STAGE/was-run\"
stage=$STAGE; cd /; env -i PATH=/usr/bin:/bin INVOCATION_ID=x \"$@\" >\"$stage/unit\" 2>&1 </dev/null || :";

const LET_GO: &str = "this run goes on by itself, as rebuild-detached-";

fn scene() -> Scene {
    let scene = Scene::new();
    scene.stub(
        "systemd-run",
        &format!(
            "case $* in *rebuild-detached*) ;; *) while [ \"$1\" != /bin/sh ]; do shift; done; exec \"$@\" ;; esac
{SYSTEMD}"
        ),
    );
    scene
}

/// Whether something was begun that a refusal has to come before.
fn begun(scene: &Scene) -> bool {
    let calls = scene.calls();
    let begins = ["nix-build", "nix-instantiate", "systemd-run", "switch-to-configuration"];
    calls
        .iter()
        .any(|call| begins.iter().any(|begin| call.starts_with(begin)))
}

/// The run is done by the unit, with the user's environment and directory, and no argument has a secret.
#[test]
fn the_whole_run_goes_on_as_a_unit() {
    let scene = scene();
    scene.variable("MY_TOKEN", "it's a secret\nof two lines");
    scene.variable("SSH_AUTH_SOCK", "/tmp/agent");
    let run = scene.rebuild("switch --detach --option access-tokens a=secret");
    assert_eq!((run.code, run.stdout.as_str()), (0, ""), "{}", run.stderr);
    assert!(run.stderr.contains(LET_GO), "{}", run.stderr);
    assert!(
        run.stderr.contains("journalctl --unit=rebuild-detached-"),
        "{}",
        run.stderr
    );
    let unit = scene.read("unit");
    assert!(
        unit.contains("Done. The new configuration is /nix/store/"),
        "{unit}{}",
        run.stderr
    );
    let calls = scene.calls();
    assert!(
        calls.iter().any(|call| call == "switch-to-configuration switch"),
        "{calls:?}"
    );
    let start = calls
        .iter()
        .find(|call| call.contains("--unit=rebuild-detached-"))
        .unwrap();
    assert!(!start.contains("secret") && !start.contains("uid"), "{start}");
    let was_run = scene.read("was-run");
    assert!(
        was_run.contains("export MY_TOKEN=") && was_run.contains("a=secret"),
        "{was_run}"
    );
    assert!(
        !was_run.contains("SSH_AUTH_SOCK") && !was_run.contains("--detach"),
        "{was_run}"
    );
    // What had the secrets is gone.
    let left = scene.sh("ls home/.local/state/rebuild/detached/*");
    assert_eq!(left.trim(), "status");
}

/// What it came to is told once; that it goes on, each time.
#[test]
fn the_next_run_tells_what_it_came_to() {
    for (prepare, text, is_over) in [
        ("", "is done: all went well", true),
        (
            "nix-build",
            "has failed, with exit status 3\n  what it said: journalctl --unit=rebuild-detached-",
            true,
        ),
        ("systemd-run", "was cut off before its end", true),
        (
            "systemctl",
            "still goes on\n  to follow it: journalctl --unit=rebuild-detached-",
            false,
        ),
    ] {
        let scene = scene();
        match prepare {
            "nix-build" => scene.stub("nix-build", "exit 3"),
            "systemctl" => {
                scene.stub("systemd-run", "");
                scene.stub(
                    "systemctl",
                    "case $* in *rebuild-detached*) exit 0 ;; *) exit 3 ;; esac",
                );
            }
            "systemd-run" => scene.stub("systemd-run", ""),
            _ => {}
        }
        let run = scene.rebuild("switch --detach");
        assert_eq!(run.code, 0, "{prepare}: {}", run.stderr);
        for time in 1..=2 {
            // Whatever that host says.
            let asks = if prepare == "nix-build" {
                "status --eval-on nowhere"
            } else {
                "dry-build"
            };
            let run = scene.rebuild(asks);
            assert_eq!(
                run.stderr.contains(text),
                time == 1 || !is_over,
                "{prepare} {time}: {}",
                run.stderr
            );
        }
    }
}

/// No machine has to be named to hear of a run that this machine itself goes on with, or has come to an end with.
#[test]
fn status_tells_of_a_unit_without_a_host() {
    for (goes_on, text) in [(true, "still goes on"), (false, "is done: all went well")] {
        let scene = scene();
        if goes_on {
            scene.stub("systemd-run", "");
            scene.stub(
                "systemctl",
                "case $* in *rebuild-detached*) exit 0 ;; *) exit 3 ;; esac",
            );
        }
        assert_eq!(scene.rebuild("switch --detach").code, 0);
        // Nothing could be followed or ended there.
        for verb in ["attach", "cancel"] {
            let run = scene.rebuild(verb);
            assert_eq!(run.code, 2, "{verb}: {}", run.stderr);
        }
        let run = scene.rebuild("status --json");
        assert_eq!(run.code, 0, "{}", run.stderr);
        let told: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
        assert_eq!(told, serde_json::json!({ "machines": [] }));
        for text in [
            text,
            "no other machine is named",
            "name it: rebuild status --eval-on HOST",
        ] {
            assert!(run.stderr.contains(text), "{text}: {}", run.stderr);
        }
        // What has ended is told once.
        let run = scene.rebuild("status");
        assert_eq!((run.code == 0, run.stdout.as_str()), (goes_on, ""), "{}", run.stderr);
        assert_eq!(run.stderr.contains(text), goes_on, "{}", run.stderr);
        assert_eq!(run.code == 2, !goes_on, "{}", run.stderr);
    }
}

/// A unit that cannot be started leaves nothing, and is an error.
#[test]
fn a_unit_that_cannot_be_started() {
    let scene = scene();
    scene.stub(
        "systemd-run",
        "echo 'Failed to start transient service unit' >&2; exit 1",
    );
    let run = scene.rebuild("switch --detach");
    assert_eq!((run.code, run.stdout.as_str()), (1, ""), "{}", run.stderr);
    assert!(run.stderr.contains("nothing was begun"), "{}", run.stderr);
    assert_eq!(scene.sh("ls home/.local/state/rebuild/detached"), "");
}

/// A user who becomes root without a password: the machine's systemd runs it, as that user.
#[test]
fn a_user_who_becomes_root_without_a_password() {
    let scene = scene();
    scene.typed_by(1000);
    scene.sh("chmod -R a+rwX .");
    scene.stub(
        "sudo",
        "case \"$*\" in '-k -n true') exit ;; esac
         while [ \"$1\" != systemd-run ] && [ \"$1\" != /usr/bin/env ]; do shift; done; exec \"$@\"",
    );
    let run = scene.rebuild("switch --detach --sudo");
    assert_eq!(run.code, 0, "{}", run.stderr);
    let calls = scene.calls();
    let start = calls
        .iter()
        .find(|call| call.contains("--unit=rebuild-detached-"))
        .unwrap();
    assert!(start.contains("--uid=1000 --gid=1000"), "{start}");
    assert!(scene.read("unit").contains("Done. "), "{}", scene.read("unit"));
}

/// Everything that can be known is known before anything slow, and there is a way that works.
#[test]
fn what_could_not_go_on_is_refused_beforehand() {
    let refuses = "me@builder: Permission denied (publickey).";
    for (what, line, user, message, remedy) in [
        (
            "systemd",
            "switch --detach",
            0,
            "no systemd runs on this machine",
            "rebuild build --detach",
        ),
        (
            "keys",
            "switch --detach --eval-on builder",
            0,
            "without an agent or a password",
            "IdentityFile",
        ),
        (
            "sudo",
            "switch --detach --sudo",
            1000,
            "sudo asks for a password",
            "run it as root",
        ),
        (
            "linger",
            "switch --detach --target-host target",
            1000,
            "ends at the logout",
            "loginctl enable-linger",
        ),
    ] {
        let scene = scene();
        scene.typed_by(user);
        scene.sh("chmod -R a+rwX .");
        match what {
            "systemd" => scene.prepare("rm -r \"$root/run/systemd\""),
            "keys" => scene.write("builder/refuses", refuses),
            "sudo" => scene.stub("sudo", "exit 1"),
            _ => scene.stub("loginctl", "echo no"),
        }
        let run = scene.rebuild(line);
        assert_eq!(
            (run.code == 0, run.stdout.as_str()),
            (false, ""),
            "{what}: {}",
            run.stderr
        );
        for text in [message, remedy] {
            assert!(run.stderr.contains(text), "{what} {text}: {}", run.stderr);
        }
        assert!(!begun(&scene), "{what}: {:?}", scene.calls());
    }
}

/// Whoever is not known again could not find what they leave: that is said before any login.
#[test]
fn who_is_not_known_again_cannot_leave() {
    for line in [
        "build --detach --eval-on builder",
        "build --detach --build-on builder",
        "switch --detach --eval-on builder",
    ] {
        let scene = scene();
        scene.variable("XDG_STATE_HOME", "/proc/none");
        let run = scene.rebuild(line);
        assert_eq!((run.code, run.stdout.as_str()), (1, ""), "{line}: {}", run.stderr);
        for text in [
            "/proc/none/rebuild/client",
            "no later run finds the work",
            "XDG_STATE_HOME=DIR rebuild",
        ] {
            assert!(run.stderr.contains(text), "{line} {text}: {}", run.stderr);
        }
        let calls = scene.calls();
        assert!(
            !begun(&scene) && !calls.iter().any(|call| call.starts_with("ssh")),
            "{line}: {calls:?}"
        );
    }
}

/// A user whose own systemd stays has it run what changes another machine.
#[test]
fn a_user_whose_systemd_stays() {
    let scene = scene();
    scene.typed_by(1000);
    scene.sh("chmod -R a+rwX .");
    scene.stub("loginctl", "echo yes");
    let run = scene.rebuild("switch --detach --target-host target");
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(
        run.stderr.contains("journalctl --user-unit=rebuild-detached-"),
        "{}",
        run.stderr
    );
    let calls = scene.calls();
    assert!(
        calls.iter().any(|call| call.starts_with("systemd-run --user ")),
        "{calls:?}"
    );
    assert!(scene.read("unit").contains("Done. "), "{}", scene.read("unit"));
}
