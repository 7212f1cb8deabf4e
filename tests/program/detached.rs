//! `--detach` with a change: the whole run goes on as a unit of systemd, and the next run tells what it came to.

use crate::scenarios::Scene;

/// A systemd that runs what it is given as it does: with an environment of its own, in `/`, and to its end. A `$` begins a
/// variable, unless it stands there twice (systemd.service(5)).
const SYSTEMD: &str = "while [ \"$1\" != /bin/sh ]; do shift; done
case $2 in *'$'*) set -- /bin/sh \"$(printf %s \"$2\" | sed 's/\\$\\$/\\a/g; s/\\$[A-Z]*//g; s/\\a/$/g')\" ;; esac
cp \"$2\" \"$STAGE/was-run\"
stage=$STAGE; cd /; env -i PATH=/usr/bin:/bin INVOCATION_ID=x \"$@\" >\"$stage/unit\" 2>&1 </dev/null || :";

const LET_GO: &str = "this run goes on by itself, as rebuild-detached-";

/// A systemd that has forgotten the unit.
const OVER: &str = "case $* in *rebuild-detached*) echo inactive ;; *) exit 3 ;; esac";

pub fn scene() -> Scene {
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
pub fn begun(scene: &Scene) -> bool {
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
    for flag in ["--collect", "--service-type=exec", "--property=OOMPolicy=continue"] {
        assert!(start.contains(flag), "{start}");
    }
    // The run does not tell of itself.
    assert!(!unit.contains("rebuild-detached-"), "{unit}");
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
                    "case $* in *rebuild-detached*) echo active ;; *) exit 3 ;; esac",
                );
            }
            "systemd-run" => {
                scene.stub("systemd-run", "");
                scene.stub("systemctl", OVER);
            }
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
            "off",
            "switch --detach --eval-on builder",
            0,
            "builder cannot be reached",
            "No route to host",
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
            "off" => scene.write(
                "builder/refuses",
                "ssh: connect to host builder port 22: No route to host\n",
            ),
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

/// systemd does not say how the unit is: nothing is concluded from that, and the next run asks again. A unit that begins or
/// ends just now goes on; one whose systemd is gone does not.
#[test]
fn only_systemd_knows_whether_a_unit_is_over() {
    let unknown = "systemd does not say whether it still goes on";
    let goes_on = "still goes on\n  to follow it";
    for (systemctl, text) in [
        ("echo 'Failed to connect to bus' >&2; exit 1", unknown),
        ("echo strange; printf '\\033[2J'", unknown),
        ("", unknown),
        ("kill -KILL $$", unknown),
        ("echo activating", goes_on),
        ("echo deactivating", goes_on),
        ("echo reloading; exit 3", unknown),
    ] {
        let scene = scene();
        scene.stub("systemd-run", "");
        scene.stub(
            "systemctl",
            &format!("case $* in *rebuild-detached*) {systemctl} ;; *) exit 3 ;; esac"),
        );
        assert_eq!(scene.rebuild("switch --detach").code, 0);
        for _ in 1..=2 {
            let run = scene.rebuild("dry-build");
            assert!(run.stderr.contains(text), "{systemctl}: {}", run.stderr);
            assert!(!run.stderr.contains("cut off"), "{systemctl}: {}", run.stderr);
        }
    }
    let scene = scene();
    scene.stub("systemd-run", "");
    assert_eq!(scene.rebuild("switch --detach").code, 0);
    scene.prepare("rm -r \"$root/run/systemd\"");
    let run = scene.rebuild("dry-build");
    assert!(run.stderr.contains("was cut off before its end"), "{}", run.stderr);
}

/// It ends at the moment at which systemd is asked.
#[test]
fn a_unit_that_ends_just_now_is_not_cut_off() {
    let scene = scene();
    scene.stub("systemd-run", "");
    scene.stub(
        "systemctl",
        "case $* in *rebuild-detached*) echo 3 >\"$(echo home/.local/state/rebuild/detached/*)/status\"; echo inactive ;; *) exit 3 ;; esac",
    );
    assert_eq!(scene.rebuild("switch --detach").code, 0);
    let run = scene.rebuild("dry-build");
    assert!(run.stderr.contains("has failed, with exit status 3"), "{}", run.stderr);
}

/// Somebody asks for the status while the unit is being started: it is not taken for one that was cut off, whose files are
/// removed.
#[test]
fn who_asks_while_a_unit_is_started_is_in_nobodys_way() {
    let scene = scene();
    scene.stub("systemctl", OVER);
    scene.stub(
        "systemd-run",
        &format!(
            "case $* in *rebuild-detached*) ;; *) while [ \"$1\" != /bin/sh ]; do shift; done; exec \"$@\" ;; esac
             : >starting; until [ -e go ]; do sleep 0.05; done
{SYSTEMD}"
        ),
    );
    let first = scene.start("switch --detach");
    scene.wait_for("starting");
    let run = scene.rebuild("dry-build");
    assert!(!run.stderr.contains("rebuild-detached-"), "{}", run.stderr);
    scene.write("go", "");
    let first = first.finish();
    assert_eq!(first.code, 0, "{}", first.stderr);
    assert!(scene.read("unit").contains("Done. "), "{}", scene.read("unit"));
}

/// What has begun has begun, whatever systemd-run says; and what was taken back never begins.
#[test]
fn a_run_has_begun_or_it_has_not() {
    for (fails, code) in [("exit 1", 0), ("kill -INT \"$PPID\"; exec sleep 100", 130)] {
        let scene = scene();
        scene.stub(
            "systemd-run",
            &format!(
                "case $* in *rebuild-detached*) ;; *) while [ \"$1\" != /bin/sh ]; do shift; done; exec \"$@\" ;; esac
                 ({SYSTEMD})
                 {fails}"
            ),
        );
        let run = scene.rebuild("switch --detach");
        assert_eq!(run.code, code, "{fails}: {}", run.stderr);
        assert!(
            run.stderr.contains(LET_GO) && !run.stderr.contains("nothing was begun"),
            "{fails}: {}",
            run.stderr
        );
        let run = scene.rebuild("dry-build");
        assert!(run.stderr.contains("is done: all went well"), "{}", run.stderr);
    }
    // The unit comes only after systemd-run was given up.
    let scene = scene();
    scene.stub(
        "systemd-run",
        "while [ \"$1\" != /bin/sh ]; do shift; done
         echo 'Failed to start: strange \\033[2J' >&2
         exec 7<\"$2\"
         (while [ -e \"$2\" ]; do sleep 0.05; done; env -i PATH=/usr/bin:/bin /bin/sh /dev/fd/7 >late 2>&1; : >over) >/dev/null 2>&1 &
         exit 1",
    );
    let run = scene.rebuild("switch --detach");
    assert_eq!(run.code, 1, "{}", run.stderr);
    assert!(run.stderr.contains("nothing was begun"), "{}", run.stderr);
    scene.wait_for("over");
    assert!(
        !begun(&scene) || !scene.calls().iter().any(|call| call.starts_with("nix-")),
        "{:?}",
        scene.calls()
    );
    assert_eq!(scene.sh("ls home/.local/state/rebuild/detached"), "");
}

/// systemd-run is not there.
#[test]
fn without_systemd_run_nothing_is_begun() {
    let scene = scene();
    scene.sh("rm bin/systemd-run");
    scene.prepare("mount --bind /dev/null \"$root/usr/bin/systemd-run\" 2>/dev/null || :");
    let run = scene.rebuild("switch --detach");
    assert_ne!(run.code, 0);
    assert!(
        run.stderr.contains("error: systemd-run: command not found\n"),
        "{}",
        run.stderr
    );
    assert!(!begun(&scene), "{:?}", scene.calls());
    assert_eq!(scene.sh("ls home/.local/state/rebuild/detached 2>/dev/null || :"), "");
}

/// A disk that is full: before the run nothing is begun; at its end, what it came to is known all the same.
#[test]
fn a_full_disk_loses_no_end() {
    let state = "mkdir -p home/.local/state";
    let full = "$(dirname \"$(dirname \"$(dirname \"$2\")\")\")/fill";
    for fills_when in ["before", "meanwhile"] {
        let scene = scene();
        scene.sh(state);
        let place = scene.path("home/.local/state").display().to_string();
        let filler = "head -c 9000000 /dev/zero";
        if fills_when == "before" {
            scene.prepare(&format!(
                "mount -t tmpfs -o size=256k none \"$root{place}\"; {filler} >\"$root{place}/fill\" 2>/dev/null || :"
            ));
        } else {
            scene.prepare(&format!("mount -t tmpfs -o size=256k none \"$root{place}\""));
            scene.stub(
                "systemd-run",
                &format!(
                    "case $* in *rebuild-detached*) ;; *) while [ \"$1\" != /bin/sh ]; do shift; done; exec \"$@\" ;; esac
                     while [ \"$1\" != /bin/sh ]; do shift; done
                     fill={full} place=${{2%/*}}; {filler} >\"$fill\" 2>/dev/null || :
                     {SYSTEMD}
                     cp -r \"$place\" \"$stage/left\""
                ),
            );
        }
        let run = scene.rebuild("switch --detach");
        if fills_when == "before" {
            assert_ne!(run.code, 0, "{}", run.stderr);
            for text in ["nothing was begun", "No space left on device"] {
                assert!(run.stderr.contains(text), "{}", run.stderr);
            }
            assert!(!begun(&scene), "{:?}", scene.calls());
            continue;
        }
        assert_eq!(run.code, 0, "{}", run.stderr);
        assert!(scene.read("unit").contains("Done. "), "{}", scene.read("unit"));
        assert_eq!(scene.read("left/status").trim(), "0", "{}", scene.read("unit"));
    }
}

/// The safety net works for a run without its user: it is confirmed by another machine, or goes back, and the next run tells
/// which.
#[test]
fn a_detached_run_has_the_same_safety_net() {
    let fails = "[ \"$1\" != switch ] || [ -e went ] || { : >went; exit 1; }";
    for (line, activation, status, text) in [
        (
            "--confirm --confirm-by builder",
            "",
            0,
            "confirmed: builder can be reached from this machine",
        ),
        ("--confirm=1", "", 195, "was not confirmed in time: it went back"),
        ("--rollback-on-failure", fails, 195, "went back"),
    ] {
        let scene = scene();
        scene.stub("switch-to-configuration", activation);
        scene.prepare("mkdir -p \"$root/var/lib/rebuild\"");
        let run = scene.rebuild(&format!("switch --detach {line}"));
        assert_eq!(run.code, 0, "{line}: {}", run.stderr);
        let unit = scene.read("unit");
        assert!(unit.contains(text), "{line}: {unit}");
        let run = scene.rebuild("dry-build");
        let told = if status == 0 {
            "all went well".to_owned()
        } else {
            format!("has failed, with exit status {status}")
        };
        assert!(run.stderr.contains(&told), "{line}: {}", run.stderr);
    }
}

/// Twice the flag is the flag; two runs are two units, of which each is told.
#[test]
fn twice_detached() {
    let scene = scene();
    for (line, told) in [
        ("switch --detach --detach", 0),
        ("switch --detach", 1),
        ("dry-build", 1),
    ] {
        let run = scene.rebuild(line);
        assert_eq!(run.code, 0, "{line}: {}", run.stderr);
        assert!(scene.read("unit").contains("Done. "), "{}", scene.read("unit"));
        // What was over is told once, by whatever run is next.
        let words = run.stderr.matches("is done: all went well").count();
        assert_eq!(words, told, "{line}: {}", run.stderr);
    }
    scene.stub("systemd-run", "");
    scene.stub(
        "systemctl",
        "case $* in *rebuild-detached*) echo active ;; *) exit 3 ;; esac",
    );
    for number in 0..2 {
        let run = scene.rebuild("switch --detach");
        assert_eq!(run.code, 0, "{}", run.stderr);
        assert_eq!(run.stderr.matches("still goes on").count(), number, "{}", run.stderr);
    }
}
