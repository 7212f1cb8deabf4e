//! What jobs and clients leave behind them on the builder, and whose jobs a client sees.

use super::{BUILD, Builder, events};
use crate::stubs::Running;

/// A builder with a client whose configuration reads a file.
fn builder() -> Option<Builder> {
    let builder = Builder::new()?;
    builder.configure("x = builtins.readFile ./motd;");
    builder.write("client/nixos/motd", "good morning");
    Some(builder)
}

/// From now on runs are those of a client that keeps its random number in this directory.
fn is_client(builder: &Builder, state: &str) {
    builder.variable("XDG_STATE_HOME", state);
}

fn kept(builder: &Builder) -> String {
    builder.sh("ls builder/home/.cache/rebuild 2>/dev/null || :")
}

fn logins(builder: &Builder) -> usize {
    builder.sh("ls builder/said.* 2>/dev/null || :").lines().count()
}

/// A run whose link breaks so often during its build: it is there again each time, and follows the job.
fn breaks(builder: &Builder, times: usize) -> Running {
    let run = builder.start(BUILD);
    builder.wait_for_a_build();
    for _ in 0..times {
        let before = logins(builder);
        builder.break_links();
        builder.wait_until("a new login", || {
            let newest = builder.sh("cat $(ls -t builder/said.* | head -n 1)");
            logins(builder) > before && newest.contains("@rebuild alive")
        });
    }
    run
}

/// A client that cannot keep its name has a job like any other; what was kept for it goes with its last connection.
#[test]
fn a_client_without_a_name_of_its_own_keeps_nothing() {
    let Some(builder) = builder() else { return };
    is_client(&builder, "/proc/none");
    builder.evaluates();
    assert_eq!(kept(&builder), "");
    builder.write("client/nixos/motd", "good evening");
    builder.hold_build();
    let run = breaks(&builder, 2);
    builder.release_build();
    let run = run.finish();
    assert_eq!(run.code, 0, "{}{}", run.stderr, builder.said());
    assert_eq!(builder.builds(), 2);
    builder.nothing_is_left();
    assert_eq!(kept(&builder), "");
}

/// If such a client does not come back, what its job has made stays for a while, as with any other. Nobody else sees it.
#[test]
fn a_job_of_a_client_without_a_name_of_its_own_goes_on() {
    let Some(builder) = builder() else { return };
    is_client(&builder, "/proc/none");
    builder.hold_build();
    let mut run = breaks(&builder, 1);
    run.signal("TERM");
    assert_eq!(run.finish().code, 143);
    builder.wait_until("the logins to end", || builder.logins_are_over());
    builder.release_build();
    builder.nothing_is_left();
    assert_eq!(
        builder.sh("head -n 1 builder/home/.cache/rebuild/*/jobs/*/status | cut -d ' ' -f 1; ls builder/home/.cache/rebuild/*/results | wc -l; ls builder/home/.cache/rebuild/*/once | wc -l"),
        "built\n1\n1\n"
    );
    // Its next run is another client's.
    builder.evaluates();
    assert!(!builder.said().contains("@rebuild joined "));
    assert_eq!(kept(&builder).lines().count(), 1);
}

/// A link that breaks after the job's end, and before the run has told it, leaves nobody's directories: neither the job nor
/// the run takes them for the other's.
#[test]
fn a_run_that_leaves_a_job_that_is_over_cleans_up() {
    let Some(builder) = builder() else { return };
    builder.hold_build();
    let run = builder.start(BUILD);
    builder.wait_for_a_build();
    let session =
        builder.sh("read -r job <\"$(echo builder/home/.cache/rebuild/*/jobs/*/process)\"; ps -o ppid= -p \"$job\"");
    let session = session.trim();
    builder.sh(&format!("kill -STOP {session}"));
    builder.break_links();
    builder.release_build();
    let run = run.finish();
    builder.sh(&format!("kill -CONT {session}"));
    assert_eq!(run.code, 0, "{}{}", run.stderr, builder.said());
    builder.wait_until("the logins to end", || builder.logins_are_over());
    builder.nothing_is_left();
    assert_eq!(builder.builds(), 1);
}

/// If an evaluation asks for something over a second connection, nobody there could answer it: it is begun anew, with what
/// was sent.
#[test]
fn an_evaluation_that_asks_over_a_second_connection() {
    for (line, asks) in [
        ("x = builtins.readFile (./mo + \"td\");", "@rebuild evaluation-failed 1"),
        ("imports = [ ./settings ];", "@rebuild variables"),
    ] {
        let Some(builder) = Builder::new() else { return };
        builder.variable("COLOUR", "blue");
        builder.configure(line);
        builder.write("client/nixos/motd", "good morning");
        builder.write("client/nixos/settings", "{\nx = builtins.getEnv \"COLOUR\";\n}\n");
        let run = breaks_first(&builder);
        let said = builder.said();
        assert_eq!(said.matches(asks).count(), 2, "{said}");
        assert_eq!(run.code, 0, "{}{said}", run.stderr);
        assert!(
            run.stderr
                .contains("builder: evaluating again, because the evaluation lacked something"),
            "{}",
            run.stderr
        );
        assert_eq!(builder.builds(), 1);
        // Nothing is sent twice.
        assert_eq!(
            events(&said, "receiving").iter().filter(|has| **has == "none").count(),
            1,
            "{said}"
        );
        run.gives(builder.rebuild("build").stdout.trim_end());
    }
}

/// One that fails for good says so as it does over one connection.
#[test]
fn an_evaluation_that_fails_over_a_second_connection() {
    let Some(builder) = Builder::new() else { return };
    builder.configure("x = builtins.readFile ./none;");
    let whole = builder.rebuild(BUILD);
    let run = breaks_first(&builder);
    assert_eq!((run.code, run.stdout.as_str()), (whole.code, ""), "{}", run.stderr);
    let error = |text: &str| {
        text.lines()
            .filter(|line| line.contains("error"))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(error(&run.stderr), error(&whole.stderr));
    assert!(
        run.stderr.contains("path '/client/nixos/none' does not exist"),
        "{}",
        run.stderr
    );
}

/// A run to its end, whose link breaks before its evaluation has read anything.
fn breaks_first(builder: &Builder) -> crate::stubs::Run {
    builder.sh("mkfifo -m 666 builder/nix/store/hold-first");
    let run = builder.start(BUILD);
    builder.wait_for_evaluations(1);
    let before = logins(builder);
    builder.break_links();
    builder.wait_until("a new login", || logins(builder) > before);
    builder.sh("echo >builder/nix/store/hold-first; rm builder/nix/store/hold-first");
    let run = run.finish();
    builder.wait_until("the logins to end", || builder.logins_are_over());
    builder.nothing_is_left();
    run
}

/// Clients whose random numbers differ do not see each other's jobs, whatever they build, and cannot end them.
#[test]
fn another_client_is_told_apart() {
    let Some(builder) = builder() else { return };
    builder.hold_build();
    let first = builder.start(BUILD);
    builder.wait_for_a_build();
    is_client(&builder, "/client/home/other");
    let mut second = builder.start(BUILD);
    builder.wait_until("two builds", || {
        builder.sh("ls builder/nix/store | grep -c '^building' || :").trim() == "2"
    });
    assert_eq!(kept(&builder).lines().count(), 2);
    second.signal("INT");
    assert_eq!(second.finish().code, 130);
    builder.wait_until("one login to end", || builder.ended_logins() == 1);
    builder.release_build();
    let first = first.finish();
    assert_eq!(first.code, 0, "{}{}", first.stderr, builder.said());
    assert!(!builder.said().contains("@rebuild joined "));
    builder.nothing_is_left();
}

/// A card that was copied is one client on two machines, as two runs of one machine are: the same derivation is built
/// once, and what one of them cancels goes on for the other; another derivation is another job, and its end is its own.
#[test]
fn a_card_that_was_copied_is_one_client() {
    let Some(builder) = builder() else { return };
    builder.evaluates();
    builder.sh(
        "mkdir -p client/home/copied/rebuild; cp client/home/.local/state/rebuild/client client/home/copied/rebuild/",
    );
    builder.write("client/nixos/motd", "good evening");
    builder.hold_build();
    let first = builder.start(BUILD);
    builder.wait_for_a_build();
    is_client(&builder, "/client/home/copied");
    let mut second = builder.start(BUILD);
    builder.wait_until("the second run", || builder.said().contains("@rebuild joined "));
    assert_eq!(kept(&builder).lines().count(), 1);
    second.signal("INT");
    assert_eq!(second.finish().code, 130);
    builder.write("client/nixos/motd", "good night");
    let mut third = builder.start(BUILD);
    builder.wait_until("two builds", || {
        builder.sh("ls builder/nix/store | grep -c '^building' || :").trim() == "2"
    });
    third.signal("INT");
    assert_eq!(third.finish().code, 130);
    builder.wait_until("two logins to end", || builder.ended_logins() == 3);
    builder.release_build();
    let first = first.finish();
    assert_eq!(first.code, 0, "{}{}", first.stderr, builder.said());
    builder.nothing_is_left();
    assert_eq!(builder.said().matches("@rebuild joined ").count(), 1);
}

/// Whoever comes while a job is being ended does not follow it: they would hear that it was cancelled.
#[test]
fn a_job_that_was_ended_is_not_joined() {
    let Some(builder) = builder() else { return };
    builder.hold_build();
    let mut run = builder.start(BUILD);
    builder.wait_for_a_build();
    run.signal("INT");
    assert_eq!(run.finish().code, 130);
    builder.wait_until("the login to end", || builder.logins_are_over());
    builder.nothing_is_left();
    assert_eq!(
        builder.sh("cd builder/home/.cache/rebuild/*/jobs/*/ && ls builds status 2>/dev/null || :"),
        "status\n"
    );
}
