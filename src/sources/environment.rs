//! Which of this machine's environment variables an evaluation elsewhere sees.
//!
//! Not all of them go, because an environment holds secrets. At first, these go: the variables that NixOS and nixpkgs
//! read, those that are harmless in every environment, and those that the configuration names. If the evaluation turns
//! out to ask for another one that is no secret, it is sent then and the configuration is evaluated again; if it is a
//! secret, the run is refused. The evaluation never goes on with another value than this machine's.

mod secrets;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use super::answered::Reads;
use crate::failure::Failure;
pub use secrets::{STARTS, is_secret_name, is_secret_value};

/// The variables that NixOS and nixpkgs read on their own, with `NIXPKGS_*` and `NIXOS_*`, and those that say where a
/// user's files are.
const KNOWN: [&str; 14] = [
    "HOME",
    "USER",
    "LOGNAME",
    "NIX_PATH",
    "NIXOS_CONFIG",
    "NIX_CONFIG_HOME",
    "NIX_DATA_HOME",
    "NIX_STATE_HOME",
    "XDG_CONFIG_HOME",
    "XDG_CONFIG_DIRS",
    "XDG_DATA_HOME",
    "XDG_DATA_DIRS",
    "XDG_STATE_HOME",
    "IN_NIX_SHELL",
];

/// The variables that a shell, a login or a terminal sets anew each time, and that Nix does not read for an evaluation.
const OF_A_SESSION: [&str; 19] = [
    "XDG_SESSION_ID",
    "XDG_SESSION_TYPE",
    "XDG_SESSION_CLASS",
    "PWD",
    "OLDPWD",
    "SHLVL",
    "SHELL",
    "TERM",
    "COLORTERM",
    "LS_COLORS",
    "HOSTNAME",
    "HOST",
    "MAIL",
    "EDITOR",
    "VISUAL",
    "PAGER",
    "SUDO_USER",
    "SUDO_UID",
    "SUDO_GID",
];

/// The variables that the evaluator sets for itself, and that become this machine's where the configuration asks for
/// them.
const LENT: [&str; 3] = ["PATH", "TMPDIR", "XDG_CACHE_HOME"];

/// The variables that the evaluator sets for itself and needs: they are never this machine's.
const NEEDED: [&str; 5] = [
    "GC_INITIAL_HEAP_SIZE",
    "NIX_CONF_DIR",
    "NIX_REMOTE",
    "NIX_SSL_CERT_FILE",
    "NIX_USER_CONF_FILES",
];

/// The variables of Nix itself that do not matter to a Nix that evaluates for another machine.
const HARMLESS_OF_NIX: [&str; 7] = [
    "NIX_PATH",
    "NIX_CONFIG_HOME",
    "NIX_DATA_HOME",
    "NIX_STATE_HOME",
    "NIX_PROFILES",
    "NIX_USER_PROFILE_DIR",
    "NIX_SYSTEM",
];

/// What the configuration asks of the environment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asked {
    /// The variables, by name.
    pub names: BTreeSet<String>,
    /// Whether the configuration also computes names: then nobody knows beforehand which variables it asks for.
    pub computes_names: bool,
}

/// The variables of this process, and the choice of which of them go.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    variables: Vec<(OsString, OsString)>,
    /// The variables that the user sends, whatever they are (`--send-env`).
    sent: BTreeSet<String>,
    /// The variables that an evaluation has asked for since the start.
    wanted: BTreeSet<String>,
}

/// The variables that an evaluation was found to have asked for without having got this machine's value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Missed {
    /// The variables, by name.
    pub names: BTreeSet<String>,
    /// The files that ask for variables whose names do not stand in them as text.
    pub computing: Vec<String>,
    /// The words in these files that may be such a name, or a piece of one.
    pub words: BTreeSet<String>,
}

/// The variables as the other machine gets them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chosen {
    /// The variables with their values.
    pub set: Vec<(OsString, OsString)>,
    /// The variables that the other machine sets and that are to be unset there.
    pub unset: Vec<String>,
    /// The names of the variables whose value on the other machine is not this machine's.
    pub withheld: BTreeSet<String>,
}

impl Chosen {
    /// Returns, as bytes, what of this belongs to the question that an evaluation is, if it asks for `reads`: all that
    /// goes, but for what a session sets; and of what is asked for, also whether it is there and does not go.
    #[must_use]
    pub fn of_question(&self, reads: &Reads) -> Vec<u8> {
        let is_asked = |name: &str| reads.any || reads.names.contains(name);
        let mut bytes = Vec::new();
        let mut set: Vec<_> = self.set.iter().collect();
        set.sort();
        for (name, value) in set {
            let text = name.to_string_lossy();
            if is_asked(&text) || !OF_A_SESSION.contains(&&*text) {
                bytes.extend([name.as_bytes(), b"=", value.as_bytes(), b"\0"].concat());
            }
        }
        for name in &self.unset {
            bytes.extend([b"unset ", name.as_bytes(), b"\0"].concat());
        }
        for name in self.withheld.iter().filter(|name| is_asked(name)) {
            bytes.extend([b"withheld ", name.as_bytes(), b"\0"].concat());
        }
        bytes
    }

    /// Whether something goes that may be a secret, because the user sends it.
    #[must_use]
    pub fn has_secret(&self) -> bool {
        self.set
            .iter()
            .any(|(name, value)| is_secret_name(&name.to_string_lossy()) || is_secret_value(&value.to_string_lossy()))
    }
}

impl Environment {
    /// Takes the variables of this process; those that `sent` names go in any case.
    #[must_use]
    pub fn new(variables: Vec<(OsString, OsString)>, sent: &[String]) -> Self {
        Self {
            variables,
            sent: sent.iter().cloned().collect(),
            wanted: BTreeSet::new(),
        }
    }

    /// Returns the variables for a configuration that is known to ask for `asked`.
    #[must_use]
    pub fn chosen(&self, asked: &Asked) -> Chosen {
        let mut chosen = Chosen::default();
        for (name, value) in &self.variables {
            let Some(text) = name.to_str() else { continue };
            if self.goes(text, asked) {
                chosen.set.push((name.clone(), value.clone()));
            } else {
                chosen.withheld.insert(text.to_owned());
            }
        }
        for name in LENT.into_iter().chain(NEEDED).filter(|name| !self.is_set(name)) {
            if name == "TMPDIR" && self.is_asked_for(name, asked) {
                chosen.unset.push(name.to_owned());
            } else {
                chosen.withheld.insert(name.to_owned());
            }
        }
        // The list of names that the other machine gets is separated by blanks.
        chosen.withheld.retain(|name| !name.contains(char::is_whitespace));
        chosen
    }

    /// Returns the variables that an evaluation has asked for and that were no secrets: they are kept for the next
    /// evaluation.
    #[must_use]
    pub fn wanted(&self) -> &BTreeSet<String> {
        &self.wanted
    }

    /// Adds what an earlier evaluation asked for, because the next one will ask for it again.
    pub fn remember(&mut self, wanted: BTreeSet<String>) {
        let may_go = |name: &String| self.can_go(name) && !self.is_secret(name);
        let wanted: Vec<String> = wanted.into_iter().filter(may_go).collect();
        self.wanted.extend(wanted);
    }

    /// Adds the variables that were missed, so that [`Environment::chosen`] includes them. Returns the new ones.
    ///
    /// # Errors
    /// Returns an error if one of them cannot go, or goes only if the user says so.
    pub fn want(&mut self, missed: &Missed, asked: &Asked) -> Result<BTreeSet<String>, Failure> {
        let withheld = self.chosen(asked).withheld;
        let may_be_meant = |name: &&String| is_made_of(name, &missed.words);
        let guessed = withheld
            .iter()
            .filter(may_be_meant)
            // Every bash exports this variable, and no configuration that computes names means it: it would refuse each
            // run that is typed.
            .filter(|name| *name != "_")
            .filter(|_| !missed.computing.is_empty());
        let mut names: BTreeSet<String> = guessed.cloned().collect();
        let surely = missed.names.intersection(&withheld).cloned();
        names.extend(surely);
        for name in &names {
            let file = missed.computing.first().filter(|_| !missed.names.contains(name));
            if let Some(failure) = self.refusal(name, file.map(String::as_str)) {
                return Err(failure);
            }
        }
        let new: BTreeSet<String> = names.difference(&self.wanted).cloned().collect();
        self.wanted.extend(new.iter().cloned());
        Ok(new)
    }

    /// Returns why a variable that is asked for does not go. If its name is computed, `file` is the file that computes
    /// it.
    fn refusal(&self, name: &str, file: Option<&str>) -> Option<Failure> {
        let who = file.map_or_else(
            || format!("the configuration asks for the environment variable {name}"),
            |file| format!("{file} computes the names of environment variables, and {name} may be one of them"),
        );
        if !self.can_go(name) {
            let failure = Failure::new(format!("{who}, which cannot be the same on another machine"));
            return Some(
                failure.with_remedy("evaluate here: --eval-on ''\nthe build can be there all the same: --build-on"),
            );
        }
        self.is_secret(name).then(|| {
            Failure::new(format!("{who}, which may be a secret, and was not sent")).with_remedy(format!(
                "send it all the same: --send-env {name}\nor have none: env -u {name} rebuild ..."
            ))
        })
    }

    fn goes(&self, name: &str, asked: &Asked) -> bool {
        if !self.can_go(name) {
            return false;
        }
        KNOWN.contains(&name)
            || OF_A_SESSION.contains(&name)
            || name.starts_with("NIXPKGS_")
            || name.starts_with("NIXOS_")
            || self.is_asked_for(name, asked)
            || (asked.computes_names && !self.is_secret(name) && !is_another_machines(name))
    }

    fn is_asked_for(&self, name: &str, asked: &Asked) -> bool {
        asked.names.contains(name) || self.wanted.contains(name) || self.sent.contains(name)
    }

    /// Returns whether the variable can have this machine's value on the other machine.
    fn can_go(&self, name: &str) -> bool {
        let is_nixs = (name.starts_with("NIX_") && !HARMLESS_OF_NIX.contains(&name)) || name == "SSL_CERT_FILE";
        let is_loaders = name.starts_with("LD_") || name.starts_with("GC_") || name == "_";
        let lacks = LENT.contains(&name) && name != "TMPDIR" && !self.is_set(name);
        !is_nixs && !is_loaders && !lacks && is_exportable(name)
    }

    fn is_secret(&self, name: &str) -> bool {
        let found = self.variables.iter().find(|(own, _)| own == name);
        is_secret_name(name) || found.is_some_and(|(_, value)| is_secret_value(&value.to_string_lossy()))
    }

    fn is_set(&self, name: &str) -> bool {
        self.variables.iter().any(|(own, _)| own == name)
    }
}

/// Returns whether everybody may read this variable: a login, Nix or this program sets it for everybody, and its value
/// does not look like a secret.
#[must_use]
pub fn is_public(name: &str, value: &str) -> bool {
    let is_everybodys = [&KNOWN[..], &OF_A_SESSION, &LENT, &NEEDED, &HARMLESS_OF_NIX]
        .iter()
        .any(|names| names.contains(&name))
        || is_another_machines(name)
        || ["REBUILD_", "XDG_"].iter().any(|start| name.starts_with(start));
    is_everybodys && !is_secret_value(value)
}

/// Returns whether the variable is not sent to a configuration that may ask for anything.
fn is_another_machines(name: &str) -> bool {
    ["SSH_", "DBUS_", "LC_"].iter().any(|start| name.starts_with(start))
        || LENT.contains(&name)
        || ["XDG_RUNTIME_DIR", "LANG", "LANGUAGE"].contains(&name)
}

/// Returns whether a shell can export a variable of this name.
fn is_exportable(name: &str) -> bool {
    !name.starts_with(|first: char| first.is_ascii_digit())
        && !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Returns whether a name is one of these words, or several of them in a row. Where letters may be made capitals, case
/// does not matter.
fn is_made_of(name: &str, words: &BTreeSet<String>) -> bool {
    let capitals = ["toUpper", "toLower"].iter().any(|word| words.contains(*word));
    let same =
        |piece: &str| words.contains(piece) || (capitals && words.iter().any(|word| word.eq_ignore_ascii_case(piece)));
    // made[n] says whether the first n bytes of the name can be put together from the words.
    let mut made = vec![true];
    for end in 1..=name.len() {
        made.push((0..end).any(|start| made[start] && name.get(start..end).is_some_and(same)));
    }
    made[name.len()]
}

#[cfg(test)]
mod tests;
