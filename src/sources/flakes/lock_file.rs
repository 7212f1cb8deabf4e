//! The lock file that an evaluation on another machine has made for a flake of this machine.
//!
//! The other machine fetches the inputs, so this machine has only its word for what a *new* input is locked to. The
//! lock file is checked against everything that can be known here: it must be a lock file; it must have the inputs that
//! `flake.nix` has and no others; an input that was locked and was not to be renewed must have stayed as it was; and
//! nothing may be locked to another repository than the one that its reference names.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::written::{Written, written};

/// A larger file, in bytes, is no lock file.
pub const LARGEST: usize = 8 << 20;

/// Inputs of inputs are not followed further. A circle in the former file could lead without end.
const DEEPEST: usize = 200;

/// The versions of lock files that have these fields.
const VERSIONS: std::ops::RangeInclusive<u64> = 5..=7;

/// The attributes that say where a locked input is, and which one it is.
const IDENTITY: [&str; 9] = [
    "type",
    "host",
    "owner",
    "repo",
    "url",
    "rev",
    "narHash",
    "dir",
    "submodules",
];

/// Those inputs of a flake that the user wants to be locked anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Renewed {
    /// All (`--recreate-lock-file`).
    All,
    /// These inputs (`--update-input`): `a`, or `a/b` for an input of an input.
    These(BTreeSet<String>),
}

/// A lock file that is sound in itself.
#[derive(Debug, Clone, PartialEq)]
pub struct LockFile(Value);

impl LockFile {
    /// Reads a lock file.
    ///
    /// # Errors
    /// Returns what is wrong with it, as the end of a sentence.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        if bytes.len() > LARGEST {
            return Err("it is too large".to_owned());
        }
        let lock: Value = serde_json::from_slice(bytes).map_err(|error| format!("it is no JSON: {error}"))?;
        let known = lock["version"]
            .as_u64()
            .is_some_and(|version| VERSIONS.contains(&version));
        if !known {
            return Err("it has no version that is known".to_owned());
        }
        let nodes = lock["nodes"].as_object().ok_or("it has no nodes")?;
        let root = lock["root"].as_str().filter(|root| nodes.contains_key(*root));
        let root = root.ok_or("it has no root")?;
        for (name, node) in nodes {
            check_node(name, node, name == root, nodes)?;
        }
        Ok(Self(lock))
    }

    /// Returns its text, as Nix writes it.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{:#}\n", self.0)
    }

    /// Checks whether this lock file can follow on `former`, the one that was there before, for a flake with the text
    /// `flake`.
    ///
    /// # Errors
    /// Returns why it cannot, as the end of a sentence.
    pub fn follows_on(&self, former: Option<&Self>, flake: &str, renewed: &Renewed) -> Result<(), String> {
        let written = written(flake);
        if let Some(written) = &written {
            self.has_the_inputs(written)?;
        }
        match (former, renewed) {
            (Some(former), Renewed::These(names)) => {
                let mut comparison = Comparison {
                    new: self,
                    former,
                    renewed: names,
                    written: written.as_ref(),
                    way: Vec::new(),
                    seen: BTreeSet::new(),
                };
                comparison.keeps(self.root(), former.root())
            }
            _ => Ok(()),
        }
    }

    fn root(&self) -> &Value {
        self.node(self.0["root"].as_str().unwrap_or_default())
    }

    fn node(&self, name: &str) -> &Value {
        &self.0["nodes"][name]
    }

    fn has_the_inputs(&self, written: &Written) -> Result<(), String> {
        let expected: BTreeSet<&str> = written.inputs.iter().map(|(name, _)| name.as_str()).collect();
        let found: BTreeSet<&str> = inputs_of(self.root()).map(|(name, _)| name.as_str()).collect();
        if let Some(name) = expected.symmetric_difference(&found).next() {
            return Err(format!("flake.nix and it do not have the same inputs: '{name}'"));
        }
        for (name, named) in &written.inputs {
            let node = self.root()["inputs"][name].as_str();
            let is_its = match node {
                Some(node) => named.is_meant_by(&self.node(node)["original"]),
                None => !named.is_own(),
            };
            if !is_its {
                return Err(format!("its '{name}' is not the one of flake.nix"));
            }
        }
        Ok(())
    }
}

/// Returns a node's inputs: each is the name of another node, or the way to one.
fn inputs_of(node: &Value) -> impl Iterator<Item = (&String, &Value)> {
    node["inputs"].as_object().into_iter().flat_map(Map::iter)
}

fn check_node(name: &str, node: &Value, is_root: bool, nodes: &Map<String, Value>) -> Result<(), String> {
    let is_sound = |input: &Value| match input {
        Value::String(name) => nodes.contains_key(name),
        Value::Array(way) => way.iter().all(Value::is_string),
        _ => false,
    };
    let inputs = &node["inputs"];
    if !(node.is_object() && (inputs.is_null() || inputs.is_object()))
        || !inputs_of(node).all(|(_, input)| is_sound(input))
    {
        return Err(format!("its node '{name}' is none"));
    }
    if is_root {
        return Ok(());
    }
    let (locked, original) = (&node["locked"], &node["original"]);
    if !(locked["type"].is_string() && original["type"].is_string()) {
        return Err(format!("its node '{name}' is locked to nothing"));
    }
    if !is_of(locked, original) {
        return Err(format!("its node '{name}' is locked to something else than it says"));
    }
    Ok(())
}

/// Returns whether something can be locked to this. Nothing can be said about names in the registries, nor about
/// archives, whose address may lead on to another.
fn is_of(locked: &Value, original: &Value) -> bool {
    let same = |keys: &[&str]| {
        keys.iter()
            .all(|key| original[key].is_null() || locked[key] == original[key])
    };
    match original["type"].as_str() {
        Some("github" | "gitlab" | "sourcehut") => {
            same(&["type", "owner", "repo", "rev"]) && locked["host"] == original["host"]
        }
        Some("git" | "hg") if !original["url"].as_str().is_some_and(|url| url.starts_with("file:")) => {
            same(&["type", "url", "rev"])
        }
        Some("git" | "hg" | "path") => same(&["type"]),
        _ => true,
    }
}

/// A comparison of two lock files, input by input. Nix takes from the former file every input that means the same as in
/// it.
struct Comparison<'a> {
    new: &'a LockFile,
    former: &'a LockFile,
    renewed: &'a BTreeSet<String>,
    /// What the flake's text says, if it can be read here.
    written: Option<&'a Written>,
    /// The names of the inputs on the way.
    way: Vec<String>,
    /// The pairs of nodes that have been compared: many ways lead to the same node, and in a bad file ways go in
    /// circles.
    seen: BTreeSet<(&'a str, &'a str)>,
}

impl<'a> Comparison<'a> {
    /// Checks that what was locked has stayed as it was. Nothing can be said about what is below a renewed or a new
    /// input, and of what was no input of its own before.
    fn keeps(&mut self, node: &'a Value, former: &'a Value) -> Result<(), String> {
        for (name, before) in inputs_of(former) {
            let Some(before) = before.as_str() else { continue };
            self.way.push(name.clone());
            if !self.renewed.contains(&self.way.join("/")) {
                match node["inputs"][name].as_str() {
                    Some(input) if !self.seen.insert((input, before)) => {}
                    Some(input) => self.keeps_one(self.new.node(input), self.former.node(before))?,
                    None => self.is_exchanged(self.former.node(before))?,
                }
            }
            self.way.pop();
        }
        Ok(())
    }

    fn keeps_one(&mut self, input: &'a Value, before: &'a Value) -> Result<(), String> {
        if input["original"] != before["original"] || input["flake"] != before["flake"] {
            return self.is_exchanged(before);
        }
        if self.way.len() > DEEPEST {
            return Err("it is too deep".to_owned());
        }
        if IDENTITY.iter().any(|key| input["locked"][key] != before["locked"][key]) {
            return Err(self.is_another());
        }
        self.keeps(input, before)
    }

    /// Checks that the input at the end of the way may be another one than before. One of the flake's own may if
    /// flake.nix does not say the former one now. One of an input's may only if flake.nix says something of it; otherwise
    /// that input says it, and that one has stayed as it was.
    fn is_exchanged(&self, before: &Value) -> Result<(), String> {
        let Some(written) = self.written else { return Ok(()) };
        let may_be = match &self.way[..] {
            [name] => written
                .inputs
                .iter()
                .find(|(own, _)| own == name)
                .is_none_or(|(_, named)| named.may_not_be(&before["original"])),
            way => written.given.contains(&way.join("/")),
        };
        if may_be { Ok(()) } else { Err(self.is_another()) }
    }

    fn is_another(&self) -> String {
        let path = self.way.join("/");
        format!("its '{path}' was locked to something else before, and was not to be renewed")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const FLAKE: &str = r#"{
        inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-26.05";
        inputs.self.submodules = true;
        inputs.other = { url = "git+https://git.lan/other"; inputs.nixpkgs.follows = "nixpkgs"; };
        inputs.again.follows = "nixpkgs";
        outputs = { self, nixpkgs, other, again, registered }: { };
    }"#;

    fn github(owner: &str, rev: &str) -> Value {
        json!({
            "locked": { "type": "github", "owner": owner, "repo": "nixpkgs", "rev": rev, "narHash": format!("sha256-{rev}"),
                "lastModified": 1 },
            "original": { "type": "github", "owner": owner, "repo": "nixpkgs", "ref": "nixos-26.05" },
        })
    }

    fn lock() -> Value {
        json!({
            "nodes": {
                "nixpkgs": github("NixOS", "a"),
                "other": {
                    "inputs": { "deep": "deep", "nixpkgs": ["nixpkgs"] },
                    "locked": { "type": "git", "url": "https://git.lan/other", "rev": "b" },
                    "original": { "type": "git", "url": "https://git.lan/other" },
                },
                "deep": {
                    "locked": { "type": "tarball", "url": "https://cache.lan/1", "narHash": "c" },
                    "original": { "type": "tarball", "url": "https://lan/deep" },
                },
                "registered": {
                    "locked": { "type": "github", "owner": "x", "repo": "registered", "rev": "d" },
                    "original": { "type": "indirect", "id": "registered" },
                },
                "root": { "inputs": {
                    "nixpkgs": "nixpkgs", "other": "other", "again": ["nixpkgs"], "registered": "registered"
                } },
            },
            "root": "root",
            "version": 7,
        })
    }

    fn changed(change: impl FnOnce(&mut Value)) -> Value {
        let mut lock = lock();
        change(&mut lock);
        lock
    }

    fn verdict(lock: &Value, former: Option<&Value>, renewed: &[&str]) -> Result<(), String> {
        let parse = |lock: &Value| LockFile::parse(lock.to_string().as_bytes());
        let former = former.map(|lock| parse(lock).unwrap());
        let renewed = renewed.iter().map(|name| (*name).to_owned()).collect();
        parse(lock)?.follows_on(former.as_ref(), FLAKE, &Renewed::These(renewed))
    }

    #[test]
    fn what_nix_writes_is_taken_and_stays_the_same_to_the_byte() {
        assert_eq!(verdict(&lock(), None, &[]), Ok(()));
        assert_eq!(verdict(&lock(), Some(&lock()), &[]), Ok(()));
        let text = "{\n  \"nodes\": {\n    \"root\": {}\n  },\n  \"root\": \"root\",\n  \"version\": 7\n}\n";
        assert_eq!(LockFile::parse(text.as_bytes()).unwrap().text(), text);
    }

    #[test]
    fn what_is_none() {
        for text in [
            "",
            "{}",
            "[]",
            "null",
            "\"x\"",
            "{ \"version\": 7 }",
            "{\"nodes\":{},\"root\":\"root\",\"version\":7}",
        ] {
            assert!(LockFile::parse(text.as_bytes()).is_err(), "{text}");
        }
        assert!(LockFile::parse(&vec![b' '; LARGEST + 1]).is_err());
        assert!(LockFile::parse("[".repeat(100_000).as_bytes()).is_err());
        for lock in [
            changed(|lock| lock["version"] = json!(99)),
            changed(|lock| lock["version"] = json!("7")),
            changed(|lock| lock["root"] = json!("none")),
            changed(|lock| lock["nodes"]["root"]["inputs"]["nixpkgs"] = json!("none")),
            changed(|lock| lock["nodes"]["root"]["inputs"]["nixpkgs"] = json!([1])),
            changed(|lock| lock["nodes"]["nixpkgs"]["locked"] = json!(null)),
            changed(|lock| lock["nodes"]["nixpkgs"] = json!("x")),
            changed(|lock| lock["nodes"]["nixpkgs"]["locked"]["owner"] = json!("evil")),
            changed(|lock| lock["nodes"]["nixpkgs"]["locked"]["type"] = json!("tarball")),
            changed(|lock| lock["nodes"]["nixpkgs"]["locked"]["host"] = json!("evil")),
            changed(|lock| lock["nodes"]["other"]["locked"]["url"] = json!("https://evil")),
        ] {
            assert!(verdict(&lock, None, &[]).is_err(), "{lock}");
        }
    }

    #[test]
    fn the_inputs_are_those_of_the_flake() {
        for lock in [
            changed(|lock| lock["nodes"]["root"]["inputs"] = json!({})),
            changed(|lock| lock["nodes"]["root"]["inputs"]["more"] = json!("other")),
            changed(|lock| lock["nodes"]["nixpkgs"] = github("evil", "a")),
            changed(|lock| lock["nodes"]["registered"]["original"]["id"] = json!("evil")),
        ] {
            assert!(verdict(&lock, None, &[]).is_err(), "{lock}");
        }
        // A text that cannot be read here makes no demands.
        let lock = LockFile::parse(lock().to_string().as_bytes()).unwrap();
        assert_eq!(lock.follows_on(None, "{ inputs = f x; }", &Renewed::All), Ok(()));
    }

    #[test]
    fn what_was_locked_stays_unless_it_is_renewed() {
        let newer = changed(|lock| lock["nodes"]["nixpkgs"] = github("NixOS", "z"));
        assert!(verdict(&newer, Some(&lock()), &[]).is_err());
        assert!(verdict(&newer, Some(&lock()), &["other"]).is_err());
        assert_eq!(verdict(&newer, Some(&lock()), &["nixpkgs"]), Ok(()));
        let deeper = changed(|lock| lock["nodes"]["deep"]["locked"]["narHash"] = json!("z"));
        assert!(verdict(&deeper, Some(&lock()), &[]).is_err());
        assert_eq!(verdict(&deeper, Some(&lock()), &["other"]), Ok(()));
        assert_eq!(verdict(&deeper, Some(&lock()), &["other/deep"]), Ok(()));
        // flake.nix names another branch, so the input had to be locked anew.
        let moved = changed(|lock| {
            lock["nodes"]["nixpkgs"]["original"]["ref"] = json!("nixos-25.11");
        });
        assert_eq!(verdict(&newer, Some(&moved), &[]), Ok(()));
        // Another version of Nix says this besides.
        let more = changed(|lock| lock["nodes"]["nixpkgs"]["locked"]["lastModified"] = json!(2));
        assert_eq!(verdict(&more, Some(&lock()), &[]), Ok(()));
        let circle = changed(|lock| lock["nodes"]["deep"]["inputs"] = json!({ "deep": "deep" }));
        assert_eq!(verdict(&circle, Some(&circle), &[]), Ok(()));
    }

    /// An input that is not to be renewed stays, whatever else is said about it.
    #[test]
    fn what_was_locked_is_not_exchanged_by_other_words() {
        let exchanged = |change: fn(&mut Value)| verdict(&changed(change), Some(&lock()), &[]).is_err();
        let changes: [fn(&mut Value); 11] = [
            // What flake.nix says is another branch, another input, nothing.
            |lock| {
                lock["nodes"]["nixpkgs"] = github("NixOS", "z");
                lock["nodes"]["nixpkgs"]["original"]["ref"] = json!("evil");
            },
            |lock| lock["nodes"]["root"]["inputs"]["nixpkgs"] = json!(["other", "nixpkgs"]),
            |lock| lock["nodes"]["registered"]["original"]["ref"] = json!("evil"),
            |lock| lock["nodes"]["other"]["original"]["url"] = json!("https://evil"),
            // It is said in other words what flake.nix says as before.
            |lock| {
                lock["nodes"]["nixpkgs"] = github("NixOS", "z");
                lock["nodes"]["nixpkgs"]["original"]["dir"] = json!("evil");
            },
            |lock| lock["nodes"]["registered"]["original"]["dir"] = json!("evil"),
            // An input of an input.
            |lock| {
                lock["nodes"]["deep"]["original"]["url"] = json!("https://evil");
                lock["nodes"]["deep"]["locked"]["url"] = json!("https://evil");
            },
            |lock| lock["nodes"]["other"]["inputs"] = json!({ "nixpkgs": ["nixpkgs"] }),
            |lock| lock["nodes"]["other"]["inputs"]["deep"] = json!(["nixpkgs"]),
            // A part of what identifies it.
            |lock| lock["nodes"]["deep"]["locked"]["narHash"] = json!(null),
            |lock| lock["nodes"]["nixpkgs"]["locked"]["dir"] = json!("evil"),
        ];
        for (number, change) in changes.into_iter().enumerate() {
            assert!(exchanged(change), "{number}: {}", changed(change));
        }
    }

    #[test]
    fn what_the_flake_itself_exchanges_is_exchanged() {
        let given = |lines: &str| FLAKE.replace("outputs =", &format!("{lines} outputs ="));
        let of = |flake: &str, change: fn(&mut Value)| {
            let parse = |lock: &Value| LockFile::parse(lock.to_string().as_bytes()).unwrap();
            let renewed = Renewed::These(BTreeSet::new());
            parse(&changed(change)).follows_on(Some(&parse(&lock())), flake, &renewed)
        };
        let moved = |lock: &mut Value| {
            lock["nodes"]["deep"]["original"]["url"] = json!("https://lan/new");
            lock["nodes"]["deep"]["locked"]["url"] = json!("https://lan/1");
        };
        let follows = |lock: &mut Value| lock["nodes"]["other"]["inputs"]["deep"] = json!(["nixpkgs"]);
        assert_eq!(
            of(&given("inputs.other.inputs.deep.url = \"https://lan/new\";"), moved),
            Ok(())
        );
        assert_eq!(
            of(&given("inputs.other.inputs.deep.follows = \"nixpkgs\";"), follows),
            Ok(())
        );
        assert_eq!(of("{ inputs = f x; }", moved), Ok(()));
        // What followed another one is an input of its own now, and a new one.
        let own = |lock: &mut Value| {
            lock["nodes"]["other"]["inputs"]["nixpkgs"] = json!("own");
            lock["nodes"]["own"] = github("NixOS", "y");
        };
        assert_eq!(of(FLAKE, own), Ok(()));
        // An own input is given other words, or follows another one.
        let other = |lock: &mut Value| lock["nodes"]["nixpkgs"] = github("me", "z");
        assert_eq!(of(&FLAKE.replace("NixOS", "me"), other), Ok(()));
        let given_up = |lock: &mut Value| lock["nodes"]["root"]["inputs"]["other"] = json!(["nixpkgs"]);
        let text = FLAKE.replace(
            "inputs.other = { url = \"git+https://git.lan/other\";",
            "inputs.other = { follows = \"nixpkgs\";",
        );
        assert_eq!(of(&text, given_up), Ok(()));
        assert!(of(FLAKE, given_up).is_err());
    }
}
