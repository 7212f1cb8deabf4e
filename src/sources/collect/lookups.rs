//! Names in angle brackets and store paths: things that are asked for by a name, not by a path.

use std::path::{Path, PathBuf};

use super::names::{clean, in_store, with_default};
use super::{Collection, Refusal};
use crate::sources::guard;
use crate::sources::mirror::{Entry, READ_WHOLE};
use crate::sources::opening;
use crate::store_path::StorePath;

/// Names that Nix and NixOS look up on their own, in files that lie in the store and are not read here:
/// `nixos/default.nix`, `nixos/lib/from-env.nix`, `pkgs/top-level/impure.nix`, `nix/fetchurl.nix`.
const LOOKED_UP_BY_NIXOS: [&str; 5] = ["nix", "nixos-config", "nixos-system", "nixpkgs", "nixpkgs-overlays"];

impl Collection {
    /// Adds what a name in angle brackets stands for, and returns whether it stands for anything. A package collection
    /// is read in many places and goes as a whole; anything else is a part of the configuration.
    pub fn add_lookup(&mut self, name: &str) -> bool {
        let first = first_of(name);
        // A prefix may itself contain a slash (-I a/b=/c).
        let Some(path) = self.search_path.find(first).or_else(|| self.search_path.find(name)) else {
            return false;
        };
        let path = clean(&path);
        let Some(place) = self.walk(&path) else { return false };
        if in_store(&place) {
            return true;
        }
        let is_its_own = !self.asked_for && !guard::is_too_much(&place, &self.home);
        if place.is_dir() && (first == "nixpkgs" || place.join("pkgs/top-level").is_dir()) {
            if !self.may_add(&place) {
                self.refused.insert(place, Refusal::Private);
            } else if self.scanned.insert(place.clone()) {
                if !self.asked_for {
                    self.own.insert(place.clone());
                }
                self.add_whole(&place);
            }
            return true;
        }
        if place.is_dir() && is_its_own {
            self.own.insert(place);
        }
        if let Some(path) = self.search_path.find(name) {
            for path in with_default(path) {
                self.add_configuration(&path);
            }
        }
        true
    }

    /// Adds the same for a name that occurs in one of the files that are sent; from now on the name is known.
    pub(super) fn add_named_lookup(&mut self, name: &str) {
        // If a file was itself asked for, whoever asks for it may have written what is in it.
        if !self.asked_for {
            self.lookups.insert(first_of(name).to_owned());
        }
        self.add_lookup(name);
    }

    /// Adds what an evaluation on another machine has not found by this name, and returns whether it exists here. The
    /// other machine's word alone is no reason to look anything up: the name must be one that the configuration, the
    /// user's search path or NixOS itself has, and it must lead below what the search path says. What is found there
    /// counts as asked for ([`Collection::add_asked`]).
    pub fn add_asked_lookup(&mut self, name: &str) -> bool {
        let first = first_of(name);
        let is_known = self.lookups.contains(first)
            || LOOKED_UP_BY_NIXOS.contains(&first)
            || self.search_path.is_given(name)
            || self.search_path.is_given(first);
        if !is_known || !leads_below(name) {
            self.refused.insert(format!("<{name}>").into(), Refusal::Unnamed);
            return false;
        }
        self.asked_for = true;
        let is_found = self.add_lookup(name);
        self.asked_for = false;
        is_found
    }

    /// Returns what `<name>` stands for here.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<PathBuf> {
        self.search_path.find(name)
    }

    /// Returns whether `<name>` is an address, which the evaluator fetches.
    #[must_use]
    pub fn is_address(&self, name: &str) -> bool {
        self.search_path.is_address(name)
    }

    /// Returns whether `<name>` may be in an archive of this machine, which the evaluator fetches once it has the
    /// archive.
    #[must_use]
    pub fn is_in_own_archive(&self, name: &str) -> bool {
        self.search_path.is_in_own_archive(name)
    }

    /// Returns whether an evaluation on the other machine can know of a store path, from what was sent or from these
    /// `texts`. It wants the path with all its dependencies. If it cannot know of the path, the path is noted as
    /// refused.
    pub fn may_ask_for(&mut self, path: &StorePath, texts: &[&[u8]]) -> bool {
        let place = Path::new(path.as_str());
        let is_sent = place.file_name().is_some_and(|name| self.trees.contains(name));
        let is_known = is_sent
            || self.offered.contains(place)
            || self.mirror.entries.contains_key(place)
            || texts.iter().any(|text| mentions(text, path))
            || self.sent_files(|_| true).any(|bytes| mentions(&bytes, path));
        if !is_known {
            self.refused.insert(place.to_owned(), Refusal::UnnamedStorePath);
        }
        is_known
    }

    /// Returns the small files whose content is there, one after another.
    pub(super) fn sent_files<'a>(&'a self, wanted: impl Fn(&Path) -> bool + 'a) -> impl Iterator<Item = Vec<u8>> + 'a {
        let files = self.mirror.entries.iter().filter_map(move |(path, entry)| match entry {
            Entry::Content { .. } if !guard::is_in_git(path) && wanted(path) => Some(path),
            _ => None,
        });
        files.filter_map(|path| {
            let (_, data) = opening::open(path).ok()?;
            (data.len() <= READ_WHOLE).then(|| opening::read(path).ok())?
        })
    }
}

/// Returns whether a text contains a store path's name.
fn mentions(text: &[u8], path: &StorePath) -> bool {
    let name = Path::new(path.as_str())
        .file_name()
        .unwrap_or_default()
        .as_encoded_bytes();
    !name.is_empty() && text.windows(name.len()).any(|part| part == name)
}

/// Returns `a` of `a/b/c`.
fn first_of(name: &str) -> &str {
    name.split('/').next().unwrap_or(name)
}

/// Returns whether a name can only lead below an entry of the search path. Apart from `..`, no Nix file can have
/// another kind of name in angle brackets.
fn leads_below(name: &str) -> bool {
    !name.contains('\0') && name.split('/').all(|part| !["", ".", ".."].contains(&part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_lead_elsewhere() {
        for name in [
            "",
            "/root/.bash_history",
            "nixpkgs//root/.bash_history",
            "../../../root/.bash_history",
            "nixpkgs/../../root",
            "nixpkgs/.",
            "nixpkgs/",
            "..",
            "nixpkgs/a\0b",
        ] {
            assert!(!leads_below(name), "{name:?}");
        }
        for name in ["nixpkgs", "home-manager/nixos", "a/..b", "a/.b", "a b/c"] {
            assert!(leads_below(name), "{name:?}");
        }
    }
}
