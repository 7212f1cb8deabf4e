//! What the user names: on the command line, in the search path, in variables.

use std::fs;
use std::path::{Path, PathBuf};

use super::names::{clean, in_store};
use super::{Collection, Refusal};
use crate::sources::generations;
use crate::sources::guard;

impl Collection {
    /// Returns the places of this machine that the search path names, whether anything exists there or not.
    pub fn search_places(&self) -> Vec<PathBuf> {
        self.search_path.places().map(clean).collect()
    }

    /// Takes note of a path that the user names: on the command line, in the search path, in a variable. What the path
    /// leads to, and what lies beside a file, counts as the user's own word, like the configuration. It is sent when it
    /// is read. But the user has to know at once if something else, or nothing, would be read in its place.
    pub fn add_named(&mut self, path: &Path) {
        let path = clean(path);
        self.names_generations |= generations::may_see(&path);
        let end = fs::canonicalize(&path);
        let is_elsewhere = [Some(&path), end.as_ref().ok()]
            .into_iter()
            .flatten()
            .any(|place| guard::is_the_evaluators(place));
        if is_elsewhere || end.as_deref().is_ok_and(guard::is_forbidden) {
            self.add_text(&path);
        }
        let Ok(place) = end else { return };
        let directory = place.parent().filter(|_| place.is_file());
        for own in [Some(place.as_path()), directory].into_iter().flatten() {
            if !in_store(own) && !guard::is_too_much(own, &self.home) {
                self.own.insert(own.to_owned());
            }
        }
    }

    /// Returns why the path that the user names will not be on the other machine, if that is known so far. The reason
    /// is kept.
    #[must_use]
    pub fn refusal(&self, path: &Path) -> Option<Refusal> {
        let ways = [clean(path), fs::canonicalize(path).unwrap_or_default()];
        let is_of = |refused: &Path| ways.iter().any(|way| way.starts_with(refused));
        let mut refused = self.refused.iter().filter(|(refused, _)| is_of(refused));
        refused.next().map(|(_, refusal)| *refusal)
    }
}
