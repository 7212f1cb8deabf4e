//! Files that go with their contents, unless something keeps them on this machine.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::{Collection, Refusal};
use crate::sources::guard;
use crate::sources::mirror::{Entry, FileKind, Identity, READ_WHOLE};

impl Collection {
    /// Adds everything below a directory; of a git repository, only which commit it is at.
    pub(super) fn add_whole(&mut self, place: &Path) {
        if !self.open(place) {
            return;
        }
        let in_git = guard::is_in_git(place);
        for path in self.children(place, FileKind::Directory) {
            if !in_git || guard::says_the_commit(&path) {
                self.add_whole(&path);
            }
        }
        for path in self.children(place, FileKind::File) {
            let is_wanted = if in_git {
                guard::says_the_commit(&path)
            } else {
                fs::metadata(&path).is_ok_and(|data| data.len() <= 4 * READ_WHOLE)
            };
            if is_wanted {
                self.add_content_of(&path, Identity::of_settled);
            }
        }
    }

    /// Returns the children of an open directory that are there by their names alone.
    pub(super) fn children(&self, directory: &Path, kind: FileKind) -> Vec<PathBuf> {
        let under = self.mirror.entries.range(directory.to_owned()..).skip(1);
        let under = under.take_while(|(path, _)| path.starts_with(directory));
        let shut = under.filter(|(path, entry)| path.parent() == Some(directory) && **entry == Entry::Shut(kind));
        shut.map(|(path, _)| path.clone()).collect()
    }

    pub(super) fn add_content(&mut self, path: &Path) {
        self.add_content_of(path, Identity::of_file);
    }

    pub(super) fn add_content_of(
        &mut self,
        path: &Path,
        identify: fn(&Path, &fs::Metadata) -> std::io::Result<Identity>,
    ) {
        // A file of git's settings goes without its secrets, unless it is a part of the configuration.
        let is_wanted_as_it_is =
            self.is_made(path) && (!self.asked_for || self.is_own(path)) && !guard::is_in_git(path);
        if self.has(path) && !is_wanted_as_it_is {
            return;
        }
        if self.is_forbidden(path, FileKind::File) {
            self.refused.insert(path.to_owned(), Refusal::Secret);
            return;
        }
        if self.is_withheld(path) {
            self.refused.insert(path.to_owned(), Refusal::Private);
            return;
        }
        // A file that cannot be read stays shut: the evaluation would fail at it on this machine, too.
        let Ok(data) = fs::symlink_metadata(path) else { return };
        if !data.is_file() {
            return;
        }
        let Ok(known_by) = identify(path, &data) else { return };
        self.mirror.entries.insert(
            path.to_owned(),
            Entry::Content {
                executable: data.permissions().mode() & 0o100 != 0,
                mtime: data.mtime(),
                identity: known_by,
            },
        );
    }

    /// Returns whether another machine asks for a file that it has no business with.
    pub(super) fn is_withheld(&self, path: &Path) -> bool {
        self.asked_for && !self.is_own(path) && !guard::is_public(path)
    }

    pub(super) fn is_own(&self, path: &Path) -> bool {
        path.ancestors().any(|ancestor| self.own.contains(ancestor))
    }
}
