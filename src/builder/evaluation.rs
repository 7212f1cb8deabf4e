//! An evaluation on the other machine, in the words that `scripts/evaluate.sh` takes.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use crate::failure::Failure;
use crate::process::quote::shell_word;
use crate::remote::script::{Script, without_comments};
use crate::sources::environment::Chosen;
use crate::sources::large::Large;
use crate::sources::releases::Release;
use crate::store_path::StorePath;

/// This script goes as a word, because another shell runs it.
const VIEW: &str = include_str!("scripts/view.sh");

/// An evaluation that another machine makes.
#[allow(clippy::struct_excessive_bools, reason = "each is a fact about it")]
#[derive(Debug)]
pub struct Evaluation {
    /// The command, a program of Nix and its arguments, that makes the derivation or the value.
    pub command: Vec<String>,
    /// Whether it makes a value, which is printed as one line of JSON.
    pub gives_value: bool,
    /// The derivation that the evaluation has to give (`--verify-eval`).
    pub expected: Option<StorePath>,
    /// The system for which it evaluates.
    pub system: String,
    /// The command that evaluates the same and keeps nothing of it.
    pub look: Vec<String>,
    /// The lock file that the evaluation may write.
    pub lock: Option<PathBuf>,
    /// The registry of flakes of this machine, as the text of a `registry.json`.
    pub registry: String,
    /// The environment that the evaluation reads.
    pub environment: Chosen,
    /// How its reading of variables is watched. None if the evaluation is pure.
    pub watch: Option<VariableWatch>,
    /// The home, if HOME does not say it.
    pub home: Option<PathBuf>,
    /// Whether `~` may stand for another home on the other machine.
    pub home_is_unsure: bool,
    /// The settings that the evaluation obeys, as the text of a `nix.conf`.
    pub settings: String,
    /// The names of those settings without which the evaluation would be another one. A Nix that does not know them
    /// must not evaluate.
    pub decisive_settings: Vec<String>,
    /// The current directory.
    pub directory: PathBuf,
    /// Which of the client's files are needed there.
    pub need: Need,
    /// Whether these are so many that it is not worth while to ask which of them were read.
    pub is_large: bool,
    /// Which of the store paths it may fetch itself.
    pub releases: Vec<Release>,
    /// Whether the answer may be remembered ([`question`](super::question)), as far as this machine can tell.
    pub may_be_remembered: bool,
    /// What this machine remembers as the answer.
    pub known: Option<Known>,
}

/// A remembered answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// The derivation.
    pub derivation: StorePath,
    /// The other machine's standing when it gave this answer: the same standing means the same Nix, and the same in the
    /// machine's own places (`scripts/unchanged.sh`).
    pub standing: String,
}

/// How it is found out which variables an evaluation has asked for: from Nix's log, which names the evaluated files.
#[derive(Debug, Clone, Default)]
pub struct VariableWatch {
    /// The file that is evaluated first, which Nix does not name; empty if it is not known.
    pub entry: PathBuf,
    /// The level of Nix's log (0 to 7) that the user's flags ask for.
    pub verbosity: u8,
}

/// The level of Nix's log on which it names the files that it evaluates, and the derivations that it writes.
const NAMES_FILES: u8 = 5;

/// Which of the client's files the other machine needs, by names that it knows from earlier runs if it has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    /// The digest of the mirror.
    pub mirror: String,
    /// The digest of what of it belongs to the question.
    pub question: String,
    /// The digest of a mirror that the machine may have. Less has to be sent to make this one of it.
    pub base: Option<String>,
    /// The sum that shows whether the mirror there is this one, or "none".
    pub proof: String,
    /// The names of the store paths.
    pub trees: Vec<OsString>,
    /// Those of the store paths that every user may add to a store, because their names are made of their content
    /// alone.
    pub fixed: Vec<OsString>,
    /// The directories that need not be copied for each evaluation.
    pub large: Vec<Large>,
}

impl Need {
    /// Returns the words of a line for `receive` in `scripts/mirror.sh`: mirror, base, proof, store paths, which of
    /// these are fixed, and large directories.
    #[must_use]
    pub fn words(&self) -> OsString {
        let mut words = OsString::from(&self.mirror);
        words.push(" ");
        words.push(self.base.as_deref().unwrap_or("none"));
        words.push(" ");
        words.push(&self.proof);
        for tree in &self.trees {
            words.push(" ");
            words.push(tree);
        }
        for tree in &self.fixed {
            words.push(" fixed:");
            words.push(tree);
        }
        for large in &self.large {
            words.push(" ");
            words.push(large.word());
        }
        words
    }
}

/// How much of the client's store paths is kept there, in KiB.
const MOST_KEPT: u32 = 6 << 20;

impl Evaluation {
    pub(super) fn describe(&self, script: &mut Script) -> Result<(), Failure> {
        script.wrapper("with_client_evaluation", &self.command)?;
        script.wrapper("with_client_look", &self.look)?;
        self.describe_question(script)?;
        let verbosity = self.watch.as_ref().map_or(0, |watch| watch.verbosity);
        let louder = NAMES_FILES.saturating_sub(verbosity);
        script.set("rb_louder", vec!["-v"; louder.into()].join(" "))?;
        script.set("rb_hidden", (verbosity + 1).to_string())?;
        script.set("rb_need", self.need.words())?;
        script.set("rb_releases", lines(&self.releases))?;
        script.set("rb_most_kept", MOST_KEPT.to_string())?;
        script.set_yes("rb_tell_unread", !self.is_large)?;
        let known = self.known.as_ref();
        script.set("rb_known", known.map_or("", |known| known.derivation.as_str()))?;
        script.set("rb_standing", known.map_or("", |known| &known.standing))?;
        script.set_yes("rb_remembers", self.may_be_remembered)?;
        // This becomes text for a second shell, inside the view.
        script.set("rb_environment", OsStr::from_bytes(&exports(&self.environment)?))
    }

    /// Returns the words of the evaluation without those that only say how much of it is shown.
    pub(super) fn command_of_question(&self) -> Vec<String> {
        let is_shown = |word: &String| {
            let letters = word.strip_prefix('-').unwrap_or_default();
            word == "--quiet" || (!letters.is_empty() && letters.bytes().all(|letter| letter == b'v'))
        };
        self.command.iter().filter(|word| !is_shown(word)).cloned().collect()
    }

    /// Describes what is asked, but for the words of the commands, the files and the environment, of which not everything
    /// belongs to the question.
    pub(super) fn describe_question(&self, script: &mut Script) -> Result<(), Failure> {
        script.set_yes("rb_gives_value", self.gives_value)?;
        script.set("rb_evaluated_system", &self.system)?;
        script.set("rb_lock", self.lock.clone().unwrap_or_default())?;
        script.set("rb_registry", &self.registry)?;
        let entry = self.watch.as_ref().map(|watch| watch.entry.clone());
        script.set_yes("rb_watches", self.watch.is_some())?;
        script.set("rb_entry", entry.unwrap_or_default())?;
        script.set("rb_home", self.home.clone().unwrap_or_default())?;
        script.set_yes("rb_tilde", self.home_is_unsure)?;
        script.set("rb_nix_conf", &self.settings)?;
        script.set("rb_view_script", without_comments(VIEW))?;
        // This becomes text for a second shell, inside the view.
        script.set("rb_directory", OsStr::from_bytes(&shell_word(&self.directory)?))
    }
}

/// Returns a line for each address of a release, in the words of `scripts/releases.sh`.
fn lines(releases: &[Release]) -> String {
    let each = releases.iter().flat_map(|release| {
        let Release { tree, channel, .. } = release;
        release
            .addresses
            .iter()
            .map(move |address| format!("{tree} {channel} {address}"))
    });
    each.collect::<Vec<_>>().join("\n")
}

/// Returns shell text that exports variables. Its first line names those that are not sent.
///
/// # Errors
/// A variable has a NUL byte in it.
pub(super) fn exports(variables: &Chosen) -> Result<Vec<u8>, Failure> {
    let mut text = b"# withheld".to_vec();
    for name in &variables.withheld {
        text.extend([b" ", name.as_bytes()].concat());
    }
    text.push(b'\n');
    for name in &variables.unset {
        text.extend(format!("unset {name}\n").into_bytes());
    }
    for (name, value) in &variables.set {
        let quoted = shell_word(value)?;
        text.extend([b"export ".as_slice(), name.as_bytes(), b"=", &quoted, b"\n"].concat());
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builder::tests::example::evaluation;
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt;
    use std::process::Command;

    /// Returns what a real shell says when it has these words.
    fn in_shell(command: &str) -> String {
        let mut script = Script::default();
        evaluation().describe(&mut script).unwrap();
        script.text(command);
        let script = OsString::from_vec(script.into_bytes());
        let output = Command::new("sh").arg("-c").arg(script).output().unwrap();
        assert!(output.stderr.is_empty(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    #[test]
    fn words_arrive_as_they_are() {
        assert_eq!(in_shell("printf %s \"$rb_need\""), "0f none none a-b c-d fixed:c-d");
        assert_eq!(
            in_shell("with_client_evaluation printf '<%s>'"),
            "<nix-instantiate><<nixpkgs/nixos>><-I><a b='c'>"
        );
    }

    #[test]
    fn the_environment_survives_two_shells_and_names_that_no_shell_knows_are_left_out() {
        let shown = in_shell(r#"sh -c "$rb_environment"'printf "%s|%s" "$HOME" "$MULTI"'"#);
        assert_eq!(shown, "/root|a\n$(touch /tmp/no) 'x'");
        assert_eq!(in_shell("eval \"printf %s $rb_directory\""), "/etc/my nixos");
        let shown = in_shell("printf %s \"$rb_environment\"");
        assert!(!shown.contains("export BASH_FUNC"), "{shown}");
        assert!(shown.lines().next().unwrap().contains(" BASH_FUNC_x%%"), "{shown}");
    }
}
