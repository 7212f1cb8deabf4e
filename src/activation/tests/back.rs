//! The way back of a change whose activation fails (`scripts/back.sh`), with systems and a Nix that note what they are
//! asked for.

use super::*;

/// A `nix-env` that makes and changes links as the real one does, in the directory of the profile.
const NIX_ENV: &str = r#"[ "$1" = -p ] || exit 9
case $3 in
--set)
	[ "$(readlink -f "$2")" != "$4" ] || exit 0
	ln -s "$4" "$2-8-link"
	ln -sfn "${2##*/}-8-link" "$2" ;;
--switch-generation) [ -L "$2-$4-link" ] && ln -sfn "${2##*/}-$4-link" "$2" ;;
*) exit 9 ;;
esac"#;

const NIX_STORE: &str = r#"[ "$1 $3" = "--realise --add-root" ] && ln -s "$2" "$4""#;

/// A machine with the systems `old` and `special`, which can be activated, and the new one. `old` runs, and the profile
/// is at its generation 1, which has it.
pub(super) struct Returning {
    pub(super) machine: Machine,
}

impl Returning {
    /// `ends` is what the activation of the new system does at its end.
    pub(super) fn new(ends: &str) -> Self {
        let returning = Self {
            machine: Machine::new(),
        };
        let machine = &returning.machine;
        machine.program("nix-env", NIX_ENV);
        machine.program("nix-store", NIX_STORE);
        fs::create_dir(machine.path("profiles")).unwrap();
        symlink(machine.path("old"), machine.path("profiles/system-1-link")).unwrap();
        returning.links("profiles/system", "system-1-link");
        for name in ["old", "special"] {
            returning.system_ends(name, "exit 0");
        }
        returning.system_ends("system", ends);
        returning.runs_before("old");
        returning
    }

    /// Makes a system whose activation notes that it is called, makes the system the current one, and then ends so.
    pub(super) fn system_ends(&self, name: &str, ends: &str) {
        let [calls, current, system] = ["calls", "current-system", name].map(|name| self.machine.path(name));
        self.machine.has_system(
            name,
            &format!(
                "echo {name} \"$1\" >>{}; cd {}\n[ \"$1\" = boot ] || ln -sfn {} {}\n{ends}",
                calls.display(),
                self.machine.place.path().display(),
                system.display(),
                current.display()
            ),
        );
    }

    pub(super) fn links(&self, name: &str, to: impl AsRef<Path>) {
        let link = self.machine.path(name);
        if link.is_symlink() {
            fs::remove_file(&link).unwrap();
        }
        symlink(to, link).unwrap();
    }

    pub(super) fn runs_before(&self, name: &str) {
        self.links("current-system", self.machine.path(name));
    }

    /// Runs the action. Returns what root's script says.
    fn does(&self, action: &'static str) -> String {
        let mut said = String::new();
        with_activation(action, true, None, |change| {
            said = self.machine.runs(&RootTask::Change("one", change), "");
        });
        said
    }

    /// Returns the activations that were run.
    pub(super) fn calls(&self) -> Vec<String> {
        let calls = fs::read_to_string(self.machine.path("calls")).unwrap_or_default();
        calls.lines().map(str::to_owned).collect()
    }

    pub(super) fn leads_to(&self, name: &str) -> String {
        let link = fs::read_link(self.machine.path(name)).unwrap_or_default();
        link.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Returns whether what is needed for the way back is still kept.
    pub(super) fn keeps(&self) -> bool {
        ["ran", "loaded", "new"].iter().any(|name| {
            let root = self.machine.path("records/one").join(name);
            root.is_symlink()
        })
    }
}

#[test]
fn an_activation_that_fails_is_taken_back() {
    for (action, status, calls, ending) in [
        ("switch", 0, &["system switch"][..], "activation 0 1 8"),
        ("switch", 100, &["system switch"], "activation 100 1 8"),
        ("switch", 1, &["system switch", "old switch"], "back 1 0 0 1 1"),
        ("switch", 2, &["system switch", "old switch"], "back 2 0 0 1 1"),
        ("switch", 3, &["system switch", "old switch"], "back 3 0 0 1 1"),
        ("switch", 4, &["system switch", "old switch"], "back 4 0 0 1 1"),
        ("switch", 101, &["system switch", "old switch"], "back 101 0 0 1 1"),
        // Another activation is under way, which lets nobody activate anything.
        ("switch", 11, &["system switch"], "back 11 0 - 1 1"),
        ("boot", 0, &["system boot"], "activation 0 1 8"),
        ("boot", 1, &["system boot", "old boot"], "back 1 0 0 1 1"),
        ("test", 0, &["system test"], "activation 0 - -"),
        ("test", 100, &["system test"], "activation 100 - -"),
        ("test", 4, &["system test", "old test"], "back 4 - 0 - -"),
        ("test", 11, &["system test"], "activation 11 - -"),
    ] {
        let returning = Returning::new(&format!("exit {status}"));
        let said = returning.does(action);
        assert!(
            said.contains(&format!("@rebuild ended {ending}\n")),
            "{action} {status}: {said}"
        );
        assert_eq!(returning.calls(), calls, "{action} {status}: {said}");
        let profile = if ending.ends_with(" 1 8") {
            "system-8-link"
        } else {
            "system-1-link"
        };
        assert_eq!(returning.leads_to("profiles/system"), profile, "{action} {status}");
        assert!(!returning.keeps(), "{action} {status}");
        if ending.starts_with("back") && status != 11 {
            assert_eq!(returning.leads_to("current-system"), "old", "{action} {status}");
        }
    }
}

/// The client, its ssh and root's script are gone while the new system is being activated: its network is broken.
#[test]
fn nobody_needs_to_be_there_for_the_way_back() {
    let returning = Returning::new("echo >begun; read -r line <go; exit 4");
    let machine = &returning.machine;
    for name in ["begun", "go"] {
        nix::unistd::mkfifo(&machine.path(name), nix::sys::stat::Mode::S_IRWXU).unwrap();
    }
    let (begun, go) = (machine.path("begun"), machine.path("go"));
    with_activation("switch", true, None, |change| {
        let mut root = machine.start(&RootTask::Change("one", change));
        fs::read(&begun).unwrap();
        root.kill().unwrap();
        root.wait().unwrap();
        fs::write(&go, "\n").unwrap();
    });
    let said = machine.runs(&RootTask::Follow("one", 0), "");
    assert!(said.contains("@rebuild ended back 4 0 0 1 1\n"), "{said}");
    assert_eq!(returning.leads_to("profiles/system"), "system-1-link");
}

/// A signal that ends the activation (no memory) does not end the job.
#[test]
fn an_activation_that_is_killed_is_taken_back() {
    let returning = Returning::new("kill -9 $$");
    let said = returning.does("switch");
    assert!(said.contains("@rebuild ended back 137 0 0 1 1\n"), "{said}");
    assert_eq!(returning.calls(), ["system switch", "old switch"]);
}

/// What ran before need not be what is booted: it may be a specialisation, or a system that was only tried.
#[test]
fn what_ran_and_what_is_booted_are_each_put_back() {
    for (before, action, calls, ending) in [
        (
            "special",
            "switch",
            &["system switch", "old boot", "special test"][..],
            "back 4 0 0 1 1",
        ),
        ("special", "test", &["system test", "special test"], "back 4 - 0 - -"),
        ("special", "boot", &["system boot", "old boot"], "back 4 0 0 1 1"),
        // `test` before `switch`: what has failed is not tried again.
        ("system", "switch", &["system switch", "old boot"], "back 4 0 0 1 1"),
        ("system", "test", &["system test"], "activation 4 - -"),
    ] {
        let returning = Returning::new("exit 4");
        returning.runs_before(before);
        let said = returning.does(action);
        assert!(
            said.contains(&format!("@rebuild ended {ending}\n")),
            "{before} {action}: {said}"
        );
        assert_eq!(returning.calls(), calls, "{before} {action}");
        assert!(!returning.keeps(), "{before} {action}");
    }
}

/// The profile had the system before (`boot`, and now `switch`).
#[test]
fn a_profile_that_did_not_change_stays() {
    let returning = Returning::new("exit 4");
    let machine = &returning.machine;
    symlink(machine.path("system"), machine.path("profiles/system-2-link")).unwrap();
    returning.links("profiles/system", "system-2-link");
    let said = returning.does("switch");
    assert!(said.contains("@rebuild ended back 4 - 0 2 2\n"), "{said}");
    assert_eq!(returning.calls(), ["system switch", "old test"]);
    // It runs, too: there is nothing to go back to.
    returning.runs_before("system");
    fs::remove_file(machine.path("calls")).unwrap();
    fs::remove_dir_all(machine.path("records/one")).unwrap();
    let said = returning.does("switch");
    assert!(said.contains("@rebuild ended activation 4 2 2\n"), "{said}");
    assert_eq!(returning.calls(), ["system switch"]);
}

#[test]
fn a_way_back_that_fails_is_told_and_what_it_needs_stays() {
    for (old, special, ending, keeps) in [
        ("exit 4", "", "back 4 0 4 1 1", false),
        ("exit 1", "", "back 4 0 1 1 1", true),
        ("exit 0", "exit 4", "back 4 0 4 1 1", false),
        ("exit 0", "exit 2", "back 4 0 2 1 1", true),
        ("exit 1", "exit 4", "back 4 0 1 1 1", true),
        ("exit 1", "exit 0", "back 4 0 1 1 1", true),
    ] {
        let returning = Returning::new("exit 4");
        returning.system_ends("old", old);
        if !special.is_empty() {
            returning.system_ends("special", special);
            returning.runs_before("special");
        }
        let said = returning.does("switch");
        assert!(
            said.contains(&format!("@rebuild ended {ending}\n")),
            "{old} {special}: {said}"
        );
        assert!(said.contains("going back: "), "{said}");
        assert_eq!(returning.keeps(), keeps, "{old} {special}");
    }
}

/// If the profile cannot be put back, the system that ran is activated all the same.
#[test]
fn a_profile_that_cannot_go_back_keeps_nothing_else_from_it() {
    for (ends, code, now) in [
        // Somebody makes another generation meanwhile.
        (
            "ln -s old profiles/system-9-link; ln -sfn system-9-link profiles/system; exit 4",
            1,
            9,
        ),
        // The disk is read-only now.
        ("echo 'exit 7' >bin/nix-env; exit 4", 7, 8),
    ] {
        let returning = Returning::new(ends);
        let said = returning.does("switch");
        assert!(
            said.contains(&format!("@rebuild ended back 4 {code} 0 1 {now}\n")),
            "{ends}: {said}"
        );
        assert_eq!(said.contains("has been changed by somebody else"), now == 9, "{said}");
        assert_eq!(returning.leads_to("profiles/system"), format!("system-{now}-link"));
        assert_eq!(returning.calls(), ["system switch", "old switch"]);
        assert!(returning.keeps());
    }
}

/// Somebody deletes the old generations meanwhile. The system is still there, because the record keeps it.
#[test]
fn a_generation_that_is_deleted_meanwhile_is_made_again() {
    let returning = Returning::new("rm profiles/system-1-link; exit 4");
    let machine = &returning.machine;
    machine.program("nix-env", &NIX_ENV.replace("-8-link", "-$$-link"));
    let said = returning.does("switch");
    assert!(said.contains("@rebuild ended back 4 0 0 1 "), "{said}");
    assert_eq!(
        machine.path("profiles/system").canonicalize().unwrap(),
        machine.path("old").canonicalize().unwrap()
    );
}

/// A profile that was not there is not there afterwards; one without generations has its system again.
#[test]
fn a_profile_without_a_generation_is_put_back() {
    let returning = Returning::new("exit 4");
    let machine = &returning.machine;
    fs::remove_file(machine.path("profiles/system")).unwrap();
    let said = returning.does("switch");
    assert!(said.contains("@rebuild ended back 4 0 0 - -\n"), "{said}");
    for name in ["system", "system-8-link"] {
        assert!(!machine.path("profiles").join(name).is_symlink(), "{name}");
    }

    let returning = Returning::new("exit 4");
    let machine = &returning.machine;
    returning.links("profiles/system", machine.path("old"));
    // The real one counts on.
    machine.program("nix-env", &NIX_ENV.replace("-8-link", "-$$-link"));
    let said = returning.does("switch");
    assert!(said.contains("@rebuild ended back 4 0 0 - "), "{said}");
    assert_eq!(
        machine.path("profiles/system").canonicalize().unwrap(),
        machine.path("old").canonicalize().unwrap()
    );
}

/// What is promised is looked at before anything is changed.
#[test]
fn without_a_way_back_nothing_is_changed() {
    for (action, lacks) in [
        ("switch", "current-system"),
        ("test", "current-system"),
        ("test", "old/bin/switch-to-configuration"),
        ("switch", "old/bin/switch-to-configuration"),
        ("boot", "old/bin/switch-to-configuration"),
        ("switch", "store"),
    ] {
        let returning = Returning::new("exit 0");
        if lacks == "store" {
            returning.machine.program("nix-store", "echo 'is not valid'; exit 1");
        } else {
            fs::remove_file(returning.machine.path(lacks)).unwrap();
        }
        let said = returning.does(action);
        assert!(
            said.contains("@rebuild ended no-way-back 1\n"),
            "{action} {lacks}: {said}"
        );
        assert!(returning.calls().is_empty(), "{action} {lacks}");
        assert_eq!(
            returning.leads_to("profiles/system"),
            "system-1-link",
            "{action} {lacks}"
        );
        assert!(!returning.keeps(), "{action} {lacks}");
    }
    // `boot` needs only what is booted.
    let returning = Returning::new("exit 1");
    fs::remove_file(returning.machine.path("current-system")).unwrap();
    let said = returning.does("boot");
    assert!(said.contains("@rebuild ended back 1 0 0 1 1\n"), "{said}");
    assert_eq!(returning.calls(), ["system boot", "old boot"]);
}

/// Garbage may be collected during the activation, and the old generation deleted.
#[test]
fn what_is_gone_back_to_is_kept_meanwhile() {
    for (before, action, expected) in [
        ("old", "switch", &[["loaded", "old"], ["ran", "old"]][..]),
        ("special", "switch", &[["loaded", "old"], ["ran", "special"]]),
        ("special", "test", &[["ran", "special"]]),
        ("special", "boot", &[["loaded", "old"]]),
    ] {
        let returning = Returning::new(
            "for link in records/one/*; do
                [ ! -L \"$link\" ] || { link=$(readlink \"$link\"; echo \"${link##*/}\"); echo $link; }
             done >kept; exit 4",
        );
        returning.runs_before(before);
        returning.does(action);
        let kept = fs::read_to_string(returning.machine.path("kept")).unwrap();
        let kept = kept.lines().filter_map(|line| line.split_once(' '));
        let kept: Vec<_> = kept
            .map(|(to, link)| [link, to.rsplit('/').next().unwrap_or_default()])
            .collect();
        assert_eq!(kept, expected, "{before} {action}");
    }
}
