//! What git tracks in a work tree. It goes with its repository as a whole, or the run is refused: libgit2, and Nix with
//! it, takes a directory that it may not look into for deleted, and goes on.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::{Collection, Refusal};
use crate::failure::Failure;
use crate::process::quote::shell_word;
use crate::sources::git;
use crate::sources::git::index::{Rules, Tracked, with_unchanged_marked};
use crate::sources::git::settings::{Form, Settings};
use crate::sources::guard;
use crate::sources::mirror::{Entry, FileKind, Identity, Replacement};
use crate::sources::opening;

/// What git reads of the machine's files, and in a work tree whether it is tracked or not.
const SETTINGS_OF_MACHINE: &str = "/etc/gitconfig";
const PATTERNS_OF_MACHINE: &str = "/etc/gitattributes";
const SETTINGS_IN_TREE: [&str; 2] = [".gitattributes", ".gitignore"];

/// This many bytes of a file are read to see what it is.
const TELLING: u64 = 64 << 10;

/// The reason why a repository cannot go as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NotWhole {
    file: PathBuf,
    is_secret: bool,
}

impl Collection {
    /// Checks that everything that is tracked in the repositories of this collection may go.
    ///
    /// # Errors
    /// Returns an error if something may not go: an evaluation would see another tree.
    pub fn expect_whole(&self) -> Result<(), Failure> {
        let Some(NotWhole { file, is_secret }) = &self.not_whole else {
            return Ok(());
        };
        let shown = crate::harmless::name(&file.to_string_lossy());
        let word = |text: &OsStr| shell_word(text).map(|word| String::from_utf8_lossy(&word).into_owned());
        let directory = file.parent().unwrap_or(file).as_os_str();
        let name = file.file_name().unwrap_or_default();
        let untrack = format!("git -C {} rm -r --cached {}", word(directory)?, word(name)?);
        Err(if *is_secret {
            Failure::new(format!(
                "git tracks {shown}, which is a secret of this machine and never leaves it; a repository goes whole or not at all"
            ))
            .with_remedy(format!(
                "take it out of the repository, the file stays: {untrack}\n\
                 what was committed stays in the history, and goes with it: make a new key\n\
                 or evaluate here: --eval-on ''"
            ))
        } else {
            Failure::new(format!(
                "git tracks {shown}, of which an evaluation elsewhere sees that machine's"
            ))
            .with_remedy(format!(
                "evaluate here: --eval-on ''\nor take it out of the repository: {untrack}"
            ))
        })
    }

    /// Adds what is tracked in a work tree, and the names of the directories that hold it.
    pub(super) fn add_tracked(&mut self, root: &Path, tracked: &Tracked) {
        let mut directories = BTreeSet::from([root.to_owned()]);
        self.open(root);
        for name in &tracked.files {
            if let Some(path) = self.find_tracked(root, name) {
                self.add_tracked_file(&path);
                directories.extend(path.parent().map(Path::to_path_buf));
            } else {
                self.tell_evaluators(&root.join(name));
            }
        }
        for name in directories
            .iter()
            .flat_map(|path| SETTINGS_IN_TREE.map(|name| path.join(name)))
        {
            if let Some(Entry::Shut(FileKind::File)) = self.mirror.entries.get(&name) {
                self.add_content(&name);
            }
        }
        for name in &tracked.modules {
            if let Some(path) = self.find_tracked(root, name) {
                self.add_repository(&path);
            }
        }
    }

    fn add_tracked_file(&mut self, path: &Path) {
        match self.mirror.entries.get(path) {
            Some(Entry::Shut(FileKind::File) | Entry::Content { .. }) => self.add_content(path),
            // The evaluation sees the other machine's file here, unless this machine's is added.
            None if guard::is_of_both(path) && path.is_file() => self.add_content(path),
            None => self.tell_evaluators(path),
            _ => {}
        }
        self.tell_refused(path);
    }

    /// Takes a tracked file that is not in what is sent. If the file exists, its place is the evaluator's, and this is
    /// noted; if it exists nowhere, there is nothing to note.
    fn tell_evaluators(&mut self, path: &Path) {
        if guard::is_the_evaluators(path) && fs::symlink_metadata(path).is_ok() {
            self.tell_not_whole(path, false);
        }
    }

    /// Notes that something tracked was refused.
    fn tell_refused(&mut self, path: &Path) {
        if self.refused.get(path) == Some(&Refusal::Secret) {
            self.refused.remove(path);
            self.tell_not_whole(path, true);
        }
    }

    fn tell_not_whole(&mut self, path: &Path, is_secret: bool) {
        let file = path.to_owned();
        self.not_whole.get_or_insert(NotWhole { file, is_secret });
    }

    /// Returns where a tracked file is. git takes a file behind a link for deleted.
    fn find_tracked(&mut self, root: &Path, name: &Path) -> Option<PathBuf> {
        let mut here = root.to_owned();
        for part in name.components() {
            let is_directory = matches!(
                self.mirror.entries.get(&here),
                Some(Entry::Open { .. } | Entry::Shut(FileKind::Directory))
            );
            if !is_directory || !self.open(&here) {
                self.tell_refused(&here);
                return None;
            }
            here.push(part);
        }
        Some(here)
    }

    /// Returns whether the names in a directory, or a file's content, never leave this machine. If it is in a
    /// repository or is the configuration's own, it does not matter that it lies in `.ssh` or `.gnupg`: a directory's
    /// names go, and for a file only its content counts.
    pub(super) fn is_forbidden(&mut self, path: &Path, kind: FileKind) -> bool {
        guard::is_forbidden(path)
            && (guard::is_of_the_machine(path) && kind != FileKind::Directory
                || !self.may_look(path, kind)
                || !(self.is_of_configuration(path) || self.is_in_repository(path))
                || (kind == FileKind::File && is_secret(path)))
    }

    /// Returns whether its names may be seen. That a home is a repository is no reason to let somebody look into it:
    /// the configuration must read that repository, or name it.
    fn may_look(&self, path: &Path, kind: FileKind) -> bool {
        let is_added = || path.ancestors().any(|above| self.repositories.contains(above));
        let is_shown = || kind == FileKind::File || guard::is_listed_for_all(path);
        !self.asked_for || self.is_own(path) || (is_added() && is_shown())
    }

    /// Returns whether the path lies in a `.gnupg` or the like within a directory of the configuration's. If the
    /// configuration's directory is such a directory itself, such as `~/.ssh`, it does not count.
    fn is_of_configuration(&self, path: &Path) -> bool {
        let mut own = path.ancestors().filter(|above| self.own.contains(*above));
        !guard::is_of_the_machine(path)
            && !guard::is_named_as_key(path)
            && own.any(|own| !guard::is_forbidden(&own.join("x")))
    }

    /// Returns whether the path is tracked, or has something in it that is tracked.
    fn is_in_repository(&mut self, path: &Path) -> bool {
        let mut above = path.ancestors();
        let Some(root) = above.find(|place| place.join(".git").exists()) else {
            return false;
        };
        let name = path.strip_prefix(root).unwrap_or(path);
        let listed = self.listed.entry(root.to_owned()).or_insert_with(|| {
            let directories = git::directories(&root.join(".git"));
            let tracked = git::tracked(&directories.first()?.join("index"))?;
            Some(tracked.files.into_iter().chain(tracked.modules).collect())
        });
        let is_listed = |listed: &BTreeSet<PathBuf>| {
            let mut after = listed.range(name.to_owned()..);
            after.next().is_some_and(|first| first.starts_with(name))
        };
        name.starts_with(".git") || listed.as_ref().is_none_or(is_listed)
    }

    /// Sets where this user's `git/config` is, if it is not in `~/.config` (`XDG_CONFIG_HOME`).
    pub fn set_config_home(&mut self, directory: PathBuf) {
        // The settings of packages that lie there are this user's own, too.
        self.own.extend(fs::canonicalize(directory.join("nixpkgs")));
        self.config_home = directory;
    }

    /// Adds git's settings, which say how git compares a work tree with what it keeps, without their secrets.
    pub(super) fn add_git_settings(&mut self, root: &Path, directories: &[PathBuf]) -> Settings {
        let in_config = |name| self.config_home.join("git").join(name);
        let at_home = [in_config("config"), self.home.join(".gitconfig")];
        let patterns = ["attributes", "ignore"].map(in_config);
        let own = directories
            .iter()
            .rev()
            .flat_map(|directory| ["config", "config.worktree"].map(|name| directory.join(name)));
        let everybodys = [PathBuf::from(SETTINGS_OF_MACHINE)].into_iter().chain(at_home);
        let settings = Settings::read(everybodys.clone().chain(own), &self.home, root);
        // These are git's own for any repository. In a repository that is only asked for, another user may have written
        // the settings.
        let asked_for = self.asked_for;
        let gits = if asked_for {
            Settings::read(everybodys, &self.home, root)
        } else {
            Settings::default()
        };
        for (file, form) in &settings.files {
            self.asked_for = asked_for && !gits.files.iter().any(|(known, _)| known == file);
            self.add_settings_file(file, form.as_ref());
        }
        // The first directory is a worktree's; the repository's own has the configuration.
        if let Some(own) = directories
            .iter()
            .map(|directory| directory.join("config"))
            .find(|file| file.is_file())
        {
            self.add_to_settings(&own, &settings.with_filters_required());
        }
        let patterns = patterns.iter().chain(&settings.patterns);
        for file in patterns.map(PathBuf::as_path).chain([Path::new(PATTERNS_OF_MACHINE)]) {
            self.asked_for = asked_for
                && settings.patterns.iter().any(|said| said == file)
                && !gits.patterns.iter().any(|known| known == file);
            let place = self.walk(file).filter(|place| place.is_file());
            if let Some(place) = place.filter(|place| !super::in_store(place) && !is_secret(place)) {
                self.add_content(&place);
            }
        }
        self.asked_for = asked_for;
        settings
    }

    /// Adds one file of git's settings. A file that does not exist has to be seen as missing, too.
    fn add_settings_file(&mut self, file: &Path, form: Option<&Form>) {
        let place = self.walk(file).filter(|place| !super::in_store(place));
        match (place, form) {
            (Some(place), Some(_)) if self.is_withheld(&place) => {}
            (Some(place), Some(Form::AsItIs)) => self.add_content(&place),
            (Some(place), Some(Form::Without(rest))) => self.add_made(&place, rest.clone()),
            // git fails at this file on the other machine, too.
            (Some(place), Some(Form::Broken)) => self.add_made(&place, b"[\n".to_vec()),
            _ => {}
        }
    }

    /// Adds a text at the end of a file of settings.
    fn add_to_settings(&mut self, file: &Path, text: &[u8]) {
        let sent = match self.mirror.entries.get(file) {
            Some(Entry::Content { identity, .. }) if !text.is_empty() => match identity {
                Identity::Made(made) => made.bytes().map(<[u8]>::to_vec),
                _ => opening::read(file),
            },
            _ => return,
        };
        if let Ok(bytes) = sent {
            self.add_made(file, [bytes.as_slice(), text].concat());
        }
    }

    /// Adds a file with another content than it has here, unless the configuration names the file.
    pub(super) fn add_made(&mut self, place: &Path, bytes: Vec<u8>) {
        let is_named =
            matches!(self.mirror.entries.get(place), Some(Entry::Content { .. })) && !guard::is_in_git(place);
        let data = fs::metadata(place).ok().filter(|_| !is_named);
        if let Some(data) = data.filter(|_| !self.is_forbidden(place, FileKind::File)) {
            self.mirror.entries.insert(
                place.to_owned(),
                Entry::Content {
                    executable: false,
                    mtime: data.mtime(),
                    identity: Identity::Made(Replacement::new(bytes)),
                },
            );
        }
    }

    /// Adds a repository's index, changed so that it says on the other machine, too, which files are unchanged here.
    pub(super) fn add_index(&mut self, index: &Path, root: &Path, settings: &Settings) {
        let is_sent = matches!(self.mirror.entries.get(index), Some(Entry::Content { .. }));
        if let Some(marked) = marked(index, root, settings).filter(|_| is_sent) {
            self.add_made(index, marked);
        }
    }
}

fn marked(index: &Path, root: &Path, settings: &Settings) -> Option<Vec<u8>> {
    let (mut file, data) = opening::open(index).ok()?;
    let mut rules = Rules::of(&data);
    rules.change_times_count = settings.is_on("core.trustctime", true);
    rules.modes_count = settings.is_on("core.filemode", true);
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).ok()?;
    with_unchanged_marked(&bytes, rules, |name| fs::symlink_metadata(root.join(name)).ok())
}

/// Returns whether a file's content is a key, a token or a password; also true if the file cannot be read.
fn is_secret(path: &Path) -> bool {
    let mut start = Vec::new();
    let read = opening::open(path).and_then(|(file, _)| file.take(TELLING).read_to_end(&mut start));
    read.is_err() || guard::is_secret_content(path, &start)
}
