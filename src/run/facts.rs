//! What of this machine decides over a plan, looked up.

use std::io::IsTerminal;
use std::path::Path;

use crate::cli::Arguments;
use crate::nix_settings::NixSettings;
use crate::plan::{Facts, Found};
use crate::sources::search_path::SearchPath;
use crate::surroundings::Surroundings;

const SYSTEM_FLAKE: &str = "/etc/nixos/flake.nix";
const SYSTEM_FILE: &str = "/etc/nixos/system.nix";

/// Looks. No program is started for it: nixos-rebuild asks `nix-instantiate` for `<nixos-system>`, which costs a weak
/// machine a second, and does not give it the user's `-I`.
#[must_use]
pub fn facts(arguments: &Arguments, around: &Surroundings) -> Facts {
    Facts {
        own_name: around.own_name.clone(),
        is_root: nix::unistd::geteuid().is_root(),
        has_terminal: std::io::stdin().is_terminal(),
        found: Found {
            // It can be a symlink to the flake's own.
            system_flake: std::fs::canonicalize(SYSTEM_FLAKE)
                .ok()
                .and_then(|file| file.parent().map(Path::to_path_buf)),
            file_here: around.directory.join("system.nix").exists(),
            nixos_system: has_nixos_system(arguments, around),
            system_file: Path::new(SYSTEM_FILE).exists(),
        },
    }
}

fn has_nixos_system(arguments: &Arguments, around: &Surroundings) -> bool {
    let settings = NixSettings::read(around).with_options(&arguments.common.option);
    let search_path = SearchPath::of(&arguments.evaluation.include, around, &settings);
    search_path.find("nixos-system").is_some() || search_path.is_address("nixos-system")
}
