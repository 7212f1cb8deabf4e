//! An update of the client's NixOS channels on the other machine, in the words that `scripts/upgrade.sh` takes.

use crate::failure::Failure;
use crate::host::Host;
use crate::remote::script::Script;
use crate::store_path::StorePath;

/// The name of the store paths that are generations of a profile, as Nix gives it.
const GENERATION: &str = "user-environment";

/// Channels of which the newest are wanted.
#[derive(Clone, PartialEq, Eq)]
pub struct Upgrade {
    /// A line for each, as in `~/.nix-channels`: its address, which may have a password, and its name.
    pub channels: String,
}

impl std::fmt::Debug for Upgrade {
    /// Leaves out what may be a password.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Upgrade").finish_non_exhaustive()
    }
}

impl Upgrade {
    pub(super) fn describe(&self, script: &mut Script) -> Result<(), Failure> {
        script.set("rb_channels", &self.channels)
    }
}

/// Reads what came as the generation that has these channels.
///
/// # Errors
/// The text is no path of a profile's generation. The profile of root's channels will be set to it.
pub(super) fn generation(host: &Host, text: &str) -> Result<StorePath, Failure> {
    let path = StorePath::parse(text).ok();
    path.filter(|path| path.name() == GENERATION)
        .ok_or_else(|| Failure::new(format!("what {host} gives as the channels is none: {text}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Place;

    #[test]
    fn channels_are_a_generation_of_a_profile() {
        let place = Place::parse("builder", "pi").unwrap();
        let read = |text: &str| generation(place.host().unwrap(), text).map(|path| path.to_string());
        let hash = "0".repeat(32);
        let own = format!("/nix/store/{hash}-user-environment");
        assert_eq!(read(&own).ok(), Some(own.clone()));
        for text in [
            "/nix/var/nix/profiles/system",
            &format!("/nix/store/{hash}-nixos-system-pi"),
            &format!("{own}/nixos"),
            &format!("/nix/store/{hash}-user-environment.drv"),
            "",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn no_address_is_shown() {
        let upgrade = Upgrade {
            channels: "https://me:secret@host/nixos nixos".into(),
        };
        assert!(!format!("{upgrade:?}").contains("secret"));
    }
}
