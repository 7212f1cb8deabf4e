//! The parts of a flake that are on this machine: the directory or the git repository that it is in, and those of its
//! inputs that are here.
//!
//! The evaluator itself fetches what Nix can fetch from elsewhere: the lock file says what that has to be.

pub mod lock_file;
mod meant;
mod written;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::collect::Collection;
use super::pins;
use crate::vocabulary::{FlakeReference, Form, file_above};
use written::Input;

/// At most this many names of the registries may lead to each other before they are called a circle, as in Nix.
const MOST_NAMES: usize = 100;

/// The names of flakes that lead to this machine, each with the attributes of its reference.
#[derive(Debug, Clone, Default)]
pub struct Registry(BTreeMap<String, Value>);

impl Registry {
    /// Reads the texts of `registry.json` files. For each name, the first text that has it counts.
    #[must_use]
    pub fn read<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut found = BTreeMap::new();
        for text in texts {
            let text: Value = serde_json::from_str(text).unwrap_or_default();
            for entry in text["flakes"].as_array().into_iter().flatten() {
                if let (Some("indirect"), Some(name)) = (entry["from"]["type"].as_str(), entry["from"]["id"].as_str()) {
                    found.entry(name.to_owned()).or_insert_with(|| entry["to"].clone());
                }
            }
        }
        Self(found)
    }
}

/// Adds flakes to a collection.
#[derive(Debug)]
pub struct Flakes<'a> {
    collection: &'a mut Collection,
    registry: Registry,
    /// Whether Nix files may name what is outside of their flake (`--impure`).
    impure: bool,
    seen: BTreeSet<PathBuf>,
}

impl<'a> Flakes<'a> {
    /// Prepares for an evaluation that knows the names of this registry.
    #[must_use]
    pub fn new(collection: &'a mut Collection, registry: Registry, impure: bool) -> Self {
        Self {
            collection,
            registry,
            impure,
            seen: BTreeSet::new(),
        }
    }

    /// Adds the flake that `reference` stands for in `directory`, with its inputs, as far as they are on this machine.
    /// Returns the directory of its `flake.nix`.
    pub fn add(&mut self, reference: &str, directory: &Path) -> Option<PathBuf> {
        let place = match Whereabouts::of(reference, directory, &self.registry)? {
            Whereabouts::Inside(path) => Whereabouts::Directory(path, PathBuf::new()),
            place => place,
        };
        self.add_place(place)
    }

    fn add_place(&mut self, place: Whereabouts) -> Option<PathBuf> {
        let named = place.path().to_owned();
        // An input may be a single file, whatever its address says.
        if matches!(place, Whereabouts::File(_)) || (matches!(place, Whereabouts::Directory(..)) && named.is_file()) {
            self.collection.add_configuration(&named);
            return None;
        }
        if !matches!(place, Whereabouts::Inside(_)) {
            self.collection.add_way(&named);
        }
        // Nix reads the links on the way, and from then on only the place where they lead.
        let flake = fs::canonicalize(&named).unwrap_or(named);
        let flake = match &place {
            Whereabouts::Somewhere(_) => with_flake_file(&flake),
            _ => flake,
        };
        let whole = match &place {
            Whereabouts::Somewhere(_) | Whereabouts::Repository(_) => match repository_of(&flake) {
                Some(root) => self.collection.add_repository(&root).then_some(root),
                None => self.collection.add_everything(&flake).then(|| flake.clone()),
            },
            Whereabouts::Directory(..) => self.collection.add_everything(&flake).then(|| flake.clone()),
            Whereabouts::Inside(_) | Whereabouts::File(_) => None,
        };
        let flake = match place {
            Whereabouts::Directory(_, inside) => flake.join(inside),
            _ => flake,
        };
        if let Some(root) = whole.filter(|_| self.impure) {
            self.collection.own_links_in(&root);
            for reference in self.collection.add_outside_of(&root) {
                self.add(&reference, &root);
            }
        }
        if self.seen.insert(flake.clone()) {
            for place in self.inputs(&flake) {
                self.add_place(place);
            }
        }
        Some(flake)
    }

    /// Returns the places of those inputs of a flake that may be on this machine: the inputs in its lock file, and
    /// those in `flake.nix`.
    fn inputs(&mut self, flake: &Path) -> Vec<Whereabouts> {
        let mut found = Vec::new();
        let mut satisfied = Vec::new();
        let lock = fs::read(flake.join("flake.lock")).unwrap_or_default();
        let lock: Value = serde_json::from_slice(&lock).unwrap_or_default();
        for node in lock["nodes"].as_object().into_iter().flat_map(Map::values) {
            let locked = Whereabouts::of_attributes(&node["locked"], flake, &self.registry);
            let original = Whereabouts::of_attributes(&node["original"], flake, &self.registry);
            let kept = node["locked"]["narHash"].as_str().and_then(pins::store_path);
            // Nix takes a locked input from the store, whatever has become of the input itself since then.
            let kept = kept.filter(|path| path.exists());
            match &kept {
                Some(path) if locked.is_some() => self.collection.add_way(path),
                // The other machine can fetch the input, and faster; or the input is private.
                Some(path) => self.collection.offer(path.clone()),
                None => {}
            }
            let places = [locked, original].into_iter().flatten();
            if kept.is_some() { &mut satisfied } else { &mut found }.extend(places);
        }
        let text = fs::read_to_string(flake.join("flake.nix")).unwrap_or_default();
        found.extend(written::inputs(&text).into_iter().filter_map(|input| match input {
            Input::Reference(text) => Whereabouts::of_input(&text, flake, &self.registry),
            Input::Attributes(attributes) => Whereabouts::of_attributes(&attributes, flake, &self.registry),
        }));
        // If such an input is to be locked anew, the evaluation will ask for it.
        for place in &satisfied {
            self.collection.allow(place.path());
        }
        found.retain(|place| !satisfied.contains(place));
        found
    }
}

/// The place on this machine where a reference leads.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Whereabouts {
    /// A path as on a command line: in a repository or not, in this directory or above it.
    Somewhere(PathBuf),
    /// `path:`: a directory as it is, and the place of the flake in it.
    Directory(PathBuf, PathBuf),
    /// `git+file:`.
    Repository(PathBuf),
    /// A part of the flake that refers to it: it is sent with that flake.
    Inside(PathBuf),
    /// An archive, or a file as it is.
    File(PathBuf),
}

impl Whereabouts {
    /// Reads a reference as on a command line.
    fn of(reference: &str, directory: &Path, registry: &Registry) -> Option<Self> {
        let FlakeReference { form, inside } = FlakeReference::read(reference);
        match form {
            Form::Name(name) => Self::of_name(name, registry, 0),
            Form::Path(path) => Some(Self::Somewhere(directory.join(path).join(inside))),
            Form::Address { scheme, rest } => Self::of_address(scheme, rest, &inside, directory),
        }
    }

    /// Reads a reference in a `flake.nix`.
    fn of_input(reference: &str, flake: &Path, registry: &Registry) -> Option<Self> {
        match Self::of(reference, flake, registry)? {
            Self::Somewhere(path) if reference.starts_with('.') => Some(Self::Inside(path)),
            place => Some(place),
        }
    }

    fn of_address(scheme: &str, rest: &str, inside: &Path, directory: &Path) -> Option<Self> {
        let text = Form::file_of(rest);
        let path = directory.join(&text);
        match scheme {
            "path" if text.is_absolute() => Some(Self::Directory(path, inside.to_owned())),
            "path" => Some(Self::Inside(path.join(inside))),
            "git+file" => Some(Self::Repository(path.join(inside))),
            "file" | "file+file" | "tarball+file" => Some(Self::File(path)),
            _ => None,
        }
    }

    /// Reads a reference in pieces, as in a lock file and a registry.
    fn of_attributes(attributes: &Value, flake: &Path, registry: &Registry) -> Option<Self> {
        Self::of_attributes_at(attributes, flake, registry, 0)
    }

    fn of_attributes_at(attributes: &Value, flake: &Path, registry: &Registry, depth: usize) -> Option<Self> {
        let word = |name: &str| attributes[name].as_str();
        let inside = Path::new(word("dir").unwrap_or(""));
        match word("type")? {
            "indirect" => Self::of_name(word("id")?, registry, depth),
            "path" => {
                let path = flake.join(word("path")?);
                Some(if word("path")?.starts_with('/') {
                    Self::Directory(path, inside.to_owned())
                } else {
                    Self::Inside(path.join(inside))
                })
            }
            kind @ ("git" | "tarball" | "file") => {
                let (address, _) = word("url")?.split_once('?').unwrap_or((word("url")?, ""));
                let rest = address.strip_prefix("file:")?;
                let scheme = if kind == "git" { "git+file" } else { "file" };
                Self::of_address(scheme, rest, inside, flake)
            }
            _ => None,
        }
    }

    fn of_name(name: &str, registry: &Registry, depth: usize) -> Option<Self> {
        let found = registry.0.get(name).filter(|_| depth < MOST_NAMES)?;
        Self::of_attributes_at(found, Path::new("/"), registry, depth + 1)
    }

    fn path(&self) -> &Path {
        match self {
            Self::Somewhere(path)
            | Self::Directory(path, _)
            | Self::Repository(path)
            | Self::Inside(path)
            | Self::File(path) => path,
        }
    }
}

/// Returns the directory itself, or the first one above it, that has a `flake.nix`.
fn with_flake_file(path: &Path) -> PathBuf {
    let path = if path.ends_with("flake.nix") && path.is_file() {
        path.parent().unwrap_or(path)
    } else {
        path
    };
    let file = file_above(path);
    file.as_deref().and_then(Path::parent).unwrap_or(path).to_owned()
}

fn repository_of(directory: &Path) -> Option<PathBuf> {
    let mut above = directory.ancestors();
    above
        .find(|directory| directory.join(".git").exists())
        .map(Path::to_path_buf)
}

/// Fuzzing: reads any text as a `flake.nix`.
#[cfg(any(test, fuzzing))]
pub fn look_at(text: &str) {
    let (flake, registry) = (Path::new("/nonexistent"), Registry::default());
    for input in written::inputs(text) {
        _ = match input {
            Input::Reference(text) => Whereabouts::of_input(&text, flake, &registry),
            Input::Attributes(attributes) => Whereabouts::of_attributes(&attributes, flake, &registry),
        };
    }
}

/// Fuzzing: reads any text as a reference of a flake.
#[cfg(any(test, fuzzing))]
pub(super) fn look_at_reference(text: &str) {
    let reference = FlakeReference::read(text);
    let is_path = reference.is_path();
    assert!(!(is_path && reference.is_elsewhere()), "{text}");
    let forms = [
        is_path,
        matches!(reference.form, Form::Address { .. }),
        matches!(reference.form, Form::Name(_)),
    ];
    assert_eq!(forms.iter().filter(|form| **form).count(), 1, "{text}");
    if let Ok((address, name)) = crate::vocabulary::split_name("--flake", text) {
        assert!(
            !address.starts_with('-') && !name.unwrap_or_default().contains(['"', '#']),
            "{text}"
        );
    }
    for (key, value) in meant::of_reference(text) {
        let is_its = |value: &str| text.contains(value) || (key, value) == ("type", "indirect");
        assert!(
            value.is_null() || value.as_str().is_some_and(is_its),
            "{text}: {key} {value}"
        );
    }
}

/// Fuzzing: reads any bytes as a `flake.lock` and a `registry.json`.
#[cfg(any(test, fuzzing))]
pub(super) fn look_at_lock(bytes: &[u8]) {
    let (flake, text) = (Path::new("/nonexistent"), String::from_utf8_lossy(bytes));
    let registry = Registry::read([text.as_ref()]);
    let lock: Value = serde_json::from_str(&text).unwrap_or_default();
    let nodes = lock["nodes"].as_object().into_iter().flat_map(Map::values);
    for part in nodes.flat_map(|node| [&node["locked"], &node["original"]]) {
        _ = Whereabouts::of_attributes(part, flake, &registry);
        if let Some(path) = part["narHash"].as_str().and_then(pins::store_path) {
            assert!(
                crate::store_path::StorePath::parse(&path.to_string_lossy()).is_ok(),
                "{part}"
            );
        }
    }
    _ = Whereabouts::of(&text, flake, &registry);
}

#[cfg(test)]
mod tests;
