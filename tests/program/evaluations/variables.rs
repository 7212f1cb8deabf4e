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
    assert!(run.stderr.contains("sending the environment variable COLOUR"), "{}", run.stderr);
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
        builder.write("client/nixos/settings", &format!("{{\nx = builtins.getEnv {pieces};\n}}\n"));
        let (run, said) = builder.run(BUILD);
        assert_eq!(run.code, 0, "{}{said}", run.stderr);
        assert_eq!(events(&said, "computes"), vec!["/client/nixos/settings"; rounds], "{said}");
        assert_eq!(events(&said, "variables").len(), rounds, "{said}");
        assert_eq!(events(&said, "receiving").len(), rounds, "{said}");
        let seen = builder.of_derivation(&said);
        assert_eq!(seen.contains("variable COLOUR: blue\n"), rounds == 2, "{seen}");
    }
}

/// A home that stands in a file as `~`, where the user database over there cannot be made to say the client's: this ends the
/// run, before anything is built. Where HOME says it, or that database can, it is the client's.
#[test]
fn a_home_that_only_the_user_database_says() {
    for (sends_users, is_sure) in [(false, true), (true, false)] {
        let Some(builder) = Builder::new() else { return };
        builder.without_variable("HOME");
        let users = if sends_users { "y = builtins.readFile /etc/passwd;" } else { "" };
        builder.configure(&format!("x = builtins.pathExists ~/notes;\n{users}"));
        let (run, said) = builder.run(BUILD);
        println!("{}{said}", run.stderr);
        assert_eq!(run.code == 0, is_sure, "{}", run.stderr);
    }
}
