//! What an evaluation never sees, whatever it asks for: the builder's own files, and the client's private ones.

use super::{BUILD, Builder, PROGRAMS};

/// At the client's paths there are the client's files, or nothing.
#[test]
fn a_file_of_the_builder_at_the_same_path() {
    let Some(builder) = Builder::new() else { return };
    builder.write("client/nixos/motd", "the client's");
    builder.write("builder/same/nixos/motd", "the builder's");
    builder.write("builder/same/nixos/only-there", "the builder's");
    builder.write("builder/same/nixpkgs/nixos/default.nix", "the builder's");
    builder.configure(
        "x = builtins.readFile ./motd;
         y = builtins.pathExists ./only-there;
         z = builtins.pathExists (./only + \"-there\");
         w = builtins.pathExists (./ab + \"sent\");
         v = builtins.readDir ./.;",
    );
    let evaluated = builder.evaluates();
    evaluated.has_seen("read /client/nixos/motd: the client's");
    evaluated.has_seen("exists /client/nixos/only-there: no");
    evaluated.has_seen("exists /client/nixos/absent: no");
    assert!(!evaluated.seen.contains("the builder's"), "{}", evaluated.seen);
}

/// To read what is nowhere on the client is Nix's own error, whatever the builder has there.
#[test]
fn a_file_that_only_the_builder_has_is_not_read() {
    let Some(builder) = Builder::new() else { return };
    for path in [
        "/client/nixos/only-there",
        "/builder/own",
        "/run/secrets/key",
        "/srv/rebuild-test-key",
    ] {
        builder.write("builder/same/nixos/only-there", "secret of the builder");
        builder.write("builder/home/own", "secret of the builder");
        builder.write("builder/run/secrets/key", "secret of the builder");
        let (directory, name) = path.rsplit_once('/').unwrap();
        builder.configure(&format!("x = builtins.readFile ({directory} + \"/{name}\");"));
        let (run, said) = builder.run(BUILD);
        assert_eq!((run.code, run.stdout.as_str()), (1, ""), "{path}: {said}");
        let error = format!("error: path '{path}' does not exist");
        assert!(run.stderr.contains(&error), "{path}: {}{said}", run.stderr);
        assert!(
            !said.contains("secret of the builder") && !run.stderr.contains("secret of"),
            "{said}"
        );
        builder.nothing_is_left();
    }
}

/// A private file stays here, and what is said of it are Nix's own words and ours.
#[test]
fn a_private_file_is_a_shut_door() {
    let Some(builder) = Builder::new() else { return };
    builder.write("client/home/notes.txt", "secret of the client");
    builder.sh("chmod 600 client/home/notes.txt; mkdir -m 700 client/home/.ssh; echo secret of the client >client/home/.ssh/id_x");
    for (name, word) in [
        (
            "notes.txt",
            "builder asks for /client/home/notes.txt; not everybody here may read it",
        ),
        (".ssh/id_x", "/client/home/.ssh/id_x never leaves this machine"),
    ] {
        builder.configure(&format!("x = builtins.readFile (/client/home + \"/{name}\");"));
        let (run, said) = builder.run(BUILD);
        assert_eq!((run.code, run.stdout.as_str()), (1, ""), "{name}: {said}");
        let error = format!("error: opening file '/client/home/{name}': Permission denied");
        assert!(run.stderr.contains(&error), "{name}: {}", run.stderr);
        assert!(run.stderr.contains(word), "{name}: {}", run.stderr);
        assert!(!builder.has("secret of the client"), "{name}: {said}");
        builder.nothing_is_left();
    }
}

/// Whether there is such a file is no secret where its directory is listed, and is answered without it.
#[test]
fn a_question_about_a_file_that_was_not_sent() {
    let Some(builder) = Builder::new() else { return };
    builder.write("client/nixos/large.img", "nobody reads this");
    builder.configure("x = builtins.pathExists (./large + \".img\");\ny = builtins.pathExists (./small + \".img\");");
    let evaluated = builder.evaluates();
    assert_eq!(evaluated.rounds(), ["none"], "{}", evaluated.said);
    evaluated.has_seen("exists /client/nixos/large.img: yes");
    evaluated.has_seen("exists /client/nixos/small.img: no");
    assert!(!builder.has("nobody reads this"));
}

/// A Nix that says nothing where it may not look, and takes it for a "no": strace hears it, and the answer is the right one in
/// the end. Without strace it is said that nobody heard.
#[test]
fn a_nix_that_does_not_say_what_it_was_refused() {
    let Some(builder) = Builder::new() else { return };
    builder.write(&format!("{PROGRAMS}/version"), "2.18.1\n");
    builder.write(&format!("{PROGRAMS}/silent"), "");
    builder.write("client/nixos/inner/file", "x");
    builder.configure("x = builtins.pathExists (./in + \"ner/file\");");
    if builder.sh("command -v strace || :").is_empty() {
        let (run, said) = builder.run(BUILD);
        assert_eq!(run.code, 0, "{}{said}", run.stderr);
        assert!(run.stderr.contains("there is no strace to see it"), "{}", run.stderr);
        return;
    }
    let evaluated = builder.evaluates();
    assert_eq!(evaluated.events("untraced"), [""; 0]);
    assert!(!evaluated.events("refused").is_empty(), "{}", evaluated.said);
    evaluated.has_seen("exists /client/nixos/inner/file: yes");
}

/// Variables are the client's, not the builder's.
#[test]
fn the_environment_is_the_clients() {
    let Some(builder) = Builder::new() else { return };
    builder.variable("EDITION", "second");
    builder.configure("x = builtins.getEnv \"EDITION\";\ny = builtins.getEnv \"HOME\";");
    let (run, said) = builder.run(BUILD);
    assert_eq!(run.code, 0, "{}{said}", run.stderr);
    let seen = builder.of_derivation(&said);
    assert!(seen.contains("variable EDITION: second\n"), "{seen}");
    assert!(seen.contains("variable HOME: /client/home\n"), "{seen}");
}
