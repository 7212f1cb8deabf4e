//! What many files cost this machine, which is the weak one: the bytes of memory for each file.

use super::hostile::Play;

/// Returns the most memory that the program has held by the time everything that it knows of has been sent. The
/// directory beside the configuration has this many files.
fn weigh(configuration: &str, files: usize) -> usize {
    let play = Play::new("B13", "hear_script; greet; weigh; exit 1");
    play.stage.write("etc/nixos/configuration.nix", configuration);
    play.stage.sh(&format!(
        "mkdir etc/nixos/data && cd etc/nixos/data && seq {files} | sed 's/^/a-name-that-is-not-short-/' | xargs touch"
    ));
    let run = play.run("build --eval-on builder");
    let sent = play
        .stage
        .sh("tar -tf files.tar; tr '\\0' '\\n' <names")
        .matches("a-name-that-is-not-short-")
        .count();
    assert!(sent >= files, "{sent}: {}", run.stderr);
    play.memory()
}

fn for_each(configuration: &str) -> usize {
    let many = 20_000;
    (weigh(configuration, many + 10) - weigh(configuration, 10)) / many
}

#[test]
fn names_beside_the_configuration() {
    let bytes = for_each("{ x = ./data/a-name-that-is-not-short-1; }");
    assert!(bytes < 350, "{bytes} bytes for each name");
}

#[test]
fn a_directory_that_is_copied() {
    let bytes = for_each("{ x = ./data; }");
    assert!(bytes < 350, "{bytes} bytes for each file");
}
