//! What a run shows of Nix's own log, on this machine and on another one. `src/progress` tests what each line is turned
//! into.

use std::time::{Duration, Instant};

use crate::stubs::Stage;
use crate::{DRV, SYSTEM, good_session};

/// Returns a build whose log has this many lines.
fn log_of_build(lines: usize) -> String {
    format!(
        r#"echo '@nix {{"action":"start","id":1,"level":0,"text":"","type":104}}' >&2
           echo '@nix {{"action":"start","fields":["{DRV}","",1,1],"id":2,"level":3,"text":"","type":105}}' >&2
           n=0; while [ $n -lt {lines} ]; do n=$((n + 1))
             echo '@nix {{"action":"result","fields":["step '$n'"],"id":2,"type":101}}' >&2
           done"#
    )
}

#[test]
fn a_failed_build_here_shows_its_end_and_the_command_for_the_rest() {
    let stage = Stage::new();
    let error = format!(r#"echo '@nix {{"action":"msg","level":0,"msg":"error: builder for {DRV} failed"}}' >&2"#);
    stage.stub("nix-build", &format!("{}\n{error}\nexit 100", log_of_build(40)));
    let run = stage.rebuild("switch");
    assert_eq!((run.code, run.stdout.as_str()), (100, ""));
    let lines: Vec<&str> = run.stderr.lines().collect();
    assert_eq!(
        lines[1..4].join("|"),
        format!(
            "building nixos-system-pi...|error: builder for {DRV} failed|the last 25 lines of the log of nixos-system-pi:"
        )
    );
    assert_eq!((lines[4], lines[28]), ("> step 16", "> step 40"));
    assert_eq!(lines[29], format!("the whole log: nix-store --read-log {DRV}"));
    // The command stands there as the user could type it.
    assert_eq!(
        lines[30],
        "error: this command failed with exit status 100: nix-build '<nixpkgs/nixos>' --attr \
         config.system.build.toplevel --out-link "
            .to_owned()
            + lines[30].rsplit(' ').next().unwrap_or_default()
    );
}

#[test]
fn a_failed_build_there_names_the_command_for_there() {
    let stage = Stage::new();
    let log = log_of_build(2).replace(" >&2", "");
    let error = format!(r#"echo '@nix {{"action":"msg","level":0,"msg":"error: builder for {DRV} failed"}}'"#);
    stage.stub(
        "ssh",
        &good_session("").replace(
            &format!("say built {SYSTEM}"),
            &format!("{log}\n{error}\nsay failed build 1; exit 1"),
        ),
    );
    let run = stage.rebuild("switch --eval-on me@builder --no-lend");
    assert_eq!(run.code, 1, "{}", run.stderr);
    let expected = format!("\n> step 2\nthe whole log: ssh me@builder nix-store --read-log {DRV}\n");
    assert!(run.stderr.contains(&expected), "{}", run.stderr);
}

#[test]
fn a_log_format_is_left_to_nix() {
    let stage = Stage::new();
    stage.stub("nix-build", &format!("printf 'no newline' >&2; echo {SYSTEM}"));
    let run = stage.rebuild("build --log-format bar-with-logs");
    assert_eq!(
        stage.calls(),
        ["nix-build <nixpkgs/nixos> --attr config.system.build.toplevel --log-format bar-with-logs"]
    );
    assert!(run.stderr.contains("no newline"), "{}", run.stderr);
    assert_eq!(run.stdout, format!("{SYSTEM}\n"));
}

#[test]
fn quiet_is_quiet() {
    let stage = Stage::new();
    stage.stub("nix-build", &format!("{}; echo {SYSTEM}", log_of_build(3)));
    let run = stage.rebuild("build --quiet");
    assert_eq!(
        (run.stderr.as_str(), run.stdout),
        (
            "building the system configuration...\nDone. The new configuration is ",
            format!("{SYSTEM}\n")
        )
    );
}

#[test]
fn build_logs_are_lines_with_the_name() {
    let stage = Stage::new();
    stage.stub("nix-build", &format!("{}; echo {SYSTEM}", log_of_build(2)));
    let run = stage.rebuild("build -L");
    assert!(
        run.stderr
            .contains("nixos-system-pi> step 1\nnixos-system-pi> step 2\n"),
        "{}",
        run.stderr
    );
}

/// Both streams carry more than any pipe holds.
#[test]
fn a_flood_of_a_local_command_does_not_hang() {
    let stage = Stage::new();
    stage.stub(
        "nix-build",
        &format!("yes x | head -c 300000; yes y | head -c 300000 >&2; yes x | head -c 300000; echo; echo {SYSTEM}"),
    );
    let run = stage.rebuild("build");
    assert_eq!((run.code, run.stdout), (0, format!("{SYSTEM}\n")));
    assert!(run.stderr.len() > 300_000);
}

#[test]
fn ctrl_c_ends_a_local_build() {
    let stage = Stage::new();
    stage.stub("nix-build", ": >building; exec sleep 60");
    let mut child = stage.start("switch");
    stage.wait_for("building");
    let begin = Instant::now();
    child.signal("INT");
    let run = child.finish();
    assert!(begin.elapsed() < Duration::from_secs(5));
    assert_eq!((run.code, run.stdout.as_str()), (130, ""));
    assert!(!run.stderr.contains("error"), "{}", run.stderr);
}

/// The text of `builtins.trace` has the level of an error, and an evaluation that is run again says it again.
#[test]
fn a_trace_of_an_evaluation_there_is_shown_once() {
    let stage = Stage::new();
    let trace = r#"echo '@nix {"action":"msg","level":0,"msg":"trace: hello"}'"#;
    let evaluated = format!("say evaluated {DRV}");
    stage.stub(
        "ssh",
        &good_session("say no-socket; say finished").replace(&evaluated, &format!("{trace}; {trace}\n{evaluated}")),
    );
    stage.stub("nix-copy-closure", "");
    let run = stage.rebuild("build --eval-on builder --no-lend");
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_eq!(run.stderr.matches("trace: hello\n").count(), 1, "{}", run.stderr);
}

/// That machine's system profile is at the system already; what runs there is not known.
#[test]
fn what_was_there_already_is_no_change() {
    for (line, expected) in [
        ("boot", "nothing changed; "),
        ("boot --install-bootloader", "nothing was built; "),
        ("boot -p trial", "nothing was built; "),
        ("switch", "nothing was built; "),
        ("test", "nothing was built; "),
    ] {
        let stage = Stage::own_machine(SYSTEM);
        stage.stub("nix-build", &format!("echo {SYSTEM}"));
        // It takes so long that the time is worth a word.
        stage.stub("switch-to-configuration", "sleep 0.2");
        let run = stage.rebuild(line);
        assert_eq!(run.code, 0, "{line}: {}", run.stderr);
        let last: Vec<&str> = run.stderr.lines().rev().take(2).collect();
        assert!(last[1].starts_with(expected), "{line}: {}", run.stderr);
        assert!(last[1].contains(" activated in 0."), "{line}: {}", run.stderr);
        assert_eq!(last[0], "Done. The new configuration is ", "{line}");
    }
}
