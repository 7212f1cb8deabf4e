//! Runs that end in the midst of an evaluation, and several at a time.

use super::{BUILD, Builder};
use crate::stubs::Running;

const MOTD: &str = "x = builtins.readFile ./motd;";

/// A run whose evaluation has begun, and goes on until it is let go. Nothing, where no builder can be had.
fn held() -> Option<(Builder, Running)> {
    let builder = Builder::new()?;
    builder.configure(MOTD);
    builder.write("client/nixos/motd", "good morning");
    builder.hold();
    let run = builder.start(BUILD);
    builder.wait_for_evaluations(1);
    Some((builder, run))
}

/// After Ctrl-C nothing of the run is left over there: neither a directory nor a mount nor a process that still evaluates.
/// What had arrived is kept. (What goes on if the client is just gone is in away.rs.)
#[test]
fn a_run_that_is_ended_leaves_nothing() {
    let Some((builder, mut run)) = held() else { return };
    run.signal("INT");
    let run = run.finish();
    assert_eq!((run.code, run.stdout.as_str()), (130, ""), "{}", run.stderr);
    builder.wait_until("the builder to end", || builder.logins_are_over());
    assert!(!builder.was_held(), "{}", builder.said());
    builder.nothing_is_left();

    builder.sh("rm builder/nix/store/hold");
    let evaluated = builder.evaluates();
    assert_eq!(evaluated.rounds(), ["have"]);
}

/// What a run that was killed outright has left, the next one takes away: its directories here and in /dev/shm. So it was
/// when that machine lost its power, which no trap survives.
#[test]
fn what_a_killed_script_leaves_the_next_one_takes_away() {
    let Some((builder, mut run)) = held() else { return };
    builder.sh("kill -KILL $(cat builder/pid) $(cat builder/home/.cache/rebuild/*/jobs/*/process)");
    // The link is gone as well.
    run.signal("KILL");
    run.finish();
    builder.release();
    // What is left of it holds its lock until it has ended.
    let lock = "flock -n builder/home/.cache/rebuild/*/run.*/lock true && echo free || :";
    builder.wait_until("all of it to end", || !builder.sh(lock).is_empty());
    let left = builder.sh("ls builder/shm; ls -d builder/home/.cache/rebuild/*/run.*");
    assert_eq!(left.lines().count(), 2, "{left}");
    builder.evaluates();
}

/// Two at once that are not of the same files: each sees its own.
#[test]
fn two_at_once_get_each_their_own() {
    let Some(builder) = Builder::new() else { return };
    builder.configure(MOTD);
    builder.hold();
    let mut running = Vec::new();
    for (number, text) in ["the first", "the second"].into_iter().enumerate() {
        builder.write("client/nixos/motd", text);
        running.push((builder.start(BUILD), text));
        builder.wait_for_evaluations(number + 1);
    }
    builder.release();
    let runs: Vec<_> = running.into_iter().map(|(run, text)| (run.finish(), text)).collect();
    builder.nothing_is_left();
    for (run, text) in runs {
        builder.write("client/nixos/motd", text);
        run.gives(builder.rebuild("build").stdout.trim_end());
    }
    assert_eq!(builder.mirrors().len(), 2);
}

/// Somebody who cleans up their cache in the midst of a run.
#[test]
fn a_cache_that_is_taken_away_meanwhile() {
    let Some((builder, run)) = held() else { return };
    builder.sh("rm -rf builder/home/.cache");
    builder.release();
    let run = run.finish();
    assert_eq!((run.code, run.stdout.as_str()), (1, ""), "{}", run.stderr);
    assert!(run.stderr.contains("was taken away"), "{}", run.stderr);
    assert_eq!(builder.evaluates().rounds(), ["none"]);
}
