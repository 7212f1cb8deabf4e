//! `edit` and `repl`: opening the configuration for a person.

use anyhow::Result;

use crate::own_nix::OwnNix;
use crate::plan::{Configuration, Reading};
use crate::process::signals::Signals;
use crate::surroundings::Surroundings;
use crate::{edit, repl};

/// Opens it in the user's editor.
pub(super) fn in_editor(reading: &Reading, around: &Surroundings, nix: &OwnNix, signals: &Signals) -> Result<()> {
    let flake = match &reading.configuration {
        Configuration::Flake(flake) => Some(flake),
        Configuration::Classic | Configuration::File { .. } => None,
    };
    edit::open(flake, &reading.flags, around, nix, signals)
}

/// Opens it in `nix repl`.
pub(super) fn in_repl(reading: &Reading, around: &Surroundings, signals: &Signals) -> Result<()> {
    repl::open(&reading.configuration, &reading.flags, &around.directory, signals)
}
