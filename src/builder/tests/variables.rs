//! Runs scripts/variables.sh with real tools: what a Nix file asks of the environment.

use std::path::Path;
use std::process::Command;

const SCRIPT: &str = include_str!("../scripts/variables.sh");

fn sh(place: &Path, script: &str) -> String {
    let beginning = "set -u
        rb_watches=yes rb_entry=/c.nix rb_tell_unread=no rb_hidden=1 tilde='' listeners='' holder=''
        state=$PWD work=$PWD/run share=$PWD/share mirror=m\n";
    let output = Command::new("sh")
        .current_dir(place)
        .env("LC_ALL", "C.UTF-8")
        .args(["-c", &format!("{beginning}{SCRIPT}{script}")])
        .output()
        .unwrap();
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

/// Returns what is told of a configuration of one file if the variable COLOUR was not sent.
fn told(file: &[u8]) -> String {
    let place = tempfile::tempdir().unwrap();
    for directory in ["run", "mirrors/m", "share"] {
        std::fs::create_dir_all(place.path().join(directory)).unwrap();
    }
    for (name, text) in [
        ("mirrors/m/c.nix", file),
        ("share/trees", b""),
        ("run/evaluated", b""),
        ("run/exports", b"# withheld COLOUR\n"),
    ] {
        std::fs::write(place.path().join(name), text).unwrap();
    }
    sh(place.path(), "tell_variables")
}

#[test]
fn a_name_that_is_a_text() {
    for file in [
        "builtins.getEnv \"COLOUR\"",
        "builtins.getEnv ( \"COLOUR\" ) + getEnv (x)",
        "{ inherit (builtins)\n  getEnv\n  ; x = getEnv \"COLOUR\"; }",
        "# \0 \u{fc}\nbuiltins.getEnv \"COLOUR\"",
    ] {
        let told = told(file.as_bytes());
        assert!(told.contains("@rebuild asked-for COLOUR\n"), "{file}: {told}");
    }
    assert!(told(b"# \xfc\nbuiltins.getEnv \"COLOUR\" # \xfc").contains("asked-for COLOUR"));
    for file in [
        "builtins.getEnv \"SIZE\"",
        "# as getEnv does: $COLOUR\n1",
        "{ inherit (builtins) getEnv; }",
        "{ inherit (builtins)\n  getEnv\n  map\n  ; }",
    ] {
        assert_eq!(told(file.as_bytes()), "", "{file}");
    }
}

#[test]
fn a_name_that_is_computed() {
    for file in [
        "builtins.getEnv (\"COL\" + \"OUR\")",
        "builtins.getEnv(\"COL\"\n+ \"OUR\")",
        "builtins.getEnv \"COL\\OUR\"",
        "let inherit (builtins) getEnv; in map\n  getEnv\n  [ \"COLOUR\" ]",
        "''\n  # ${builtins.getEnv (\"COL\" + \"OUR\")}\n''",
        "{ inherit (import (builtins.getEnv (\"COL\" + \"OUR\"))) x; }",
    ] {
        let told = told(file.as_bytes());
        assert!(told.contains("@rebuild computes /c.nix\n"), "{file}: {told}");
        assert!(told.contains("@rebuild word COL"), "{file}: {told}");
    }
}

/// However many words the files have, a word that cannot be a piece of a name is not told.
#[test]
fn all_words_that_may_be_meant() {
    let mut file = "builtins.getEnv (toUpper \"col\" + \"OUR\") # ".to_owned();
    file.extend((0..60_000).map(|number| format!("{number} ")));
    let told = told(file.as_bytes());
    let words: Vec<&str> = told
        .lines()
        .filter_map(|line| line.strip_prefix("@rebuild word "))
        .collect();
    for word in ["OUR", "col", "toUpper"] {
        assert!(words.contains(&word), "{words:?}");
    }
    assert!(words.len() < 10, "{words:?}");
}

/// The log is read whatever others write between the lines of Nix's log.
#[test]
fn the_log_is_read_to_its_end() {
    let place = tempfile::tempdir().unwrap();
    let file = |name: &str| format!("@nix {{\"action\":\"msg\",\"level\":4,\"msg\":\"evaluating file '/{name}'\"}}\n");
    let mut log = file("a").into_bytes();
    log.extend(b"git: \0 \xfc\n");
    (0..5000).for_each(|number| log.extend(file(&number.to_string()).bytes()));
    log.extend(b"@nix {\"action\":\"msg\",\"level\":0,\"msg\":\"last\"}\n");
    std::fs::create_dir(place.path().join("run")).unwrap();
    std::fs::write(place.path().join("log"), log).unwrap();
    let said = sh(
        place.path(),
        "listen_in; cat log >\"$work/said\"; wait $listeners; wc -l <\"$work/evaluated\"",
    );
    assert!(said.ends_with("\"msg\":\"last\"}\n5001\n"), "{said}");
    assert_eq!(said.lines().count(), 3, "{said}");
}

/// The client's current directory may be gone, or be one that is not sent (`/run/w`). No shell complains of that, and
/// the evaluation goes on, as it does on the client.
#[test]
fn a_current_directory_that_is_not_there_is_no_word_of_ours() {
    let place = tempfile::tempdir().unwrap();
    std::fs::write(place.path().join("exports"), "export HERE=yes\n").unwrap();
    std::fs::write(place.path().join("file"), "").unwrap();
    std::fs::create_dir(place.path().join("-there")).unwrap();
    let evaluate = include_str!("../scripts/evaluate.sh");
    for (directory, expected) in [
        ("/run/w-of-nobody", ""),
        ("$PWD/file", ""),
        ("'/run/it'\\''s mine'", ""),
        ("./-there", "/-there"),
    ] {
        let script = format!(
            "{evaluate}
             print_heap() {{ :; }}
             nix_bin=/nix remote=daemon rb_directory=\"{directory}\" work=$PWD
             print_environment >environment
             sh -c '. ./environment; echo \"$HERE:$(pwd)\"' 2>&1"
        );
        let said = sh(place.path(), &script);
        let here = place.path().canonicalize().unwrap();
        assert_eq!(said, format!("yes:{}{expected}\n", here.display()), "{directory}");
    }
}
