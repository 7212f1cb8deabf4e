//! The lock file of a flake that is evaluated elsewhere. It comes back, so that it is as after an evaluation here.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::failure::Failure;
use crate::sources::flakes::lock_file::{LARGEST, LockFile, Renewed};
use crate::written;

/// A lock file that the evaluation may write.
#[derive(Debug)]
pub struct Lock {
    path: PathBuf,
    /// The flake's text, and the lock file's before the evaluation.
    flake: String,
    former: Option<Vec<u8>>,
    renewed: Renewed,
    heard: String,
    is_too_large: bool,
    is_taken: bool,
    is_changed: bool,
}

impl Lock {
    /// Makes the lock of the flake in a directory. If the lock file is a link, its path is where the link leads.
    #[must_use]
    pub fn of(directory: &Path, renewed: Renewed) -> Self {
        let path = directory.join("flake.lock");
        let path = fs::canonicalize(&path).unwrap_or(path);
        Self {
            flake: fs::read_to_string(directory.join("flake.nix")).unwrap_or_default(),
            former: fs::read(&path).ok(),
            path,
            renewed,
            heard: String::new(),
            is_too_large: false,
            is_taken: false,
            is_changed: false,
        }
    }

    /// Returns the lock file's path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether a lock file has come that could be taken, even if it is the same as before.
    #[must_use]
    pub(super) fn is_taken(&self) -> bool {
        self.is_taken
    }

    /// Whether the evaluation has written it.
    #[must_use]
    pub(super) fn is_heard(&self) -> bool {
        self.is_too_large || self.is_taken || !self.heard.is_empty()
    }

    /// Whether the file is another one now than before the evaluation.
    #[must_use]
    pub(super) fn is_changed(&self) -> bool {
        self.is_changed
    }

    /// Takes a line of the lock file on the other machine.
    pub(super) fn hear(&mut self, line: &str) {
        if self.heard.len() + line.len() > LARGEST {
            self.is_too_large = true;
        } else {
            self.heard.push_str(line);
            self.heard.push('\n');
        }
    }

    /// Writes what was heard, once, if it is a lock file that the evaluation can have made of the former one. Returns
    /// the path if this has changed the file.
    ///
    /// # Errors
    /// It is no such lock file, or it cannot be written: then the former file is there as it was.
    pub(super) fn keep(&mut self) -> Result<Option<PathBuf>> {
        if self.is_taken || (self.heard.is_empty() && !self.is_too_large) {
            return Ok(None);
        }
        let text = self.text().map_err(|reason| {
            failure(&format!("what came as {} cannot be it: {reason}", self.path.display()))
                .with_remedy("if flake.nix wants it so: nix flake lock  here, and the same command again")
        })?;
        let now = fs::read(&self.path).ok();
        if now != self.former {
            return Err(
                failure(&format!("{} has changed during the evaluation", self.path.display()))
                    .with_remedy("run the same command again")
                    .into(),
            );
        }
        self.is_taken = true;
        if now.is_some_and(|now| now == text.as_bytes()) {
            return Ok(None);
        }
        written::replace(&self.path, text.as_bytes())
            .map_err(|error| failure(&format!("cannot write {}: {error}", self.path.display())))?;
        self.is_changed = true;
        Ok(Some(self.path.clone()))
    }

    fn text(&self) -> Result<String, String> {
        if self.is_too_large {
            return Err("it is too large".to_owned());
        }
        let lock = LockFile::parse(self.heard.as_bytes())?;
        let former = self.former.as_deref().and_then(|bytes| LockFile::parse(bytes).ok());
        lock.follows_on(former.as_ref(), &self.flake, &self.renewed)?;
        Ok(lock.text())
    }
}

fn failure(message: &str) -> Failure {
    Failure::new(format!("{message}; it is as it was"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    const EMPTY: &str = "{\n  \"nodes\": {\n    \"root\": {}\n  },\n  \"root\": \"root\",\n  \"version\": 7\n}\n";

    fn flake() -> (tempfile::TempDir, Lock) {
        let place = tempfile::tempdir_in("/var/tmp").unwrap();
        fs::write(place.path().join("flake.nix"), "{ outputs = { self }: { }; }").unwrap();
        let lock = Lock::of(place.path(), Renewed::These(BTreeSet::new()));
        (place, lock)
    }

    fn hear(lock: &mut Lock, text: &str) {
        for line in text.lines() {
            lock.hear(line);
        }
    }

    #[test]
    fn taken_once() {
        let (place, mut lock) = flake();
        let path = place.path().join("flake.lock");
        assert!(lock.keep().unwrap().is_none() && !lock.is_taken());
        hear(&mut lock, EMPTY);
        assert_eq!(lock.keep().unwrap(), Some(fs::canonicalize(&path).unwrap()));
        assert_eq!(fs::read_to_string(&path).unwrap(), EMPTY);
        hear(&mut lock, "nonsense");
        assert!(lock.keep().unwrap().is_none());
        // The same lock file changes nothing, but git may have to hear of it.
        let mut again = Lock::of(place.path(), Renewed::All);
        hear(&mut again, EMPTY);
        assert!(again.keep().unwrap().is_none() && again.is_taken());
    }

    #[test]
    fn what_is_there_stays_if_what_comes_cannot_be_it() {
        let (place, _) = flake();
        let path = place.path().join("flake.lock");
        fs::write(&path, "former").unwrap();
        for text in ["{}", "nonsense", &"x".repeat(LARGEST + 10)] {
            let mut lock = Lock::of(place.path(), Renewed::All);
            hear(&mut lock, text);
            let error = lock.keep().unwrap_err().to_string();
            assert!(
                error.contains("cannot be it") && error.ends_with("it is as it was"),
                "{error}"
            );
            assert!(lock.heard.len() <= LARGEST + 1);
        }
        assert_eq!(fs::read(&path).unwrap(), b"former");
    }

    #[test]
    fn what_the_user_writes_meanwhile_stays() {
        let (place, mut lock) = flake();
        hear(&mut lock, EMPTY);
        fs::write(place.path().join("flake.lock"), "theirs").unwrap();
        let error = lock.keep().unwrap_err().to_string();
        assert!(error.contains("has changed during the evaluation"), "{error}");
        assert_eq!(fs::read(place.path().join("flake.lock")).unwrap(), b"theirs");
    }
}
