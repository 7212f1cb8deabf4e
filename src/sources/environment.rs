//! Which of this machine's environment variables an evaluation elsewhere sees.
//!
//! Not all of them: an environment holds secrets. At first those that NixOS and nixpkgs read, what is harmless in every
//! environment, and those that the configuration names. What else the evaluation turns out to ask for is sent then, if it is
//! no secret, and it is evaluated again; or the run is refused. It never goes on with another value than this machine's.

mod secrets;

use std::collections::BTreeSet;
use std::ffi::OsString;

use crate::failure::Failure;
use secrets::{is_secret_name, is_secret_value};

/// What NixOS and nixpkgs read of themselves, with `NIXPKGS_*` and `NIXOS_*`; what says where a user's files are; and what a
/// shell or a login sets for everybody.
const KNOWN: [&str; 33] = [
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
    "IN_NIX_SHELL",
];

/// What the evaluator sets for itself, and leaves to this machine where it is asked for.
const LENT: [&str; 3] = ["PATH", "TMPDIR", "XDG_CACHE_HOME"];

/// What the evaluator sets for itself and needs: it never is this machine's.
const NEEDED: [&str; 4] = ["NIX_CONF_DIR", "NIX_REMOTE", "NIX_SSL_CERT_FILE", "NIX_USER_CONF_FILES"];

/// Those of Nix's own that say nothing to a Nix that evaluates for another.
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
    /// Variables by their names.
    pub names: BTreeSet<String>,
    /// Whether it also computes names: then nobody knows beforehand which.
    pub computes_names: bool,
}

/// The variables of this process, and which of them go.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    variables: Vec<(OsString, OsString)>,
    /// Those that the user sends, whatever they are (`--send-env`).
    sent: BTreeSet<String>,
    /// Those that an evaluation has asked for since.
    wanted: BTreeSet<String>,
}

/// What an evaluation was found to have asked for, without having been given this machine's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Missed {
    /// Variables by name.
    pub names: BTreeSet<String>,
    /// The files that ask for variables of which the names are no text in them.
    pub computing: Vec<String>,
    /// What may be such a name, or a piece of one.
    pub words: BTreeSet<String>,
}

/// The variables as the other machine gets them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chosen {
    /// With their values.
    pub set: Vec<(OsString, OsString)>,
    /// Those that are to be unset there, though it sets them.
    pub unset: Vec<String>,
    /// The names of those whose value there is not this machine's.
    pub withheld: BTreeSet<String>,
}

impl Environment {
    /// Of these variables, `sent` go in any case.
    #[must_use]
    pub fn new(variables: Vec<(OsString, OsString)>, sent: &[String]) -> Self {
        Self {
            variables,
            sent: sent.iter().cloned().collect(),
            wanted: BTreeSet::new(),
        }
    }

    /// The variables for a configuration that is known to ask for these.
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
        // Blanks end a name where the other machine is told of them.
        chosen.withheld.retain(|name| !name.contains(char::is_whitespace));
        chosen
    }

    /// What an evaluation has asked for, and was no secret: to be kept for the next one.
    #[must_use]
    pub fn wanted(&self) -> &BTreeSet<String> {
        &self.wanted
    }

    /// What an earlier evaluation asked for will be asked for again.
    pub fn remember(&mut self, wanted: BTreeSet<String>) {
        let may_go = |name: &String| self.can_go(name) && !self.is_secret(name);
        let wanted: Vec<String> = wanted.into_iter().filter(may_go).collect();
        self.wanted.extend(wanted);
    }

    /// Takes note of what was missed; then [`Environment::chosen`] has it. Gives what is new.
    ///
    /// # Errors
    /// Something of it cannot go, or goes only if the user says so.
    pub fn want(&mut self, missed: &Missed, asked: &Asked) -> Result<BTreeSet<String>, Failure> {
        let withheld = self.chosen(asked).withheld;
        let may_be_meant = |name: &&String| is_made_of(name, &missed.words);
        let guessed = withheld
            .iter()
            .filter(may_be_meant)
            // Every bash exports it, and whoever computes names means no such one: it would refuse each run that is typed.
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

    /// Why a variable that is asked for does not go. Where the name is computed, `file` does that.
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
            || name.starts_with("NIXPKGS_")
            || name.starts_with("NIXOS_")
            || self.is_asked_for(name, asked)
            || (asked.computes_names && !self.is_secret(name) && !is_another_machines(name))
    }

    fn is_asked_for(&self, name: &str, asked: &Asked) -> bool {
        asked.names.contains(name) || self.wanted.contains(name) || self.sent.contains(name)
    }

    /// Whether it can be this machine's over there.
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

/// What is not sent to a configuration that may ask for anything.
fn is_another_machines(name: &str) -> bool {
    ["SSH_", "DBUS_", "LC_"].iter().any(|start| name.starts_with(start))
        || LENT.contains(&name)
        || ["XDG_RUNTIME_DIR", "LANG", "LANGUAGE"].contains(&name)
}

/// Whether a shell can export it.
fn is_exportable(name: &str) -> bool {
    !name.starts_with(|first: char| first.is_ascii_digit())
        && !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Whether a name is one of these words, or some of them one after another. Where letters are made capitals, any are.
fn is_made_of(name: &str, words: &BTreeSet<String>) -> bool {
    let capitals = ["toUpper", "toLower"].iter().any(|word| words.contains(*word));
    let same =
        |piece: &str| words.contains(piece) || (capitals && words.iter().any(|word| word.eq_ignore_ascii_case(piece)));
    // Whether the name can be made up to each place.
    let mut made = vec![true];
    for end in 1..=name.len() {
        made.push((0..end).any(|start| made[start] && name.get(start..end).is_some_and(same)));
    }
    made[name.len()]
}

#[cfg(test)]
mod tests;
