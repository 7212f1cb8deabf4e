//! What is asked of the other machine, as the text that runs there: the client's words, quoted, then `scripts/`.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use anyhow::Result;

use crate::failure::Failure;
use crate::process::quote::shell_word;
use crate::sources::environment::Chosen;
use crate::sources::large::Large;
use crate::store_path::StorePath;

/// The scripts in the order in which the shell reads them; `main.sh` starts.
pub(super) const SCRIPTS: [&str; 14] = [
    include_str!("../remote/scripts/events.sh"),
    include_str!("../remote/scripts/channel.sh"),
    include_str!("scripts/way.sh"),
    include_str!("scripts/kept.sh"),
    include_str!("scripts/proof.sh"),
    include_str!("scripts/mirror.sh"),
    include_str!("../remote/scripts/nix.sh"),
    include_str!("scripts/trace.sh"),
    include_str!("scripts/emulation.sh"),
    include_str!("scripts/variables.sh"),
    include_str!("scripts/roots.sh"),
    include_str!("scripts/evaluate.sh"),
    include_str!("scripts/build.sh"),
    include_str!("scripts/main.sh"),
];

const VIEW: &str = include_str!("scripts/view.sh");

/// A run on the other machine.
#[derive(Debug)]
pub struct Request {
    /// Who asks: names our cache there.
    pub client: Client,
    /// Nix settings that the command line gives, as lines of a `nix.conf`.
    pub settings: String,
    /// The system that is evaluated for, as `aarch64-linux`.
    pub system: String,
    /// The system that the evaluation is told.
    pub evaluated_system: String,
    /// What there is to do.
    pub work: Work,
    /// The derivation that the evaluation has to give (`--verify-eval`).
    pub expected: Option<StorePath>,
    /// What is to come of it.
    pub goal: Goal,
    /// Whether that is to be sent: to `socket`, or to be fetched where there is none. Otherwise it stays there.
    pub deliver: bool,
    /// Flags of `nix-store --realise`.
    pub build_flags: Vec<String>,
    /// Flags of `nix copy`.
    pub copy_flags: Vec<String>,
    /// Where the daemon that receives it is to be found over there, if it is lent.
    pub socket: Option<PathBuf>,
}

/// This machine's user, as the other machine knows them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// Names what is kept there; a file name.
    pub name: String,
    /// Whether the next run has the same name: otherwise nothing is kept.
    pub stays: bool,
}

/// What is to come of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goal {
    /// The derivation is evaluated and built.
    Result,
    /// It is evaluated, and said what building it would mean.
    DryRun,
    /// It is evaluated, to be built on another machine.
    Derivation,
    /// A value is evaluated, and printed as one line of JSON.
    Value,
}

impl Goal {
    /// The script's word.
    fn word(self) -> &'static str {
        match self {
            Self::Result => "result",
            Self::DryRun => "dry-run",
            Self::Derivation => "derivation",
            Self::Value => "value",
        }
    }
}

/// What there is to do.
#[derive(Debug)]
pub enum Work {
    /// Evaluate and build.
    Evaluate(Box<Evaluation>),
    /// Build a derivation that is there already.
    Build {
        /// Its store path.
        derivation: StorePath,
    },
}

impl Work {
    /// The derivation that is there already.
    #[must_use]
    pub fn derivation(&self) -> Option<&StorePath> {
        match self {
            Self::Build { derivation } => Some(derivation),
            Self::Evaluate(_) => None,
        }
    }
}

/// An evaluation for somebody else.
#[derive(Debug)]
pub struct Evaluation {
    /// The command, a program of Nix and its arguments, that makes the derivation or the value.
    pub command: Vec<String>,
    /// One that evaluates the same and keeps nothing of it.
    pub look: Vec<String>,
    /// The lock file that it may write.
    pub lock: Option<PathBuf>,
    /// The registry of flakes of this machine, as the text of a `registry.json`.
    pub registry: String,
    /// The environment that it reads.
    pub environment: Chosen,
    /// What of its reading of that is looked at; nothing where the evaluation is pure.
    pub watch: Option<Watch>,
    /// The home, where HOME does not say it.
    pub home: Option<PathBuf>,
    /// Whether `~` cannot be made that over there.
    pub home_is_unsure: bool,
    /// The settings that it obeys, as the text of a `nix.conf`.
    pub settings: String,
    /// Those of them that a Nix which does not know them would not obey.
    pub decisive_settings: Vec<String>,
    /// The current directory.
    pub directory: PathBuf,
    /// What is needed there of our files.
    pub need: Need,
    /// Whether that is so much that it is not worth while to ask what of it was read.
    pub is_large: bool,
}

/// What says which variables an evaluation has asked for: Nix's log, which names the files that are evaluated.
#[derive(Debug, Clone, Default)]
pub struct Watch {
    /// The file that is evaluated first, which Nix does not name; empty where it is not known.
    pub entry: PathBuf,
    /// How much of its log Nix was to give (0 to 7), by the user's flags.
    pub verbosity: u8,
}

/// The level of Nix's log on which it names the files that it evaluates, and the derivations that it writes.
const NAMES_FILES: u8 = 5;

/// What is needed of our files on the other machine, by names that it knows from earlier runs if it has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    /// The digest of the mirror.
    pub mirror: String,
    /// The digest of one that it may have, from which this one is made with less.
    pub base: Option<String>,
    /// What tells whether the mirror there is this one, or "none".
    pub proof: String,
    /// The names of the store paths.
    pub trees: Vec<OsString>,
    /// Of these, the ones that anybody may add to a store, for they are made of their content alone.
    pub fixed: Vec<OsString>,
    /// The directories that need not be copied for each evaluation.
    pub large: Vec<Large>,
}

impl Need {
    /// As words of a line (`evaluate` in `scripts/evaluate.sh`): mirror, base, proof, store paths, which
    /// of these are fixed, and large directories.
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

/// As much as is kept there of our store paths, in KiB.
const MOST_KEPT: u32 = 6 << 20;

impl Request {
    /// Settings without which the evaluation would be another one.
    pub(super) fn decisive_settings(&self) -> &[String] {
        match &self.work {
            Work::Evaluate(evaluation) => &evaluation.decisive_settings,
            Work::Build { .. } => &[],
        }
    }

    /// The text for the other machine's shell.
    ///
    /// # Errors
    /// A word with a NUL byte in it.
    pub fn script(&self) -> Result<Vec<u8>, Failure> {
        let mut text = Text::default();
        text.set("rb_client", &self.client.name)?;
        text.set("rb_client_stays", if self.client.stays { "yes" } else { "no" })?;
        text.set("rb_settings", &self.settings)?;
        text.set("rb_system", &self.system)?;
        text.set("rb_evaluated_system", &self.evaluated_system)?;
        text.set("rb_goal", self.goal.word())?;
        text.set("rb_deliver", if self.deliver { "yes" } else { "no" })?;
        text.set("rb_socket", self.socket.clone().unwrap_or_default())?;
        text.set("rb_probe", probe(&self.system))?;
        text.function("with_client_build_flags", &self.build_flags)?;
        text.function("with_client_copy_flags", &self.copy_flags)?;
        match &self.work {
            Work::Build { derivation } => text.set("rb_derivation", derivation.as_str())?,
            Work::Evaluate(evaluation) => {
                text.set("rb_derivation", "")?;
                evaluation.describe(&mut text)?;
            }
        }
        for script in SCRIPTS {
            text.0.extend(script.as_bytes());
        }
        Ok(text.0)
    }
}

impl Evaluation {
    fn describe(&self, text: &mut Text) -> Result<(), Failure> {
        text.function("with_client_evaluation", &self.command)?;
        text.function("with_client_look", &self.look)?;
        text.set("rb_lock", self.lock.clone().unwrap_or_default())?;
        text.set("rb_registry", &self.registry)?;
        text.set("rb_need", self.need.words())?;
        text.set("rb_most_kept", MOST_KEPT.to_string())?;
        text.set("rb_tell_unread", if self.is_large { "no" } else { "yes" })?;
        let watch = self.watch.clone().unwrap_or_default();
        let louder = NAMES_FILES.saturating_sub(watch.verbosity);
        text.set("rb_watches", if self.watch.is_some() { "yes" } else { "no" })?;
        text.set("rb_entry", &watch.entry)?;
        text.set("rb_louder", vec!["-v"; louder.into()].join(" "))?;
        text.set("rb_hidden", (watch.verbosity + 1).to_string())?;
        text.set("rb_home", self.home.clone().unwrap_or_default())?;
        text.set("rb_tilde", if self.home_is_unsure { "yes" } else { "no" })?;
        text.set("rb_nix_conf", &self.settings)?;
        text.set("rb_view_script", VIEW)?;
        // These become text for a second shell, inside the view.
        text.set("rb_directory", OsStr::from_bytes(&shell_word(&self.directory)?))?;
        text.set("rb_environment", OsStr::from_bytes(&exports(&self.environment)?))
    }
}

/// Variables as the text of a shell that exports them; its first line names those that are not there.
///
/// # Errors
/// A NUL byte in one.
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

/// A program of another CPU for the emulation probe, in `printf`'s octal escapes; empty where we have none, and then
/// only the build itself can tell.
fn probe(system: &str) -> String {
    let program: &[u8] = match system {
        "aarch64-linux" => include_bytes!("probes/aarch64.elf"),
        _ => &[],
    };
    program
        .iter()
        .fold(String::new(), |text, byte| text + &format!("\\0{byte:03o}"))
}

#[derive(Default)]
struct Text(Vec<u8>);

impl Text {
    fn set(&mut self, name: &str, value: impl AsRef<OsStr>) -> Result<(), Failure> {
        let quoted = shell_word(value)?;
        self.0.extend([name.as_bytes(), b"=", &quoted, b"\n"].concat());
        Ok(())
    }

    /// A function that runs its arguments with these words added: a list of words, where sh has no lists.
    fn function(&mut self, name: &str, words: &[String]) -> Result<(), Failure> {
        self.0.extend([name.as_bytes(), b"() { \"$@\""].concat());
        for word in words {
            self.0.push(b' ');
            self.0.extend(shell_word(word)?);
        }
        self.0.extend(b"; }\n");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::environment::{Asked, Environment};
    use std::process::Command;

    fn evaluation() -> Evaluation {
        Evaluation {
            command: ["nix-instantiate", "<nixpkgs/nixos>", "-I", "a b='c'"]
                .map(String::from)
                .into(),
            lock: None,
            registry: String::new(),
            environment: Environment::new(
                vec![
                    ("HOME".into(), "/root".into()),
                    ("MULTI".into(), "a\n$(touch /tmp/no) 'x'".into()),
                    ("BASH_FUNC_x%%".into(), "() { :; }".into()),
                ],
                &["MULTI".into(), "BASH_FUNC_x%%".into()],
            )
            .chosen(&Asked::default()),
            watch: None,
            home: None,
            home_is_unsure: false,
            settings: "pure-eval = false\n".into(),
            decisive_settings: vec![],
            directory: "/etc/my nixos".into(),
            look: vec![],
            need: Need {
                mirror: "0f".into(),
                base: None,
                proof: "none".into(),
                trees: vec!["a-b".into(), "c-d".into()],
                fixed: vec!["c-d".into()],
                large: vec![],
            },
            is_large: false,
        }
    }

    fn request() -> Request {
        Request {
            client: Client {
                name: "pi".into(),
                stays: true,
            },
            settings: "access-tokens = x\n".into(),
            system: "aarch64-linux".into(),
            evaluated_system: "aarch64-linux".into(),
            work: Work::Evaluate(Box::new(evaluation())),
            expected: None,
            goal: Goal::Result,
            deliver: true,
            build_flags: vec![],
            copy_flags: vec!["-s".into()],
            socket: Some("/tmp/x.sock".into()),
        }
    }

    /// Runs the client's words, without the scripts, in a real shell.
    fn in_shell(command: &str) -> String {
        let script = request().script().unwrap();
        let start = SCRIPTS[0].lines().nth(1).unwrap();
        let text = String::from_utf8(script).unwrap();
        let words = text.split(start).next().unwrap().to_owned();
        let output = Command::new("sh")
            .arg("-c")
            .arg(words + "\n" + command)
            .output()
            .unwrap();
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

    #[test]
    fn the_probe_is_the_program_again() {
        let decoded = Command::new("sh")
            .arg("-c")
            .arg(format!("printf %b '{}'", probe("aarch64-linux")))
            .output()
            .unwrap();
        assert!(decoded.stdout == include_bytes!("probes/aarch64.elf"));
        assert_eq!(probe("x86_64-linux"), "");
    }
}
