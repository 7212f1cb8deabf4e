//! How an evaluation on another machine gets all of the client's files that it needs.
//!
//! A closed evaluation fails at the first thing that it misses. Then it is repeated twice. The first time it only
//! looks, with nothing shut, which shows everything that it would read. The second time it is closed again and has
//! those files. A closed evaluation that comes to its end has missed nothing.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::missing::{Missing, missing};
use super::sources::{Extent, Sources};
use crate::progress::nix_log::LogLine;
use crate::sources::collect::Collection;
use crate::store_path::StorePath;

/// How often the evaluation is repeated with more files before its error is believed.
const MOST: u32 = 50;

/// How many of the paths are kept that an evaluation was refused, and how long each may be (Linux's `PATH_MAX`). If
/// there are more, the next evaluation is refused the rest again.
const MOST_REFUSED: usize = 1000;
const LONGEST_PATH: usize = 4096;

/// What comes after a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NextRound {
    /// A look.
    Look,
    /// A closed evaluation.
    Evaluate,
    /// No round: the error is the configuration's own.
    GiveUp,
}

impl NextRound {
    /// Returns the script's word for it (`evaluate` in `scripts/evaluate.sh`).
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Look => "open",
            Self::Evaluate => "closed",
            Self::GiveUp => "stop",
        }
    }
}

/// The rounds of one evaluation so far.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    count: u32,
    imported: BTreeSet<String>,
    /// What the last closed evaluation was refused without an error.
    refused: Vec<PathBuf>,
    /// Whether it was refused more than is kept.
    refused_more: bool,
    before_look: Option<Extent>,
    looked_in_vain: bool,
    cannot_look: bool,
}

impl Rounds {
    /// Whether there was a round.
    pub(super) fn has_begun(&self) -> bool {
        self.count > 0
    }

    /// Notes that the evaluation was refused these paths, and may not have noticed.
    pub(super) fn refused(&mut self, paths: Vec<PathBuf>) {
        for path in paths {
            if self.refused.len() == MOST_REFUSED || path.as_os_str().len() > LONGEST_PATH {
                self.refused_more = true;
            } else if !self.refused.contains(&path) {
                self.refused.push(path);
            }
        }
    }

    /// Returns the errors that another Nix would have given instead of going on.
    pub(super) fn unsaid_errors(&mut self) -> Vec<String> {
        let refused = std::mem::take(&mut self.refused).into_iter();
        let more = self.refused_more.then(|| "(more such errors are left out)".to_owned());
        refused
            .map(|path| format!("error: '{}' is asked for, and was not sent", path.display()))
            .chain(more)
            .collect()
    }

    /// Notes that a look shows nothing on that machine.
    pub(super) fn cannot_look(&mut self) {
        self.cannot_look = true;
    }

    /// Decides what comes after a closed evaluation that failed with `errors`. `import` sends store paths on which the
    /// result depends.
    ///
    /// # Errors
    /// `import` has failed.
    pub(super) fn after_failure(
        &mut self,
        sources: &mut Sources,
        errors: &[LogLine],
        import: &mut dyn FnMut(&StorePath) -> Result<()>,
    ) -> Result<NextRound> {
        self.count += 1;
        let (before, imported) = (sources.extent(), self.imported.len());
        let add = if self.cannot_look {
            Collection::add_missed
        } else {
            Collection::add_asked
        };
        let names_something = self.add(sources, errors, add, import)? || !self.refused.is_empty();
        for path in &self.refused {
            add(&mut sources.collection, path);
        }
        let gained = sources.extent() != before || self.imported.len() > imported;
        // An error may not have an odd name as it is. A look tells it as it is.
        let go_on = gained || (names_something && !self.looked_in_vain);
        if !go_on || self.count >= MOST {
            return Ok(NextRound::GiveUp);
        }
        self.refused.clear();
        self.refused_more = false;
        self.before_look = Some(sources.extent());
        Ok(NextRound::Look)
    }

    /// Decides what comes after a look; [`Sources`] has been told what it read. Its errors mean nothing to the user,
    /// because it saw empty files in place of those that are not there yet.
    ///
    /// # Errors
    /// `import` has failed.
    pub(super) fn after_look(
        &mut self,
        sources: &mut Sources,
        errors: &[LogLine],
        import: &mut dyn FnMut(&StorePath) -> Result<()>,
    ) -> Result<NextRound> {
        self.add(sources, errors, Collection::add_asked, import)?;
        self.looked_in_vain = self.before_look.take() == Some(sources.extent());
        Ok(NextRound::Evaluate)
    }

    /// Adds what the errors name; `add` adds paths. Returns whether the errors name anything.
    fn add(
        &mut self,
        sources: &mut Sources,
        errors: &[LogLine],
        add: fn(&mut Collection, &Path),
        import: &mut dyn FnMut(&StorePath) -> Result<()>,
    ) -> Result<bool> {
        let texts = errors.iter().filter_map(|error| match error {
            LogLine::Message { text, .. } => Some(text),
            _ => None,
        });
        let mut names_something = false;
        for missing in texts.flat_map(|text| missing(text)) {
            names_something |= !matches!(missing, Missing::Fetched | Missing::Lookup(_));
            match missing {
                Missing::Unnamed => {}
                Missing::Fetched => sources.collection.add_offered(),
                Missing::Path(path) => add(&mut sources.collection, &path),
                Missing::Repository(path) => sources.collection.add_asked(&path.join(".git")),
                // Another round would not find what this machine does not have either, nor an address: one that cannot
                // be reached would be fetched in each round. But an archive of this machine is sent after a look has
                // missed it.
                Missing::Lookup(name) => {
                    names_something |= sources.collection.is_in_own_archive(&name);
                    names_something |= sources.collection.add_asked_lookup(&name);
                }
                Missing::StorePath(path) => {
                    let path = StorePath::parse(&path.to_string_lossy()).ok();
                    let here = path.filter(|path| Path::new(path.as_str()).exists());
                    let new = here.filter(|path| !self.imported.contains(path.as_str()));
                    if let Some(path) = new.filter(|path| sources.may_ask_for(path)) {
                        import(&path)?;
                        self.imported.insert(path.to_string());
                    }
                }
            }
        }
        Ok(names_something)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> Vec<LogLine> {
        vec![LogLine::Message {
            level: 0,
            text: text.to_owned(),
        }]
    }

    fn after_failure(rounds: &mut Rounds, sources: &mut Sources, text: &str) -> NextRound {
        rounds.after_failure(sources, &error(text), &mut |_| Ok(())).unwrap()
    }

    #[test]
    fn a_configurations_own_error_is_not_repeated() {
        let next = after_failure(
            &mut Rounds::default(),
            &mut Sources::none(),
            "error: undefined variable 'x'",
        );
        assert_eq!(next, NextRound::GiveUp);
    }

    /// `channel:x` in `NIX_PATH`, which cannot be reached, would be fetched again in each round, with all of Nix's
    /// attempts.
    #[test]
    fn what_is_not_found_here_either_is_not_looked_for() {
        let directory = tempfile::tempdir_in("/var/tmp").unwrap();
        std::fs::write(directory.path().join("default.nix"), "1").unwrap();
        let entries = format!("nixpkgs=channel:nixos-26.05:here={}", directory.path().display());
        for (name, expected) in [
            ("nixpkgs", NextRound::GiveUp),
            ("nowhere", NextRound::GiveUp),
            ("here", NextRound::Look),
        ] {
            let mut sources = Sources::none();
            let search_path = crate::own_nix::search_path::SearchPath::of_variable(&entries, "/".as_ref());
            sources.collection = Collection::new(search_path, PathBuf::from("/"));
            let text =
                format!("error: file '{name}' was not found in the Nix search path (add it using $NIX_PATH or -I)");
            assert_eq!(
                after_failure(&mut Rounds::default(), &mut sources, &text),
                expected,
                "{name}"
            );
        }
    }

    #[test]
    fn what_is_missed_is_looked_for_once_and_sent() {
        let directory = tempfile::tempdir_in("/var/tmp").unwrap();
        let file = directory.path().join("x.nix");
        std::fs::write(&file, "1").unwrap();
        let missed = format!("error: opening file '{}': Permission denied", file.display());
        let (mut rounds, mut sources) = (Rounds::default(), Sources::none());
        assert_eq!(after_failure(&mut rounds, &mut sources, &missed), NextRound::Look);
        let next = rounds.after_look(&mut sources, &[], &mut |_| Ok(())).unwrap();
        assert_eq!((next, rounds.looked_in_vain), (NextRound::Evaluate, true));
        // There is nothing more to send, and the last look has told nothing new.
        assert_eq!(after_failure(&mut rounds, &mut sources, &missed), NextRound::GiveUp);
    }

    /// A Nix that goes on although it may not look gives no error, but strace has seen it.
    #[test]
    fn what_is_refused_silently_is_sent_or_becomes_the_error() {
        let directory = tempfile::tempdir_in("/var/tmp").unwrap();
        std::fs::create_dir(directory.path().join("shut")).unwrap();
        let (mut rounds, mut sources) = (Rounds::default(), Sources::none());
        let extent = sources.extent();
        rounds.refused(vec![
            directory.path().join("shut/none"),
            directory.path().join("shut/none"),
        ]);
        let next = rounds.after_failure(&mut sources, &[], &mut |_| Ok(())).unwrap();
        assert_eq!((next, sources.extent() != extent), (NextRound::Look, true));
        assert_eq!(rounds.unsaid_errors(), Vec::<String>::new());
        rounds.after_look(&mut sources, &[], &mut |_| Ok(())).unwrap();
        rounds.refused(vec!["/none".into()]);
        rounds.looked_in_vain = true;
        let next = rounds.after_failure(&mut sources, &[], &mut |_| Ok(())).unwrap();
        assert_eq!(next, NextRound::GiveUp);
        assert_eq!(
            rounds.unsaid_errors(),
            ["error: '/none' is asked for, and was not sent"]
        );
    }

    /// A machine that names very many paths gets no more memory for them.
    #[test]
    fn of_what_is_refused_so_much_is_kept() {
        let mut rounds = Rounds::default();
        rounds.refused(vec![format!("/{}", "x".repeat(LONGEST_PATH)).into()]);
        assert!(rounds.refused.is_empty());
        rounds.refused(
            (0..MOST_REFUSED + 9)
                .map(|number| format!("/{number}").into())
                .collect(),
        );
        let errors = rounds.unsaid_errors();
        assert_eq!(errors.len(), MOST_REFUSED + 1);
        assert_eq!(errors.last().unwrap(), "(more such errors are left out)");
    }

    /// An error mangles names that are no text; a look does not.
    #[test]
    fn a_name_that_leads_nowhere_is_looked_for() {
        let (mut rounds, mut sources) = (Rounds::default(), Sources::none());
        let text = "error: opening file '/nowhere/\u{fffd}': Permission denied";
        assert_eq!(after_failure(&mut rounds, &mut sources, text), NextRound::Look);
    }
}
