//! Settings as the program reads them, and how a run goes on if its evaluator or builder cannot be reached. Here the
//! user's file is the stage's; a machine of its own reads the machine's file.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::stubs::{Run, Stage};
use crate::{DRV, SYSTEM, good_session};

const FILE: &str = "home/.config/rebuild.json";

/// Returns a stage whose user has these settings.
fn stage(settings: &str) -> Stage {
    let stage = Stage::new();
    stage.write(FILE, settings);
    mode(&stage, 0o644);
    stage.stub("nix-build", &format!("echo {SYSTEM}"));
    stage
}

fn mode(stage: &Stage, mode: u32) {
    fs::set_permissions(stage.path(FILE), fs::Permissions::from_mode(mode)).unwrap();
}

/// Makes ssh to `host` say this and end with 255; other hosts behave as they should.
fn unreachable(stage: &Stage, host: &str, text: &str) {
    let well = good_session("say no-socket; say finished");
    stage.stub(
        "ssh",
        &format!("case \"$*\" in *\" -- {host} \"*) echo '{text}' >&2; exit 255 ;; esac\n{well}"),
    );
    stage.stub("nix-copy-closure", "");
}

const REFUSED: &str = "ssh: connect to host builder port 22: Connection refused";
const UNKNOWN: &str = "ssh: Could not resolve hostname builder: Name or service not known";
const TIMED_OUT: &str = "ssh: connect to host builder port 22: Connection timed out";
const NO_KEY: &str = "builder: Permission denied (publickey).";

const LOCAL_BUILD: &str = "nix-build <nixpkgs/nixos> --attr config.system.build.toplevel --log-format internal-json";

fn programs(stage: &Stage) -> Vec<String> {
    let calls = stage.calls();
    calls
        .iter()
        .filter_map(|call| call.split(' ').next().map(str::to_owned))
        .collect()
}

fn is_refused(run: &Run, stage: &Stage, message: &str) {
    assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{}", run.stderr);
    assert!(run.stderr.contains(message), "{}", run.stderr);
    assert!(stage.calls().is_empty(), "{:?}", stage.calls());
}

#[test]
fn a_host_of_the_users_file_evaluates_and_builds() {
    let stage = stage("{ \"evalHost\": \"builder\", \"lend\": false, \"useSubstitutes\": true }");
    unreachable(&stage, "nobody", "");
    let run = stage.rebuild("build");
    assert_eq!((run.code, run.stdout), (0, format!("{SYSTEM}\n")), "{}", run.stderr);
    let calls = stage.calls();
    // A host that this command does not name is waited for less long.
    assert!(
        calls[0].contains(" -T -a -x -o ConnectTimeout=10 ") && calls[0].contains(" -- builder "),
        "{calls:?}"
    );
    assert_eq!(calls[1], format!("nix-copy-closure -s --from builder {SYSTEM}"));
}

#[test]
fn a_user_without_settings_has_the_defaults() {
    let stage = Stage::new();
    stage.variable("XDG_CONFIG_HOME", "/nowhere");
    let run = stage.rebuild("--show-settings");
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
    assert!(
        run.stdout
            .starts_with("setting            value                       from\n"),
        "{}",
        run.stdout
    );
    assert!(
        run.stdout
            .lines()
            .skip(1)
            .all(|line| line.ends_with(" default") || line == "buildHost          ''                          evalHost"),
        "{}",
        run.stdout
    );
}

/// This works with a verb or without one. Nothing is started, and nothing else is said.
#[test]
fn what_applies_is_shown_and_where_it_came_from() {
    let stage = stage("{ \"evalHost\": \"me@builder\", \"lend\": false }");
    stage.variable("REBUILD_LEND", "yes");
    stage.variable("REBUILD_VERIFY_EVAL", "1");
    let file = stage.path(FILE).display().to_string();
    for line in ["--show-settings", "switch --show-settings"] {
        let run = stage.rebuild(&format!("{line} --diff"));
        assert_eq!((run.code, run.stderr.as_str()), (0, ""));
        let expected = [
            format!("evalHost           me@builder                  {file}"),
            "buildHost          me@builder                  evalHost".to_owned(),
            "lend               true                        REBUILD_LEND".to_owned(),
            "verifyEval         true                        REBUILD_VERIFY_EVAL".to_owned(),
            "diff               true                        command line".to_owned(),
            "fallback           fail                        default".to_owned(),
        ];
        let lines: Vec<&str> = run.stdout.lines().collect();
        for line in &expected {
            assert!(lines.contains(&line.as_str()), "{line}: {}", run.stdout);
        }
    }
    let run = stage.rebuild("--show-settings --json");
    let json: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(json["evalHost"]["value"], "me@builder");
    assert_eq!(json["evalHost"]["source"], file);
    assert_eq!(json["lend"]["source"], "REBUILD_LEND");
    assert!(stage.calls().is_empty());
}

#[test]
fn the_machines_file_is_read_and_the_users_counts_before_it() {
    let stage = Stage::own_machine(SYSTEM);
    stage.write(
        "etc/rebuild.json",
        "{ \"evalHost\": \"of-the-machine\", \"lend\": false, \"diff\": true }",
    );
    stage.write(FILE, "{ \"evalHost\": \"of-the-user\" }");
    mode(&stage, 0o644);
    let run = stage.rebuild("--show-settings --no-diff");
    assert_eq!(run.code, 0, "{}", run.stderr);
    for line in [
        format!(
            "evalHost           of-the-user                 {}",
            stage.path(FILE).display()
        ),
        "lend               false                       /etc/rebuild.json".to_owned(),
        "diff               false                       command line".to_owned(),
    ] {
        assert!(run.stdout.lines().any(|shown| shown == line), "{line}: {}", run.stdout);
    }
}

#[test]
fn what_no_setting_says_is_refused_before_anything_is_done() {
    for (settings, message) in [
        (
            "{\n  \"evalHots\": \"builder\" }",
            "line 2, column 12: 'evalHots' is no setting: did you mean evalHost?",
        ),
        (
            "{ \"targetHost\": \"x\" }",
            "which machine and profile are changed is said by each command",
        ),
        ("{ \"lend\": \"no\" }", "lend is true or false, not \"no\""),
        ("{ \"evalHost\": \"-x\" }", "evalHost is a string, [user@]host or "),
        ("{ \"fallback\": \"\" }", "fallback is \"fail\" or \"local\", not \"\""),
        ("{ \"lend\": true", "EOF while parsing"),
    ] {
        let stage = stage(settings);
        for line in ["switch", "list-generations", "--show-settings"] {
            let run = stage.rebuild(line);
            is_refused(&run, &stage, message);
            let file = stage.path(FILE).display().to_string();
            assert!(
                run.stderr.starts_with(&format!("error: {file}, line ")),
                "{}",
                run.stderr
            );
        }
    }
}

/// A user who has made a mistake must be able to read what is right.
#[test]
fn the_manual_is_shown_whatever_the_settings_are() {
    let stage = stage("nonsense");
    let run = stage.rebuild("help");
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(run.stdout.contains("--show-settings"), "{}", run.stdout);
}

#[test]
fn wrong_variables_are_refused_and_unknown_ones_are_a_warning() {
    let stage = stage("{}");
    stage.variable("REBUILD_LEND", "perhaps");
    let run = stage.rebuild("build");
    is_refused(
        &run,
        &stage,
        "error: REBUILD_LEND is 1, true, yes, 0, false or no, not 'perhaps'\n",
    );
    stage.variable("REBUILD_LEND", "");
    stage.variable("REBUILD_EVALHOST", "builder");
    let run = stage.rebuild("build");
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(
        run.stderr
            .starts_with("warning: REBUILD_EVALHOST has no meaning: did you mean REBUILD_EVAL_HOST?\n"),
        "{}",
        run.stderr
    );
    assert_eq!(stage.calls(), [LOCAL_BUILD]);
}

#[test]
fn a_file_that_others_may_write_is_not_obeyed() {
    let stage = stage("{ \"evalHost\": \"builder\" }");
    for others in [0o664, 0o646] {
        mode(&stage, others);
        let run = stage.rebuild("build");
        assert_eq!(run.code, 0, "{}", run.stderr);
        let file = stage.path(FILE).display().to_string();
        let warning = format!(
            "warning: {file} is not obeyed: others than its owner may write it\n  to have it obeyed: chmod go-w {file}\n"
        );
        assert!(run.stderr.starts_with(&warning), "{}", run.stderr);
        assert!(!programs(&stage).contains(&"ssh".to_owned()));
    }
}

/// sudo may leave another user's HOME in place.
#[test]
fn root_does_not_obey_another_users_file() {
    if !nix::unistd::geteuid().is_root() {
        // eprintln would not do, because cargo hides its text when everything went well.
        let _ = std::io::Write::write_all(&mut std::io::stderr(), b"skipped: not root, who alone can try it\n");
        return;
    }
    let stage = stage("{ \"evalHost\": \"builder\" }");
    nix::unistd::chown(&stage.path(FILE), Some(nix::unistd::Uid::from_raw(1234)), None).unwrap();
    let run = stage.rebuild("build");
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(
        run.stderr
            .contains("is not obeyed: it belongs to another user (uid 1234), and this is root\n"),
        "{}",
        run.stderr
    );
    assert!(
        run.stderr.contains("root's settings are in /etc/rebuild.json"),
        "{}",
        run.stderr
    );
    assert_eq!(stage.calls(), [LOCAL_BUILD]);
}

#[test]
fn an_empty_host_is_local_this_once() {
    let stage = stage("{ \"evalHost\": \"builder\", \"buildHost\": \"other\" }");
    assert_eq!(stage.rebuild("build --eval-host=").code, 0);
    stage.variable("REBUILD_EVAL_HOST", "");
    assert_eq!(stage.rebuild("build").code, 0);
    assert_eq!(stage.calls(), [LOCAL_BUILD, LOCAL_BUILD]);
}

#[test]
fn the_default_builder_that_is_off_ends_the_run_with_the_command_to_type() {
    for (text, message) in [
        (
            REFUSED,
            "builder cannot be reached (ssh: connect to host builder port 22: Connection refused)",
        ),
        (UNKNOWN, "no machine is known by the name 'builder'"),
        (TIMED_OUT, "builder cannot be reached"),
    ] {
        let stage = stage("{ \"evalHost\": \"builder\" }");
        unreachable(&stage, "builder", text);
        let run = stage.rebuild("build --profile-name=my$profile -v");
        assert_eq!((run.code, run.stdout.as_str()), (255, ""), "{}", run.stderr);
        assert!(run.stderr.contains(&format!("error: {message}")), "{}", run.stderr);
        assert!(
            run.said().ends_with(
                "\n  rebuild build '--profile-name=my$profile' -v --eval-host ''  evaluates and builds here, this once\n"
            ),
            "{}",
            run.stderr
        );
        assert_eq!(programs(&stage), ["ssh"]);
    }
}

#[test]
fn with_the_fallback_local_it_is_made_here() {
    for (text, settings, line) in [
        (REFUSED, "\"evalHost\": \"builder\", \"fallback\": \"local\"", "build"),
        (UNKNOWN, "\"evalHost\": \"builder\", \"fallback\": \"local\"", "build"),
        (TIMED_OUT, "\"evalHost\": \"builder\"", "build --if-unreachable local"),
        // This also holds for a host that is typed, if the fallback is typed, too.
        (REFUSED, "", "build --eval-on builder --if-unreachable local"),
    ] {
        let stage = stage(&format!("{{ {settings} }}"));
        unreachable(&stage, "builder", text);
        let run = stage.rebuild(line);
        assert_eq!((run.code, run.stdout), (0, format!("{SYSTEM}\n")), "{}", run.stderr);
        assert!(
            run.stderr
                .contains(&format!("({text})\n  so this machine evaluates and builds\n")),
            "{}",
            run.stderr
        );
        assert!(run.stderr.contains("\nwarning: "), "{}", run.stderr);
        let calls = stage.calls();
        assert!(calls[0].starts_with("ssh "), "{calls:?}");
        assert_eq!(calls[1..], [LOCAL_BUILD]);
    }
}

/// The fallback is only for what never was a connection, and never for a host that this command itself names.
#[test]
fn what_is_no_absence_is_an_error_as_ever() {
    let local = "{ \"evalHost\": \"builder\", \"fallback\": \"local\" }";
    for text in [
        NO_KEY,
        "Host key verification failed.",
        "kex_exchange_identification: Connection closed by remote host",
    ] {
        let stage = stage(local);
        unreachable(&stage, "builder", text);
        let run = stage.rebuild("build");
        assert_eq!((run.code, run.stdout.as_str()), (255, ""), "{}", run.stderr);
        assert!(!run.stderr.contains("this once"), "{}", run.stderr);
        assert_eq!(programs(&stage), ["ssh"], "{text}");
    }
    for ending in ["say failed no-nix 127; exit 127", "say hello /usr/bin x; exit 255"] {
        let stage = stage(local);
        stage.stub("ssh", &format!("hear_script; {ending}"));
        let run = stage.rebuild("build");
        assert_ne!(run.code, 0, "{ending}");
        assert_eq!(programs(&stage), ["ssh"], "{ending}");
    }
    let stage = stage(local);
    unreachable(&stage, "builder", REFUSED);
    let run = stage.rebuild("build --eval-on builder");
    assert_eq!(run.code, 255, "{}", run.stderr);
    assert!(
        run.said().ends_with("\n  or evaluate here, this once: --eval-on ''\n"),
        "{}",
        run.stderr
    );
    let calls = stage.calls();
    assert!(calls.len() == 1 && calls[0].contains("ConnectTimeout=20"), "{calls:?}");
}

/// A builder that does not evaluate is tried out before the evaluation, which takes long.
#[test]
fn a_default_builder_that_is_off_is_known_before_the_evaluation() {
    let stage = stage("{ \"buildHost\": \"builder\" }");
    stage.stub("nix-instantiate", &format!("echo {DRV}"));
    stage.stub("nix", "");
    unreachable(&stage, "builder", REFUSED);
    let run = stage.rebuild("build");
    assert_eq!((run.code, run.stdout.as_str()), (255, ""), "{}", run.stderr);
    assert!(
        run.said()
            .ends_with("\n  rebuild build --build-host ''  builds here, this once\n"),
        "{}",
        run.stderr
    );
    assert_eq!(programs(&stage), ["ssh"]);

    let run = stage.rebuild("build --if-unreachable local");
    assert_eq!((run.code, run.stdout), (0, format!("{SYSTEM}\n")), "{}", run.stderr);
    assert!(run.stderr.contains("\n  so this machine builds\n"), "{}", run.stderr);
    assert_eq!(programs(&stage)[1..], ["ssh", "nix-build"]);
}

/// The evaluator is off; the builder, which this command names, is not.
#[test]
fn who_can_be_reached_does_its_part() {
    let stage = stage("{ \"evalHost\": \"builder\", \"lend\": false }");
    stage.stub("nix-instantiate", &format!("echo {DRV}"));
    stage.stub("nix", "");
    unreachable(&stage, "builder", REFUSED);
    let run = stage.rebuild("build --build-on other");
    assert_eq!(run.code, 255, "{}", run.stderr);
    assert!(
        run.said().ends_with(
            "\n  rebuild build --build-on other --eval-host '' --build-host other  evaluates here, this once\n"
        ),
        "{}",
        run.stderr
    );
    stage.stub(
        "ssh",
        &format!(
            "case \"$*\" in *\" -- builder \"*) echo '{REFUSED}' >&2; exit 255 ;; esac
             hear_script
             if grep -q 'event current' script; then say hello 1000; exit; fi
             say hello /usr/bin x; say building; say built {SYSTEM}; say no-socket; say finished"
        ),
    );
    let run = stage.rebuild("build --build-on other --if-unreachable local");
    assert_eq!((run.code, run.stdout), (0, format!("{SYSTEM}\n")), "{}", run.stderr);
    assert!(run.stderr.contains("\n  so this machine evaluates\n"), "{}", run.stderr);
    let calls = stage.calls();
    assert!(
        calls.iter().any(|call| call.starts_with("nix-instantiate ")),
        "{calls:?}"
    );
    assert!(!calls.contains(&LOCAL_BUILD.to_owned()), "{calls:?}");
}

/// A machine that was reached once and is gone then means that the link broke.
#[test]
fn a_builder_that_goes_away_later_is_no_absence() {
    let stage = stage("{ \"evalHost\": \"builder\", \"fallback\": \"local\" }");
    stage.stub(
        "ssh",
        &format!(
            "if [ -e been-here ]; then echo '{REFUSED}' >&2; exit 255; fi
             touch been-here
             hear_script; say hello /usr/bin x; say receiving none; hear_change >files.tar; say need; say evaluating
             say value '{{\"variants\":[\"iso\"],\"file\":null}}'; say finished"
        ),
    );
    let run = stage.rebuild("build-image --image-variant iso");
    assert_eq!(run.code, 255, "{}", run.stderr);
    assert!(
        run.stderr.contains("error: builder cannot be reached"),
        "{}",
        run.stderr
    );
    assert_eq!(programs(&stage), ["ssh", "ssh"]);
}
