//! This process's surroundings, as far as a run depends on them.

use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The facts of the process that decide over a run. They are collected once, at its beginning.
pub struct Surroundings {
    /// The command line as it was typed: program first.
    pub words: Vec<OsString>,
    /// The environment variables.
    pub variables: Vec<(OsString, OsString)>,
    /// The current directory.
    pub directory: PathBuf,
    /// Whether the current directory has been deleted, so that `/` takes its place.
    pub directory_is_gone: bool,
    /// The host name.
    pub own_name: String,
}

impl Surroundings {
    /// Makes surroundings for a test: these variables, and nothing of this process.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn with(variables: &[(&str, &str)]) -> Self {
        let variables = variables.iter().map(|(name, value)| (name.into(), value.into()));
        Self {
            words: Vec::new(),
            variables: variables.collect(),
            directory: "/".into(),
            directory_is_gone: false,
            own_name: "pi".into(),
        }
    }

    /// Returns an environment variable.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<OsString> {
        let found = self.variables.iter().find(|(own, _)| own == name);
        found.map(|(_, value)| value.clone())
    }

    /// Returns an environment variable as text.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<String> {
        self.variable(name).map(|value| value.to_string_lossy().into_owned())
    }

    /// Returns whether an environment variable is set and not empty.
    #[must_use]
    pub fn is_set(&self, name: &str) -> bool {
        self.variable(name).is_some_and(|value| !value.is_empty())
    }

    /// Returns the user's home directory, as Nix determines it: what HOME names, if that is theirs or does not exist
    /// (NixOS/nix#6676; the function `getHome` of Nix 2.10 to 2.34); otherwise the one in the user database. If HOME is
    /// another user's, as sudo may leave it, it is nobody's home.
    #[must_use]
    pub fn home(&self) -> PathBuf {
        match self.home_variable() {
            HomeVariable::Obeyed(home) => home,
            HomeVariable::Unset | HomeVariable::AnotherUsers(_) => home_of_this_user(),
        }
    }

    /// Returns what the variable HOME means to Nix.
    #[must_use]
    pub fn home_variable(&self) -> HomeVariable {
        let Some(value) = self.variable("HOME") else {
            return HomeVariable::Unset;
        };
        let home = PathBuf::from(value);
        match std::fs::metadata(&home) {
            Ok(data) if data.uid() == nix::unistd::geteuid().as_raw() => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            _ => return HomeVariable::AnotherUsers(home),
        }
        // Nix adds the rest after it, whatever it is: with an empty HOME, ~/x is /x.
        HomeVariable::Obeyed(if home.as_os_str().is_empty() {
            PathBuf::from("/")
        } else {
            self.directory.join(home)
        })
    }

    /// Returns a directory for this program's own files, by the XDG base directory specification. A value that is empty
    /// or relative has no meaning in it; neither has such a HOME. If sudo has left another user's variable in place, root
    /// writes nothing there.
    #[must_use]
    pub fn own_directory(&self, kind: Directory) -> PathBuf {
        let absolute = |name| self.variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let named = absolute(kind.variable()).filter(|path| kind == Directory::Config || !is_kept_from_root(path));
        named.unwrap_or_else(|| {
            let home = absolute("HOME").map_or_else(home_of_this_user, |_| self.home());
            home.join(kind.at_home())
        })
    }

    /// Returns Nix's own directory of that kind. Nix takes the variables as they are: an empty one gives `/nix`.
    #[must_use]
    pub fn nix_directory(&self, kind: Directory) -> PathBuf {
        if let Some(own) = self.variable(kind.variable_of_nix()) {
            return self.directory.join(own);
        }
        match self.variable(kind.variable()) {
            Some(value) if value.is_empty() => PathBuf::from("/nix"),
            Some(value) => self.directory.join(value).join("nix"),
            None => self.home().join(kind.at_home()).join("nix"),
        }
    }
}

/// What the variable HOME means to Nix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HomeVariable {
    /// It says where the home is.
    Obeyed(PathBuf),
    /// It is not set.
    Unset,
    /// It names a place that is not this user's or cannot be looked at, so it counts for nothing.
    AnotherUsers(PathBuf),
}

/// The kinds of directories of the XDG base directory specification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Directory {
    /// Files that can be made or fetched again.
    Cache,
    /// Settings.
    Config,
    /// Files that are kept for the user.
    Data,
    /// Files that are kept for the program.
    State,
}

impl Directory {
    fn variable(self) -> &'static str {
        match self {
            Self::Cache => "XDG_CACHE_HOME",
            Self::Config => "XDG_CONFIG_HOME",
            Self::Data => "XDG_DATA_HOME",
            Self::State => "XDG_STATE_HOME",
        }
    }

    /// Returns Nix's own variable, which it has since 2.25.
    #[must_use]
    pub fn variable_of_nix(self) -> &'static str {
        match self {
            Self::Cache => "NIX_CACHE_HOME",
            Self::Config => "NIX_CONFIG_HOME",
            Self::Data => "NIX_DATA_HOME",
            Self::State => "NIX_STATE_HOME",
        }
    }

    fn at_home(self) -> &'static str {
        match self {
            Self::Cache => ".cache",
            Self::Config => ".config",
            Self::Data => ".local/share",
            Self::State => ".local/state",
        }
    }
}

/// Returns whether this user is root and the directory is another user's, or would be made in one.
fn is_kept_from_root(directory: &Path) -> bool {
    let mut above = directory.ancestors().filter_map(|path| std::fs::metadata(path).ok());
    nix::unistd::geteuid().is_root() && above.next().is_some_and(|data| data.uid() != 0)
}

/// Returns the home in the user database. If there is no entry, Nix fails where it needs one; then this is a file that
/// does not exist.
fn home_of_this_user() -> PathBuf {
    let user = nix::unistd::User::from_uid(nix::unistd::geteuid()).ok().flatten();
    let home = user.map(|user| user.dir).filter(|home| home.is_absolute());
    home.unwrap_or_else(|| PathBuf::from(if nix::unistd::geteuid().is_root() { "/root" } else { "/" }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the home of another user than the one who runs the tests: root's, or for root somebody else's.
    fn of_another_user() -> PathBuf {
        if !nix::unistd::geteuid().is_root() {
            return "/".into();
        }
        let directory = tempfile::tempdir().unwrap().keep();
        std::os::unix::fs::chown(&directory, Some(12345), None).unwrap();
        directory
    }

    #[test]
    fn the_home_is_as_nix_says() {
        let own = tempfile::tempdir().unwrap();
        let own = own.path().to_str().unwrap();
        let other = of_another_user();
        let other = other.to_str().unwrap();
        let passwd = home_of_this_user();
        for (variables, expected) in [
            (&[("HOME", own)][..], PathBuf::from(own)),
            (&[("HOME", other)], passwd.clone()),
            (&[("HOME", "/dev/null/x")], passwd.clone()),
            (&[], passwd),
            (&[("HOME", "/not/there")], "/not/there".into()),
            (&[("HOME", "")], "/".into()),
            (&[("HOME", "rel")], "/rel".into()),
        ] {
            assert_eq!(Surroundings::with(variables).home(), expected, "{variables:?}");
        }
    }

    #[test]
    fn our_own_directories_are_never_relative() {
        let passwd = home_of_this_user();
        for (variables, expected) in [
            (&[("XDG_CACHE_HOME", "/c"), ("HOME", "/h")][..], PathBuf::from("/c")),
            (&[("XDG_CACHE_HOME", ""), ("HOME", "/h")], "/h/.cache".into()),
            (&[("XDG_CACHE_HOME", "c"), ("HOME", "/h")], "/h/.cache".into()),
            (&[("HOME", "")], passwd.join(".cache")),
            (&[("HOME", "h")], passwd.join(".cache")),
            (&[], passwd.join(".cache")),
        ] {
            let around = Surroundings::with(variables);
            assert_eq!(around.own_directory(Directory::Cache), expected, "{variables:?}");
        }
    }

    /// sudo may leave another user's variables in place. Directories of root's in that user's home would be in their way,
    /// and what is read there could be theirs.
    #[test]
    fn root_keeps_nothing_in_another_users_directories() {
        if !nix::unistd::geteuid().is_root() {
            crate::output::say("not tested: not root");
            return;
        }
        let (own, other) = (tempfile::tempdir().unwrap(), of_another_user());
        let state = home_of_this_user().join(".local/state");
        let cache = home_of_this_user().join(".cache");
        for (name, value, kind, expected) in [
            ("XDG_STATE_HOME", other.clone(), Directory::State, state.clone()),
            ("XDG_STATE_HOME", other.join("not/there"), Directory::State, state),
            ("XDG_CACHE_HOME", other.clone(), Directory::Cache, cache),
            // The user's own settings are read, as they wish.
            ("XDG_CONFIG_HOME", other.clone(), Directory::Config, other.clone()),
            (
                "XDG_STATE_HOME",
                own.path().to_owned(),
                Directory::State,
                own.path().to_owned(),
            ),
            (
                "XDG_STATE_HOME",
                "/not/there".into(),
                Directory::State,
                "/not/there".into(),
            ),
        ] {
            let around = Surroundings::with(&[(name, value.to_str().unwrap())]);
            assert_eq!(around.own_directory(kind), expected, "{name} {value:?}");
        }
        std::fs::remove_dir(other).unwrap();
    }

    /// Seen with strace of Nix 2.26: `XDG_CONFIG_HOME=` reads /nix/nix.conf, `XDG_CONFIG_HOME=rel` rel/nix/nix.conf.
    #[test]
    fn nixs_directories_are_where_nix_looks() {
        for (variables, expected) in [
            (&[("HOME", "/h")][..], "/h/.config/nix"),
            (&[("HOME", "/h"), ("XDG_CONFIG_HOME", "/c")], "/c/nix"),
            (&[("HOME", "/h"), ("XDG_CONFIG_HOME", "")], "/nix"),
            (&[("HOME", "/h"), ("XDG_CONFIG_HOME", "rel")], "/rel/nix"),
            (&[("NIX_CONFIG_HOME", "/n"), ("XDG_CONFIG_HOME", "/c")], "/n"),
        ] {
            let found = Surroundings::with(variables).nix_directory(Directory::Config);
            assert_eq!(found, Path::new(expected), "{variables:?}");
        }
    }
}
