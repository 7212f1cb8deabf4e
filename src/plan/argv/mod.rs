//! The commands that run on this machine, word by word, in nixos-rebuild's order and spelling.

mod copying;
mod images;
mod making;
mod reading;

use std::ffi::OsString;
use std::path::Path;

use super::Activation;
use crate::process::Invocation;
use crate::store_path::StorePath;

pub use copying::{Cargo, bring, fetch, pass_on, send};
pub use images::{Images, images, images_there};
pub use making::{Link, build, evaluate, evaluation_there, look_there, realise, track, version};
pub use reading::{edit_flake, flake_metadata, repl, repl_of_flake};

/// The fixed name is also the lock: systemd refuses a second one.
const UNIT: &str = "nixos-rebuild-switch-to-configuration";

/// Links `result` here, as a root for the garbage collector. Nothing is built: the path is here.
#[must_use]
pub fn link_result(result: &StorePath, link: &Path) -> Invocation {
    Invocation::new("nix-store")
        .args(["--realise", result.as_str(), "--add-root"])
        .arg(link)
}

/// Makes `result` the profile's new generation.
#[must_use]
pub fn set_profile(profile: &Path, result: &StorePath) -> Invocation {
    Invocation::new("nix-env")
        .arg("-p")
        .arg(profile)
        .args(["--set", result.as_str()])
}

/// What of this machine an activation depends on.
#[derive(Debug, Clone, Default)]
pub struct ActivationFacts {
    /// Whether systemd runs here and the user did not forbid `systemd-run` (`NIXOS_REBUILD_NO_SYSTEMD_RUN`).
    pub under_systemd: bool,
    /// The variables that activation scripts may see: `PATH`, `LOCALE_ARCHIVE` and `NIXOS_NO_CHECK`, where set.
    pub variables: Vec<(OsString, OsString)>,
}

/// Runs the new system's activation.
#[must_use]
pub fn activate(activation: &Activation, result: &StorePath, facts: &ActivationFacts) -> Invocation {
    let script = format!("{result}/bin/switch-to-configuration");
    let command = if facts.under_systemd {
        Invocation::new("systemd-run")
            .args([
                "-E",
                "LOCALE_ARCHIVE",
                "-E",
                "NIXOS_INSTALL_BOOTLOADER",
                "-E",
                "NIXOS_NO_CHECK",
                "--collect",
                "--no-ask-password",
                "--pipe",
                "--quiet",
                "--service-type=exec",
            ])
            .arg(format!("--unit={UNIT}"))
            .args([script.as_str(), activation.action])
    } else {
        Invocation::new(script).arg(activation.action)
    };
    let install = if activation.install_bootloader { "1" } else { "0" };
    let mut command = command.clean_env();
    for (name, value) in &facts.variables {
        command = command.env(name, value);
    }
    command.env("NIXOS_INSTALL_BOOTLOADER", install)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path() -> StorePath {
        StorePath::parse("/nix/store/00000000000000000000000000000000-x").unwrap()
    }

    fn activation() -> Activation {
        Activation {
            sets_profile: false,
            specialisation: None,
            action: "switch",
            install_bootloader: true,
        }
    }

    #[test]
    fn profile_and_link() {
        assert_eq!(
            set_profile(Path::new("/nix/var/nix/profiles/system"), &path()).to_string(),
            "nix-env -p /nix/var/nix/profiles/system --set /nix/store/00000000000000000000000000000000-x"
        );
        assert_eq!(
            link_result(&path(), Path::new("result")).to_string(),
            "nix-store --realise /nix/store/00000000000000000000000000000000-x --add-root result"
        );
    }

    #[test]
    fn activation_runs_in_a_unit_of_a_fixed_name_with_a_clean_environment() {
        let facts = ActivationFacts {
            under_systemd: true,
            variables: vec![("PATH".into(), "/bin".into())],
        };
        let command = activate(&activation(), &path(), &facts);
        let words: Vec<_> = command.words().map(|word| word.to_string_lossy()).collect();
        assert_eq!(
            words.join(" "),
            "systemd-run -E LOCALE_ARCHIVE -E NIXOS_INSTALL_BOOTLOADER -E NIXOS_NO_CHECK --collect --no-ask-password \
             --pipe --quiet --service-type=exec --unit=nixos-rebuild-switch-to-configuration \
             /nix/store/00000000000000000000000000000000-x/bin/switch-to-configuration switch"
        );
        let expected = Invocation::new("systemd-run")
            .args(command.words().skip(1))
            .clean_env()
            .env("PATH", "/bin")
            .env("NIXOS_INSTALL_BOOTLOADER", "1");
        assert_eq!(command, expected);
    }

    #[test]
    fn activation_without_systemd_is_the_script_itself() {
        let command = activate(&activation(), &path(), &ActivationFacts::default());
        assert_eq!(
            command.to_string(),
            "/nix/store/00000000000000000000000000000000-x/bin/switch-to-configuration switch"
        );
    }
}
