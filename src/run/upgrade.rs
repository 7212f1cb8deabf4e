//! Updating root's channels before the evaluation. nixos-rebuild updates them twice: before its re-exec and after it.
//!
//! Where another machine evaluates, it also finds the newest channels ([`elsewhere`]).

pub(super) mod elsewhere;

use std::path::Path;

use anyhow::Result;

use crate::activation::RootHere;
use crate::directory;
use crate::output;
use crate::own_nix::search_path::ROOT_CHANNELS;
use crate::plan::{Channels, argv};
use crate::process::signals::Signals;

/// The warning if there is nothing to update.
const NONE: &str = "warning: root has no channel to update: see nix-channel --list";

/// A channel that contains this file is updated together with the channel of NixOS.
const MARK: &str = ".update-on-nixos-rebuild";

/// Updates the channels. A channel that cannot be updated is no reason to stop: Nix has said why.
pub(super) fn channels(channels: Channels, root: &RootHere, signals: &Signals) -> Result<()> {
    let names = chosen(channels, Path::new(ROOT_CHANNELS));
    if names.is_empty() {
        output::say(NONE);
    }
    for name in names {
        if let Err(error) = root.run(&argv::update_channel(&name), signals) {
            signals.check()?;
            output::say(&format!("warning: channel {name}: {error:#}"));
        }
    }
    Ok(())
}

fn chosen(channels: Channels, directory: &Path) -> Vec<String> {
    let is_chosen = |name: &String| {
        let place = directory.join(name);
        place.is_dir() && (channels == Channels::All || name == "nixos" || place.join(MARK).exists())
    };
    directory::names(directory).into_iter().filter(is_chosen).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_channels_there_are() {
        let place = tempfile::tempdir().unwrap();
        for name in ["nixos", "marked", "other"] {
            std::fs::create_dir(place.path().join(name)).unwrap();
        }
        std::fs::write(place.path().join("marked").join(MARK), "").unwrap();
        std::fs::write(place.path().join("manifest.nix"), "").unwrap();
        assert_eq!(chosen(Channels::OfNixos, place.path()), ["marked", "nixos"]);
        assert_eq!(chosen(Channels::All, place.path()), ["marked", "nixos", "other"]);
        assert!(chosen(Channels::All, Path::new("/nonexistent")).is_empty());
    }
}
