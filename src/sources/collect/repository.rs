//! Directories that go as a whole, and git repositories.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::Collection;
use super::names::{clean, in_store};
use crate::sources::git::{self, Tracked};
use crate::sources::guard;
use crate::sources::literals::Literals;
use crate::sources::mirror::{Entry, Identity, Kind};

/// What git reads of the user's, of the machine's, and in a work tree, whether it is tracked or not.
const SETTINGS_AT_HOME: [&str; 4] = [
    ".gitconfig",
    ".config/git/config",
    ".config/git/attributes",
    ".config/git/ignore",
];
const SETTINGS_OF_MACHINE: &str = "/etc/gitconfig";
const SETTINGS_IN_TREE: [&str; 2] = [".gitattributes", ".gitignore"];

impl Collection {
    /// Adds a git repository as Nix reads it: all of what git keeps, and of everything else what is tracked. Nix takes a
    /// part of a repository for a whole one without a word, so it is never sent in parts. Says whether it was new.
    pub fn add_repository(&mut self, root: &Path) -> bool {
        let git = root.join(".git");
        if self.walk(&git).is_none() || !self.may_add(root) || !self.repositories.insert(root.to_owned()) {
            return false;
        }
        if git.is_file() {
            self.add_content(&git);
        }
        let directories = git::directories(&git);
        for directory in &directories {
            self.add_everything(directory);
        }
        self.add_git_settings();
        let index = directories.first().map(|directory| directory.join("index"));
        if let Some(tracked) = index.and_then(|index| git::tracked(&index)) {
            self.add_tracked(root, &tracked);
        } else {
            // What is tracked the evaluation then asks for.
            self.own(root);
            self.add_names(root);
        }
        true
    }

    /// Adds the links and the names on the way to a path, and what is there if it is in the store.
    pub fn add_way(&mut self, path: &Path) {
        self.walk(&clean(path));
    }

    /// Notes a store path that the other machine can probably fetch from elsewhere.
    pub fn offer(&mut self, store_path: PathBuf) {
        self.offered.insert(store_path);
    }

    /// Adds what was noted so: it cannot.
    pub fn add_offered(&mut self) {
        for path in std::mem::take(&mut self.offered) {
            self.add_way(&path);
        }
    }

    /// What is in this directory may be asked for: the configuration names it.
    pub fn allow(&mut self, directory: &Path) {
        if let Ok(place) = fs::canonicalize(directory) {
            if !in_store(&place) && !guard::is_too_much(&place, &self.home) {
                self.own.insert(place);
            }
        }
    }

    /// Adds what the Nix files in a directory name outside of it, by absolute paths and `<names>`; and gives the references
    /// of flakes that they name. Not for a whole package collection.
    pub fn add_outside_of(&mut self, directory: &Path) -> Vec<String> {
        if directory.join("pkgs/top-level").is_dir() {
            return Vec::new();
        }
        let files = self.mirror.entries.range(directory.to_owned()..);
        let files: Vec<PathBuf> = files
            .take_while(|(path, _)| path.starts_with(directory))
            .filter(|(path, entry)| {
                path.extension().is_some_and(|extension| extension == "nix") && matches!(entry, Entry::Content { .. })
            })
            .map(|(path, _)| path.clone())
            .collect();
        let mut references = Vec::new();
        for file in files {
            let found = Literals::of(&String::from_utf8_lossy(&fs::read(&file).unwrap_or_default()));
            self.asked.names.extend(found.asked.names);
            self.asked.computes_names |= found.asked.computes_names;
            for name in &found.lookups {
                self.add_named_lookup(name);
            }
            for path in found.paths {
                match path.strip_prefix("~/") {
                    Some(rest) => self.add_configuration(&self.home.join(rest)),
                    None if path.starts_with('/') => self.add_configuration(Path::new(&path)),
                    None => {}
                }
            }
            let strings = found.strings.into_iter();
            references.extend(strings.filter(|text| text.starts_with("path:/") || text.starts_with("git+file:")));
        }
        references
    }

    /// Adds a directory with everything in it. Says whether it was new.
    pub fn add_everything(&mut self, directory: &Path) -> bool {
        let Some(place) = self.walk(directory).filter(|place| place.is_dir() && !in_store(place)) else {
            return false;
        };
        let is_known = self.scanned.contains(&place);
        if is_known || guard::is_too_much(&place, &self.home) || !self.may_add(&place) {
            return false;
        }
        self.scanned.insert(place.clone());
        self.own(&place);
        let mut waiting = vec![place];
        while let Some(directory) = waiting.pop() {
            if !self.open(&directory) {
                continue;
            }
            for path in self.children(&directory, Kind::File) {
                // Of git's objects the name says what they are.
                let identify = if guard::is_in_git(&path) && path.components().any(|part| part.as_os_str() == "objects")
                {
                    |_: &Path, data: &fs::Metadata| Ok(Identity::of_metadata(data))
                } else {
                    Identity::of_file
                };
                self.add_content_of(&path, identify);
            }
            // Those that are open already may not have all in them.
            waiting.extend(self.among(&directory, |entry| {
                matches!(entry, Entry::Open { .. } | Entry::Shut(Kind::Directory))
            }));
        }
        true
    }

    /// What is in there the configuration names; but not for being asked for itself.
    fn own(&mut self, directory: &Path) {
        if !self.asked_for {
            self.own.insert(directory.to_owned());
        }
    }

    /// The children of a directory of which such a thing is there.
    fn among(&self, directory: &Path, is_such: fn(&Entry) -> bool) -> Vec<PathBuf> {
        let under = self.mirror.entries.range(directory.to_owned()..).skip(1);
        let under = under.take_while(|(path, _)| path.starts_with(directory));
        let chosen = under.filter(|(path, entry)| path.parent() == Some(directory) && is_such(entry));
        chosen.map(|(path, _)| path.clone()).collect()
    }

    /// Of a work tree, what is tracked, and the names of the directories that it is in.
    fn add_tracked(&mut self, root: &Path, tracked: &Tracked) {
        let mut directories = BTreeSet::from([root.to_owned()]);
        self.open(root);
        for name in &tracked.files {
            if let Some(path) = self.find_tracked(root, name) {
                if let Some(Entry::Shut(Kind::File)) = self.mirror.entries.get(&path) {
                    self.add_content(&path);
                }
                directories.extend(path.parent().map(Path::to_path_buf));
            }
        }
        for name in directories
            .iter()
            .flat_map(|path| SETTINGS_IN_TREE.map(|name| path.join(name)))
        {
            if let Some(Entry::Shut(Kind::File)) = self.mirror.entries.get(&name) {
                self.add_content(&name);
            }
        }
        for name in &tracked.modules {
            if let Some(path) = self.find_tracked(root, name) {
                self.add_repository(&path);
            }
        }
    }

    /// Where a tracked file is. What is behind a link, git takes for deleted.
    fn find_tracked(&mut self, root: &Path, name: &Path) -> Option<PathBuf> {
        let mut here = root.to_owned();
        for part in name.components() {
            let is_directory = matches!(
                self.mirror.entries.get(&here),
                Some(Entry::Open { .. } | Entry::Shut(Kind::Directory))
            );
            if !is_directory || !self.open(&here) {
                return None;
            }
            here.push(part);
        }
        Some(here)
    }

    /// git's settings, which say how it compares a work tree with what it keeps; but none with a password in it.
    fn add_git_settings(&mut self) {
        let at_home: Vec<PathBuf> = SETTINGS_AT_HOME.iter().map(|name| self.home.join(name)).collect();
        for path in at_home.into_iter().chain([PathBuf::from(SETTINGS_OF_MACHINE)]) {
            let text = fs::read_to_string(&path).unwrap_or_default();
            if !text.is_empty() && !guard::has_credentials(&text) {
                if let Some(place) = self.walk(&path) {
                    self.add_content(&place);
                }
            }
        }
    }
}
