//! Links that break, and clients that go away, while work goes on: it goes on, and whoever comes back goes on with it.

use super::{BUILD, Builder};
use crate::stubs::Running;

/// A run whose build has begun, and goes on until it is let go. Nothing, where no builder can be had.
pub(super) fn building() -> Option<(Builder, Running)> {
    let builder = Builder::new()?;
    builder.configure("x = builtins.readFile ./motd;");
    builder.write("client/nixos/motd", "good morning");
    builder.hold_build();
    let run = builder.start(BUILD);
    builder.wait_for_a_build();
    Some((builder, run))
}

pub(super) fn said_once(text: &str, line: &str) {
    assert_eq!(text.matches(line).count(), 1, "{line}: {text}");
}

/// The run comes to its end, nothing was built twice, and nothing is left.
fn ends_having_built_once(builder: &Builder, run: Running) {
    let run = run.finish();
    assert_eq!(run.code, 0, "{}{}", run.stderr, builder.said());
    assert_eq!(builder.builds(), 1);
    builder.nothing_is_left();
}

/// A second run, which follows the job of the first one.
fn following(builder: &Builder) -> Running {
    let run = builder.start(BUILD);
    builder.wait_until("the second run", || builder.said().contains("@rebuild joined "));
    run
}

/// The client comes back by itself, to the byte where it was, and nothing is done twice.
#[test]
fn a_link_that_breaks_during_the_build() {
    let Some((builder, run)) = building() else { return };
    for number in 1..=3 {
        builder.break_links();
        // It has come back.
        builder.wait_until("a new login", || {
            builder.sh("ls builder/said.*").lines().count() > number
        });
    }
    builder.release_build();
    let run = run.finish();
    assert_eq!(run.code, 0, "{}{}", run.stderr, builder.said());
    said_once(&run.stderr, "one line of the build");
    said_once(&run.stderr, "another line of the build");
    assert!(
        run.stderr
            .contains("the connection to builder broke: the work goes on there"),
        "{}",
        run.stderr
    );
    assert_eq!(builder.builds(), 1);
    builder.nothing_is_left();
    run.gives(builder.rebuild("build").stdout.trim_end());
}

#[test]
fn a_link_that_breaks_during_the_evaluation() {
    let Some(builder) = Builder::new() else { return };
    builder.configure("x = builtins.readFile ./motd;");
    builder.write("client/nixos/motd", "good morning");
    builder.hold();
    let run = builder.start(BUILD);
    builder.wait_for_evaluations(1);
    builder.break_links();
    builder.wait_until("a new login", || builder.sh("ls builder/said.*").lines().count() > 1);
    builder.release();
    let run = run.finish();
    assert_eq!(run.code, 0, "{}{}", run.stderr, builder.said());
    assert_eq!((builder.evaluating(), builder.builds()), (1, 1));
    builder.nothing_is_left();
    run.gives(builder.rebuild("build").stdout.trim_end());
}

/// The terminal is closed, or the client is killed: the build goes on to its end, and what it has made is there for the next.
#[test]
fn a_client_that_goes_away_leaves_the_build() {
    for (signal, code) in [("HUP", 129), ("TERM", 143), ("KILL", -1)] {
        let Some((builder, mut run)) = building() else { return };
        run.signal(signal);
        let run = run.finish();
        assert_eq!((run.code, run.stdout.as_str()), (code, ""), "{signal}: {}", run.stderr);
        builder.wait_until("the login to end", || builder.logins_are_over());
        builder.release_build();
        builder.nothing_is_left();
        let status = builder.sh("cat builder/home/.cache/rebuild/*/jobs/*/status");
        assert!(status.starts_with("built /nix/store/"), "{signal}: {status}");
        builder.evaluates();
        assert_eq!(builder.builds(), 1, "{signal}");
        assert!(!builder.said().contains("@rebuild joined "), "{signal}");
    }
}

/// Ctrl-C is meant for the work as well.
#[test]
fn a_client_that_cancels_ends_the_build() {
    let Some((builder, mut run)) = building() else { return };
    run.signal("INT");
    let run = run.finish();
    assert_eq!((run.code, run.stdout.as_str()), (130, ""), "{}", run.stderr);
    builder.wait_until("the login to end", || builder.logins_are_over());
    builder.nothing_is_left();
    let status = builder.sh("cat builder/home/.cache/rebuild/*/jobs/*/status");
    assert_eq!(status.lines().next(), Some("cancelled"));
}

/// Whoever comes again while the build of an earlier run goes on follows that one, with its log, and nothing is built twice.
#[test]
fn the_same_derivation_is_joined() {
    let Some((builder, mut first)) = building() else { return };
    first.signal("HUP");
    assert_eq!(first.finish().code, 129);
    builder.wait_until("the login to end", || builder.logins_are_over());
    let second = following(&builder);
    builder.release_build();
    let second = second.finish();
    assert_eq!(second.code, 0, "{}{}", second.stderr, builder.said());
    assert!(
        second
            .stderr
            .contains("builder builds this already, since an earlier run"),
        "{}",
        second.stderr
    );
    said_once(&second.stderr, "one line of the build");
    said_once(&second.stderr, "another line of the build");
    assert_eq!(builder.builds(), 1);
    builder.nothing_is_left();
    second.gives(builder.rebuild("build").stdout.trim_end());
}

/// Ctrl-C of one of two that follow a job does not take it from the other one, whichever began it; the last one's ends it.
#[test]
fn a_job_that_others_follow_goes_on() {
    for ends_first in [true, false] {
        let Some((builder, first)) = building() else { return };
        let second = following(&builder);
        let (mut leaver, stayer) = if ends_first { (first, second) } else { (second, first) };
        leaver.signal("INT");
        assert_eq!(leaver.finish().code, 130);
        builder.wait_until("one login to end", || builder.ended_logins() == 1);
        builder.release_build();
        ends_having_built_once(&builder, stayer);
    }
}

#[test]
fn the_last_follower_ends_a_job() {
    let Some((builder, mut first)) = building() else { return };
    first.signal("TERM");
    first.finish();
    let mut second = following(&builder);
    second.signal("INT");
    assert_eq!(second.finish().code, 130);
    builder.wait_for_jobs();
    builder.wait_until("the logins to end", || builder.logins_are_over());
    builder.nothing_is_left();
    let status = builder.sh("sort -u builder/home/.cache/rebuild/*/jobs/*/status");
    assert!(status.contains("cancelled\n"), "{status}");
}

/// `--detach`: this machine leaves as soon as there is something to build and nothing of it is needed any more. The next run
/// brings the result home.
#[test]
fn a_client_that_detaches_leaves_the_build() {
    let Some((builder, first)) = building() else { return };
    // The second one joins the first one's job, and leaves it as well.
    let second = builder.rebuild("build --detach --eval-on builder --no-lend");
    assert_eq!(
        (second.code, second.stdout.as_str()),
        (0, ""),
        "{}{}",
        second.stderr,
        builder.said()
    );
    for text in [
        "builder goes on by itself with the build",
        "to bring the result here: rebuild build --eval-on builder --no-lend\n",
        "within 12 hours",
    ] {
        assert!(second.stderr.contains(text), "{text}: {}", second.stderr);
    }
    builder.release_build();
    assert_eq!(first.finish().code, 0);
    // The second one's side there ends its processes meanwhile.
    builder.wait_until("the logins to end", || builder.logins_are_over());
    builder.nothing_is_left();

    builder.write("client/nixos/motd", "good evening");
    builder.hold_build();
    let run = builder.rebuild("build --detach --eval-on builder --no-lend");
    assert_eq!(
        (run.code, run.stdout.as_str()),
        (0, ""),
        "{}{}",
        run.stderr,
        builder.said()
    );
    builder.wait_until("the login to end", || builder.logins_are_over());
    builder.release_build();
    builder.wait_for_jobs();
    let again = builder.rebuild(BUILD);
    assert_eq!(again.code, 0, "{}", again.stderr);
    assert_eq!(builder.builds(), 2);
    // Nothing is to be built any more: it ends as a run without the flag.
    let run = builder.rebuild("build --detach --eval-on builder --no-lend");
    assert_eq!((run.code, &run.stdout), (0, &again.stdout), "{}", run.stderr);
    assert!(!run.stderr.contains("by itself"), "{}", run.stderr);
    builder.nothing_is_left();
}

/// How long a new connection is tried is a setting; 0 is not at all. Whatever it is, the work goes on.
#[test]
fn how_long_a_new_connection_is_tried_can_be_set() {
    for (seconds, text) in [
        ("0", "error: the connection to builder broke: the work goes on there, "),
        ("1", "error: builder does not come back in 1 second ("),
    ] {
        let Some(builder) = Builder::new() else { return };
        builder.configure("x = builtins.readFile ./motd;");
        builder.write("client/nixos/motd", "good morning");
        builder.hold_build();
        builder.variable("REBUILD_RECONNECT_TIMEOUT", seconds);
        let run = builder.start(BUILD);
        builder.wait_for_a_build();
        let ssh = builder.read("bin/ssh");
        builder.stub(
            "ssh",
            "echo 'ssh: connect to host builder port 22: No route to host' >&2; exit 255",
        );
        builder.break_links();
        let run = run.finish();
        assert_eq!((run.code, run.stdout.as_str()), (255, ""), "{}", run.stderr);
        for text in [text, "run the same command again later: it finds what was done there"] {
            assert!(run.stderr.contains(text), "{seconds} {text}: {}", run.stderr);
        }
        assert_eq!(
            run.stderr.contains("connecting again"),
            seconds != "0",
            "{}",
            run.stderr
        );
        builder.write("bin/ssh", &ssh);
        builder.release_build();
        builder.wait_for_jobs();
        builder.evaluates();
        assert_eq!(builder.builds(), 1, "{seconds}");
    }
}

/// Makes the minutes short for which a job is watched.
fn short_minutes(builder: &Builder) {
    program(
        builder,
        "sleep",
        "[ \"$1\" = 60 ] || exec /usr/bin/sleep \"$@\"\necho >>/builder/minutes; exec /usr/bin/sleep 0.1",
    );
}

/// How many of them have begun.
fn minutes(builder: &Builder) -> usize {
    builder.sh("cat builder/home/minutes 2>/dev/null || :").lines().count()
}

/// A program that the builder's scripts find before the machine's own.
fn program(builder: &Builder, name: &str, does: &str) {
    let file = format!("builder/home/nix/bin/{name}");
    builder.write(&file, &format!("#!/bin/sh\n{does}\n"));
    super::set_mode(builder, &file, 0o755);
}

/// Nobody finds the work of a client that has another name in its next run, so it does not go on for half a day.
#[test]
fn work_that_nobody_finds_again_ends_soon() {
    let Some(builder) = Builder::new() else { return };
    builder.configure("x = builtins.readFile ./motd;");
    builder.write("client/nixos/motd", "good morning");
    short_minutes(&builder);
    builder.hold_build();
    builder.variable("XDG_STATE_HOME", "/proc/none");
    let mut run = builder.start(BUILD);
    builder.wait_for_a_build();
    run.signal("KILL");
    run.finish();
    builder.wait_until("the login to end", || builder.logins_are_over());
    let before = minutes(&builder);
    builder.nothing_is_left();
    let job = builder.sh("cat builder/home/.cache/rebuild/*/jobs/*/status");
    assert_eq!(job.lines().next(), Some("cancelled"));
    // The minute that was running, and twenty.
    assert!(minutes(&builder) <= before + 21, "{before}, then {}", minutes(&builder));
}

/// How long a job goes on that nobody follows is a setting as well, in seconds, of which the builder makes minutes. Its
/// minutes are short here.
#[test]
fn how_long_work_goes_on_unattended_can_be_set() {
    let Some(builder) = Builder::new() else { return };
    builder.configure("x = builtins.readFile ./motd;");
    builder.write("client/nixos/motd", "good morning");
    short_minutes(&builder);
    builder.hold_build();
    builder.variable("REBUILD_UNATTENDED_TIMEOUT", "61");
    let mut run = builder.start(BUILD);
    builder.wait_for_a_build();
    let minutes = || minutes(&builder);
    builder.wait_until("some minutes", || minutes() > 5);
    let job = || builder.sh("cat builder/home/.cache/rebuild/*/jobs/*/status 2>/dev/null || :");
    assert_eq!(job(), "", "it is followed");
    run.signal("KILL");
    run.finish();
    builder.wait_until("the login to end", || builder.logins_are_over());
    let before = minutes();
    builder.nothing_is_left();
    assert_eq!(job().lines().next(), Some("cancelled"));
    // The minute that was running, and the two of the setting.
    assert!(minutes() <= before + 3, "{before}, then {}", minutes());
}

/// Another derivation is another job.
#[test]
fn a_different_derivation_does_not_disturb() {
    let Some((builder, mut first)) = building() else { return };
    first.signal("HUP");
    first.finish();
    builder.write("client/nixos/motd", "good evening");
    let second = builder.start(BUILD);
    builder.wait_until("two builds", || {
        builder.sh("ls builder/nix/store | grep -c '^building' || :").trim() == "2"
    });
    builder.release_build();
    assert_eq!(second.finish().code, 0, "{}", builder.said());
    builder.wait_for_jobs();
    assert!(!builder.said().contains("@rebuild joined"));
    assert_eq!(builder.builds(), 2);
    builder.nothing_is_left();
}

/// A run whose own job has found another one to join, and that does not follow that yet: it waits until it is let go.
fn joining(builder: &Builder) -> Running {
    // Whoever began the job follows it by now.
    builder.wait_until("the job to be followed", || {
        !builder
            .sh("flock -n builder/home/.cache/rebuild/*/jobs/*/followed true || echo yes")
            .is_empty()
    });
    builder.sh("mkfifo -m 666 builder/home/gate");
    program(
        builder,
        "flock",
        "[ \"$*\" != '-s 8' ] || [ ! -e /builder/gate ] || ! grep -qs '^joins ' /builder/.cache/rebuild/*/jobs/*/status ||
    { : >/builder/waits; read -r _ </builder/gate; }
exec /usr/bin/flock \"$@\"",
    );
    let second = builder.start(BUILD);
    builder.wait_until("the second run", || builder.path("builder/home/waits").exists());
    second
}

fn let_go(builder: &Builder) {
    builder.sh("mv builder/home/gate builder/home/opened; timeout 60 sh -c 'echo >builder/home/opened'");
}

/// Nobody's Ctrl-C ends a job that somebody has joined just now.
#[test]
fn whoever_joins_a_job_keeps_it() {
    let Some((builder, mut first)) = building() else { return };
    let second = joining(&builder);
    first.signal("INT");
    assert_eq!(first.finish().code, 130);
    let_go(&builder);
    builder.release_build();
    ends_having_built_once(&builder, second);
}

/// Nor does the watch over jobs that nobody follows.
#[test]
fn whoever_joins_a_job_that_nobody_followed_keeps_it() {
    let Some(builder) = Builder::new() else { return };
    builder.configure("x = builtins.readFile ./motd;");
    builder.write("client/nixos/motd", "good morning");
    builder.hold_build();
    short_minutes(&builder);
    builder.variable("REBUILD_UNATTENDED_TIMEOUT", "120");
    let mut first = builder.start(BUILD);
    builder.wait_for_a_build();
    let second = joining(&builder);
    first.signal("KILL");
    first.finish();
    builder.wait_until("the first login to end", || builder.ended_logins() == 1);
    let before = minutes(&builder);
    builder.wait_until("more minutes", || minutes(&builder) > before + 8);
    let_go(&builder);
    builder.release_build();
    ends_having_built_once(&builder, second);
}

/// Whoever comes while a job is being ended begins a build of their own.
#[test]
fn a_job_that_is_being_ended_is_not_joined() {
    let Some((builder, mut first)) = building() else { return };
    first.signal("TERM");
    first.finish();
    builder.wait_until("the login to end", || builder.logins_are_over());
    // It does not come to an end for now.
    let job = builder.sh("cat builder/home/.cache/rebuild/*/jobs/*/process");
    builder.sh(&format!("kill -STOP {job}"));
    let logins = || builder.sh("ls builder/said.*").lines().count();
    let before = logins();
    let cancel = builder.start("cancel --eval-on builder --all");
    builder.wait_until("the end to be waited for", || {
        logins() == before + 2
            && builder
                .sh("cat \"$(ls -t builder/said.* | head -n 1)\"")
                .contains("@rebuild alive")
    });
    let second = builder.start(BUILD);
    builder.wait_until("the second run", || {
        builder.said().contains("@rebuild joined ")
            || builder.sh("ls builder/nix/store | grep -c '^building' || :").trim() == "2"
    });
    builder.sh(&format!("kill -CONT {job}"));
    cancel.finish();
    builder.release_build();
    let second = second.finish();
    assert_eq!(second.code, 0, "{}{}", second.stderr, builder.said());
    builder.nothing_is_left();
}
