//! The files that hold git's settings: those of the machine, of the user and of a repository, and the files that they
//! include.
//!
//! git on the other machine reads them by its own rules. So one file too many does no harm, for example a file that is
//! included on a condition. A missing file does harm: libgit2 fails at an included file that it cannot read, and
//! without a setting such as `core.autocrlf` a clean tree is dirty.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::config::{PieceKind, pieces, without_secrets};
use crate::sources::guard;
use crate::sources::opening;

/// The depth to which git itself follows includes.
const DEEPEST: usize = 10;

/// A larger file, in bytes, holds no settings; nor does a pipe.
const LARGEST: u64 = 16 << 20;

/// How a file of settings can go to the other machine.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::sources) enum Form {
    /// It holds no secret.
    AsItIs,
    /// It holds a secret; this is the rest.
    Without(Vec<u8>),
    /// git would refuse to read it.
    Broken,
}

/// The files that git reads beside a repository's own content.
#[derive(Debug, Default)]
pub(in crate::sources) struct Settings {
    /// Its configuration files, whether they exist or not; later files override earlier ones.
    pub files: Vec<(PathBuf, Option<Form>)>,
    /// Files with patterns (`core.attributesFile`, `core.excludesFile`).
    pub patterns: Vec<PathBuf>,
    variables: Vec<(Vec<u8>, Vec<u8>)>,
    known: BTreeSet<PathBuf>,
}

impl Settings {
    /// Reads these files and what they include, for a user whose home is `home` and a work tree at `root`.
    pub fn read(files: impl IntoIterator<Item = PathBuf>, home: &Path, root: &Path) -> Self {
        let mut settings = Self::default();
        for file in files {
            settings.add(file, home, root, 0);
        }
        settings
    }

    /// Returns whether a variable is on, leaving the conditions of includes aside; `otherwise` if nothing sets it.
    pub fn is_on(&self, name: &str, otherwise: bool) -> bool {
        self.is_on_by_bytes(name.as_bytes(), otherwise)
    }

    fn is_on_by_bytes(&self, name: &[u8], otherwise: bool) -> bool {
        let last = self.variables.iter().rev().find(|(own, _)| own == name);
        last.map_or(otherwise, |(_, value)| {
            !["false", "no", "off", "0", ""]
                .iter()
                .any(|word| value.eq_ignore_ascii_case(word.as_bytes()))
        })
    }

    /// Returns settings, as text for a configuration file, that make git fail where it cannot run a filter, instead of
    /// going on without it. Nix before 2.20 runs git, and the other machine may not have the filter's program.
    pub fn with_filters_required(&self) -> Vec<u8> {
        let names = self.variables.iter().filter_map(|(name, _)| {
            let inside = name.strip_prefix(b"filter.")?;
            let ends = [b".clean".as_slice(), b".smudge", b".process"];
            ends.iter().find_map(|end| inside.strip_suffix(*end))
        });
        let is_required = |name: &[u8]| self.is_on_by_bytes(&[b"filter.", name, b".required"].concat(), false);
        let mut text = Vec::new();
        for name in names.filter(|name| !is_required(name)).collect::<BTreeSet<_>>() {
            text.extend(b"\n[filter \"");
            for byte in name {
                if b"\"\\".contains(byte) {
                    text.push(b'\\');
                }
                text.push(*byte);
            }
            text.extend(b"\"]\n\trequired = true\n");
        }
        text
    }

    fn add(&mut self, file: PathBuf, home: &Path, root: &Path, depth: usize) {
        if depth > DEEPEST || !self.known.insert(file.clone()) {
            return;
        }
        let is_sensible = fs::metadata(&file).is_ok_and(|data| data.is_file() && data.len() <= LARGEST);
        let bytes = if is_sensible {
            opening::read_at_most(&file, LARGEST).ok()
        } else {
            None
        };
        let Some(bytes) = bytes else {
            self.files.push((file, None));
            return;
        };
        let beside = file.parent().unwrap_or(Path::new("/")).to_owned();
        let is_useless = |name: &[u8], value: &[u8]| {
            is_include(name)
                && !can_go(&expanded(value, home, &beside))
                && !bears_on_trees(&expanded(value, home, &beside))
        };
        let form = match without_secrets(&bytes, is_useless) {
            Some(rest) if rest == bytes => Form::AsItIs,
            Some(rest) => Form::Without(rest),
            None => Form::Broken,
        };
        self.files.push((file, Some(form)));
        for piece in pieces(&bytes).unwrap_or_default() {
            let PieceKind::Variable { name, value } = piece.kind else {
                continue;
            };
            // A variable without a value is "true".
            let value = value.unwrap_or_else(|| b"true".to_vec());
            if is_useless(&name, &value) {
                continue;
            }
            if is_include(&name) {
                self.add(expanded(&value, home, &beside), home, root, depth + 1);
            } else if (name == b"core.attributesfile" || name == b"core.excludesfile") && !value.is_empty() {
                self.patterns.push(expanded(&value, home, root));
            }
            self.variables.push((name, value));
        }
    }
}

fn is_include(name: &[u8]) -> bool {
    name == b"include.path" || (name.starts_with(b"includeif.") && name.ends_with(b".path"))
}

/// Returns whether an included file may leave this machine.
fn can_go(file: &Path) -> bool {
    let end = fs::canonicalize(file);
    !guard::is_forbidden(file) && !end.is_ok_and(|end| guard::is_forbidden(&end))
}

/// Returns whether a file of settings says anything about how a tree is read, and not only who somebody is. Without a
/// file of the first kind, git on the other machine would see another tree; it does not need a file of the second kind.
fn bears_on_trees(file: &Path) -> bool {
    const OTHERS: [&[u8]; 9] = [
        b"user.",
        b"author.",
        b"committer.",
        b"credential.",
        b"http.",
        b"url.",
        b"github.",
        b"gitlab.",
        b"sendemail.",
    ];
    let found = opening::read_at_most(file, LARGEST)
        .ok()
        .and_then(|bytes| pieces(&bytes));
    found.is_none_or(|pieces| {
        pieces.iter().any(|piece| match &piece.kind {
            PieceKind::Variable { name, .. } => !OTHERS.iter().any(|other| name.starts_with(other)),
            _ => false,
        })
    })
}

/// Returns a path as git reads it in a setting.
fn expanded(value: &[u8], home: &Path, beside: &Path) -> PathBuf {
    let path = Path::new(OsStr::from_bytes(value));
    let Some(rest) = value.strip_prefix(b"~") else {
        return beside.join(path);
    };
    let end = rest.iter().position(|byte| *byte == b'/').unwrap_or(rest.len());
    let inside = Path::new(OsStr::from_bytes(rest.get(end + 1..).unwrap_or_default()));
    let user = std::str::from_utf8(&rest[..end]).unwrap_or_default();
    if user.is_empty() {
        return home.join(inside);
    }
    match nix::unistd::User::from_name(user) {
        Ok(Some(user)) => user.dir.join(inside),
        _ => beside.join(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    /// Compares with git's own word about which files it has read.
    #[test]
    fn the_files_are_those_that_git_reads() {
        let place = tempfile::tempdir().unwrap();
        let home = place.path().join("home");
        let root = home.join("work/tree");
        let write = |name: &str, text: &str| {
            let file = home.join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        };
        fs::create_dir_all(&root).unwrap();
        let git = || {
            let mut git = Command::new("git");
            git.arg("-C")
                .arg(&root)
                .env("HOME", &home)
                .env_remove("XDG_CONFIG_HOME");
            git.env("GIT_CONFIG_NOSYSTEM", "1");
            git
        };
        assert!(git().args(["init", "-q"]).status().unwrap().success());
        write(
            ".gitconfig",
            "[include]\npath = .gitconfig-all\n[includeIf \"gitdir:~/work/\"]\npath = \"~/private/work\"\n\
            [includeIf \"gitdir:~/elsewhere/\"]\npath = not-now\n[core]\nattributesFile = ~/private/attributes\n",
        );
        write(".gitconfig-all", "[core]\nautocrlf = input\n[include]\npath = absent\n");
        write(".config/git/config", "[a]\nb\n[include]\npath = beside\n");
        write(".config/git/beside", "[core]\ntrustctime = no\n");
        write("private/work", "[include]\npath = deeper/more\n[user]\nname = x\n");
        write("private/deeper/more", "[core]\nfileMode = yes\n");
        fs::write(
            root.join(".git/included"),
            "[core]\nexcludesFile = patterns\ntrustctime = yes\n",
        )
        .unwrap();
        assert!(
            git()
                .args(["config", "include.path", "included"])
                .status()
                .unwrap()
                .success()
        );

        let files = [".config/git/config", ".gitconfig"].map(|name| home.join(name));
        let settings = Settings::read(files.into_iter().chain([root.join(".git/config")]), &home, &root);
        let said = git()
            .args(["config", "--list", "--show-origin", "-z"])
            .output()
            .unwrap()
            .stdout;
        let said = said
            .split(|byte| *byte == 0)
            .filter_map(|piece| piece.strip_prefix(b"file:"));
        let said: BTreeSet<PathBuf> = said.map(|path| root.join(Path::new(OsStr::from_bytes(path)))).collect();
        assert_eq!(said.len(), 8);
        for file in said {
            assert!(
                settings.files.contains(&(file.clone(), Some(Form::AsItIs))),
                "{}",
                file.display()
            );
        }
        // One file is included on a condition, and one does not exist.
        assert!(settings.files.iter().any(|(file, _)| file.ends_with("not-now")));
        assert!(settings.files.contains(&(home.join("absent"), None)));
        assert_eq!(
            settings.patterns,
            [home.join("private/attributes"), root.join("patterns")]
        );
        assert!(settings.is_on("core.trustctime", false) && settings.is_on("core.filemode", false));
        assert!(!settings.is_on("core.none", false));
    }

    #[test]
    fn what_is_secret_stays() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join(".gitconfig");
        fs::write(&file, "[core]\nautocrlf = input\n[github]\ntoken = x\n").unwrap();
        let settings = Settings::read([file.clone()], home.path(), home.path());
        // git reports an error at a circle; here it just ends.
        fs::write(home.path().join("circle"), "[include]\npath = circle\n").unwrap();
        let circle = Settings::read([home.path().join("circle")], home.path(), home.path());
        assert_eq!(circle.files.len(), 1);
        let rest = b"[core]\nautocrlf = input\n[github]\n\n".to_vec();
        assert_eq!(settings.files, [(file, Some(Form::Without(rest)))]);
    }

    #[test]
    fn filters_that_may_fail_may_not() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("config");
        let text = "[filter \"a \\\"b\"]\nclean = x\nsmudge = y\n[filter \"lfs\"]\nprocess = z\nrequired\n[filter \"none\"]\nother = x\n";
        let added = "\n[filter \"a \\\"b\"]\n\trequired = true\n";
        fs::write(&file, text).unwrap();
        let read = || Settings::read([file.clone()], place.path(), place.path());
        assert_eq!(String::from_utf8(read().with_filters_required()).unwrap(), added);
        fs::write(&file, [text, added].concat()).unwrap();
        assert_eq!(read().with_filters_required(), b"");
    }

    /// libgit2 fails at an included file that it may not read.
    #[test]
    fn an_include_that_cannot_go_is_left_out_if_trees_are_the_same_without() {
        let home = tempfile::tempdir().unwrap();
        let path = |name: &str| home.path().join(name);
        fs::create_dir_all(path(".aws")).unwrap();
        for (secret, is_left_out) in [
            ("[user]\nname = x\n[url \"a\"]\ninsteadOf = b\n", true),
            ("[user]\nname = x\n[core]\nautocrlf = true\n", false),
            ("[broken\n", false),
        ] {
            fs::write(path(".aws/git"), secret).unwrap();
            fs::write(path(".gitconfig"), "[include]\npath = .aws/git\npath = none\n").unwrap();
            let settings = Settings::read([path(".gitconfig")], home.path(), home.path());
            let form = if is_left_out {
                Form::Without(b"[include]\n\npath = none\n".to_vec())
            } else {
                Form::AsItIs
            };
            assert_eq!(settings.files[0], (path(".gitconfig"), Some(form)), "{secret}");
            assert_eq!(settings.files.len(), if is_left_out { 2 } else { 3 });
        }
    }

    /// git itself would wait at such a file, or read it without an end.
    #[test]
    fn an_include_that_is_no_file_is_not_read() {
        let home = tempfile::tempdir().unwrap();
        let path = |name: &str| home.path().join(name);
        fs::create_dir_all(path(".aws")).unwrap();
        nix::unistd::mkfifo(&path(".aws/pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        for place in [".aws/pipe", "/dev/zero", ".aws"] {
            fs::write(path(".gitconfig"), format!("[include]\npath = {place}\n")).unwrap();
            let settings = Settings::read([path(".gitconfig")], home.path(), home.path());
            let included = settings.files.last().unwrap();
            assert_eq!(included, &(path(".gitconfig").with_file_name(place), None), "{place}");
        }
    }
}
