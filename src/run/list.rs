//! `list-generations`.

use std::path::Path;

use anyhow::Result;

use crate::generations;
use crate::harmless::{self, Colours};
use crate::output;
use crate::process::signals::Signals;

/// Prints the profile's generations to stdout, because they are the result.
pub(super) fn generations(profile: &Path, json: bool, signals: &Signals) -> Result<()> {
    let all = generations::list(profile, signals)?;
    let text = if json {
        serde_json::to_string_pretty(&all)? + "\n"
    } else {
        // Versions and names come from files of the systems.
        harmless::text(&generations::table(&all), Colours::Dropped)
    };
    Ok(output::result(&text)?)
}
