//! What an evaluation elsewhere needs of this machine's files, followed from the ones that it starts with.

mod contents;
mod known;
mod lookups;
mod named;
mod names;
mod places;
mod repository;
mod shown;
mod tracked;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use super::environment::Asked;
use super::guard;
use super::literals::Literals;
use super::mirror::{Entry, FileKind, Identity, READ_WHOLE, SharedMirror};
use super::opening;
use super::record::Kept;
use crate::own_nix::search_path::SearchPath;
use names::{clean, in_store, resolve_file, with_default};
use places::ELSEWHERE;
use tracked::NotWhole;

/// As many links as Linux follows before it calls it a loop.
const MOST_LINKS: usize = 40;

/// Under as many names a directory is followed: links can lead in circles, each round with a longer name.
const MOST_NAMES: usize = 4;

/// As many files of one directory are asked for one by one before the rest of it is sent as well, if it is no more than
/// so many files and bytes.
const MOST_ASKED_SINGLY: usize = 3;
const SMALL_DIRECTORY: (usize, u64) = (300, 2 << 20);

/// Directories that programs look into of themselves, whatever the configuration says: their names are sent with any.
const LOOKED_INTO: [&str; 6] = ["/", "/etc", "/nix", "/nix/var", "/nix/var/nix", "/var/tmp"];
const LOOKED_INTO_AT_HOME: [&str; 6] = [
    "",
    ".config/nix",
    ".config/nixpkgs",
    ".config/git",
    ".local/share/nix",
    ".nix-defexpr",
];

/// Why something is not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It is a secret of this machine itself.
    Secret,
    /// The configuration does not name it, and not everybody on this machine may read it.
    Private,
    /// The evaluation sees the other machine's.
    TheEvaluators,
    /// A `<name>` that the configuration does not have, as far as it is known here.
    Unnamed,
    /// A store path that is named in nothing that was sent.
    UnnamedStorePath,
}

/// The files for one evaluation. They keep their absolute paths on the other side; symlinks stay symlinks, because Nix
/// resolves a linked file but reads a linked directory under the name it was given.
///
/// What is named is sent, and of every directory on the way all names, which say what there is and what there is not; all
/// else is shut (see [`super::mirror::Mirror`]) until the evaluation asks for it.
#[derive(Debug)]
pub struct Collection {
    search_path: SearchPath,
    home: PathBuf,
    config_home: PathBuf,
    mirror: SharedMirror,
    trees: BTreeSet<OsString>,
    /// Store paths that may be had if they cannot be fetched from elsewhere.
    offered: BTreeSet<PathBuf>,
    /// Of the store paths, those that are known to be made of their content alone.
    fixed: BTreeSet<OsString>,
    asked: Asked,
    /// The `<names>` that stand in the configuration's files.
    lookups: BTreeSet<String>,
    refused: BTreeMap<PathBuf, Refusal>,
    /// Directories that the configuration names, itself and by what it looks up: what is in them may be asked for.
    own: BTreeSet<PathBuf>,
    /// What is this machine's in places that are the evaluator's.
    shown: BTreeSet<PathBuf>,
    asked_for: bool,
    scanned: BTreeSet<PathBuf>,
    repositories: BTreeSet<PathBuf>,
    /// Of these, the configuration's own, of which the tracked files are its word.
    own_repositories: BTreeSet<PathBuf>,
    entered: BTreeMap<PathBuf, usize>,
    asked_in: BTreeMap<PathBuf, usize>,
    /// What git tracks in the repositories where that was asked; nothing for an index that is not known here.
    listed: BTreeMap<PathBuf, Option<BTreeSet<PathBuf>>>,
    not_whole: Option<NotWhole>,
}

impl Collection {
    /// An empty one, for a user whose home is `home`.
    #[must_use]
    pub fn new(search_path: SearchPath, home: PathBuf) -> Self {
        Self {
            search_path,
            config_home: home.join(".config"),
            home,
            mirror: SharedMirror::default(),
            trees: BTreeSet::new(),
            offered: BTreeSet::new(),
            fixed: BTreeSet::new(),
            asked: Asked::default(),
            lookups: BTreeSet::new(),
            refused: BTreeMap::new(),
            own: BTreeSet::new(),
            shown: BTreeSet::new(),
            asked_for: false,
            scanned: BTreeSet::new(),
            repositories: BTreeSet::new(),
            own_repositories: BTreeSet::new(),
            entered: BTreeMap::new(),
            asked_in: BTreeMap::new(),
            listed: BTreeMap::new(),
            not_whole: None,
        }
    }

    /// Adds the names that every evaluation needs, and those of `directory`, the current one.
    pub fn add_surroundings(&mut self, directory: &Path) {
        let at_home: Vec<PathBuf> = LOOKED_INTO_AT_HOME.iter().map(|name| self.home.join(name)).collect();
        let everywhere = LOOKED_INTO.iter().map(PathBuf::from);
        // What `import <nixpkgs>` reads of a user's.
        for name in [".config/nixpkgs", ".nixpkgs"] {
            self.own.extend(fs::canonicalize(self.home.join(name)));
        }
        // At its start Nix asks for names in the channels; an old one cannot bear not to be told.
        self.walk(Path::new("/nix/var/nix/profiles/per-user/root/channels"));
        for path in everywhere.chain(at_home).chain([directory.to_owned()]) {
            self.look_into(&path);
        }
    }

    /// Adds the names of a directory into which a program looks of itself, if it is there.
    pub fn look_into(&mut self, path: &Path) {
        if let Some(place) = self.walk(&clean(path)) {
            if place.is_dir() && !in_store(&place) {
                self.open(&place);
            }
        }
    }

    /// Adds the file in which a configuration begins; what is in its directory belongs to it.
    pub fn add_entry(&mut self, path: &Path) {
        let path = clean(path);
        for known_as in [path.clone(), fs::canonicalize(&path).unwrap_or_default()] {
            let directory = known_as.parent().unwrap_or(Path::new("/"));
            let directory = fs::canonicalize(directory).unwrap_or_default();
            let repository = directory.ancestors().find(|parent| parent.join(".git").exists());
            for own in repository.into_iter().chain([directory.as_path()]) {
                if !guard::is_too_much(own, &self.home) {
                    self.own.insert(own.to_owned());
                }
            }
        }
        self.add_configuration(&path);
    }

    /// Adds a part of the configuration: a Nix file with all that its literals reach, the names of a directory, or any
    /// other file.
    pub fn add_configuration(&mut self, path: &Path) {
        // What a file of the configuration names, the configuration names, even if the file itself was asked for.
        let asked_for = self.asked_for;
        let mut waiting = vec![(clean(path), asked_for)];
        while let Some((path, asked_for)) = waiting.pop() {
            self.asked_for = asked_for;
            // Twice, for the links on the way to a link are on neither way alone.
            let known_as = resolve_file(path.clone());
            let (Some(_), Some(place)) = (self.walk(&path), self.walk(&known_as)) else {
                continue;
            };
            if in_store(&place) {
                continue;
            }
            if place.is_file() {
                // What is named is probably read; of what is large, that is to be seen first.
                if asked_for || fs::metadata(&place).is_ok_and(|data| data.len() <= READ_WHOLE) {
                    self.add_content(&place);
                }
                let asked_for = asked_for && !self.is_own(&place);
                self.asked_for = asked_for;
                let reached = self.reached_from(&known_as, &place);
                waiting.extend(reached.into_iter().map(|path| (path, asked_for)));
            } else if place.is_dir() {
                if !asked_for && !guard::is_too_much(&place, &self.home) {
                    self.own.insert(place.clone());
                }
                self.add_names(&place);
            }
        }
        self.asked_for = asked_for;
    }

    /// Adds what another machine's evaluation has looked at: what the configuration itself names, what is in its
    /// directories, and what every user of this machine may read. For the other machine's word alone is no reason to hand
    /// out a secret.
    pub fn add_asked(&mut self, path: &Path) {
        let path = clean(path);
        let path = path
            .strip_prefix(ELSEWHERE)
            .map_or(path.clone(), |rest| Path::new("/").join(rest));
        self.asked_for = true;
        match self.walk(&path) {
            Some(place) if in_store(&place) => {}
            Some(place) if guard::is_in_git(&place) && !guard::says_the_commit(&place) => {
                let mut above = place.ancestors().skip_while(|path| !path.ends_with(".git"));
                if let Some(root) = above.nth(1) {
                    self.add_repository(root);
                }
            }
            Some(place) if place.is_dir() => _ = self.open(&place),
            Some(_) => self.add_configuration(&path),
            None => {}
        }
        self.asked_for = false;
    }

    /// Adds what an evaluation over there has failed at, where no look tells what else it would read. It stops at the
    /// first thing that it misses: when one file after another of a directory is asked for, the rest is sent as well.
    pub fn add_missed(&mut self, path: &Path) {
        self.add_asked(path);
        let Some(directory) = path.parent() else { return };
        let times = self.asked_in.entry(directory.to_owned()).or_default();
        *times += 1;
        if *times >= MOST_ASKED_SINGLY {
            let mut files = self.children(directory, FileKind::File);
            // What is a secret by its place is not sent without being read.
            files.retain(|file| !guard::is_forbidden(file));
            let sizes = files
                .iter()
                .filter_map(|path| fs::metadata(path).ok())
                .map(|data| data.len());
            if files.len() <= SMALL_DIRECTORY.0 && sizes.sum::<u64>() <= SMALL_DIRECTORY.1 {
                for path in files {
                    self.add_asked(&path);
                }
            }
        }
    }

    /// Adds what an earlier evaluation needed, as far as it is there and as if it were asked for now.
    pub fn remember(&mut self, earlier: &Kept) {
        let not_whole = self.not_whole.clone();
        for (path, entry) in &earlier.mirror.entries {
            let is_wanted = match entry {
                // Of a repository, what was read says whether it is still needed; then it comes as a whole.
                Entry::Open { .. } => !guard::is_in_git(path),
                // Of git, and that comes with the repository.
                Entry::Content {
                    identity: Identity::Made(_),
                    ..
                } => false,
                Entry::Content { .. } => !earlier.unread.contains(path),
                _ => false,
            };
            // In a place of the evaluator's, what is named this time is seen this time; so is a file that both machines have.
            let is_theirs = guard::is_the_evaluators(path) || guard::is_of_both(path);
            let is_ours = !is_theirs || self.is_shown(path);
            if is_wanted && is_ours && !shown::is_mark(path) && !self.has(path) {
                self.add_asked(path);
            }
        }
        // What is needed no more is no reason to refuse anything.
        self.not_whole = not_whole;
    }

    /// Whether all of a path is there already.
    fn has(&self, path: &Path) -> bool {
        matches!(
            self.mirror.entries.get(path),
            Some(Entry::Open { .. } | Entry::Content { .. })
        )
    }

    /// Whether other bytes than it has go in the place of a file.
    fn is_made(&self, path: &Path) -> bool {
        let entry = self.mirror.entries.get(path);
        let Some(Entry::Content { identity, .. }) = entry else {
            return false;
        };
        matches!(identity, Identity::Made(_))
    }

    /// Whether a directory may go as a whole: the configuration names it, or everybody may read it.
    fn may_add(&self, directory: &Path) -> bool {
        !self.asked_for || self.is_own(directory) || guard::is_listed_for_all(directory)
    }

    /// What is to be there.
    #[must_use]
    pub fn mirror(&self) -> &SharedMirror {
        &self.mirror
    }

    /// The names of the store paths that evaluation reads from: they are the same everywhere and are asked for by name.
    #[must_use]
    pub fn trees(&self) -> &BTreeSet<OsString> {
        &self.trees
    }

    /// The user's home, as Nix says.
    #[must_use]
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// The environment variables that the configuration asks for.
    #[must_use]
    pub fn asked(&self) -> &Asked {
        &self.asked
    }

    /// What would have been sent, had it not been refused; what the last call gave is not repeated.
    pub fn take_refused(&mut self) -> BTreeMap<PathBuf, Refusal> {
        std::mem::take(&mut self.refused)
    }

    /// The names of all that is under a directory.
    fn add_names(&mut self, place: &Path) {
        let times = self.entered.entry(place.to_owned()).or_default();
        *times += 1;
        if *times > MOST_NAMES || !self.open(place) || guard::is_too_much(place, &self.home) {
            return;
        }
        for path in self.children(place, FileKind::Directory) {
            if !path.ends_with(".git") {
                self.add_names(&path);
            }
        }
    }

    /// The paths that a Nix file's literals name; each file is read once under each of its names.
    fn reached_from(&mut self, known_as: &Path, place: &Path) -> Vec<PathBuf> {
        let is_nix = known_as.extension().is_some_and(|extension| extension == "nix");
        let is_there = matches!(self.mirror.entries.get(place), Some(Entry::Content { .. }));
        if !is_nix || !is_there || !self.scanned.insert(known_as.to_owned()) {
            return Vec::new();
        }
        let Ok(bytes) = opening::read(place) else {
            return Vec::new();
        };
        let found = Literals::of(&String::from_utf8_lossy(&bytes));
        self.heed(found.asked);
        for name in &found.lookups {
            self.add_named_lookup(name);
        }
        for text in found.strings.iter().map(Path::new) {
            // A file that both machines have would be read without anybody noticing that it is the wrong one.
            if guard::is_of_both(text) {
                self.add_configuration(text);
            } else if guard::is_text_of_ours(text) {
                self.add_text(text);
            }
        }
        let directory = known_as.parent().unwrap_or(Path::new("/"));
        let reached = found.paths.iter().map(|text| match text.strip_prefix("~/") {
            Some(rest) => clean(&self.home.join(rest)),
            None => clean(&directory.join(text)),
        });
        reached.flat_map(with_default).collect()
    }

    /// Takes note of what a file asks of the environment: but who asks for the file may have had it written, for a secret.
    fn heed(&mut self, asked: Asked) {
        if !self.asked_for {
            self.asked.names.extend(asked.names);
            self.asked.computes_names |= asked.computes_names;
        }
    }
}

#[cfg(test)]
mod tests;
