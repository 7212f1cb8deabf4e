//! What README and the other documents tell a person to type is there, and is understood.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use clap::Parser;
use rebuild::Arguments;

use super::path;

const DOCUMENTS: [&str; 4] = ["README.md", "CONTRIBUTING.md", "docs/design.md", "docs/limits.md"];

/// The lines of a document that are to be typed, without the words beside them.
fn typed(document: &str) -> Vec<String> {
    let text = fs::read_to_string(path(document)).unwrap();
    let lines = text.lines().filter_map(|line| line.strip_prefix("    "));
    lines
        .map(|line| line.split("  #").next().unwrap_or_default().trim().to_owned())
        .collect()
}

/// A fresh machine needs two commands, one to see it run and one to test it.
#[test]
fn the_two_commands_that_do_everything_are_there() {
    let typed = typed("README.md");
    for command in ["sh tests/demo.sh", "sh tests/run.sh"] {
        assert!(typed.iter().any(|line| line == command), "{command}: {typed:?}");
        // As it is typed: by sh. Of a flag that there is not it says what there is.
        let script = path(command.strip_prefix("sh ").unwrap());
        let output = Command::new("sh").arg(&script).arg("--no-such-flag").output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.code() == Some(2) && said.contains("--"),
            "{command}: {output:?}"
        );
    }
}

#[test]
fn every_command_of_ours_is_understood() {
    let mut seen = BTreeSet::new();
    for document in DOCUMENTS {
        for line in typed(document) {
            let line = line.strip_prefix("./").unwrap_or(&line);
            if line.starts_with("rebuild ") {
                let parsed = Arguments::try_parse_from(line.split_whitespace());
                assert!(parsed.is_ok(), "{document}: {line}: {:?}", parsed.err());
                seen.insert(line.to_owned());
            }
        }
    }
    assert!(seen.len() >= 3, "{seen:?}");
}

/// Of this repository, as they are named between backticks, in links or to be typed.
#[test]
fn every_file_that_is_named_is_there() {
    let mut seen = 0;
    for document in DOCUMENTS {
        let text = fs::read_to_string(path(document)).unwrap();
        for word in text.split(|c: char| c.is_whitespace() || "`()[],;:\"'".contains(c)) {
            let word = word.trim_end_matches('.');
            let is_ours = ["tests/", "docs/", "nix/", "fuzz/", "src/", "man/", "completions/"]
                .iter()
                .any(|room| word.starts_with(room));
            let has_ending = Path::new(word).extension().is_some();
            // Patterns are no files.
            if is_ours && has_ending && !word.contains(['*', '$', '<', '{', '…']) {
                assert!(path(word).exists(), "{document} names {word}");
                seen += 1;
            }
        }
    }
    assert!(seen > 20, "{seen}");
}
