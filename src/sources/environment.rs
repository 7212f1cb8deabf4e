//! Which of this machine's environment variables an evaluation elsewhere sees.
//!
//! Not all of them: an environment holds secrets. Those that NixOS and nixpkgs read, and those that the configuration
//! asks for.

use std::collections::BTreeSet;
use std::ffi::OsString;

/// What NixOS and nixpkgs read of themselves, with `NIXPKGS_*` and `NIXOS_*`.
const KNOWN: [&str; 5] = ["HOME", "USER", "LOGNAME", "NIX_PATH", "NIXOS_CONFIG"];

/// What belongs to the machine that evaluates, and is this one's only for a configuration that asks for it by name.
const THE_EVALUATORS: [&str; 4] = ["PATH", "TMPDIR", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR"];

/// What must be the other machine's, for Nix there itself reads it.
const NEVER_OURS: [&str; 5] = [
    "NIX_CONF_DIR",
    "NIX_DAEMON_SOCKET_PATH",
    "NIX_REMOTE",
    "NIX_SSL_CERT_FILE",
    "NIX_USER_CONF_FILES",
];

/// What the configuration asks of the environment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asked {
    /// Variables by their names.
    pub names: BTreeSet<String>,
    /// Whether it also computes names: then nobody knows beforehand which.
    pub computes_names: bool,
}

/// The variables of this process.
#[derive(Debug, Clone, Default)]
pub struct Environment(pub Vec<(OsString, OsString)>);

impl Environment {
    /// The variables to be seen by a configuration that asks for these.
    ///
    /// # Errors
    /// The name of one that is asked for and cannot be the same on another machine.
    pub fn chosen(&self, asked: &Asked) -> Result<Vec<(OsString, OsString)>, String> {
        let is_set = |name: &str| self.0.iter().any(|(own, _)| own == name);
        let ours_is_missed = |name: &&str| {
            asked.names.contains(*name)
                && (NEVER_OURS.contains(name) || (THE_EVALUATORS.contains(name) && !is_set(name)))
        };
        // Without a run-time directory there is none over there either.
        let unequal = THE_EVALUATORS[..3]
            .iter()
            .chain(&NEVER_OURS)
            .copied()
            .find(ours_is_missed);
        if let Some(name) = unequal {
            return Err(name.to_owned());
        }
        let chosen = self.0.iter().filter(|(name, _)| {
            name.to_str().is_some_and(|name| {
                asked.names.contains(name)
                    || KNOWN.contains(&name)
                    || name.starts_with("NIXPKGS_")
                    || (name.starts_with("NIXOS_") && !name.starts_with("NIXOS_REBUILD_"))
                    || (asked.computes_names && is_harmless(name))
            })
        });
        Ok(chosen.cloned().collect())
    }
}

/// What may go to a configuration that may ask for anything.
fn is_harmless(name: &str) -> bool {
    const SECRET: [&str; 7] = [
        "SECRET",
        "TOKEN",
        "PASSWORD",
        "PASSWD",
        "PASSPHRASE",
        "CREDENTIAL",
        "KEY",
    ];
    let is_secret = SECRET.iter().any(|word| name.to_ascii_uppercase().contains(word));
    let is_another_machines = ["LD_", "SSH_", "DBUS_"].iter().any(|start| name.starts_with(start));
    !is_secret && !is_another_machines && !THE_EVALUATORS.contains(&name) && !NEVER_OURS.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment() -> Environment {
        let variables = [
            ("HOME", "/root"),
            ("PATH", "/bin"),
            ("AWS_SECRET_ACCESS_KEY", "x"),
            ("NIXPKGS_ALLOW_UNFREE", "1"),
            ("NIXOS_REBUILD_NO_SYSTEMD_RUN", "1"),
            ("COLOUR", "red"),
            ("SSH_CONNECTION", "here"),
        ];
        Environment(
            variables
                .iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
        )
    }

    fn chosen(names: &[&str], computes_names: bool) -> Result<Vec<String>, String> {
        let asked = Asked {
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            computes_names,
        };
        let chosen = environment().chosen(&asked)?;
        Ok(chosen
            .into_iter()
            .map(|(name, _)| name.into_string().unwrap())
            .collect())
    }

    #[test]
    fn what_nixpkgs_reads_and_what_is_asked_for_by_name() {
        assert_eq!(chosen(&[], false).unwrap(), ["HOME", "NIXPKGS_ALLOW_UNFREE"]);
        assert_eq!(
            chosen(&["COLOUR", "PATH", "UNSET"], false).unwrap(),
            ["HOME", "PATH", "NIXPKGS_ALLOW_UNFREE", "COLOUR"]
        );
    }

    #[test]
    fn computed_names_may_be_any_but_a_secrets() {
        assert_eq!(
            chosen(&[], true).unwrap(),
            ["HOME", "NIXPKGS_ALLOW_UNFREE", "NIXOS_REBUILD_NO_SYSTEMD_RUN", "COLOUR"]
        );
        assert!(
            chosen(&["AWS_SECRET_ACCESS_KEY"], true)
                .unwrap()
                .contains(&"AWS_SECRET_ACCESS_KEY".to_owned())
        );
    }

    #[test]
    fn what_cannot_be_the_same_is_named() {
        assert_eq!(chosen(&["NIX_REMOTE"], false), Err("NIX_REMOTE".to_owned()));
        assert_eq!(chosen(&["TMPDIR"], true), Err("TMPDIR".to_owned()));
    }
}
