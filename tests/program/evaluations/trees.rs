//! Store paths of the client that the builder lacks.

use super::Builder;

/// A store path of the client, named as the stand-in for Nix names what is in it (`nix-store --add-fixed`).
fn add(builder: &Builder, name: &str, make: &str) -> String {
    let path = builder.sh(&format!(
        "rm -rf made; mkdir -p made store; cd made; mkdir {name}; (cd {name}; {make})
         IN_STORE=$PWD/../store ../builder/nix/store/*-nix-2*/bin/nix-store --add-fixed --recursive sha256 \"$PWD/{name}\""
    ));
    path.trim_end().trim_start_matches("/nix/store/").to_owned()
}

/// It comes once, is seen at its place, and its name alone says to the builder's Nix what it is.
#[test]
fn a_source_of_the_client_comes_once_and_becomes_the_builders() {
    let Some(builder) = Builder::new() else { return };
    let name = add(
        &builder,
        "source",
        "echo inner >file; mkdir sub; echo x >sub/y; ln -s file link; echo unread >'odd name'",
    );
    builder.configure(&format!(
        "x = builtins.readFile /nix/store/{name}/file;\ny = builtins.path /nix/store/{name};"
    ));
    let evaluated = builder.evaluates();
    assert_eq!(evaluated.events("need"), [name.as_str()], "{}", evaluated.said);
    evaluated.has_seen(&format!("read /nix/store/{name}/file: inner"));
    let kept = builder.sh(&format!(
        "cd builder/nix/store/{name} && cat file sub/y link 'odd name'"
    ));
    assert_eq!(kept, "inner\nx\ninner\nunread\n", "it was not adopted");

    // Taken from its store, it is still kept beside it, and adopted again.
    builder.sh(&format!("rm -r builder/nix/store/{name}"));
    let again = builder.evaluates();
    assert_eq!(again.events("need"), [""]);
    assert!(builder.path(&format!("builder/nix/store/{name}/file")).exists());
    assert_eq!(again.run.stdout, evaluated.run.stdout);

    // What it has of its own is not sent, and what is kept of ours is not used.
    builder.sh("chmod -R u+w builder/home/.cache/rebuild; rm -r builder/home/.cache/rebuild/*/trees/*");
    assert_eq!(builder.evaluates().events("need"), [""]);
}

/// One that is named otherwise is seen as well, be it a file or a link; but it is nobody's but this view's.
#[test]
fn other_store_paths_are_seen_and_not_adopted() {
    let Some(builder) = Builder::new() else { return };
    let tree = add(&builder, "overlay", "echo inner >file");
    let file = "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz-settings.txt";
    builder.write(&format!("store/{file}"), "a setting");
    builder.configure(&format!(
        "x = builtins.readFile /nix/store/{tree}/file;\ny = builtins.readFile /nix/store/{file};"
    ));
    let evaluated = builder.evaluates();
    let mut needed: Vec<&str> = evaluated.events("need")[0].split(' ').collect();
    needed.sort_unstable();
    let mut expected = [tree.as_str(), file];
    expected.sort_unstable();
    assert_eq!(needed, expected);
    evaluated.has_seen(&format!("read /nix/store/{tree}/file: inner"));
    evaluated.has_seen(&format!("read /nix/store/{file}: a setting"));
    for name in [&tree, file] {
        assert!(
            !builder.path(&format!("builder/nix/store/{name}")).exists(),
            "{name} was adopted"
        );
    }

    // Who loses one of them is sent that one.
    builder.sh(&format!("rm builder/home/.cache/rebuild/*/trees/{file}"));
    let again = builder.evaluates();
    assert_eq!(again.events("need"), [file]);
    again.has_seen(&format!("read /nix/store/{file}: a setting"));
}

/// What is named and is not there on the client is not there for the evaluation either, in whatever form it is named.
#[test]
fn a_store_path_that_is_not_there() {
    for name in [
        "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz-gone",
        "short",
        "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz-gone/inner",
    ] {
        let Some(builder) = Builder::new() else { return };
        builder.configure(&format!("x = builtins.pathExists /nix/store/{name};"));
        builder.evaluates().has_seen(&format!("exists /nix/store/{name}: no"));
    }
}
