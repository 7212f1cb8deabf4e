//! What the documents list is what there is.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use rebuild::CONDITIONS;

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// The words in the first column of the table under a heading.
fn listed(document: &str, heading: &str) -> BTreeSet<String> {
    let text = fs::read_to_string(path(document)).unwrap();
    let part = text.split("\n## ").find(|part| part.starts_with(heading)).unwrap();
    let rows = part.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.map(|row| row.split('`').next().unwrap().to_owned()).collect()
}

/// The scripts of all machines that say what becomes of work that outlives its connection.
const RECORDS: &str = "records.sh";

/// The events that the scripts in a directory say, but for those of records.
fn said(directory: &str) -> BTreeSet<String> {
    let scripts = fs::read_dir(path(directory)).unwrap();
    said_by(
        scripts
            .map(|entry| entry.unwrap().path())
            .filter(|path| !path.ends_with(RECORDS)),
    )
}

/// By `event` or `tell`, or as text for another program to print.
fn said_by(scripts: impl Iterator<Item = PathBuf>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for script in scripts {
        let script = fs::read_to_string(script).unwrap();
        for line in script.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
            for before in ["event ", "tell ", "@rebuild "] {
                let calls = line.split(before).skip(1);
                let words = calls.map(|rest| {
                    rest.split(|c: char| !c.is_ascii_lowercase() && c != '-')
                        .next()
                        .unwrap()
                });
                found.extend(words.filter(|word| !word.is_empty()).map(str::to_owned));
            }
        }
    }
    found
}

#[test]
fn every_event_of_a_builder_is_in_the_table() {
    assert_eq!(
        &said("src/builder/scripts") | &said("src/remote/scripts"),
        listed("docs/talk.md", "What an evaluator or builder says")
    );
}

#[test]
fn every_event_of_a_doctor_is_in_the_table() {
    let scripts = fs::read_dir(path("src/doctor/scripts")).unwrap();
    let mut said = BTreeSet::new();
    for script in scripts
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some())
    {
        let script = fs::read_to_string(script).unwrap();
        for line in script.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
            let calls = line.split("@rebuild ").skip(1);
            let end = |c: char| !c.is_ascii_lowercase() && c != '-';
            said.extend(calls.filter_map(|rest| rest.split(end).next()).map(str::to_owned));
        }
    }
    assert_eq!(said, listed("docs/talk.md", "What a doctor's script says"));
}

#[test]
fn every_event_of_a_record_is_in_the_table() {
    let script = path("src/remote/scripts").join(RECORDS);
    assert_eq!(
        said_by([script].into_iter()),
        listed("docs/talk.md", "What is said of a record")
    );
}

#[test]
fn every_event_of_a_target_is_in_the_table() {
    let mut said = said("src/activation/scripts");
    // Of these two, the first is said before root's script comes, and the second is the client's answer.
    for word in ["ready", "go"] {
        assert!(said.remove(word), "{word}");
    }
    assert_eq!(said, listed("docs/talk.md", "What a target says"));
}

/// The texts in backquotes in the last column of the table of a hostile builder.
fn plays() -> Vec<String> {
    let text = fs::read_to_string(path("docs/hostile.md")).unwrap();
    let rows = text.lines().filter(|line| line.starts_with("| "));
    let columns = rows.filter_map(|row| row.trim_end_matches('|').rsplit('|').next());
    let quoted = columns.flat_map(|column| column.split('`').skip(1).step_by(2).map(str::to_owned));
    quoted.collect()
}

/// The tests of a file, by their names.
fn tests_in(text: &str) -> Vec<String> {
    let after = text.split("#[test]\n").skip(1);
    after
        .filter_map(|rest| rest.split("fn ").nth(1)?.split('(').next().map(str::to_owned))
        .collect()
}

/// Each play of a hostile builder is in the table, and each row names a test that there is.
#[test]
fn every_play_of_a_hostile_builder_is_in_the_table() {
    let mut there = BTreeSet::new();
    for entry in fs::read_dir(path("tests/program/hostile")).unwrap() {
        let file = entry.unwrap().path();
        let name = file.file_stem().unwrap().to_str().unwrap().to_owned();
        let tests = tests_in(&fs::read_to_string(&file).unwrap());
        there.extend(tests.into_iter().map(|test| format!("{name}::{test}")));
    }
    there.retain(|test| !test.starts_with("targets::"));
    let plays = plays();
    let of_tests = plays.iter().filter(|play| play.contains("::")).cloned();
    assert_eq!(of_tests.collect::<BTreeSet<_>>(), there);
    // The others are targets of src/fuzz and cases of the lab.
    let mut sources = String::new();
    for directory in ["src", "tests/lab/cases"] {
        read_below(&path(directory), &mut sources);
    }
    for play in plays.iter().filter(|play| !play.contains("::")) {
        let is_there = sources.contains(&format!("name: \"{play}\"")) || sources.contains(&format!("\ncase_{play}()"));
        assert!(is_there, "{play} is no fuzz target and no case of the lab");
    }
}

fn read_below(directory: &Path, sources: &mut String) {
    for entry in fs::read_dir(directory).unwrap() {
        let file = entry.unwrap().path();
        let is_read =
            file.ends_with("fuzz.rs") || file.ends_with("fuzz/mod.rs") || file.extension().is_some_and(|e| e == "sh");
        if file.is_dir() {
            read_below(&file, sources);
        } else if is_read {
            sources.push_str(&fs::read_to_string(&file).unwrap());
        }
    }
}

/// README's table of messages, as the table of conditions has it.
fn messages() -> String {
    let cell = |text: &str| text.replace('|', "\\|");
    let rows = CONDITIONS.iter().map(|row| {
        let messages: Vec<_> = row.messages.iter().map(|text| format!("`{}`", cell(text))).collect();
        format!("| {} | {} |\n", messages.join(", "), cell(row.advice))
    });
    rows.collect()
}

/// `UPDATE=1` writes the table.
#[test]
fn readme_has_the_table_of_conditions() {
    let file = path("README.md");
    let readme = fs::read_to_string(&file).unwrap();
    let heading = "| message | what to do |\n| --- | --- |\n";
    let (before, rest) = readme.split_once(heading).unwrap();
    let length: usize = rest
        .split_inclusive('\n')
        .take_while(|line| line.starts_with('|'))
        .map(str::len)
        .sum();
    let (table, after) = rest.split_at(length);
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&file, [before, heading, &messages(), after].concat()).unwrap();
        return;
    }
    assert_eq!(table, messages(), "UPDATE=1 cargo test --test documents writes it");
}

fn all_sources(directory: &Path, text: &mut String) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all_sources(&path, text);
        } else if path.extension().is_some_and(|kind| kind == "rs") && !path.starts_with(self::path("src/conditions")) {
            text.push_str(&fs::read_to_string(path).unwrap());
        }
    }
}

/// Of each message, the longest piece in which no name stands is said somewhere in the program.
#[test]
fn every_message_of_the_table_is_said() {
    let mut text = String::new();
    all_sources(&path("src"), &mut text);
    // Texts over several lines.
    let text = text.split("\\\n").map(str::trim_start).collect::<String>();
    let names = [
        "builder",
        "target",
        "localhost",
        "aarch64-linux",
        "me",
        "X",
        "sudo",
        "2.8.0",
        "/usr/lib/x",
        "…",
        "4",
        "2",
        "12",
        "nix-build",
        "switch",
        "→",
        "this",
        "machine",
    ];
    for message in CONDITIONS.iter().flat_map(|row| row.messages) {
        let mut pieces = vec![String::new()];
        for word in message.split_inclusive(' ') {
            let bare = word.trim_matches([' ', '\'', ':', ',', '…']);
            if names.contains(&bare) || word.contains(['…', '\'']) || bare.is_empty() {
                pieces.push(String::new());
            } else if let Some(piece) = pieces.last_mut() {
                piece.push_str(word.trim_end_matches([' ', ',']));
                piece.push(' ');
                if word.ends_with(", ") {
                    pieces.push(String::new());
                }
            }
        }
        let longest = pieces
            .iter()
            .map(|piece| piece.trim())
            .max_by_key(|piece| piece.len())
            .unwrap();
        assert!(
            longest.len() > 5 && text.contains(longest),
            "{message}: nothing says '{longest}'"
        );
    }
}

/// The names of functions that begin so, in all files of a directory and below it that end so.
fn functions(directory: &str, before: &str, ending: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(path(directory)).unwrap() {
        let entry = entry.unwrap().path();
        if entry.is_dir() {
            found.extend(functions(entry.to_str().unwrap(), before, ending));
        } else if entry.to_str().unwrap().ends_with(ending) {
            let text = fs::read_to_string(&entry).unwrap();
            let names = text.lines().filter_map(|line| line.trim().strip_prefix(before));
            found.extend(
                names
                    .filter_map(|name| name.split_once('('))
                    .map(|(name, _)| name.to_owned()),
            );
        }
    }
    found
}

#[test]
fn every_fault_has_a_row_and_every_row_a_test() {
    let text = fs::read_to_string(path("docs/faults.md")).unwrap();
    let shown: BTreeSet<String> = text
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| fault ") && !line.starts_with("| ---"))
        .flat_map(|row| {
            let names = row.rsplit('|').nth(1).unwrap().split('`').skip(1).step_by(2);
            let names: Vec<_> = names.map(str::to_owned).collect();
            assert!(!names.is_empty(), "nothing shows: {row}");
            names
        })
        .collect();
    let cases = functions("tests/lab/cases", "case_", ".sh");
    let tests = &functions("tests/program", "fn ", ".rs") | &functions("src", "fn ", ".rs");
    let missing: Vec<_> = shown
        .iter()
        .filter(|name| !cases.contains(*name) && !tests.contains(*name))
        .collect();
    assert!(missing.is_empty(), "no such test: {missing:?}");
    let faults: BTreeSet<String> = cases.into_iter().filter(|name| name.starts_with("faults_")).collect();
    let without: Vec<_> = faults.difference(&shown).collect();
    assert!(without.is_empty(), "no row names: {without:?}");
}
