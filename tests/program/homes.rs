//! Homes and XDG directories as they should not be: what needs a place of this user's has one, or says that it has none
//! before anything is begun.

use crate::detached;
use crate::scenarios::Scene;

/// Names with everything that a shell, systemd or a line could take for something else.
const ODD: &str = "it's \"odd\" $HOME $$ %n\n;x";

/// Sets the variables, and what the machine has there. Returns whether there is a place.
fn odd(scene: &Scene, what: &str) -> bool {
    let home = scene.path("home").display().to_string();
    // Root's home of the user database, which counts if HOME does not.
    let mut prepare = vec!["mount -t tmpfs none \"$root/root\"".to_owned()];
    let mut has_place = true;
    match what {
        "unset" => scene.without_variable("HOME"),
        "empty" => scene.variable("HOME", ""),
        "relative" => {
            scene.variable("HOME", "some/where");
            scene.variable("XDG_STATE_HOME", "else/where");
        }
        "odd" => {
            scene.sh(&format!("mkdir \"$(cat <<'END'\nhome/{ODD}\nEND\n)\""));
            scene.variable("HOME", &format!("{home}/{ODD}"));
        }
        "odd state" => scene.variable("XDG_STATE_HOME", &format!("{home}/{ODD}/not/there")),
        "not there" => scene.variable("HOME", &format!("{home}/not/there")),
        "a link" => {
            scene.sh("mkdir elsewhere; ln -s ../elsewhere home/link");
            scene.variable("HOME", &format!("{home}/link"));
        }
        "another user's" => {
            scene.sh("mkdir home/other; chown 12345 home/other");
            scene.variable("HOME", &format!("{home}/other"));
        }
        "another user's state" => {
            scene.sh("mkdir -p home/.local/state/rebuild; chown 12345 home/.local/state/rebuild");
            has_place = false;
        }
        "read-only" => {
            prepare.push(format!("mount -t tmpfs -o ro none \"$root{home}\""));
            has_place = false;
        }
        "full" => {
            prepare.push(format!("mount -t tmpfs -o nr_inodes=1 none \"$root{home}\""));
            has_place = false;
        }
        "a file" => {
            scene.sh("mkdir home/.local; : >home/.local/state");
            has_place = false;
        }
        _ => unreachable!(),
    }
    scene.prepare(&prepare.join("\n"));
    has_place
}

const ALL: [&str; 12] = [
    "unset",
    "empty",
    "relative",
    "odd",
    "odd state",
    "not there",
    "a link",
    "another user's",
    "another user's state",
    "read-only",
    "full",
    "a file",
];

/// A run that goes on as a unit.
#[test]
fn a_detached_run_has_a_place_or_is_not_begun() {
    for what in ALL {
        let scene = detached::scene();
        let has_place = odd(&scene, what);
        let run = scene.rebuild("switch --detach");
        assert!(!run.stderr.contains("panicked"), "{what}: {}", run.stderr);
        if has_place {
            assert_eq!(run.code, 0, "{what}: {}", run.stderr);
            let unit = scene.read("unit");
            assert!(unit.contains("Done. "), "{what}: {unit}{}", run.stderr);
        } else {
            assert_eq!((run.code, run.stdout.as_str()), (1, ""), "{what}: {}", run.stderr);
            assert!(run.stderr.contains("nothing was begun"), "{what}: {}", run.stderr);
            assert!(!detached::begun(&scene), "{what}: {:?}", scene.calls());
        }
    }
}

/// Without a place there is no name by which a builder knows this user, and so no job.
#[test]
fn jobs_are_asked_about_by_a_name_that_stays() {
    let tells = "hear_script; say hello /usr/bin x86_64-linux; say record ab.1 pi 5; say running; say finished";
    // Root may write into another user's directory, and the name is no more than a number.
    for what in ALL.into_iter().filter(|what| *what != "another user's state") {
        let scene = detached::scene();
        scene.stub("ssh", tells);
        let has_place = odd(&scene, what);
        let mut names = Vec::new();
        for verb in ["status", "status", "cancel --job ab"] {
            let run = scene.rebuild(&format!("{verb} --eval-on builder"));
            assert!(!run.stderr.contains("panicked"), "{what}: {}", run.stderr);
            if has_place {
                assert_eq!(run.code, i32::from(verb != "status"), "{what} {verb}: {}", run.stderr);
                let script = scene.read("script");
                let name = script
                    .lines()
                    .find(|line| line.starts_with("rb_client="))
                    .map(str::to_owned);
                names.push(name.unwrap());
            } else {
                assert_eq!(
                    (run.code, run.stdout.as_str()),
                    (1, ""),
                    "{what} {verb}: {}",
                    run.stderr
                );
            }
        }
        // The home of the machine's root does not outlive a run here.
        if has_place && !["unset", "empty", "relative", "another user's"].contains(&what) {
            names.dedup();
            assert_eq!(names.len(), 1, "{what}: {names:?}");
        }
    }
}

/// No room for the sockets and files of a run: that is said, with the place and what to look at, and nothing is begun. A run
/// that goes on by itself says it to the next one.
#[test]
fn without_room_for_a_run_it_says_so() {
    let text = "this machine cannot make the files of a run in /tmp: No space left on device";
    let look = "df -i /tmp\n";
    let tells = "hear_script; say hello /usr/bin x86_64-linux; say record ab.1 pi 5; say running; say finished";
    for line in [
        "cancel --eval-on builder",
        "attach --eval-on builder",
        "switch",
        "switch --detach",
    ] {
        let scene = detached::scene();
        scene.stub("ssh", tells);
        scene.prepare("mount -t tmpfs -o nr_inodes=1 none \"$root/tmp\"");
        let run = scene.rebuild(line);
        let said = if line.contains("--detach") {
            let next = scene.rebuild("dry-build").stderr;
            assert!(next.contains("has failed, with exit status 1"), "{line}: {next}");
            scene.read("unit")
        } else {
            assert_eq!((run.code, run.stdout.as_str()), (1, ""), "{line}: {}", run.stderr);
            run.stderr
        };
        assert!(said.contains(text) && said.contains(look), "{line}: {said}");
        let calls = scene.calls();
        let changes = ["nix-env ", "switch-to-configuration"];
        let is_change = |call: &&String| changes.iter().any(|change| call.starts_with(change));
        assert_eq!(calls.iter().find(is_change), None, "{line}");
    }
}
