//! How the client's files come: all of them, what has changed, nothing; and what only the evaluation names.

use std::fs;
use std::os::unix::fs::MetadataExt;

use super::Builder;

fn inode(path: &std::path::Path) -> u64 {
    fs::metadata(path).unwrap().ino()
}

/// Three runs after each other, of which the second sends no file and the third one.
#[test]
fn what_is_there_is_not_sent_again() {
    let Some(builder) = Builder::new() else { return };
    builder.configure("imports = [ ./hardware.nix ];\nmotd = builtins.readFile ./motd;");
    builder.write("client/nixos/motd", "good morning");
    let first = builder.evaluates();
    assert_eq!(first.rounds(), ["none"]);
    first.has_seen("read /client/nixos/motd: good morning");

    let second = builder.evaluates();
    assert_eq!(second.rounds(), ["have"]);
    assert_eq!(second.run.stdout, first.run.stdout);
    assert_eq!(builder.mirrors().len(), 1);

    let before = ["client/nixos/motd", "client/nixos/hardware.nix"].map(|name| inode(&builder.mirrored(name)));
    builder.write("client/nixos/motd", "good evening");
    let third = builder.evaluates();
    assert_eq!(third.rounds(), ["base"]);
    third.has_seen("read /client/nixos/motd: good evening");
    assert_ne!(third.run.stdout, first.run.stdout);
    let after = ["client/nixos/motd", "client/nixos/hardware.nix"].map(|name| inode(&builder.mirrored(name)));
    assert_ne!(before[0], after[0], "a file that has changed is another one");
    assert_eq!(before[1], after[1], "and one that has not is a link");

    // What was is still there, and so is what it came to.
    builder.write("client/nixos/motd", "good morning");
    let fourth = builder.evaluates();
    assert_eq!(fourth.run.stdout, first.run.stdout);
}

/// A name that stands nowhere as one: the evaluation fails at the shut door, a look tells what it is, and the next round
/// has it. The error is not shown.
#[test]
fn a_file_that_only_the_evaluation_names_comes_in_a_second_round() {
    let Some(builder) = Builder::new() else { return };
    builder.configure("x = builtins.readFile (./no + \"tes\");\ny = builtins.readFile (./mo + \"re\");");
    builder.write("client/nixos/notes", "only the evaluation knows");
    builder.write("client/nixos/more", "and more");
    builder.write("client/nixos/other", "nobody asks for this");
    let evaluated = builder.evaluates();
    assert_eq!(evaluated.rounds(), ["none", "base", "base"], "{}", evaluated.said);
    assert_eq!(evaluated.events("evaluation-failed"), ["1"]);
    assert_eq!(evaluated.events("looked-around"), [""]);
    evaluated.has_seen("read /client/nixos/notes: only the evaluation knows");
    // The look has told of both at once.
    evaluated.has_seen("read /client/nixos/more: and more");
    assert!(evaluated.said.contains("Permission denied"), "{}", evaluated.said);
    assert!(
        !evaluated.run.stderr.contains("Permission denied"),
        "{}",
        evaluated.run.stderr
    );
    assert!(!builder.has("nobody asks for this"));
    // The next run begins with what this one has learnt.
    assert_eq!(builder.evaluates().rounds(), ["have"]);
}

/// A module that imports others, which are in a directory that nothing else names.
#[test]
fn a_module_that_only_the_evaluation_names_brings_its_own() {
    let Some(builder) = Builder::new() else { return };
    builder.configure("x = builtins.readDir (./mod + \"ules\");\nimports = [ ./modules/a.nix ];");
    builder.write("client/nixos/modules/a.nix", "{\nimports = [ ../b.nix ];\n}\n");
    builder.write("client/nixos/b.nix", "{\nx = builtins.readFile (./in + \"ner\");\n}\n");
    builder.write("client/nixos/inner", "at the end of the way");
    let evaluated = builder.evaluates();
    evaluated.has_seen("read /client/nixos/inner: at the end of the way");
    evaluated.has_seen("listed /client/nixos/modules: a.nix");
}

/// A kept file that somebody has changed over there is not what the client means.
#[test]
fn what_was_changed_over_there_is_sent_anew() {
    let Some(builder) = Builder::new() else { return };
    builder.configure("motd = builtins.readFile ./motd;");
    builder.write("client/nixos/motd", "as it was sent");
    builder.evaluates();
    let kept = builder.mirrored("client/nixos/motd");
    fs::write(&kept, "as somebody wants").unwrap();
    let evaluated = builder.evaluates();
    assert_eq!(evaluated.events("damaged"), [""]);
    evaluated.has_seen("read /client/nixos/motd: as it was sent");
    assert!(
        evaluated.run.stderr.contains("is not what was sent"),
        "{}",
        evaluated.run.stderr
    );
}

/// Names and contents as they may be, and as tar and a shell bring them over.
#[test]
fn odd_names_and_contents_arrive_as_they_are() {
    let Some(builder) = Builder::new() else { return };
    let long = "long-".repeat(40);
    for (name, content) in [
        ("with'quote", "a"),
        ("ünïcode", "b"),
        (long.as_str(), "c"),
        ("$(touch made)", "d"),
        ("empty", ""),
    ] {
        builder.write(&format!("client/nixos/d/{name}"), content);
    }
    builder.configure("x = builtins.readDir ./d;\ny = builtins.readFile ./d/ünïcode;");
    builder.evaluates();
    assert_eq!(builder.sh("find . -name made 2>/dev/null || :"), "");
}
