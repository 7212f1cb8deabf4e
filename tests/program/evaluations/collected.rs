//! Garbage that somebody collects over there in the midst of an evaluation.

use super::Builder;

const LOST: &str = "/nix/store/44444444444444444444444444444444-lost";

/// What was taken is held, by Nix's own protocol, and the evaluation comes to its end the next time.
#[test]
fn what_is_collected_meanwhile_is_held_and_evaluated_once_more() {
    let Some(builder) = Builder::new() else { return };
    builder.configure("motd = builtins.readFile ./motd;");
    builder.write("client/nixos/motd", "good morning");
    builder.write("builder/nix/store/garbage", &format!("{LOST}\n"));
    let evaluated = builder.evaluates();
    assert_eq!(evaluated.events("collected"), [""]);
    assert_eq!(evaluated.events("evaluation-failed"), [""; 0]);
    // Nothing is asked of the client meanwhile.
    assert_eq!(evaluated.rounds(), ["none"]);
    let held = builder.read("builder/nix/store/held");
    assert!(held.lines().any(|line| line == LOST), "{held}");
    assert!(evaluated.run.stderr.contains("garbage"), "{}", evaluated.run.stderr);
    assert!(
        !evaluated.run.stderr.contains("is not valid"),
        "{}",
        evaluated.run.stderr
    );
}

/// What is held and gone all the same was taken by nobody: it is the configuration's own error, after one attempt more.
#[test]
fn what_stays_lost_is_an_error() {
    let Some(builder) = Builder::new() else { return };
    builder.configure("motd = builtins.readFile ./motd;");
    builder.write("client/nixos/motd", "good morning");
    builder.write("builder/nix/store/garbage", &format!("{LOST}\n"));
    builder.write("builder/nix/store/garbage-stays", "");
    let (run, said) = builder.run(super::BUILD);
    assert_eq!((run.code, run.stdout.as_str()), (1, ""), "{}{said}", run.stderr);
    assert_eq!(super::events(&said, "collected"), [""]);
    assert!(
        run.stderr.contains(&format!("path '{LOST}' is not valid")),
        "{}",
        run.stderr
    );
    builder.nothing_is_left();
}
