//! This machine's own files in places where an evaluation elsewhere sees the evaluator's files: the ones that the
//! configuration names there.
//!
//! The evaluation needs programs, devices and certificates of the machine that it runs on (`guard::is_the_evaluators`).
//! Everything else in the same directories belongs to a configuration as it would anywhere else, for example in
//! `/usr/src` or `/dev/shm`. It is shown at its place. In the directories above it, both machines' names are seen; a
//! tree of directories tells `view.sh` which ones these are.

use std::fs;
use std::path::{Path, PathBuf};

use super::Collection;
use super::names::clean;
use crate::sources::guard;
use crate::sources::mirror::Entry;

/// This directory has a directory for each one in which both machines have names, and a link for each name that neither
/// machine is to have.
const BOTH: &str = "/.both";

impl Collection {
    /// Returns whether a path in a place of the evaluator's shows this machine's file all the same.
    pub(super) fn is_shown(&self, path: &Path) -> bool {
        path.ancestors().any(|ancestor| self.shown.contains(ancestor))
    }

    /// Makes a path show this machine's file if that is possible, and returns whether it does.
    ///
    /// A path that does not exist is shown, too, if the configuration names it: it must not exist on the other machine
    /// either.
    pub(super) fn show(&mut self, path: &Path) -> bool {
        if self.is_shown(path) {
            return true;
        }
        let Some(top) = self.top_for(path) else {
            return false;
        };
        let above: Vec<&Path> = top.ancestors().skip(1).collect();
        for directory in above.into_iter().rev() {
            if guard::is_the_evaluators(directory) {
                self.share(directory);
            }
        }
        self.shown.insert(top.clone());
        if fs::symlink_metadata(&top).is_ok() {
            self.take_back(&top);
        } else {
            let nothing = Entry::Link {
                target: BOTH.into(),
                mtime: None,
            };
            self.mirror.entries.insert(both(&top), nothing);
        }
        true
    }

    /// Adds what a text names if it is probably read as a path: a file with its content, or the names of a directory.
    pub(super) fn add_text(&mut self, path: &Path) {
        match self.walk(&clean(path)) {
            Some(place) if place.is_dir() => _ = self.open(&place),
            Some(_) => self.add_configuration(path),
            None => {}
        }
    }

    /// Returns what is shown for a path: the first link on the way to it, or else the directory that it is or that holds
    /// it; only the file itself if programs look into that directory.
    fn top_for(&self, path: &Path) -> Option<PathBuf> {
        if !guard::can_be_shown(path) {
            return None;
        }
        let mut on_the_way: Vec<&Path> = path.ancestors().filter(|above| guard::can_be_shown(above)).collect();
        on_the_way.reverse();
        let is_link = |path: &Path| fs::symlink_metadata(path).is_ok_and(|data| data.is_symlink());
        if let Some(link) = on_the_way.into_iter().find(|above| is_link(above)) {
            return Some(link.to_owned());
        }
        let own = Some(path.to_owned());
        match fs::symlink_metadata(path) {
            Ok(data) if data.is_dir() => own.filter(|path| !guard::is_everybodys(path)),
            Ok(data) if data.is_file() => {
                let directory = path.parent().filter(|_| !self.asked_for);
                let directory = directory.filter(|directory| !guard::is_everybodys(directory));
                directory.map(Path::to_owned).or(own)
            }
            Ok(_) => None,
            Err(_) => own.filter(|path| !self.asked_for && !guard::is_everybodys(path)),
        }
    }

    /// Notes that both machines' names are seen in this directory.
    fn share(&mut self, directory: &Path) {
        let open = || Entry::Open { mtime: None };
        if self.mirror.entries.contains_key(directory) {
            return;
        }
        self.mirror.entries.insert(directory.to_owned(), open());
        let both = both(directory);
        for path in both.ancestors().filter(|path| path.starts_with(BOTH)) {
            self.mirror.entries.insert(path.to_owned(), open());
        }
    }

    /// Removes what was shared in a directory that now shows this machine's files alone.
    fn take_back(&mut self, top: &Path) {
        let marked = both(top);
        let shared = self.mirror.entries.range(marked.clone()..);
        let shared = shared.take_while(|(path, _)| path.starts_with(&marked));
        let shared: Vec<PathBuf> = shared.map(|(path, _)| path.clone()).collect();
        for mark in shared {
            let directory = Path::new("/").join(mark.strip_prefix(BOTH).unwrap_or(&mark));
            if let Some(Entry::Open { .. }) = self.mirror.entries.remove(&mark) {
                self.mirror.entries.remove(&directory);
                self.open(&directory);
            }
        }
    }
}

/// Returns the path that marks a directory as one in which both machines' names are seen.
fn both(directory: &Path) -> PathBuf {
    Path::new(BOTH).join(directory.strip_prefix("/").unwrap_or(directory))
}

/// Returns whether a path is such a mark, and no path of this machine.
pub(super) fn is_mark(path: &Path) -> bool {
    path.starts_with(BOTH)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use tempfile::TempDir;

    use super::super::Refusal;
    use super::*;
    use crate::own_nix::search_path::SearchPath;

    /// Makes files in a place that is the evaluator's and that every Linux has.
    fn tree(files: &[(&str, &str)]) -> TempDir {
        let root = tempfile::Builder::new().prefix("shown").tempdir_in("/dev/shm").unwrap();
        for (name, text) in files {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    fn collection() -> Collection {
        Collection::new(SearchPath::none(), PathBuf::from("/root"))
    }

    fn entry<'a>(collection: &'a Collection, path: &Path) -> Option<&'a Entry> {
        collection.mirror().entries.get(path)
    }

    #[test]
    fn a_configuration_that_lies_in_the_evaluators_place_is_sent_like_any_other() {
        let root = tree(&[
            ("conf/configuration.nix", "{ imports = [ ./more.nix ../lib/x.nix ]; }"),
            ("conf/more.nix", "{ }"),
            ("conf/unread", "1"),
            ("lib/x.nix", "{ }"),
        ]);
        let path = |name: &str| root.path().join(name);
        let mut found = collection();
        found.add_entry(&path("conf/configuration.nix"));
        for name in ["conf/configuration.nix", "conf/more.nix", "lib/x.nix"] {
            assert!(
                matches!(entry(&found, &path(name)), Some(Entry::Content { .. })),
                "{name}"
            );
        }
        // Its directory has all of its names; the directories above it show both machines' names.
        assert!(matches!(entry(&found, &path("conf/unread")), Some(Entry::Shut(_))));
        for both in ["/.both", "/.both/dev", "/.both/dev/shm"] {
            assert!(
                matches!(entry(&found, Path::new(both)), Some(Entry::Open { .. })),
                "{both}"
            );
        }
        assert!(entry(&found, &both(&path("conf"))).is_none());
        assert!(entry(&found, Path::new("/dev/null")).is_none());
        assert!(found.take_refused().is_empty());
    }

    /// The other machine may have such a file.
    #[test]
    fn what_is_named_and_not_there_is_not_there_on_the_other_side() {
        let root = tree(&[("conf/configuration.nix", "[ ../gone/x.nix ]")]);
        let gone = root.path().join("gone/x.nix");
        let mut found = collection();
        found.add_configuration(&root.path().join("conf/configuration.nix"));
        assert!(entry(&found, &gone).is_none());
        assert!(matches!(entry(&found, &both(&gone)), Some(Entry::Link { .. })));
        // But the mere asking gets no answer.
        let mut asked = collection();
        asked.add_asked(&gone);
        assert!(asked.mirror().entries.keys().all(|path| !is_mark(path)));
    }

    /// Nobody knows what becomes of a string; but if it is read as a path, it must be this machine's.
    #[test]
    fn what_only_a_string_names_is_this_machines() {
        let root = tree(&[("lib/text", "1"), ("lib/more/x", "2")]);
        let place = root.path().display();
        let conf = tempfile::tempdir().unwrap();
        let file = conf.path().join("configuration.nix");
        fs::write(
            &file,
            format!("[ \"{place}/lib/text\" \"{place}/lib/more/${{x}}\" \"{place}/none\" \"/dev/null\" ]"),
        )
        .unwrap();
        let mut found = collection();
        found.add_configuration(&file);
        let path = |name: &str| root.path().join(name);
        assert!(matches!(entry(&found, &path("lib/text")), Some(Entry::Content { .. })));
        assert!(matches!(entry(&found, &path("lib/more")), Some(Entry::Open { .. })));
        assert!(matches!(entry(&found, &path("lib/more/x")), Some(Entry::Shut(_))));
        assert!(matches!(entry(&found, &both(&path("none"))), Some(Entry::Link { .. })));
        assert!(found.take_refused().is_empty());
    }

    #[test]
    fn a_directory_of_which_a_part_was_shown_becomes_whole() {
        let root = tree(&[("c/a/b/x.nix", "{ }"), ("c/a/other", "1"), ("c/y.nix", "{ }")]);
        let path = |name: &str| root.path().join(name);
        let mut found = collection();
        found.add_configuration(&path("c/a/b/x.nix"));
        assert!(entry(&found, &both(&path("c/a"))).is_some() && entry(&found, &path("c/a/other")).is_none());
        found.add_configuration(&path("c/y.nix"));
        assert!(entry(&found, &both(&path("c"))).is_none() && entry(&found, &both(&path("c/a"))).is_none());
        assert!(matches!(entry(&found, &path("c/a/other")), Some(Entry::Shut(_))));
        assert!(matches!(
            entry(&found, &path("c/a/b/x.nix")),
            Some(Entry::Content { .. })
        ));
    }

    #[test]
    fn links_there_are_this_machines_and_are_followed() {
        let root = tree(&[("real/x.nix", "{ }")]);
        let link = root.path().join("link");
        std::os::unix::fs::symlink("real", &link).unwrap();
        let mut found = collection();
        found.add_configuration(&link.join("x.nix"));
        assert!(matches!(entry(&found, &link), Some(Entry::Link { .. })));
        assert!(matches!(
            entry(&found, &root.path().join("real/x.nix")),
            Some(Entry::Content { .. })
        ));
    }

    #[test]
    fn programs_devices_and_whole_places_stay_the_evaluators() {
        for path in [
            "/bin/sh",
            "/usr/bin/env",
            "/proc/cpuinfo",
            "/dev/null",
            "/dev/shm",
            "/usr",
        ] {
            let mut found = collection();
            found.add_configuration(Path::new(path));
            let refused: Vec<Refusal> = found.take_refused().into_values().collect();
            assert_eq!(refused.first(), Some(&Refusal::TheEvaluators), "{path}");
            assert!(found.mirror().entries.keys().all(|path| !is_mark(path)), "{path}");
        }
    }
}
