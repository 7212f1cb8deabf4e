//! The scripts, in the shells that there are, with a stand-in for Nix.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::doctor::facts::{Facts, Told};
use crate::doctor::{Patient, Roles, text};
use crate::host::Place;
use crate::vocabulary::Elevation;

/// Nix that builds what does not require one of the features in `lacks`, in an old or a new version's words.
const NIX: &str = r#"#!/bin/sh
cd "$PLACE"
case ${0##*/}:$* in
nix-store:--version) echo 'nix-store (Nix) 2.26.3' ;;
nix-store:*) [ ! -e refuses ] || { echo 'error: cannot open connection to the daemon' >&2; exit 1; } ;;
nix:*ping*) echo '{"trusted":1}' ;;
nix:*config\ show*) exit 1 ;;
nix:*show-config*) printf 'system = x86_64-linux\nsandbox = true\nother = x\n' ;;
nix-build:*)
	echo "$*" | tr '\n' ' ' >>builds
	for feature in $(cat lacks); do
		case $* in *"\"$feature\""*)
			if [ -e new ]; then
				printf "error: Cannot build 'x.drv'.\n       Reason: missing system features\n       Required features: {%s}\n       Available features: {}\n" "$feature" >&2
			else
				echo "error: a 'x86_64-linux' with features {$feature} is required to build 'x.drv', but I am a 'x86_64-linux' with features {}" >&2
			fi
			exit 1
		esac
	done
	[ ! -s words ] || { cat words >&2; exit 1; }
	;;
esac
"#;

/// A place with such a Nix.
fn place() -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    for name in ["nix", "nix-store", "nix-build"] {
        let file = place.path().join("bin").join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, NIX).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    }
    for name in ["lacks", "words"] {
        fs::write(place.path().join(name), "").unwrap();
    }
    place
}

const BUILDS: Roles = Roles {
    evaluates: true,
    builds: true,
    is_changed: true,
};

/// Runs the script there. Returns what it told, in lines without `is`.
fn told(place: &Path, shell: &[&str], system: &str) -> (Facts, Vec<String>) {
    let host = Place::parse("builder", "pi").unwrap();
    let patient = Patient {
        host: host.host(),
        roles: BUILDS,
        system: Some(system),
        elevation: Elevation::None,
        lends: true,
    };
    let socket = place.join("socket");
    let script = text::visit(&patient, Some(&socket)).unwrap();
    // The daemon's socket is this machine's own, if it has one.
    let script = String::from_utf8(script).unwrap();
    let script = script.replace(
        "/nix/var/nix/daemon-socket/socket",
        &place.join("daemon").display().to_string(),
    );
    let _daemon = std::os::unix::net::UnixListener::bind(place.join("daemon"));
    // The session of a login, if the test has one.
    let script = script.replace("/proc/self/cgroup", &place.join("cgroup").display().to_string());
    fs::write(place.join("script"), script).unwrap();
    let mut child = Command::new(shell[0])
        .args(&shell[1..])
        .arg(place.join("script"))
        .env_clear()
        .env(
            "PATH",
            format!("{}:/usr/bin:/bin:/usr/sbin:/sbin", place.join("bin").display()),
        )
        .env("HOME", place.join("home"))
        .env("PLACE", place)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let sender = std::thread::spawn(move || stdin.write_all(&vec![b'\n'; text::ECHO]));
    let output = child.wait_with_output().unwrap();
    sender.join().unwrap().unwrap();
    let _ = fs::remove_file(place.join("daemon"));
    let all = String::from_utf8_lossy(&output.stdout);
    let said = all.replace('\0', "");
    assert!(
        output.status.success() && said.ends_with("@rebuild finished\n"),
        "{said} {output:?}"
    );
    assert_eq!(all.len() - said.len(), text::ECHO);
    let mut facts = Facts::default();
    for line in said.lines() {
        if let Some(Told::Fact(name, value)) = Told::parse(line.as_bytes()) {
            facts.hear(name, value);
        }
    }
    // What it has made for a trial is gone.
    let left: Vec<_> = fs::read_dir(place.join("home/.cache")).map_or(Vec::new(), Iterator::collect);
    assert!(left.is_empty(), "{left:?}");
    (facts, said.lines().map(str::to_owned).collect())
}

fn shells() -> Vec<Vec<&'static str>> {
    let all = [vec!["dash"], vec!["bash"], vec!["busybox", "sh"]];
    let there: Vec<_> = all
        .into_iter()
        .filter(|shell| {
            Command::new(shell[0])
                .args(&shell[1..])
                .args(["-c", ":"])
                .output()
                .is_ok()
        })
        .collect();
    assert!(!there.is_empty());
    there
}

#[test]
fn every_shell_tells_the_same_of_a_good_machine() {
    for shell in shells() {
        let place = place();
        let (facts, said) = told(place.path(), &shell, "x86_64-linux");
        for (name, value) in [
            ("heard", "16384"),
            ("version", "2.26.3"),
            ("daemon", "yes"),
            ("trusted", "yes"),
            ("builds", "native x86_64-linux"),
            ("forwards", "no"),
        ] {
            assert_eq!(facts.word(name), Some(value), "{shell:?}: {said:#?}");
        }
        assert_eq!(facts.setting("sandbox"), Some("true"), "{said:#?}");
        assert_eq!(facts.setting("other"), None);
        let features: Vec<_> = facts.all("feature").collect();
        assert_eq!(
            features,
            ["big-parallel yes", "kvm yes", "nixos-test yes", "benchmark yes"]
        );
        assert_eq!(facts.numbers("memory").len(), 3);
        assert!(facts.word("root").is_some() && facts.word("state").is_some() && facts.word("nixos").is_some());
        assert!(
            facts.word("way").is_some() && facts.word("times").is_some() && facts.word("room-store").is_some()
                || !Path::new("/nix/store").exists()
        );
        // One build shows that it builds, one that it has all features.
        let builds = fs::read_to_string(place.path().join("builds")).unwrap();
        assert_eq!(builds.matches("rebuild-emulation-probe").count(), 2, "{builds}");
    }
}

/// A logind, and a user's own systemd, which takes a process out of its session.
const BUSCTL: &str = r#"#!/bin/sh
cd "$PLACE"
case $* in
*KillUserProcesses*) printf 'b %s\nas 1 "spared"\nas 0\n' "$(cat kills)" ;;
*Linger*) echo "b $(cat lingers)" ;;
*StartTransientUnit*) [ -e bus ] && echo 0::/user.slice/user@1000.service/app.slice/x.scope >cgroup ;;
esac
"#;

/// A login's work goes on, or it does after a move to the user's own systemd, or neither; by what logind says.
#[test]
fn what_becomes_of_work_at_the_logout() {
    for (session, kills, lingers, bus, expected) in [
        (false, "true", "true", true, "yes"),
        (true, "false", "false", false, "yes"),
        (true, "true", "true", true, "moved"),
        (true, "true", "true", false, "no"),
        (true, "true", "false", true, "no"),
    ] {
        for shell in shells() {
            let place = place();
            let write = |name: &str, text: &str| fs::write(place.path().join(name), text).unwrap();
            let group = if session {
                "session-7.scope"
            } else {
                "user@1000.service"
            };
            write("cgroup", &format!("0::/user.slice/user-1000.slice/{group}\n"));
            write("kills", kills);
            write("lingers", lingers);
            write("bin/busctl", BUSCTL);
            fs::set_permissions(place.path().join("bin/busctl"), fs::Permissions::from_mode(0o755)).unwrap();
            if bus {
                write("bus", "");
            }
            let (facts, said) = told(place.path(), &shell, "x86_64-linux");
            let word = facts.word("logout").unwrap_or_default();
            let (what, user) = word.split_once(' ').unwrap_or((word, ""));
            assert_eq!(what, expected, "{kills} {lingers} {bus} {shell:?}: {said:#?}");
            assert_eq!(user.is_empty(), expected != "no", "{said:#?}");
        }
    }
}

/// A missing feature is told apart from a missing CPU, in the words of Nix before 2.34 and since.
#[test]
fn a_missing_feature_is_no_missing_cpu() {
    for is_new in [false, true] {
        let place = place();
        fs::write(place.path().join("lacks"), "big-parallel kvm").unwrap();
        if is_new {
            fs::write(place.path().join("new"), "").unwrap();
        }
        let (facts, said) = told(place.path(), &["sh"], "x86_64-linux");
        assert_eq!(facts.word("builds"), Some("native x86_64-linux"), "{said:#?}");
        let features: Vec<_> = facts.all("feature").collect();
        assert_eq!(
            features,
            ["big-parallel no", "kvm no", "nixos-test yes", "benchmark yes"]
        );
    }
}

#[test]
fn a_missing_cpu_is_one_and_features_are_not_tried() {
    for (words, expected) in [
        (
            "error: a 'riscv64-linux' with features {} is required to build 'x.drv', but I am a 'x86_64-linux' with features {}",
            "no-platform riscv64-linux",
        ),
        ("error: executing 'x': Exec format error", "no-emulator riscv64-linux"),
        ("error: unable to start any build", "probe-jobs riscv64-linux"),
        ("error: something else", "probe riscv64-linux"),
    ] {
        let place = place();
        fs::write(place.path().join("words"), words).unwrap();
        let (facts, said) = told(place.path(), &["sh"], "riscv64-linux");
        assert_eq!(facts.word("builds"), Some(expected), "{said:#?}");
        assert_eq!(facts.all("feature").count(), 0);
    }
}

/// A build that fails for another reason says nothing of features.
#[test]
fn a_daemon_that_refuses_is_quoted() {
    let place = place();
    fs::write(place.path().join("refuses"), "").unwrap();
    let (facts, said) = told(place.path(), &["sh"], "x86_64-linux");
    assert_eq!(
        facts.word("daemon"),
        Some("refused error: cannot open connection to the daemon"),
        "{said:#?}"
    );
    assert_eq!((facts.word("builds"), facts.word("trusted")), (None, None));
}

#[test]
fn without_nix_all_else_is_still_told() {
    let place = place();
    fs::remove_dir_all(place.path().join("bin")).unwrap();
    let (facts, said) = told(place.path(), &["sh"], "x86_64-linux");
    // This machine may have a Nix of its own.
    if facts.word("nix").is_none() {
        assert!(facts.has("nix") && facts.word("version").is_none(), "{said:#?}");
        assert!(facts.word("room-tmp").is_some() && facts.word("memory").is_some());
    }
}

/// What the kernel and the distributions call the emulators.
#[test]
fn an_emulator_is_looked_for_under_all_its_names() {
    let names = |system: &str| {
        let script = [
            include_str!("../../remote/scripts/emulators.sh"),
            "names_of_emulator \"$1\"",
        ]
        .concat();
        let output = Command::new("sh").args(["-c", &script, "sh", system]).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    for (system, expected) in [
        ("aarch64-linux", "aarch64-linux qemu-aarch64"),
        ("armv6l-linux", "armv6l-linux qemu-arm"),
        ("armv7l-linux", "armv7l-linux qemu-arm"),
        ("i686-linux", "i686-linux qemu-i386"),
        ("x86_64-linux", "x86_64-linux qemu-x86_64"),
        ("powerpc64le-linux", "powerpc64le-linux qemu-ppc64le"),
        ("powerpc-linux", "powerpc-linux qemu-ppc"),
        ("mips64el-linuxabin32", "mips64el-linuxabin32 qemu-mipsn32el"),
        ("mips64el-linux", "mips64el-linux qemu-mips64el"),
        ("riscv64-linux", "riscv64-linux qemu-riscv64"),
    ] {
        assert_eq!(names(system), expected);
    }
}
