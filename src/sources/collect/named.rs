//! What the user names: on the command line, in the search path, in variables.

use std::fs;
use std::path::{Path, PathBuf};

use super::names::{clean, in_store};
use super::{Collection, Refusal};
use crate::sources::guard;

impl Collection {
    /// The places of this machine that the search path names, be there something or not.
    pub fn search_places(&self) -> Vec<PathBuf> {
        self.search_path.places().map(clean).collect()
    }

    /// Hears of what the user names: on the command line, in the search path, in a variable. What it leads to, and what lies
    /// beside a file, is the user's own word, as the configuration is. It is sent when it is read; but where something else
    /// would be read in its place, or nothing, that is to be known at once.
    pub fn add_named(&mut self, path: &Path) {
        let path = clean(path);
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

    /// Why what the user names there will not be there, if it will not: so far, and without forgetting it.
    #[must_use]
    pub fn refusal(&self, path: &Path) -> Option<Refusal> {
        let ways = [clean(path), fs::canonicalize(path).unwrap_or_default()];
        let is_of = |refused: &Path| ways.iter().any(|way| way.starts_with(refused));
        let mut refused = self.refused.iter().filter(|(refused, _)| is_of(refused));
        refused.next().map(|(_, refusal)| *refusal)
    }
}
