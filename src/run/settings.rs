//! `--show-settings`.

use anyhow::Result;

use crate::output;
use crate::settings::Settings;

/// Prints the settings that apply to stdout, because they are the result. No program is started for it.
pub(super) fn show(settings: &Settings, json: bool) -> Result<()> {
    let text = if json {
        serde_json::to_string_pretty(&settings.json())? + "\n"
    } else {
        settings.table()
    };
    Ok(output::result(&text)?)
}
