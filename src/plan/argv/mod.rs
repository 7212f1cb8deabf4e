//! The commands that run on this machine, word by word, in nixos-rebuild's order and spelling.

mod copying;
mod images;
mod making;

use std::path::Path;

use crate::process::Invocation;
use crate::store_path::StorePath;

pub use copying::{Cargo, bring, fetch, pass_on, send};
pub use images::{Images, images, images_there};
pub use making::{
    FLAKES, OutLink, build, evaluate, evaluation_there, look_there, of_database, realise, track, version,
};

/// Updates one of root's channels.
#[must_use]
pub fn update_channel(name: &str) -> Invocation {
    Invocation::new("nix-channel").args(["--update", name])
}

/// Lists root's channels: a name and an address in each line.
#[must_use]
pub fn list_channels() -> Invocation {
    Invocation::new("nix-channel").arg("--list")
}

/// Makes a generation of channels the one that is used. If it is that already, nothing changes.
#[must_use]
pub fn set_channels(profile: &str, generation: &StorePath) -> Invocation {
    Invocation::new("nix-env").args(["--profile", profile, "--set", generation.as_str()])
}

/// Makes the link `result` on this machine, as a root for the garbage collector. Nothing is built: the path is already
/// here.
#[must_use]
pub fn link_result(result: &StorePath, link: &Path) -> Invocation {
    Invocation::new("nix-store")
        .args(["--realise", result.as_str(), "--add-root"])
        .arg(link)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path() -> StorePath {
        StorePath::parse("/nix/store/00000000000000000000000000000000-x").unwrap()
    }

    #[test]
    fn the_link_is_a_root() {
        assert_eq!(
            link_result(&path(), Path::new("result")).to_string(),
            "nix-store --realise /nix/store/00000000000000000000000000000000-x --add-root result"
        );
    }
}
