//! The files that follow from the definition of the command line: the completions, and the option part of the manual.
//! They are in the repository, so that a package needs no build step for them; this says when they are old:
//!
//!     UPDATE=1 cargo test --test generated
//!
//! What is tested of the shells is tested with the real ones. bash is on every machine that runs the tests; the others
//! are used where they are installed, and what is skipped is said.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

use std::fs;
use std::path::PathBuf;

mod bash;
mod definition;
mod elvish;
mod fish;
mod manual;
mod nushell;
mod readme;
mod settings;
mod shells;
mod terminal;
mod zsh;

/// Of this checkout, as cargo says it when it runs the tests: one that was compiled in may be of another checkout that shares
/// the target directory.
fn path(name: &str) -> PathBuf {
    PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap()).join(name)
}

/// The file has this text; with UPDATE=1 it gets it.
fn is_up_to_date(name: &str, expected: &str) {
    let path = path(name);
    if std::env::var_os("UPDATE").is_some_and(|value| value == "1") {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, expected).unwrap();
        return;
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    let pairs = found.lines().zip(expected.lines());
    let same = pairs.take_while(|(found, expected)| found == expected).count();
    assert!(
        found == expected,
        "{name} does not fit the command line any more, from line {}; to write it anew:\n\
         \n    UPDATE=1 cargo test --test generated\n",
        same + 1
    );
}

#[test]
fn the_completions_are_up_to_date() {
    is_up_to_date("completions/rebuild.bash", &bash::completion());
    is_up_to_date("completions/_rebuild", &zsh::completion());
    is_up_to_date("completions/rebuild.fish", &fish::completion());
    is_up_to_date("completions/rebuild.elv", &elvish::completion());
    is_up_to_date("completions/rebuild.nu", &nushell::completion());
}
