//! The rooms of `src/`: there is no circle among them, and `docs/design.md` has them all.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

/// By room, which others it names, and in which files.
type Graph = BTreeMap<String, BTreeMap<String, BTreeSet<String>>>;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The rooms, by the files and directories that there are.
fn rooms() -> BTreeSet<String> {
    let entries = fs::read_dir(root().join("src")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let rooms = names.map(|name| name.trim_end_matches(".rs").to_owned());
    rooms.filter(|room| room != "lib" && room != "main").collect()
}

/// A file of the program, its text without what only tests have.
struct Source {
    /// Below `src/`.
    path: PathBuf,
    text: String,
}

impl Source {
    fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).unwrap();
        let end = text.find("#[cfg(test)]\nmod tests {").unwrap_or(text.len());
        Self {
            path: path.strip_prefix(root().join("src")).unwrap().to_owned(),
            text: text[..end].to_owned(),
        }
    }

    /// The modules on the way to it: `ssh`, `led` for `ssh/led.rs`; `ssh` for `ssh/mod.rs`; none for `lib.rs`.
    fn modules(&self) -> Vec<String> {
        let path = self.path.with_extension("");
        let parts = path.iter().map(|part| part.to_str().unwrap().to_owned());
        parts
            .filter(|part| !["mod", "lib", "main"].contains(&part.as_str()))
            .collect()
    }

    /// The modules in it, in files of their own, that only tests have.
    fn modules_for_tests(&self) -> Vec<Vec<String>> {
        let lines: Vec<&str> = self.text.lines().collect();
        let gated = lines
            .windows(2)
            .filter(|pair| pair[0].starts_with("#[cfg(") && pair[0].contains("test"));
        let names = gated.filter_map(|pair| pair[1].strip_suffix(';')?.split_once("mod ")?.1.into());
        names
            .map(|name: &str| [self.modules(), vec![name.to_owned()]].concat())
            .collect()
    }

    /// What it names of the crate's root, in code and in comments: by `crate::` or by as many `super::` as lead there.
    fn named(&self) -> BTreeSet<String> {
        let up = "super::".repeat(self.modules().len());
        let mut found = BTreeSet::new();
        for before in ["crate::", &up] {
            for (place, _) in self.text.match_indices(before) {
                let is_whole = !self.text[..place].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':');
                if is_whole {
                    found.extend(heads(&self.text[place + before.len()..]));
                }
            }
        }
        found
    }
}

/// The first names of what is used here: `a` of `a::b`, `a` and `b` of `{a::{c, d}, b}`.
fn heads(text: &str) -> Vec<String> {
    let word = |text: &str| -> String {
        text.chars()
            .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
            .collect()
    };
    let Some(group) = text.strip_prefix('{') else {
        return vec![word(text)];
    };
    let mut depth = 0;
    let mut found = vec![word(group.trim_start())];
    for (place, character) in group.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => found.push(word(group[place + 1..].trim_start())),
            _ => {}
        }
    }
    found
}

fn sources(directory: &Path, found: &mut Vec<Source>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(Source::read(&path));
        }
    }
}

/// Which room names which other, tests aside.
fn graph(rooms: &BTreeSet<String>) -> Graph {
    let mut all = Vec::new();
    sources(&root().join("src"), &mut all);
    let for_tests: Vec<_> = all.iter().flat_map(Source::modules_for_tests).collect();
    let mut graph = Graph::new();
    for source in &all {
        let modules = source.modules();
        let Some(room) = modules.first() else { continue };
        if for_tests.iter().any(|gated| modules.starts_with(gated)) {
            continue;
        }
        for other in source.named().intersection(rooms).filter(|other| *other != room) {
            let files = graph.entry(room.clone()).or_default().entry(other.clone()).or_default();
            files.insert(source.path.display().to_string());
        }
    }
    graph
}

/// The shortest way from a room to itself, if there is one: each room on it once.
fn circle_of<'a>(graph: &'a Graph, room: &'a str) -> Option<Vec<&'a str>> {
    let mut ways = vec![vec![room]];
    let mut seen = BTreeSet::new();
    while !ways.is_empty() {
        let mut longer = Vec::new();
        for way in ways {
            for other in graph.get(*way.last()?).into_iter().flat_map(BTreeMap::keys) {
                if other == room {
                    return Some(way);
                }
                if seen.insert(other.as_str()) {
                    longer.push([way.as_slice(), &[other]].concat());
                }
            }
        }
        ways = longer;
    }
    None
}

/// The shortest circle, with the files in which each room of it names the next; empty if there is none.
fn circle(graph: &Graph) -> String {
    let circles = graph.keys().filter_map(|room| circle_of(graph, room));
    let Some(circle) = circles.min_by_key(Vec::len) else {
        return String::new();
    };
    let mut text = String::new();
    for (room, next) in circle.iter().zip(circle.iter().cycle().skip(1)) {
        let files: Vec<&str> = graph[*room][*next].iter().map(String::as_str).collect();
        writeln!(text, "{room} names {next} in {}", files.join(", ")).unwrap();
    }
    text
}

#[test]
fn there_is_no_circle() {
    let graph = graph(&rooms());
    // The reader reads.
    assert!(graph["run"].contains_key("plan") && graph["plan"].contains_key("cli"));
    let circle = circle(&graph);
    assert!(
        circle.is_empty(),
        "Rooms name each other in a circle. Of these lines one has to go:\n{circle}"
    );
}

#[test]
fn a_circle_is_found_with_its_files() {
    let graph = |edges: &[(&str, &str)]| {
        let mut graph = Graph::new();
        for (room, other) in edges {
            let files = BTreeSet::from([format!("{room}/{other}.rs")]);
            graph
                .entry((*room).to_owned())
                .or_default()
                .insert((*other).to_owned(), files);
        }
        graph
    };
    assert_eq!(circle(&graph(&[("a", "b"), ("b", "c"), ("a", "c")])), "");
    let round = graph(&[("top", "a"), ("a", "b"), ("b", "a"), ("b", "low"), ("low", "low2")]);
    assert_eq!(circle(&round), "a names b in a/b.rs\nb names a in b/a.rs\n");
    let by_another = graph(&[("a", "b"), ("b", "c"), ("c", "a")]);
    assert_eq!(circle(&by_another).lines().count(), 3);
}

#[test]
fn names_are_found_however_they_are_written() {
    let source = |path: &str, text: &str| Source {
        path: path.into(),
        text: text.to_owned(),
    };
    let text = "use crate::{a::{self, x}, b,\n    c::y};\nuse crate::d;\nfn f() { crate::e::g(super::super::h::i, mycrate::j) }";
    let named: Vec<String> = source("room/file.rs", text).named().into_iter().collect();
    assert_eq!(named, ["a", "b", "c", "d", "e", "h"]);
    let low = source(
        "room.rs",
        "use super::k;\n#[cfg(test)]\npub(crate) mod play;\nmod work;\n",
    );
    assert_eq!(low.named(), BTreeSet::from(["k".to_owned()]));
    assert_eq!(low.modules_for_tests(), [["room", "play"]]);
}

#[test]
fn the_document_has_every_room_and_no_other() {
    let text = fs::read_to_string(root().join("docs/design.md")).unwrap();
    let part = text
        .split("\n### ")
        .find(|part| part.starts_with("The rooms\n"))
        .unwrap();
    let rows = part.lines().filter_map(|line| line.strip_prefix("| `"));
    let names = rows.flat_map(|row| row.split(" |").next().unwrap().split(", "));
    let listed: Vec<String> = names.map(|name| name.trim_matches('`').to_owned()).collect();
    let unique: BTreeSet<String> = listed.iter().cloned().collect();
    assert_eq!(unique.len(), listed.len(), "a room is listed twice: {listed:?}");
    assert_eq!(unique, rooms());
}
