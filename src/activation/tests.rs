//! Runs root's script and its job for real, with records in a directory of their own: two runs at once, clocks that
//! jump, and connections that break at bad moments.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

mod back;
mod confirm;

use super::text::{RootTask, root};
use super::{Activation, Change, ProfileChange};
use crate::store_path::StorePath;
use crate::vocabulary::Confirmation;

const SYSTEM: &str = "/nix/store/00000000000000000000000000000000-nixos-system-pi";

/// A machine's records, and programs that stand before its own.
struct Machine {
    place: TempDir,
}

impl Machine {
    fn new() -> Self {
        let place = tempfile::tempdir().unwrap();
        for name in ["bin", "records"] {
            fs::create_dir(place.path().join(name)).unwrap();
        }
        Self { place }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    fn program(&self, name: &str, text: &str) {
        let path = self.path("bin").join(name);
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn script(&self, task: &RootTask) -> String {
        let text = String::from_utf8(root(task, false).unwrap()).unwrap();
        let own = [
            ("/var/lib/rebuild", "records"),
            ("/run/current-system", "current-system"),
            ("/nix/var/nix/profiles", "profiles"),
            (SYSTEM, "system"),
        ];
        own.iter().fold(text, |text, (path, own)| {
            text.replace(path, &self.path(own).to_string_lossy())
        })
    }

    /// Runs root's script, which reads `words`. Returns what it says.
    fn runs(&self, task: &RootTask, words: &str) -> String {
        let mut child = self.start(task);
        child.stdin.take().unwrap().write_all(words.as_bytes()).unwrap();
        String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
    }

    fn start(&self, task: &RootTask) -> Child {
        let path = format!("{}:{}", self.path("bin").display(), std::env::var("PATH").unwrap());
        Command::new("sh")
            .args(["-c", &self.script(task)])
            .env("PATH", path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// Gives the machine a system whose activation is this shell text.
    fn activates(&self, text: &str) {
        self.has_system("system", text);
    }

    fn has_system(&self, name: &str, text: &str) {
        let place = self.path(name).join("bin");
        fs::create_dir_all(&place).unwrap();
        let program = place.join("switch-to-configuration");
        fs::write(&program, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    }
}

/// A change of the system profile, or of none for `test`, and then this action of the new system.
fn with_activation(
    action: &'static str,
    goes_back: bool,
    confirmation: Option<Confirmation>,
    then: impl FnOnce(&Change),
) {
    let system = StorePath::parse(SYSTEM).unwrap();
    then(&Change {
        system: &system,
        profile: match action {
            "test" => ProfileChange::Keep,
            _ => ProfileChange::Set("/nix/var/nix/profiles/system".into()),
        },
        activation: Some(Activation {
            specialisation: None,
            action,
            install_bootloader: false,
            goes_back,
            confirmation,
        }),
    });
}

fn with_change(profile: ProfileChange, then: impl FnOnce(&Change)) {
    let system = StorePath::parse(SYSTEM).unwrap();
    then(&Change {
        system: &system,
        profile,
        activation: Some(Activation {
            specialisation: None,
            action: "test",
            install_bootloader: false,
            goes_back: false,
            confirmation: None,
        }),
    });
}

#[test]
fn a_change_comes_to_its_end_and_is_remembered_until_that_is_heard() {
    let machine = Machine::new();
    machine.activates("echo activating; exit 4");
    with_change(ProfileChange::Keep, |change| {
        let said = machine.runs(&RootTask::Change("one", change), "");
        assert!(said.contains("activating\n@rebuild ended activation 4 - -\n"), "{said}");
    });
    let said = machine.runs(&RootTask::Tell, "heard\n");
    assert!(said.contains("@rebuild ended activation 4 - -\n"), "{said}");
    assert!(machine.runs(&RootTask::Tell, "").contains("@rebuild nothing\n"));
}

/// Generations are read of a profile with any name; there is none if the profile links directly to a store path.
#[test]
fn the_generations_of_a_change_are_remembered() {
    for (link, expected) in [
        ("my-2-link-3-link", "3 4"),
        ("my-2-link-03-link", "03 4"),
        ("/nix/store/x-nixos-system-pi-25.05.123", "- 4"),
        ("my-2-link-x-link", "- 4"),
        ("my-2-link--link", "- 4"),
        ("", "- 4"),
    ] {
        let machine = Machine::new();
        machine.activates("exit 1");
        let profile = machine.path("my-2-link");
        if !link.is_empty() {
            symlink(link, &profile).unwrap();
        }
        machine.program("nix-store", "");
        machine.program("nix-env", "ln -sfn my-2-link-4-link \"$2\"");
        with_change(ProfileChange::Set(profile), |change| {
            let said = machine.runs(&RootTask::Change("one", change), "");
            let ending = format!("@rebuild ended activation 1 {expected}\n");
            assert!(said.contains(&ending) && !said.contains("umber"), "{link}: {said}");
        });
    }
}

/// On a slow disk this takes seconds.
#[test]
fn a_change_that_is_just_being_written_down_runs_for_whoever_asks() {
    let machine = Machine::new();
    machine.activates("");
    fs::write(machine.path("tell"), machine.script(&RootTask::Tell)).unwrap();
    let told = machine.path("told");
    machine.program(
        "sync",
        &format!("sh {} </dev/null >{}", machine.path("tell").display(), told.display()),
    );
    with_change(ProfileChange::Keep, |change| {
        machine.runs(&RootTask::Change("one", change), "heard\n");
    });
    let told = fs::read_to_string(told).unwrap();
    assert!(told.contains("@rebuild running\n"), "{told}");
}

/// A Pi has no clock of its own: the time may jump by years while it activates.
#[test]
fn a_record_of_what_runs_is_never_too_old() {
    let machine = Machine::new();
    let tell = machine.path("tell");
    fs::write(&tell, machine.script(&RootTask::Tell)).unwrap();
    let told = machine.path("told");
    machine.activates(&format!(
        "touch -d '9 days ago' {}/*; sh {} </dev/null >{}",
        machine.path("records").display(),
        tell.display(),
        told.display(),
    ));
    with_change(ProfileChange::Keep, |change| {
        let said = machine.runs(&RootTask::Change("one", change), "heard\n");
        assert!(said.contains("@rebuild ended activation 0 - -\n"), "{said}");
    });
    let told = fs::read_to_string(told).unwrap();
    assert!(told.contains("@rebuild running\n"), "{told}");
    // What does not run is forgotten.
    fs::create_dir(machine.path("records/left")).unwrap();
    let mut touch = Command::new("touch");
    touch.args(["-d", "9 days ago"]).arg(machine.path("records/left"));
    assert!(touch.status().unwrap().success());
    machine.runs(&RootTask::Tell, "");
    assert!(!machine.path("records/left").exists());
}

/// The client has said that nothing was changed.
#[test]
fn a_change_that_comes_after_its_run_was_given_up_does_not_begin() {
    let machine = Machine::new();
    machine.activates(&format!("touch {}", machine.path("activated").display()));
    assert!(
        machine
            .runs(&RootTask::Follow("late", 0), "")
            .contains("@rebuild unknown\n")
    );
    with_change(ProfileChange::Keep, |change| {
        let said = machine.runs(&RootTask::Change("late", change), "");
        assert!(said.contains("@rebuild unknown\n"), "{said}");
    });
    assert!(!machine.path("activated").exists());
}

/// A client that hears of one change does not take the next one's name away.
#[test]
fn what_is_heard_is_one_change_and_no_other() {
    let machine = Machine::new();
    machine.activates("");
    with_change(ProfileChange::Keep, |change| {
        machine.runs(&RootTask::Change("one", change), "");
        machine.runs(&RootTask::Change("two", change), "");
    });
    machine.runs(&RootTask::Follow("one", 0), "heard\n");
    let said = machine.runs(&RootTask::Tell, "");
    assert!(said.contains("@rebuild record two test"), "{said}");
}

/// Somebody has made another generation meanwhile.
#[test]
fn a_profile_that_would_go_back_to_something_else_stays() {
    let machine = Machine::new();
    machine.activates("");
    let nix_env = machine.path("nix-env-was-called");
    for name in ["nix-env", "nix-store"] {
        machine.program(name, &format!("touch {}", nix_env.display()));
    }
    let profile = machine.path("profile");
    let link = |number: u32, to: &Path| symlink(to, machine.path(&format!("profile-{number}-link"))).unwrap();
    link(1, &machine.path("system"));
    link(2, Path::new("/two"));
    link(3, Path::new("/three"));
    symlink("profile-3-link", &profile).unwrap();
    with_change(ProfileChange::Rollback(profile.clone()), |change| {
        let said = machine.runs(&RootTask::Change("one", change), "");
        assert!(said.contains("has been changed by somebody else"), "{said}");
        assert!(said.contains("@rebuild ended profile 1\n"), "{said}");
    });
    assert!(!nix_env.exists());
}

/// A Pi without a network says that it is 1970, until it has one: what nobody has heard yet is told all the same.
#[test]
fn a_record_of_a_clock_that_was_not_set_is_not_too_old() {
    let machine = Machine::new();
    machine.activates("exit 4");
    with_change(ProfileChange::Keep, |change| {
        machine.runs(&RootTask::Change("one", change), "");
    });
    let mut touch = Command::new("touch");
    touch.args(["-d", "1970-01-01 00:03"]).arg(machine.path("records/one"));
    assert!(touch.status().unwrap().success());
    let said = machine.runs(&RootTask::Tell, "");
    assert!(said.contains("@rebuild ended activation 4 - -\n"), "{said}");
}

/// The disk had the names of the files, but not yet their content.
#[test]
fn a_change_that_a_power_cut_kept_from_being_noted_is_none() {
    let machine = Machine::new();
    fs::create_dir(machine.path("records/one")).unwrap();
    fs::write(machine.path("records/last"), "one\n").unwrap();
    for about in ["", "switch /nix/sto"] {
        fs::write(machine.path("records/one/about"), about).unwrap();
        let said = machine.runs(&RootTask::Tell, "");
        assert!(said.contains("@rebuild nothing\n"), "{about}: {said}");
    }
}

/// A record of a rebuild from before the shared records: all files were made at the beginning, and the status was
/// written in place.
#[test]
fn a_record_of_an_older_rebuild_is_understood() {
    let machine = Machine::new();
    let record = machine.path("records/one");
    fs::create_dir(&record).unwrap();
    for (name, text) in [
        ("about", "switch /nix/store/x 12\n"),
        ("job", "exit 1"),
        ("log", "activating\n"),
        ("lock", ""),
        ("starter", ""),
        ("begun", ""),
        ("status", ""),
        ("../last", "one\n"),
    ] {
        fs::write(record.join(name), text).unwrap();
    }
    let told = |ending: &str| format!("@rebuild record one switch /nix/store/x 12\n@rebuild {ending}\n");
    let said = machine.runs(&RootTask::Tell, "");
    assert!(said.contains(&told("lost")), "{said}");
    let tell = machine.script(&RootTask::Tell);
    let mut held = Command::new("flock");
    held.arg(record.join("lock")).args(["sh", "-c", &tell]);
    let said = held.stdin(Stdio::null()).output().unwrap().stdout;
    let said = String::from_utf8(said).unwrap();
    assert!(said.contains(&told("running")), "{said}");
    fs::write(record.join("status"), "activation 4 1 2\n").unwrap();
    let said = machine.runs(&RootTask::Tell, "follow\nheard\n");
    let end = "@rebuild ended activation 4 1 2\n";
    assert!(
        said.contains(&(told("ended activation 4 1 2") + "@rebuild chunk 11\nactivating\n" + end)),
        "{said}"
    );
    assert!(machine.runs(&RootTask::Tell, "").contains("@rebuild nothing\n"));
}
