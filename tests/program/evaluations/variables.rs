//! Variables and homes that only the evaluation asks for.

use super::{BUILD, Builder, events};

/// In a file that nobody here takes for one of Nix's: it is sent, and evaluated once more.
#[test]
fn a_variable_that_only_an_evaluated_file_names_is_sent() {
    let Some(builder) = Builder::new() else { return };
    builder.variable("COLOUR", "blue");
    builder.configure("imports = [ ./settings ];");
    builder.write("client/nixos/settings", "{\nx = builtins.getEnv \"COLOUR\";\n}\n");
    let (run, said) = builder.run(BUILD);
    assert_eq!(run.code, 0, "{}{said}", run.stderr);
    assert_eq!(events(&said, "asked-for"), ["COLOUR"]);
    assert!(
        run.stderr.contains("sending the environment variable COLOUR"),
        "{}",
        run.stderr
    );
    let seen = builder.of_derivation(&said);
    assert!(seen.contains("variable COLOUR: blue\n"), "{seen}");
}

/// A name that is put together may be any that the files have pieces of: those are sent; and where there is none, the
/// evaluation counts as it is.
#[test]
fn a_variable_whose_name_is_computed() {
    for (pieces, rounds) in [("(\"COL\" + \"OUR\")", 2), ("(\"PRO\" + \"FILE\")", 1)] {
        let Some(builder) = Builder::new() else { return };
        builder.variable("COLOUR", "blue");
        builder.configure("imports = [ ./settings ];");
        builder.write(
            "client/nixos/settings",
            &format!("{{\nx = builtins.getEnv {pieces};\n}}\n"),
        );
        let (run, said) = builder.run(BUILD);
        assert_eq!(run.code, 0, "{}{said}", run.stderr);
        assert_eq!(
            events(&said, "computes"),
            vec!["/client/nixos/settings"; rounds],
            "{said}"
        );
        assert_eq!(events(&said, "variables").len(), rounds, "{said}");
        assert_eq!(events(&said, "receiving").len(), rounds, "{said}");
        let seen = builder.of_derivation(&said);
        assert_eq!(seen.contains("variable COLOUR: blue\n"), rounds == 2, "{seen}");
    }
}

/// Where HOME is unset, `~` is what the user database says: over there it is made to say the client's.
#[test]
fn a_home_that_only_the_user_database_says() {
    let Some(builder) = Builder::new() else { return };
    builder.without_variable("HOME");
    builder.configure("x = builtins.pathExists ~/notes;");
    builder.evaluates().has_seen("exists /root/notes: no");
}

/// Where that cannot be, because the evaluation reads the client's own, a file with `~` in it ends the run, and one in which
/// that is a comment does not.
#[test]
fn a_home_that_nobody_there_can_say() {
    for (line, is_home) in [
        ("x = builtins.pathExists ~/notes;", true),
        ("x = 1; # as in ~/notes", false),
    ] {
        let Some(builder) = Builder::new() else { return };
        builder.without_variable("HOME");
        builder.configure(&format!("y = builtins.readFile /etc/passwd;\n{line}"));
        let (run, said) = builder.run(BUILD);
        assert_eq!(run.code == 0, !is_home, "{}{said}", run.stderr);
        let named = events(&said, "home-named");
        assert_eq!(named, vec!["/client/nixos/configuration.nix"; is_home.into()], "{said}");
        assert_eq!(events(&said, "building").is_empty(), is_home, "{said}");
        builder.wait_until("the builder to end", || builder.logins_are_over());
        builder.nothing_is_left();
    }
}
