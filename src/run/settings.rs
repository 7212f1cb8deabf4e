//! `--show-settings`.

use anyhow::Result;

use crate::settings::Settings;

/// Prints what applies: it is the result, so to stdout. Nothing is started for it.
pub(super) fn show(settings: &Settings, json: bool) -> Result<()> {
    if json {
        println!("{}", serde_json::to_string_pretty(&settings.json())?);
    } else {
        print!("{}", settings.table());
    }
    Ok(())
}
