//! Which files an evaluation needs, followed from the ones that it starts with.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::path::{Component, Path, PathBuf};

use super::guard;
use super::literals::Literals;
use super::search_path::SearchPath;

/// As many links as Linux follows before it calls it a loop.
const MOST_LINKS: usize = 40;

/// Under as many names a directory is followed: links can lead in circles, each round with a longer name.
const MOST_NAMES: usize = 4;

/// What is sent of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// A file's content.
    File,
    /// A directory's name; what it holds is listed apart.
    Directory,
    /// A symlink, with its target.
    Link(PathBuf),
}

/// Why a file is not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It is a secret of this machine itself.
    Secret,
    /// No path literal names it, and not everybody on this machine may read it.
    Private,
}

/// The files for one evaluation. They keep their absolute paths on the other side; symlinks stay symlinks, because Nix
/// resolves a linked file but reads a linked directory under the name it was given.
#[derive(Debug)]
pub struct Collection {
    search_path: SearchPath,
    home: PathBuf,
    items: BTreeMap<PathBuf, Item>,
    unsent: BTreeSet<PathBuf>,
    trees: BTreeSet<OsString>,
    variables: BTreeSet<String>,
    refused: BTreeMap<PathBuf, Refusal>,
    public_only: bool,
    scanned: BTreeSet<PathBuf>,
    entered: BTreeMap<PathBuf, usize>,
}

impl Collection {
    /// An empty one, for a user whose home is `home`.
    #[must_use]
    pub fn new(search_path: SearchPath, home: PathBuf) -> Self {
        Self {
            search_path,
            home,
            items: BTreeMap::new(),
            unsent: BTreeSet::new(),
            trees: BTreeSet::new(),
            variables: BTreeSet::new(),
            refused: BTreeMap::new(),
            public_only: false,
            scanned: BTreeSet::new(),
            entered: BTreeMap::new(),
        }
    }

    /// Adds a part of the configuration: a Nix file with all that its literals reach, a directory with all that is in
    /// it, or any other file.
    pub fn add_configuration(&mut self, path: &Path) {
        let mut waiting = vec![clean(path)];
        while let Some(path) = waiting.pop() {
            // Twice, for the links on the way to a link are on neither way alone.
            let known_as = resolve_file(path.clone());
            let (Some(_), Some(place)) = (self.walk(&path), self.walk(&known_as)) else {
                continue;
            };
            if in_store(&place) {
                continue;
            }
            if place.is_file() {
                waiting.extend(self.reached_from(&known_as, &place));
            } else if place.is_dir() && !guard::is_too_much(&place, &self.home) {
                self.add_tree(&known_as, &place, &mut waiting);
            }
        }
    }

    /// Adds what another machine's evaluation says that it misses: what every user of this machine may read, and no more.
    /// For the other machine's word alone is no reason to hand out a secret.
    pub fn add_missed(&mut self, path: &Path) {
        self.public_only = true;
        self.add_configuration(path);
        self.public_only = false;
    }

    /// Adds what a name in angle brackets stands for, as a whole: `nixpkgs` for `<nixpkgs/nixos>`. Its own literals stay
    /// inside it. Says whether there is such a thing.
    pub fn add_lookup(&mut self, name: &str) -> bool {
        let first = name.split('/').next().unwrap_or(name);
        // A prefix may itself have a slash in it (-I a/b=/c).
        let Some(path) = self.search_path.find(first).or_else(|| self.search_path.find(name)) else {
            return false;
        };
        let path = clean(&path);
        let Some(place) = self.walk(&path) else { return false };
        if !place.is_dir() {
            self.add_configuration(&path);
        } else if !in_store(&place) && !guard::is_too_much(&place, &self.home) && self.scanned.insert(place.clone()) {
            self.add_tree(&path, &place, &mut Vec::new());
        }
        true
    }

    /// What `<name>` stands for here.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<PathBuf> {
        self.search_path.find(name)
    }

    /// The names of the store paths that evaluation reads from: they are the same everywhere and are asked for by name.
    #[must_use]
    pub fn trees(&self) -> &BTreeSet<OsString> {
        &self.trees
    }

    /// The environment variables that the configuration asks for.
    #[must_use]
    pub fn variables(&self) -> &BTreeSet<String> {
        &self.variables
    }

    /// The files that would have been sent, had they not been refused; those of the last call are not repeated.
    pub fn take_refused(&mut self) -> BTreeMap<PathBuf, Refusal> {
        std::mem::take(&mut self.refused)
    }

    /// Whether `<name>` is an address, which the evaluator fetches.
    #[must_use]
    pub fn is_address(&self, name: &str) -> bool {
        self.search_path.is_address(name)
    }

    /// Whether something was added since it was last taken.
    #[must_use]
    pub fn has_unsent(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// What was added since the last call, parents before children.
    pub fn take_unsent(&mut self) -> Vec<(PathBuf, Item)> {
        let unsent = std::mem::take(&mut self.unsent);
        let items = &self.items;
        unsent
            .into_iter()
            .filter_map(|path| items.get(&path).cloned().map(|item| (path, item)))
            .collect()
    }

    /// Records every link and directory on the way to `path`, and what is at its end. Gives the place where that really
    /// is, without links; nothing if there is nothing.
    fn walk(&mut self, path: &Path) -> Option<PathBuf> {
        let mut ahead: Vec<OsString> = names(path);
        let mut here = PathBuf::from("/");
        let mut links = 0;
        while let Some(name) = ahead.pop() {
            if name == ".." {
                here.pop();
                continue;
            }
            here.push(name);
            if let Some(tree) = store_tree(&here) {
                self.trees.insert(tree);
            }
            let metadata = fs::symlink_metadata(&here).ok()?;
            if metadata.is_symlink() {
                links += 1;
                let target = fs::read_link(&here).ok().filter(|_| links <= MOST_LINKS)?;
                self.record(&here, Item::Link(target.clone()));
                here.pop();
                if target.is_absolute() {
                    here = PathBuf::from("/");
                }
                ahead.extend(names(&target));
            } else if metadata.is_dir() {
                self.record(&here, Item::Directory);
            } else if metadata.is_file() {
                self.record_file(&here);
            }
        }
        Some(here)
    }

    /// Everything under a directory that Nix knows by one name and that is at another; links that lead out of it, and
    /// what its Nix files name, come back in `found`.
    fn add_tree(&mut self, known_as: &Path, place: &Path, found: &mut Vec<PathBuf>) {
        let names = self.entered.entry(place.to_owned()).or_default();
        *names += 1;
        if *names > MOST_NAMES {
            return;
        }
        let Ok(entries) = fs::read_dir(place) else { return };
        for entry in entries.flatten() {
            let (path, known_as) = (entry.path(), known_as.join(entry.file_name()));
            let Ok(kind) = entry.file_type() else { continue };
            if guard::is_left_out(&path) {
                continue;
            }
            if kind.is_dir() {
                self.record(&path, Item::Directory);
                self.add_tree(&known_as, &path, found);
            } else if kind.is_symlink() {
                let Ok(target) = fs::read_link(&path) else { continue };
                self.record(&path, Item::Link(target));
                // `result` beside the configuration is a name; a module that is a link into the store is read.
                let reads_store = path.extension().is_some_and(|extension| extension == "nix");
                let end = fs::canonicalize(&path);
                if end.is_ok_and(|end| reads_store || !end.starts_with("/nix/store")) {
                    found.push(known_as);
                }
            } else if kind.is_file() {
                self.record_file(&path);
                found.extend(self.reached_from(&known_as, &path));
            }
        }
    }

    /// The paths that a Nix file's literals name; each file is read once under each of its names.
    fn reached_from(&mut self, known_as: &Path, place: &Path) -> Vec<PathBuf> {
        let is_nix = known_as.extension().is_some_and(|extension| extension == "nix");
        if !is_nix || !self.scanned.insert(known_as.to_owned()) {
            return Vec::new();
        }
        let Ok(bytes) = fs::read(place) else { return Vec::new() };
        let found = Literals::of(&String::from_utf8_lossy(&bytes));
        self.variables.extend(found.variables);
        for name in &found.lookups {
            self.add_lookup(name);
        }
        let directory = known_as.parent().unwrap_or(Path::new("/"));
        let reached = found.paths.iter().map(|text| match text.strip_prefix("~/") {
            Some(rest) => clean(&self.home.join(rest)),
            None => clean(&directory.join(text)),
        });
        reached.flat_map(with_default).collect()
    }

    fn record_file(&mut self, path: &Path) {
        if guard::is_forbidden(path) {
            self.refused.insert(path.to_owned(), Refusal::Secret);
        } else if self.public_only && !self.items.contains_key(path) && !guard::is_public(path) {
            self.refused.insert(path.to_owned(), Refusal::Private);
        } else {
            self.record(path, Item::File);
        }
    }

    /// The files of a store path travel with it.
    fn record(&mut self, path: &Path, item: Item) {
        if !in_store(path) && path != Path::new("/") && !self.items.contains_key(path) {
            self.items.insert(path.to_owned(), item);
            self.unsent.insert(path.to_owned());
        }
    }
}

/// Nix's own reading of a file that is a link: relative paths in it start from where the link points, but links of the
/// directories on the way stay as they are named.
fn resolve_file(mut path: PathBuf) -> PathBuf {
    for _ in 0..MOST_LINKS {
        let Ok(target) = fs::read_link(&path) else { break };
        if !fs::metadata(&path).is_ok_and(|end| end.is_file()) {
            break;
        }
        path = clean(&path.parent().unwrap_or(Path::new("/")).join(target));
    }
    path
}

/// A directory that is imported means its `default.nix`; which may be a link out of it.
fn with_default(path: PathBuf) -> Vec<PathBuf> {
    let default = path.join("default.nix");
    if default.exists() {
        vec![path, default]
    } else {
        vec![path]
    }
}

fn in_store(path: &Path) -> bool {
    path.starts_with("/nix/store") && path != Path::new("/nix/store")
}

/// The name in `/nix/store/NAME`.
fn store_tree(path: &Path) -> Option<OsString> {
    let mut parts = path.strip_prefix("/nix/store").ok()?.components();
    match (parts.next(), parts.next()) {
        (Some(Component::Normal(name)), None) => Some(name.to_owned()),
        _ => None,
    }
}

/// A path's names, last first, for taking them off one by one.
fn names(path: &Path) -> Vec<OsString> {
    let names = path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsString::from("..")),
        _ => None,
    });
    names.rev().collect()
}

/// Nix's own reading of a path: `.` and `..` are taken off the text, whatever links are in it.
fn clean(path: &Path) -> PathBuf {
    let mut clean = PathBuf::from("/");
    for part in path.components() {
        match part {
            Component::Normal(name) => clean.push(name),
            Component::ParentDir => {
                clean.pop();
            }
            _ => {}
        }
    }
    clean
}

#[cfg(test)]
mod tests;
