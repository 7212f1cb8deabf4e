//! The way to a path: the links on it, and the directories with all their names.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use super::names::{clean, in_store, names, store_tree};
use super::{Collection, LOOKED_INTO, MOST_LINKS, Refusal};
use crate::sources::guard;
use crate::sources::mirror::{Entry, FileKind};

/// A directory that is always shut. Links seem to lead into it if they lead to something that the other machine has at
/// the same place.
pub(super) const ELSEWHERE: &str = "/.elsewhere";

/// A longer path, in bytes, is not sent: on the other machine it begins with the directory that holds all of this
/// machine's files, and Linux knows no path of more than 4,096 bytes.
const LONGEST: usize = 3_900;

/// No name is longer, in bytes.
const LONGEST_NAME: usize = 255;

/// Returns whether something in this directory has a path that is too long.
fn has_too_long(directory: &Path) -> bool {
    let beginning = directory.as_os_str().len() + 1;
    if beginning + LONGEST_NAME <= LONGEST {
        return false;
    }
    let mut children = fs::read_dir(directory).into_iter().flatten().flatten();
    children.any(|child| beginning + child.file_name().len() > LONGEST)
}

/// Returns the path that is still to be walked from `here`; `ahead` holds the remaining names, last first.
fn whole(here: &Path, ahead: &[OsString]) -> PathBuf {
    let rest: PathBuf = ahead.iter().rev().collect();
    clean(&here.join(rest))
}

impl Collection {
    /// Adds every link on the way to `path`, and the names of every directory on it. Returns the real place of the
    /// path, without links; None if nothing is there or nothing may be seen.
    pub(super) fn walk(&mut self, path: &Path) -> Option<PathBuf> {
        let mut ahead: Vec<OsString> = names(path);
        let mut here = PathBuf::from("/");
        let mut links = 0;
        while let Some(name) = ahead.pop() {
            if name == ".." {
                here.pop();
                continue;
            }
            let is_listed = in_store(&here) || here == Path::new("/nix/store") || self.open(&here);
            here.push(name);
            if self.is_theirs_alone(&here) {
                return Some(whole(&here, &ahead));
            }
            if let Some(tree) = store_tree(&here) {
                self.add_tree(tree);
            } else if guard::is_the_evaluators(&here) && !self.show(&whole(&here, &ahead)) {
                self.refused.insert(path.to_owned(), Refusal::TheEvaluators);
                return None;
            }
            let metadata = fs::symlink_metadata(&here).ok().filter(|_| is_listed)?;
            if metadata.is_symlink() {
                links += 1;
                let target = self.link_target(&here).ok().filter(|_| links <= MOST_LINKS)?;
                let end = clean(&here.parent().unwrap_or(Path::new("/")).join(&target));
                if guard::is_the_evaluators(&end) {
                    self.show(&whole(&end, &ahead));
                }
                self.add_link(&here, &target);
                here.pop();
                if target.is_absolute() {
                    here = PathBuf::from("/");
                }
                ahead.extend(names(&target));
            }
        }
        Some(here)
    }

    /// Adds all names of a directory, and returns whether they are there.
    pub(super) fn open(&mut self, directory: &Path) -> bool {
        if self.has(directory) {
            return true;
        }
        let is_own = self.is_own(directory);
        if self.is_forbidden(directory, FileKind::Directory) && !self.may_tell_names(directory) {
            self.refused.insert(directory.to_owned(), Refusal::Secret);
            return false;
        }
        // The evaluation sees the other machine's store, and the store of this machine is long.
        if directory == Path::new("/nix/store") {
            self.refused.insert(directory.to_owned(), Refusal::TheEvaluators);
            return false;
        }
        // The names of any other directory are told, because whoever asks for one must learn whether it exists.
        let Ok(children) = fs::read_dir(directory) else {
            return false;
        };
        // Sending a part of the names would mislead: the directory stays shut, and whoever looks inside gets an error.
        if has_too_long(directory) {
            return false;
        }
        let mtime = self.time_of(directory, directory);
        self.mirror.entries.insert(directory.to_owned(), Entry::Open { mtime });
        for child in children.flatten() {
            self.add_name(&child, is_own);
        }
        true
    }

    /// Adds a name of an open directory; `is_own` says whether the directory is a part of the configuration.
    fn add_name(&mut self, child: &fs::DirEntry, is_own: bool) {
        let path = child.path();
        let is_elsewhere = (guard::is_the_evaluators(&path) && !self.is_shown(&path))
            || guard::is_of_both(&path)
            || path == Path::new("/nix/store");
        let Ok(kind) = child.file_type() else { return };
        if is_elsewhere || self.mirror.entries.contains_key(&path) {
            return;
        }
        if kind.is_symlink() {
            if let Ok(target) = self.link_target(&path) {
                self.add_link(&path, &target);
                self.own_link(&path, is_own);
            }
            return;
        }
        let kind = match kind {
            kind if kind.is_dir() => FileKind::Directory,
            kind if kind.is_file() => FileKind::File,
            _ => FileKind::Other,
        };
        self.mirror.entries.insert(path, Entry::Shut(kind));
    }

    /// Returns the modification time of something in a directory, or of the directory, if it may be a flake's. The
    /// times of directories that change for many other reasons do not count, nor do Nix's own, which change with each
    /// generation.
    fn time_of(&self, path: &Path, directory: &Path) -> Option<i64> {
        let counts = !directory.starts_with("/nix/var")
            && !LOOKED_INTO.iter().any(|known| directory == Path::new(known))
            && !guard::is_too_much(directory, &self.home);
        let data = fs::symlink_metadata(path).ok().filter(|_| counts);
        data.map(|data| data.mtime())
    }

    /// Adds a link. If it leads into the store, its target is not sent for that, but the target must not seem to be
    /// missing.
    fn add_link(&mut self, path: &Path, target: &Path) {
        if in_store(path) {
            return;
        }
        let end = clean(&path.parent().unwrap_or(Path::new("/")).join(target));
        self.shut_store_path(&end);
        let mut target = target.to_owned();
        if guard::is_the_evaluators(&end) && !self.is_own(path) && !self.is_shown(&end) {
            // Otherwise it would lead to the other machine's file.
            target = Path::new(ELSEWHERE).join(path.strip_prefix("/").unwrap_or(path));
            let elsewhere = Entry::Shut(FileKind::Directory);
            self.mirror.entries.insert(ELSEWHERE.into(), elsewhere);
        }
        let mtime = self.time_of(path, path.parent().unwrap_or(path));
        self.mirror
            .entries
            .insert(path.to_owned(), Entry::Link { target, mtime });
    }

    /// Notes that the place where a link of the configuration leads is the configuration's, too.
    fn own_link(&mut self, path: &Path, is_own: bool) {
        let end = fs::canonicalize(path).ok().filter(|_| is_own);
        if let Some(end) = end.filter(|end| !in_store(end) && !guard::is_too_much(end, &self.home)) {
            self.own.insert(end);
        }
    }

    /// Notes the same for all links in a directory that belongs to the configuration as a whole.
    pub fn own_links_in(&mut self, directory: &Path) {
        let under = self.mirror.entries.range(directory.to_owned()..);
        let under = under.take_while(|(path, _)| path.starts_with(directory));
        let links = under.filter(|(path, entry)| matches!(entry, Entry::Link { .. }) && !guard::is_in_git(path));
        let links: Vec<PathBuf> = links.map(|(path, _)| path.clone()).collect();
        for link in links {
            self.own_link(&link, true);
        }
    }

    fn shut_store_path(&mut self, path: &Path) {
        let name = path
            .strip_prefix("/nix/store")
            .ok()
            .and_then(|rest| rest.components().next());
        let Some(Component::Normal(name)) = name else { return };
        let place = Path::new("/nix/store").join(name);
        if let Ok(data) = fs::symlink_metadata(&place) {
            let kind = if data.is_dir() {
                FileKind::Directory
            } else {
                FileKind::File
            };
            self.mirror.entries.insert(place, Entry::Shut(kind));
        }
    }

    /// Adds a store path that the evaluation reads from, if it exists here: a path that is only named cannot be sent.
    fn add_tree(&mut self, name: OsString) {
        let place = Path::new("/nix/store").join(&name);
        if fs::symlink_metadata(&place).is_err() || !self.trees.insert(name) {
            return;
        }
        // A profile is a directory of links to other store paths.
        for child in fs::read_dir(place).into_iter().flatten().flatten() {
            if let Ok(target) = fs::read_link(child.path()) {
                self.shut_store_path(&target);
            }
        }
    }
}
