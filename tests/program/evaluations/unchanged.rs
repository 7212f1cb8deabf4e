//! A question that was answered is not asked again, unless anything of it has changed; and what an evaluation saw besides
//! the question is never remembered.

use super::{Builder, PROGRAMS, events};

/// A run that may remember.
const RUN: &str = "build --eval-on builder --no-lend";

/// How the file names of a configuration become a mirror of what was read: in the second run. So the third is unchanged.
const SETTLED: usize = 3;

impl Builder {
    /// Runs until nothing changes any more, and returns the result.
    fn settles(&self) -> String {
        for number in 1..=SETTLED {
            let (run, said) = self.run(RUN);
            assert_eq!(run.code, 0, "{}{said}", run.stderr);
            if is_unchanged(&run.stderr, &said) {
                return run.stdout;
            }
            assert!(number < SETTLED, "{}{said}", run.stderr);
        }
        unreachable!("the last run returns")
    }

    /// The next run evaluates, and gives what an evaluation here gives.
    fn evaluates_anew(&self, line: &str, why: &str) {
        let (run, said) = self.run(line);
        assert!(!is_unchanged(&run.stderr, &said), "{why}: {}{said}", run.stderr);
        self.has_evaluated(run, said);
    }

    /// However often it is run, nothing is remembered.
    fn never_settles(&self, line: &str, why: &str) {
        for _ in 0..=SETTLED {
            let (run, said) = self.run(line);
            assert_eq!(run.code, 0, "{why}: {}{said}", run.stderr);
            assert!(!is_unchanged(&run.stderr, &said), "{why}: {said}");
            assert_eq!(events(&said, "evaluated ").len(), 1, "{why}: {said}");
        }
        let (run, said) = self.run(&format!("{line} -v"));
        assert!(run.stderr.contains("not remembered: "), "{why}: {}{said}", run.stderr);
    }
}

fn is_unchanged(stderr: &str, said: &str) -> bool {
    let is_said = stderr.contains("unchanged: not evaluated");
    let unchanged = events(said, "unchanged").len();
    assert_eq!(usize::from(is_said), unchanged, "{stderr}{said}");
    if is_said {
        for event in ["receiving", "need", "evaluating", "evaluated"] {
            assert_eq!(events(said, event), Vec::<&str>::new(), "{said}");
        }
    }
    is_said
}

/// A builder whose configuration reads files, looks for one, and asks for a variable.
fn builder() -> Option<Builder> {
    let builder = Builder::new()?;
    builder.variable("COLOUR", "blue");
    builder.configure(
        "imports = [ ./hardware.nix ./settings.nix ];
         x = builtins.readFile ./motd;
         x = builtins.pathExists ./perhaps;
         x = builtins.getEnv \"COLOUR\";",
    );
    builder.write("client/nixos/motd", "hello\n");
    builder.write("client/nixos/settings.nix", "{ }");
    Some(builder)
}

#[test]
fn nothing_changed_is_not_evaluated() {
    let Some(builder) = builder() else { return };
    let result = builder.settles();
    // How much is shown changes nothing.
    for line in [
        RUN,
        "dry-build --eval-on builder --no-lend",
        "build --eval-on builder --no-lend -v",
        "build --eval-on builder --no-lend --quiet",
    ] {
        let (run, said) = builder.run(line);
        assert_eq!(run.code, 0, "{}{said}", run.stderr);
        assert!(is_unchanged(&run.stderr, &said), "{line}: {}{said}", run.stderr);
        builder.nothing_is_left();
    }
    let (run, _) = builder.run(RUN);
    assert_eq!(run.stdout, result);
    run.gives(builder.rebuild("build").stdout.trim_end());
}

/// Each of these changes gives the derivation that an evaluation here gives.
#[test]
fn whatever_changes_is_evaluated() {
    let Some(builder) = builder() else { return };
    builder.settles();
    let changes: [(&str, &dyn Fn()); 6] = [
        ("a comment", &|| {
            builder.write("client/nixos/settings.nix", "{ } # for you");
        }),
        ("a text", &|| builder.write("client/nixos/motd", "hallo\n")),
        ("an equal file", &|| {
            _ = builder.sh("touch -d '2020-01-01' client/nixos/motd");
        }),
        ("a file that appears", &|| builder.write("client/nixos/perhaps", "")),
        ("a variable", &|| builder.variable("COLOUR", "red")),
        ("another Nix", &|| {
            builder.write(&format!("{PROGRAMS}/version"), "2.27.0\n");
        }),
    ];
    for (what, change) in changes {
        change();
        let (run, said) = builder.run("dry-build --eval-on builder --no-lend -v");
        assert!(!is_unchanged(&run.stderr, &said), "{what}: {}{said}", run.stderr);
        assert!(run.stderr.contains("evaluated anew: "), "{what}: {}", run.stderr);
        builder.evaluates_anew(&format!("{RUN} --no-eval-cache"), what);
        builder.settles();
    }
    builder.without_variable("COLOUR");
    builder.evaluates_anew(RUN, "a variable that is gone");
}

/// A login sets these anew each time, and nothing reads them.
#[test]
fn another_session_is_no_change() {
    let Some(builder) = builder() else { return };
    builder.variable("XDG_SESSION_ID", "1");
    builder.settles();
    builder.variable("XDG_SESSION_ID", "2");
    builder.variable("SHLVL", "7");
    let (run, said) = builder.run(RUN);
    assert!(is_unchanged(&run.stderr, &said), "{}{said}", run.stderr);
    // But where the configuration asks for one of them, it counts.
    builder.configure("x = builtins.getEnv \"SHLVL\";");
    builder.settles();
    builder.variable("SHLVL", "8");
    builder.evaluates_anew(RUN, "SHLVL");
}

#[test]
fn flags_that_ask_anew() {
    let Some(builder) = builder() else { return };
    builder.stub("nix-instantiate", &Builder::program_here("nix-instantiate"));
    builder.settles();
    for flag in [
        "--no-eval-cache",
        "--refresh",
        "--verify-eval",
        "-I x=/client/nixos",
        "--option cores 1",
    ] {
        builder.evaluates_anew(&format!("{RUN} {flag}"), flag);
        builder.settles();
    }
}

/// The builder's garbage may have the derivation.
#[test]
fn an_answer_that_is_gone_is_evaluated() {
    let Some(builder) = builder() else { return };
    builder.settles();
    builder.sh("rm -f builder/nix/store/*.drv");
    builder.evaluates_anew(RUN, "the derivation is gone");
    builder.settles();
}

#[test]
fn what_is_not_in_the_question_is_never_remembered() {
    for (line, why) in [
        ("x = builtins.currentTime;", "the time"),
        ("x = __currentTime;", "the time, by its other name"),
        ("y = \"${/. + \"/proc/version\"}\";", "a place that is put together"),
        ("x = builtins.fetchTarball \"http://x/y\";", "something fetched"),
        (
            "x = builtins.pathExists \"/proc/version\";",
            "a place of the builder's own, as a text",
        ),
        (
            "y = { place = \"/proc/version\"; };\ny = f: lib.fileContents f;",
            "a place and a reader",
        ),
        (
            "x = builtins.pathExists /usr/bin/env;",
            "a place of the builder's own, as a path",
        ),
        ("x = builtins.${\"currentTime\"};", "a name that is computed"),
        ("y = builtins.attrValues builtins;", "all names at once"),
    ] {
        let Some(builder) = Builder::new() else { return };
        builder.configure(line);
        builder.never_settles(RUN, why);
    }
}

/// These only look like it.
#[test]
fn what_only_looks_like_it_is_remembered() {
    for line in [
        "y = [ \"getEnv\" \"x\" ];\ny = builtins.getEnv \"\";",
        "# builtins.currentTime would be another one each time",
        "y = \"/dev/disk/by-uuid/1234\";",
        "y = { shell = \"/bin/sh\"; path = [ ]; };",
        "y = with builtins; [ ];",
        "y = builtins ? currentSystem;",
        "y = \"/bin/sh\";\nx = builtins.readFile ./hardware.nix;",
        "y = \"/dev/disk/by-uuid/12\";\ny = f: builtins.pathExists f;",
    ] {
        let Some(builder) = Builder::new() else { return };
        builder.configure(line);
        builder.settles();
    }
}

/// A secret that the user sends is in no digest on the disk.
#[test]
fn an_answer_with_a_secret_is_never_remembered() {
    let Some(builder) = Builder::new() else { return };
    builder.variable("WIFI_PASSWORD", "hunter2");
    builder.configure("x = builtins.getEnv \"WIFI_PASSWORD\";");
    builder.never_settles(&format!("{RUN} --send-env WIFI_PASSWORD"), "a secret");
}

/// A failure is none.
#[test]
fn a_failure_is_never_remembered() {
    let Some(builder) = Builder::new() else { return };
    builder.configure("x = builtins.readFile ./motd;");
    for _ in 0..SETTLED {
        let (run, said) = builder.run(RUN);
        assert_ne!(run.code, 0, "{}", run.stderr);
        assert!(!is_unchanged(&run.stderr, &said), "{said}");
    }
    builder.write("client/nixos/motd", "hello\n");
    builder.evaluates_anew(RUN, "it failed before");
}

/// A flake whose inputs are locked is remembered; one that is locked in this run is asked again.
#[test]
fn flakes() {
    let Some(builder) = Builder::new() else { return };
    builder.write("client/nixos/flake.nix", "{\nx = builtins.readFile ./motd;\n}\n");
    builder.write("client/nixos/motd", "hello\n");
    let line = "build --eval-on builder --no-lend --flake /client/nixos#pi";
    let said = |line: &str| {
        let (run, said) = builder.run(line);
        assert_eq!(run.code, 0, "{}{said}", run.stderr);
        is_unchanged(&run.stderr, &said)
    };
    assert!(!said(line));
    let answers: Vec<bool> = (0..SETTLED).map(|_| said(line)).collect();
    assert_eq!(answers.last(), Some(&true), "{answers:?}");
    for flags in [
        "--override-input x /client/nixos",
        "--recreate-lock-file",
        "--no-write-lock-file",
        "--refresh",
    ] {
        for _ in 0..2 {
            assert!(!said(&format!("{line} {flags}")), "{flags}");
        }
    }
}

/// The builder is off, and what it made of the same question is still here.
#[test]
fn a_builder_that_is_off_is_not_needed_for_what_is_here() {
    let Some(builder) = builder() else { return };
    let result = builder.settles();
    let path = result.trim_end();
    builder.stub(
        "ssh",
        "echo 'ssh: connect to host builder port 22: Connection refused' >&2; exit 255",
    );
    builder.stub(
        "nix-store",
        &format!("case \" $* \" in *' --realise {path} '*) echo {path} ;; *) exit 1 ;; esac"),
    );
    let fails = |line: &str, why: &str| {
        let run = builder.rebuild(line);
        assert_ne!(run.code, 0, "{why}: {}", run.stderr);
        assert_eq!(run.stdout, "", "{why}");
        assert!(run.stderr.contains("cannot be reached"), "{why}: {}", run.stderr);
        assert!(!run.stderr.contains("unchanged"), "{why}: {}", run.stderr);
    };
    fails(RUN, "it is not here");
    builder.write(&format!("{}/made-of", path.trim_start_matches("/nix/")), "");
    let run = builder.rebuild(RUN);
    assert_eq!((run.code, run.stdout.as_str()), (0, result.as_str()), "{}", run.stderr);
    assert!(run.stderr.contains("unchanged: not evaluated"), "{}", run.stderr);
    assert!(run.stderr.contains("cannot be reached"), "{}", run.stderr);
    for flag in ["--refresh", "--no-eval-cache"] {
        fails(&format!("{RUN} {flag}"), flag);
    }
    builder.write("client/nixos/motd", "hallo\n");
    fails(RUN, "another question");
}
