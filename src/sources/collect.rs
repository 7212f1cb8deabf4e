//! The files of this machine that an evaluation elsewhere needs, found by following the ones that it starts with.

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
use super::generations;
use super::guard;
use super::literals::Literals;
use super::mirror::{Entry, FileKind, Identity, READ_WHOLE, SharedMirror};
use super::opening;
use super::record::Kept;
use crate::own_nix::search_path::SearchPath;
use crate::store_path::StorePath;
use names::{clean, in_store, resolve_file, with_default};
use places::ELSEWHERE;
use tracked::NotWhole;

/// Linux follows this many links before it calls them a loop.
const MOST_LINKS: usize = 40;

/// A directory is followed under at most this many names: links can form circles, and each round gives a longer name.
const MOST_NAMES: usize = 4;

/// This many files of one directory are asked for one by one. After that, the rest of the directory is sent as well if
/// it has no more than the following numbers of files and bytes.
const MOST_ASKED_SINGLY: usize = 3;
const SMALL_DIRECTORY: (usize, u64) = (300, 2 << 20);

/// Directories that programs look into on their own, whatever the configuration says: their names are always sent.
const LOOKED_INTO: [&str; 6] = ["/", "/etc", "/nix", "/nix/var", "/nix/var/nix", "/var/tmp"];
const LOOKED_INTO_AT_HOME: [&str; 6] = [
    "",
    ".config/nix",
    ".config/nixpkgs",
    ".config/git",
    ".local/share/nix",
    ".nix-defexpr",
];

/// The reason why something is not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It is a secret of this machine itself.
    Secret,
    /// The configuration does not name it, and not every user of this machine may read it.
    Private,
    /// The evaluation sees the other machine's file of this name.
    TheEvaluators,
    /// A `<name>` that does not occur in the configuration, as far as is known here.
    Unnamed,
    /// A store path that nothing that was sent names.
    UnnamedStorePath,
}

/// The files for one evaluation. They keep their absolute paths on the other side. Symlinks stay symlinks, because Nix
/// resolves a linked file but reads a linked directory under the name it was given.
///
/// Whatever is named is sent. Of every directory on the way to it, all names are sent, so that the evaluation knows
/// what exists and what does not. Everything else is shut (see [`super::mirror::Mirror`]) until the evaluation asks for
/// it.
#[derive(Debug)]
pub struct Collection {
    search_path: SearchPath,
    home: PathBuf,
    config_home: PathBuf,
    mirror: SharedMirror,
    trees: BTreeSet<OsString>,
    /// Store paths that are sent if the other machine cannot fetch them from elsewhere.
    offered: BTreeSet<PathBuf>,
    /// Those of the store paths whose names are known to follow from their content alone.
    fixed: BTreeSet<OsString>,
    asked: Asked,
    /// The `<names>` that occur in the configuration's files.
    lookups: BTreeSet<String>,
    refused: BTreeMap<PathBuf, Refusal>,
    /// Directories that the configuration names, directly or by what it looks up: the evaluation may ask for anything
    /// in them.
    own: BTreeSet<PathBuf>,
    /// The paths that show this machine's files although they lie in places that are the evaluator's.
    shown: BTreeSet<PathBuf>,
    asked_for: bool,
    scanned: BTreeSet<PathBuf>,
    /// Whether a file names a place that changes with each generation of this machine's system.
    names_generations: bool,
    repositories: BTreeSet<PathBuf>,
    /// Those of these repositories that are the configuration's own: their tracked files count as the configuration's
    /// word.
    own_repositories: BTreeSet<PathBuf>,
    entered: BTreeMap<PathBuf, usize>,
    asked_in: BTreeMap<PathBuf, usize>,
    /// What git tracks in each repository that was asked about; None for an index of a kind that is not known here.
    listed: BTreeMap<PathBuf, Option<BTreeSet<PathBuf>>>,
    not_whole: Option<NotWhole>,
    /// A link of this machine that is to lead elsewhere, and where.
    relinked: Option<(PathBuf, PathBuf)>,
}

impl Collection {
    /// Returns an empty collection for a user whose home is `home`.
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
            names_generations: false,
            repositories: BTreeSet::new(),
            own_repositories: BTreeSet::new(),
            entered: BTreeMap::new(),
            asked_in: BTreeMap::new(),
            listed: BTreeMap::new(),
            not_whole: None,
            relinked: None,
        }
    }

    /// Has a link lead to a store path as soon as the evaluation sees it. This machine need not have that path: then it is
    /// the other machine's, and nothing of it is sent. This comes before all else.
    pub fn relink(&mut self, link: &Path, to: &StorePath) {
        self.relinked = Some((link.to_owned(), to.as_path().to_owned()));
    }

    /// Returns where a link leads.
    fn link_target(&self, link: &Path) -> std::io::Result<PathBuf> {
        match &self.relinked {
            Some((relinked, target)) if relinked == link => Ok(target.clone()),
            _ => fs::read_link(link),
        }
    }

    /// Returns whether only the other machine has this store path.
    fn is_theirs_alone(&self, path: &Path) -> bool {
        let relinked = self.relinked.as_ref();
        relinked.is_some_and(|(_, target)| target == path && fs::symlink_metadata(path).is_err())
    }

    /// Whether the configuration names, as a path, a place that changes with each generation of this machine's system.
    #[must_use]
    pub fn names_generations(&self) -> bool {
        self.names_generations
    }

    /// Adds the names that every evaluation needs, and those of `directory`, the current directory.
    pub fn add_surroundings(&mut self, directory: &Path) {
        let at_home: Vec<PathBuf> = LOOKED_INTO_AT_HOME.iter().map(|name| self.home.join(name)).collect();
        let everywhere = LOOKED_INTO.iter().map(PathBuf::from);
        // `import <nixpkgs>` reads these in the user's home.
        for name in [".config/nixpkgs", ".nixpkgs"] {
            self.own.extend(fs::canonicalize(self.home.join(name)));
        }
        // Nix asks for names in the channels when it starts; an old Nix fails if it gets no answer.
        self.walk(Path::new("/nix/var/nix/profiles/per-user/root/channels"));
        for path in everywhere.chain(at_home).chain([directory.to_owned()]) {
            self.look_into(&path);
        }
    }

    /// Adds the names of a directory into which a program looks on its own, if the directory exists.
    pub fn look_into(&mut self, path: &Path) {
        if let Some(place) = self.walk(&clean(path)) {
            if place.is_dir() && !in_store(&place) {
                self.open(&place);
            }
        }
    }

    /// Adds the file in which a configuration begins. What is in its directory belongs to the configuration.
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

    /// Adds a part of the configuration: a Nix file with everything that its literals reach, the names of a directory,
    /// or any other file.
    pub fn add_configuration(&mut self, path: &Path) {
        // What a file of the configuration names is named by the configuration, even if the file itself was asked for.
        let asked_for = self.asked_for;
        let mut waiting = vec![(clean(path), asked_for)];
        while let Some((path, asked_for)) = waiting.pop() {
            self.asked_for = asked_for;
            // This is done twice, because the links on the way to a link are not on either way alone.
            let known_as = resolve_file(path.clone());
            let (Some(_), Some(place)) = (self.walk(&path), self.walk(&known_as)) else {
                continue;
            };
            if in_store(&place) {
                continue;
            }
            if place.is_file() {
                // What is named is probably read. A large file is sent only once it has been seen to be read.
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

    /// Adds what an evaluation on another machine has looked at, if the configuration itself names it, if it is in one
    /// of the configuration's directories, or if every user of this machine may read it. The other machine's word alone
    /// is no reason to hand out a secret.
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

    /// Adds what an evaluation on the other machine has failed at, in a mode where no look tells what else it would
    /// read. The evaluation stops at the first thing that is missing. So when it asks for one file after another of the
    /// same directory, the rest of the directory is sent as well.
    pub fn add_missed(&mut self, path: &Path) {
        self.add_asked(path);
        let Some(directory) = path.parent() else { return };
        let times = self.asked_in.entry(directory.to_owned()).or_default();
        *times += 1;
        if *times >= MOST_ASKED_SINGLY {
            let mut files = self.children(directory, FileKind::File);
            // A file that is a secret by its place is not sent unless it is read.
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

    /// Adds what an earlier evaluation needed, if it still exists, as if it were asked for now.
    pub fn remember(&mut self, earlier: &Kept) {
        let not_whole = self.not_whole.clone();
        for (path, entry) in &earlier.mirror.entries {
            let is_wanted = match entry {
                // What was read of a repository shows whether it is still needed; then it comes as a whole.
                Entry::Open { .. } => !guard::is_in_git(path),
                // A file of git comes with its repository.
                Entry::Content {
                    identity: Identity::Made(_),
                    ..
                } => false,
                Entry::Content { .. } => !earlier.unread.contains(path),
                _ => false,
            };
            // In a place of the evaluator's, only what is named this time is shown this time. The same holds for a file
            // that both machines have.
            let is_theirs = guard::is_the_evaluators(path) || guard::is_of_both(path);
            let is_ours = !is_theirs || self.is_shown(path);
            if is_wanted && is_ours && !shown::is_mark(path) && !self.has(path) {
                self.add_asked(path);
            }
        }
        // What is no longer needed is no reason to refuse the run.
        self.not_whole = not_whole;
    }

    /// Returns whether everything of a path is there already.
    fn has(&self, path: &Path) -> bool {
        matches!(
            self.mirror.entries.get(path),
            Some(Entry::Open { .. } | Entry::Content { .. })
        )
    }

    /// Returns whether other bytes than the file's own go in its place.
    fn is_made(&self, path: &Path) -> bool {
        let entry = self.mirror.entries.get(path);
        let Some(Entry::Content { identity, .. }) = entry else {
            return false;
        };
        matches!(identity, Identity::Made(_))
    }

    /// Returns whether a directory may go as a whole: if the configuration names it, or every user may read it.
    fn may_add(&self, directory: &Path) -> bool {
        !self.asked_for || self.is_own(directory) || guard::is_listed_for_all(directory)
    }

    /// Returns the mirror that the other machine is to have.
    #[must_use]
    pub fn mirror(&self) -> &SharedMirror {
        &self.mirror
    }

    /// Returns the names of the store paths that the evaluation reads from. They are the same on every machine, so they
    /// are asked for by name.
    #[must_use]
    pub fn trees(&self) -> &BTreeSet<OsString> {
        &self.trees
    }

    /// Returns the user's home, as Nix determines it.
    #[must_use]
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// Returns the environment variables that the configuration asks for.
    #[must_use]
    pub fn asked(&self) -> &Asked {
        &self.asked
    }

    /// Returns what would have been sent if it had not been refused. What an earlier call returned is not repeated.
    pub fn take_refused(&mut self) -> BTreeMap<PathBuf, Refusal> {
        std::mem::take(&mut self.refused)
    }

    /// Adds the names of everything below a directory.
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

    /// Returns the paths that a Nix file's literals name. Each file is read once under each of its names.
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
            // If both machines have this file, the evaluation would read the wrong one and nobody would notice.
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
        let reached: Vec<PathBuf> = reached.collect();
        self.names_generations |= reached.iter().any(|path| generations::may_see(path));
        reached.into_iter().flat_map(with_default).collect()
    }

    /// Notes what a file asks of the environment, unless the file itself was asked for: whoever asks for it may have
    /// had it written in order to get a secret.
    fn heed(&mut self, asked: Asked) {
        if !self.asked_for {
            self.asked.names.extend(asked.names);
            self.asked.computes_names |= asked.computes_names;
        }
    }
}

#[cfg(test)]
mod tests;
