//! `docs/nixos-rebuild.md` has a row for every verb and flag of nixos-rebuild and of this program, the program takes each
//! of them, and the tests that the page names exist.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use clap::{CommandFactory, Parser, ValueEnum};
use rebuild::cli::{Arguments, Verb};

/// Of nixos-rebuild-ng as of August 2026 (`models.py`, `__init__.py`): the verbs, and the flags with values for them.
const VERBS: &str = "switch boot test build dry-build dry-run dry-activate build-vm build-vm-with-bootloader build-image \
                     edit repl list-generations";
const FLAGS: &str = "--verbose|-v|--quiet|--max-jobs 2|-j 2|--cores 2|--log-format raw|--keep-going|-k|--keep-failed|-K|\
    --fallback|--repair|--option a b|--builders x|--include x=/y|-I x=/y|--print-build-logs|-L|--show-trace|--offline|\
    --no-net|--accept-flake-config|--refresh|--impure|--recreate-lock-file|--no-update-lock-file|--no-write-lock-file|\
    --no-registries|--commit-lock-file|--update-input x|--override-input x y|--no-build-output|-Q|--no-link|\
    --use-substitutes|--substitute-on-destination|-s|--flake|--flake .#x|-F .|--no-flake|--file x|-f x|--attr x|-A x|\
    --profile-name x|-p x|--specialisation x|-c x|--rollback|--store-path x|--upgrade|--upgrade-all|\
    --install-bootloader|--build-host x|--target-host x|--elevate none|--elevate sudo|--elevate run0|--sudo|\
    --use-remote-sudo|--ask-elevate-password|-S|--ask-sudo-password|--no-reexec|--fast|--image-variant x|--diff|--json|\
    --debug|--install-grub|--no-ssh-tty|--no-build-nix";

/// This checkout, as cargo says it when it runs the tests.
fn root() -> PathBuf {
    PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap())
}

fn page() -> String {
    fs::read_to_string(root().join("docs/nixos-rebuild.md")).unwrap()
}

/// The words in backticks in the first column of the tables under a heading.
fn rows(heading: &str) -> BTreeSet<String> {
    let page = page();
    let section = page
        .split("\n## ")
        .find(|section| section.starts_with(heading))
        .unwrap();
    let firsts = section.lines().filter_map(|line| line.strip_prefix("| `"));
    firsts
        .flat_map(|line| {
            let cell = line.split(" |").next().unwrap_or_default();
            cell.split('`').step_by(2).map(str::to_owned).collect::<Vec<_>>()
        })
        .filter(|word| !word.is_empty())
        .collect()
}

fn parse(line: &str) -> Result<Arguments, clap::Error> {
    Arguments::try_parse_from(std::iter::once("rebuild").chain(line.split_whitespace()))
}

#[test]
fn every_verb_of_nixos_rebuild_has_a_row_and_is_taken() {
    let rows = rows("Verbs");
    for verb in VERBS.split_whitespace() {
        assert!(rows.contains(verb), "{verb} has no row");
    }
    for verb in &rows {
        assert!(parse(verb).is_ok(), "{verb} is not taken");
    }
    for verb in Verb::value_variants() {
        let name = verb.to_possible_value().unwrap().get_name().to_owned();
        assert!(rows.contains(&name), "{name} has no row");
    }
}

#[test]
fn every_flag_of_nixos_rebuild_has_a_row_and_is_taken() {
    let rows = rows("Flags");
    for flag in FLAGS.split('|') {
        let name = flag.split(' ').next().unwrap();
        assert!(rows.contains(name), "{name} has no row");
        parse(&format!("switch {flag}")).unwrap();
        let words: Vec<_> = flag.split(' ').collect();
        if let ([long, value], true) = (&words[..], name.starts_with("--")) {
            parse(&format!("switch {long}={value}")).unwrap();
        }
    }
}

#[test]
fn every_flag_of_ours_has_a_row_and_every_row_is_a_flag() {
    let rows = rows("Flags");
    let command = Arguments::command();
    let mut own: BTreeSet<String> = ["--version", "--help", "-h"].map(String::from).into();
    for argument in command.get_arguments().filter(|argument| !argument.is_positional()) {
        let longs = argument.get_long_and_visible_aliases().unwrap_or_default();
        own.extend(longs.iter().map(|name| format!("--{name}")));
        own.extend(argument.get_short().map(|letter| format!("-{letter}")));
    }
    let missing: Vec<_> = own.difference(&rows).collect();
    assert!(missing.is_empty(), "without a row: {missing:?}");
    let unknown: Vec<_> = rows.difference(&own).collect();
    assert!(unknown.is_empty(), "no flags: {unknown:?}");
}

/// The last column of the table of defects names tests: functions here or in `src`, or cases of the lab.
#[test]
fn every_defect_has_its_tests() {
    let page = page();
    let section = page
        .split("\n## ")
        .find(|section| section.starts_with("Defects"))
        .unwrap();
    let table: Vec<&str> = section
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| ---"))
        .skip(1)
        .collect();
    assert!(table.len() >= 16, "{} defects", table.len());
    let root = root();
    let mut sources = String::new();
    for directory in ["src", "tests"] {
        read_all(&root.join(directory), &mut sources);
    }
    for row in table {
        let tests = row.trim_end_matches(" |").rsplit("| ").next().unwrap();
        let names: Vec<_> = tests.split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "no test: {row}");
        for name in names {
            let is_there = sources.contains(&format!("fn {name}(")) || sources.contains(&format!("case_{name}()"));
            assert!(is_there, "there is no test {name}");
        }
    }
}

fn read_all(directory: &Path, text: &mut String) {
    for entry in fs::read_dir(directory).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            read_all(&path, text);
        } else if path.extension().is_some_and(|end| end == "rs" || end == "sh") {
            text.push_str(&fs::read_to_string(path).unwrap());
        }
    }
}
