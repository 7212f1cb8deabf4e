//! Directories that go as a whole, and git repositories.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use super::Collection;
use super::names::{clean, in_store};
use crate::sources::git;
use crate::sources::guard;
use crate::sources::literals::Literals;
use crate::sources::mirror::{Entry, FileKind, Identity};
use crate::sources::opening;
use crate::sources::pins;

impl Collection {
    /// Adds a git repository as Nix reads it: everything that git keeps, and of the rest what is tracked. Nix takes a
    /// part of a repository for a whole one without a word, so a repository is never sent in parts. Returns whether it
    /// was new.
    pub fn add_repository(&mut self, root: &Path) -> bool {
        let git = root.join(".git");
        if self.walk(&git).is_none() || !self.may_add(root) || !self.repositories.insert(root.to_owned()) {
            return false;
        }
        if !self.asked_for {
            self.own_repositories.insert(root.to_owned());
        }
        if git.is_file() {
            self.add_content(&git);
        }
        let directories = git::directories(&git);
        for directory in &directories {
            self.add_everything(directory);
        }
        let index = directories.first().map(|directory| directory.join("index"));
        let tracked = index.as_deref().and_then(git::tracked);
        if let Some(tracked) = &tracked {
            self.add_tracked(root, tracked);
        } else {
            // The evaluation then asks for what is tracked.
            self.own(root);
            self.add_names(root);
        }
        // The settings come after the content, because they would be others if the content changed in between.
        let settings = self.add_git_settings(root, &directories);
        if let Some(index) = index.filter(|_| tracked.is_some()) {
            self.add_index(&index, root, &settings);
        }
        true
    }

    /// Adds the links and the names on the way to a path, and its content if it is in the store.
    pub fn add_way(&mut self, path: &Path) {
        self.walk(&clean(path));
    }

    /// Notes a store path that the other machine can probably fetch from elsewhere.
    pub fn offer(&mut self, store_path: PathBuf) {
        self.offered.insert(store_path);
    }

    /// Adds what `offer` has noted, because the other machine cannot fetch it; and the downloads that the configuration
    /// pins by their hashes.
    pub fn add_offered(&mut self) {
        let pinned: BTreeSet<PathBuf> = self
            .sent_files(pins::may_be_in)
            .flat_map(|bytes| pins::pinned(&String::from_utf8_lossy(&bytes)))
            .collect();
        self.fixed
            .extend(pinned.iter().filter_map(|path| path.file_name()).map(OsString::from));
        for path in std::mem::take(&mut self.offered).into_iter().chain(pinned) {
            self.add_way(&path);
        }
    }

    /// Returns the names of those store paths that are made of their content alone, as a download is.
    #[must_use]
    pub fn fixed(&self) -> &BTreeSet<OsString> {
        &self.fixed
    }

    /// Allows the evaluation to ask for this file, or for what is in this directory, because the configuration or the
    /// user names it.
    pub fn allow(&mut self, path: &Path) {
        if let Ok(place) = fs::canonicalize(path) {
            if !in_store(&place) && !guard::is_too_much(&place, &self.home) {
                self.own.insert(place);
            }
        }
    }

    /// Adds what the Nix files in a directory name outside of it, by absolute paths and `<names>`, and returns the
    /// references of flakes that they name. A whole package collection is left out.
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
            let found = Literals::of(&String::from_utf8_lossy(&opening::read(&file).unwrap_or_default()));
            self.heed(found.asked);
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

    /// Adds a directory with everything in it. Returns whether it was new.
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
            for path in self.children(&directory, FileKind::File) {
                if guard::is_gits_own_secret(&path) {
                    continue;
                }
                // The names of git's objects say what they are.
                let identify = if guard::is_in_git(&path) && path.components().any(|part| part.as_os_str() == "objects")
                {
                    |_: &Path, data: &fs::Metadata| Ok(Identity::of_metadata(data))
                } else {
                    Identity::of_file
                };
                self.add_content_of(&path, identify);
            }
            // Directories that are open already may not have everything in them.
            waiting.extend(self.among(&directory, |entry| {
                matches!(entry, Entry::Open { .. } | Entry::Shut(FileKind::Directory))
            }));
        }
        true
    }

    /// Notes that the configuration names what is in a directory, unless the directory was only asked for.
    fn own(&mut self, directory: &Path) {
        if !self.asked_for {
            self.own.insert(directory.to_owned());
        }
    }

    /// Returns those children of a directory whose entry satisfies `is_such`.
    fn among(&self, directory: &Path, is_such: fn(&Entry) -> bool) -> Vec<PathBuf> {
        let under = self.mirror.entries.range(directory.to_owned()..).skip(1);
        let under = under.take_while(|(path, _)| path.starts_with(directory));
        let chosen = under.filter(|(path, entry)| path.parent() == Some(directory) && is_such(entry));
        chosen.map(|(path, _)| path.clone()).collect()
    }
}
