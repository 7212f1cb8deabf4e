//! The log that each run keeps for reports of bugs.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::SYSTEM;
use crate::scenarios::Scene;
use crate::stubs::Stage;

const LOGS: &str = "home/.local/state/rebuild/logs";

/// Returns the log of the run with this number.
fn log(stage: &Stage, number: u32) -> String {
    fs::read_to_string(stage.path(&format!("{LOGS}/{number}.log"))).unwrap()
}

#[test]
fn a_failure_names_its_log_which_has_everything() {
    for terminal in ["dumb", "xterm"] {
        let stage = Stage::new();
        stage.variable("TERM", terminal);
        stage.variable("REBUILD_DIFF", "1");
        let message = r#"@nix {"action":"msg","level":0,"msg":"error: undefined \u001b[35;1mvariable\u001b[0m"}"#;
        stage.stub(
            "nix-build",
            &format!("echo 'some words' >&2; echo '{message}' >&2; exit 100"),
        );
        let run = stage.start_at_terminal("build --cores 2").finish();
        assert_eq!(run.code, 100, "{}", run.stderr);
        let path = stage.path(LOGS).join("1.log");
        let last = run.stderr.trim_end().lines().last().unwrap().trim_end();
        assert_eq!(last, format!("log: {}", path.display()), "{}", run.stderr);
        let log = log(&stage, 1);
        for part in [
            concat!("rebuild ", env!("CARGO_PKG_VERSION"), "\n"),
            "rebuild build --cores 2\n",
            "\n  diff               true                        REBUILD_DIFF\n",
            "\ntarget: Here\nevaluator: Here\nbuilder: Here\nconfiguration: ",
            "\nsteps:\n  LogIn\n  Announce\n",
            " phase: Evaluating\n",
            " $ nix-build '<nixpkgs/nixos>' --attr config.system.build.toplevel --cores 2\n",
            " some words\n",
            " nix says (level 0): error: undefined variable\n",
            " error: this command failed with exit status 100: nix-build ",
            " failed: exit status 100\n",
        ] {
            assert!(log.contains(part), "{part:?}\n{log}");
        }
        let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        assert_eq!((mode(&stage.path(LOGS)), mode(&path)), (0o700, 0o600));
    }
}

/// What a builder's scripts say, and what ssh says, is there, though it was not shown.
#[test]
fn a_run_elsewhere_has_what_was_said() {
    let stage = Stage::new();
    stage.stub(
        "ssh",
        "hear_script
         say hello /usr/bin x; say receiving none; hear_change >/dev/null; say need; say evaluating
         say evaluation-failed 1
         read -r word; exit 1",
    );
    let run = stage.rebuild("build --eval-on builder");
    assert_eq!(run.code, 1);
    let seen = log(&stage, 1);
    for part in [
        " builder says: hello /usr/bin x\n",
        " phase: Connecting (builder)\n",
        " builder says: evaluation-failed 1\n",
    ] {
        assert!(seen.contains(part), "{part:?}\n{seen}");
    }
    stage.stub("ssh", "echo 'me@builder: Permission denied (publickey).' >&2; exit 255");
    assert_eq!(stage.rebuild("build --eval-on builder").code, 255);
    let seen = log(&stage, 2);
    assert!(
        seen.contains(" ssh to builder: me@builder: Permission denied"),
        "{seen}"
    );
}

/// Not even if somebody says them: Nix, a failed command, the configuration.
#[test]
fn secrets_are_in_no_log() {
    let stage = Stage::new();
    stage.variable(
        "NIX_CONFIG",
        "access-tokens = github.com=POISON-2\nextra-access-tokens = gitlab.com=PAT:POISON-3",
    );
    stage.variable("EDITION", "POISON-4");
    stage.variable("API_TOKEN", "'POISON-5'");
    let echo = "printf '%s\\n' \"$*\" \"$NIX_CONFIG\" \"trace: $EDITION $API_TOKEN\" \\
                'unable to download https://me:POISON-6@host/x' >&2";
    stage.stub("nix-build", &format!("{echo}; exit 1"));
    let line = "build --option access-tokens github.com=POISON-1 --option of-a-plugin POISON-7 \
                --option extra-access-tokens x -v -I x=https://h/?token=POISON-8";
    let run = stage.rebuild(line);
    assert_eq!(run.code, 1, "{}", run.stderr);
    let log = log(&stage, 1);
    assert!(!log.contains("POISON"), "{log}");
    for number in 1..=8 {
        assert!(
            run.stderr.contains(&format!("POISON-{number}")),
            "{number}: {}",
            run.stderr
        );
    }
    for name in ["access-tokens", "EDITION", "API_TOKEN", "in an address", "of-a-plugin"] {
        assert!(log.contains(&format!("[left out: {name}]")), "{name}: {log}");
    }
}

/// The command that wakes a machine may have a password in it, wherever it is said.
#[test]
fn a_command_that_wakes_is_in_no_log() {
    let stage = Stage::new();
    stage.stub("nix-build", "exit 1");
    for (number, line) in [
        (1, "build --wake curl_me:POISON"),
        (2, "build"),
        (3, "build --wake echo"),
    ] {
        if number == 2 {
            stage.variable("REBUILD_WAKE", "curl -u me:POISON-1 http://plug\nwol -p 'POISON-2'");
        }
        let run = stage.rebuild(line);
        assert_eq!(run.code, 1, "{}", run.stderr);
        let log = log(&stage, number);
        assert!(!log.contains("POISON"), "{log}");
        assert_eq!(log.contains("[left out: wake]"), number < 3, "{log}");
    }
}

#[test]
fn a_password_is_in_no_log() {
    let scene = Scene::new();
    scene.typed_by(1000);
    scene.typed("secret\n");
    scene.write("state/.keep", "");
    scene.variable("XDG_STATE_HOME", &scene.path("state").display().to_string());
    let log = |number| scene.read(&format!("state/rebuild/logs/{number}.log"));
    let run = scene.rebuild("switch -S");
    assert_eq!(run.code, 0, "{}", run.stderr);
    let seen = log(1);
    assert!(
        seen.contains(" phase: Activating(\"switch\")\n") && !seen.contains("secret"),
        "{seen}"
    );
    scene.typed("wrong-one\n");
    assert_ne!(scene.rebuild("switch -S").code, 0);
    let seen = log(2);
    assert!(
        seen.contains("failed: exit status") && !seen.contains("wrong-one"),
        "{seen}"
    );
}

#[test]
fn a_run_that_changes_nothing_keeps_none_and_one_that_succeeds_names_none() {
    let stage = Stage::own_machine(SYSTEM);
    for line in [
        "list-generations",
        "--show-settings",
        "switch --no-such-flag",
        "build --store-path /x --rollback",
    ] {
        stage.rebuild(line);
        assert!(!stage.path("home/.local").exists(), "{line}");
    }
    stage.stub("nix-build", &format!("echo {SYSTEM}"));
    assert_eq!(stage.rebuild("switch --no-log").code, 0);
    assert!(!stage.path("home/.local/state/rebuild/logs").exists());
    let run = stage.rebuild("switch");
    assert!(run.code == 0 && !run.stderr.contains("log: "), "{}", run.stderr);
    assert!(log(&stage, 1).contains(" done: exit status 0\n"));
}

#[test]
fn a_log_that_cannot_be_kept_stops_nothing() {
    for state in ["/dev/null", "/proc", "/dev/full"] {
        let stage = Stage::new();
        stage.variable("XDG_STATE_HOME", state);
        stage.stub("nix-build", "exit 100");
        let run = stage.rebuild("build -v");
        assert_eq!(run.code, 100, "{}", run.stderr);
        assert!(run.stderr.contains("no log of this run is kept: "), "{}", run.stderr);
        assert!(!run.stderr.contains("\nlog: "), "{}", run.stderr);
        stage.stub("nix-build", &format!("echo {SYSTEM}"));
        stage.rebuild("build").gives(SYSTEM);
    }
}

/// Two runs at once have a log each, and a killed run leaves what there was.
#[test]
fn runs_at_once_and_a_run_that_is_killed() {
    let stage = Stage::new();
    stage.stub(
        "nix-build",
        "echo begun >>begun-${3%%.*}; until [ -e go ]; do sleep 0.05; done; exit 7",
    );
    let first = stage.start("build --attr first --file x.nix");
    stage.wait_for("begun-first");
    let mut second = stage.start("build --attr second --file x.nix");
    stage.wait_for("begun-second");
    second.signal("KILL");
    assert_ne!(second.finish().code, 7);
    stage.write("go", "");
    let run = first.finish();
    assert_eq!(run.code, 7, "{}", run.stderr);
    assert!(run.stderr.ends_with("/logs/1.log\n"), "{}", run.stderr);
    let (first, second) = (log(&stage, 1), log(&stage, 2));
    assert!(
        first.contains("--attr first") && first.contains("failed: exit status 7\n"),
        "{first}"
    );
    assert!(
        second.contains("--attr second") && second.contains(" phase: Evaluating\n"),
        "{second}"
    );
    assert!(!second.contains("ended: "), "{second}");
}

/// A build that prints without end: what came first and last stays.
#[test]
fn a_flood_leaves_the_beginning_and_the_end() {
    let stage = Stage::new();
    let line =
        r#"@nix {"action":"result","id":2,"type":101,"fields":["line % of a build that says much and means little"]}"#;
    stage.write("line", line);
    stage.stub(
        "nix-build",
        "line=$(cat \"$STAGE/line\"); seq 60000 | sed \"s|.*|${line%\\%*}&${line#*%}|\" >&2; exit 7",
    );
    let run = stage.rebuild("build");
    assert_eq!(run.code, 7, "{}", run.stderr);
    let log = log(&stage, 1);
    assert!(
        log.len() > (2 << 20) - 1000 && log.len() < (2 << 20) + 200,
        "{}",
        log.len()
    );
    for part in [
        "\nsteps:\n",
        " [2] > line 1 of",
        " bytes are left out here ===\n",
        " [2] > line 60000 of",
        " failed: exit status 7\n",
    ] {
        assert!(log.contains(part), "{part}");
    }
    assert!(!log.contains("line 30000 of"));
}
