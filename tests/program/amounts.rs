//! What many files cost this machine, which is the weak one: bytes of memory for each.

use super::hostile::Play;

/// The most that the program has held when all that it knows has been sent, of a directory of so many files beside the
/// configuration.
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
