//! This process's surroundings, as far as a run depends on them.

use std::ffi::OsString;
use std::path::PathBuf;

/// What of the process decides over a run: taken once, at its beginning.
pub struct Surroundings {
    /// The command line, as it was typed: program first.
    pub words: Vec<OsString>,
    /// The environment variables.
    pub variables: Vec<(OsString, OsString)>,
    /// The current directory.
    pub directory: PathBuf,
    /// Whether it has been deleted, so that `/` is in its place.
    pub directory_is_gone: bool,
    /// The host name.
    pub own_name: String,
}

impl Surroundings {
    /// Those of a test: these variables, and nothing of this process.
    #[cfg(test)]
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

    /// One environment variable.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<OsString> {
        let found = self.variables.iter().find(|(own, _)| own == name);
        found.map(|(_, value)| value.clone())
    }

    /// One environment variable, as text.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<String> {
        self.variable(name).map(|value| value.to_string_lossy().into_owned())
    }

    /// Whether an environment variable is set to something.
    #[must_use]
    pub fn is_set(&self, name: &str) -> bool {
        self.variable(name).is_some_and(|value| !value.is_empty())
    }

    /// The user's home directory.
    #[must_use]
    pub fn home(&self) -> PathBuf {
        self.variable("HOME")
            .map_or_else(|| PathBuf::from("/root"), PathBuf::from)
    }
}
