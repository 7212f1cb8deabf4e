//! The commands that run on this machine, word by word, in nixos-rebuild's order and spelling.

mod making;

use std::ffi::OsString;
use std::path::Path;

use super::{Activation, NixFlags};
use crate::host::Host;
use crate::process::Invocation;
use crate::store_path::StorePath;

pub use making::{Link, build, evaluate, evaluation_there, look_there, track, version};

/// The fixed name is also the lock: systemd refuses a second one.
const UNIT: &str = "nixos-rebuild-switch-to-configuration";

/// Sends a derivation and all that it is made from to the builder.
#[must_use]
pub fn copy_derivation_to(
    flags: &NixFlags,
    host: &Host,
    derivation: &StorePath,
    ssh_options: Option<&str>,
) -> Invocation {
    // --repair is not for nix-copy-closure, which takes it for the host's name.
    copy_closure(flags, "--to", host, derivation, ssh_options)
}

/// Fetches the result without lending our daemon.
#[must_use]
pub fn copy_result_from(flags: &NixFlags, host: &Host, result: &StorePath, ssh_options: Option<&str>) -> Invocation {
    copy_closure(flags, "--from", host, result, ssh_options)
}

/// nix-copy-closure has no port in its hosts, but reads `NIX_SSHOPTS`.
fn copy_closure(
    flags: &NixFlags,
    direction: &str,
    host: &Host,
    path: &StorePath,
    ssh_options: Option<&str>,
) -> Invocation {
    let (destination, port) = host.without_port();
    let command =
        Invocation::new("nix-copy-closure")
            .args(flags.copy.arguments())
            .args([direction, destination, path.as_str()]);
    match port {
        Some(port) => {
            let options = ssh_options.map_or_else(String::new, |options| format!("{options} "));
            command.env("NIX_SSHOPTS", format!("{options}-p {port}"))
        }
        None => command,
    }
}

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
    use crate::cli::flags::{CommonFlags, CopyFlags};
    use crate::host::Place;

    fn flags() -> NixFlags {
        NixFlags {
            common: CommonFlags {
                repair: true,
                ..CommonFlags::default()
            },
            copy: CopyFlags { use_substitutes: true },
            ..NixFlags::default()
        }
    }

    fn path() -> StorePath {
        StorePath::parse("/nix/store/00000000000000000000000000000000-x").unwrap()
    }

    fn host() -> Host {
        Place::parse("me@builder", "pi").unwrap().host().unwrap().clone()
    }

    fn activation() -> Activation {
        Activation {
            profile: None,
            action: "switch",
            install_bootloader: true,
        }
    }

    /// nixos-rebuild sends `--repair` to nix-copy-closure, which takes it for a host.
    #[test]
    fn copying_gets_only_its_own_flags() {
        assert_eq!(
            copy_derivation_to(&flags(), &host(), &path(), None).to_string(),
            "nix-copy-closure -s --to me@builder /nix/store/00000000000000000000000000000000-x"
        );
        assert_eq!(
            copy_result_from(&flags(), &host(), &path(), None).to_string(),
            "nix-copy-closure -s --from me@builder /nix/store/00000000000000000000000000000000-x"
        );
    }

    #[test]
    fn a_port_reaches_nix_copy_closure_by_its_own_variable() {
        let place = Place::parse("ssh://me@builder:2222", "pi").unwrap();
        let command = copy_result_from(&flags(), place.host().unwrap(), &path(), Some("-i key"));
        let expected = Invocation::new("nix-copy-closure").args(["-s", "--from", "me@builder", path().as_str()]);
        assert_eq!(command, expected.env("NIX_SSHOPTS", "-i key -p 2222"));
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
