//! The pages beside the program that say which settings there are.

use std::fs;
use std::io::Write as _;

use super::path;

/// What says which settings there are, besides the program: `src/settings`.
#[test]
fn the_pages_of_settings_have_every_setting() {
    for (page, beginning) in [("man/rebuild.json.5", "\n.B "), ("nix/settings.nix", "\n  ")] {
        let Ok(text) = fs::read_to_string(path(page)) else {
            // Not by eprintln, which cargo hides when all went well.
            let _ = writeln!(std::io::stderr(), "skipped: there is no {page} yet");
            continue;
        };
        for definition in &rebuild::settings::ALL {
            let entry = format!("{beginning}{}", definition.name);
            let is_there = text.match_indices(&entry).any(|(place, _)| {
                let rest = &text[place + entry.len()..];
                !rest.starts_with(|c: char| c.is_alphanumeric())
            });
            assert!(is_there, "{page} says nothing of {}", definition.name);
            let is_manual = page.starts_with("man/");
            assert!(
                !is_manual || text.contains(definition.variable),
                "{page}: {}",
                definition.variable
            );
        }
    }
}
