//! Evaluating and building on this machine: Nix's own commands.

use anyhow::{Context, Result};

use super::System;
use crate::plan::argv::{self, Link};
use crate::plan::{Outcome, Plan};
use crate::process::signals::Signals;
use crate::store_path::StorePath;

/// Evaluates and builds. Nothing comes of a dry run.
pub(super) fn make(plan: &Plan, signals: &Signals) -> Result<Option<System>> {
    let link = match plan.outcome {
        Outcome::DryBuild => {
            argv::build(&plan.configuration, &plan.flags, Link::DryRun).run(signals)?;
            return Ok(None);
        }
        Outcome::Link => Link::Result,
        Outcome::Activate(_) => Link::None,
    };
    let output = argv::build(&plan.configuration, &plan.flags, link).capture(signals)?;
    let path = store_path(&output)?;
    Ok(Some(System { path, keeper: None }))
}

/// The one store path that a command printed; of a `result` link, where it leads.
pub(super) fn store_path(output: &[u8]) -> Result<StorePath> {
    let text = String::from_utf8_lossy(output);
    let printed = text.lines().last().unwrap_or_default();
    let path =
        std::fs::read_link(printed).map_or_else(|_| printed.to_owned(), |target| target.to_string_lossy().into_owned());
    StorePath::parse(&path).context("Nix printed something else than its result")
}
