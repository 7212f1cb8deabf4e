//! What a shell may offer for a word that is being typed: `rebuild --candidates KIND [WORD]` prints one candidate a
//! line, which may have a description after a tab.
//!
//! This is for the files in `completions/` only. It is in no help, and `main` answers before clap reads the command
//! line, because clap reports what it does not like, and the user would have the report in their prompt. Only files are
//! read: no Nix program is started and no machine is asked. Whatever goes wrong, fewer candidates are offered.
//!
//! Why not the `unstable-dynamic` of `clap_complete`, with which the program completes everything itself? Its interface
//! may change with any release, all of it would be in the program on the Pi, and each Tab would start that program,
//! even for a verb. Here the shells have what is always the same in their files, and ask only for what depends on the
//! machine.

mod configurations;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod hosts;
mod ssh_files;
mod systems;

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use clap::{Arg, ValueHint};

/// The first argument of a question.
pub const QUESTION: &str = "--candidates";

/// A larger file, in bytes, is not read while the user waits.
const MAX_SIZE: u64 = 4 << 20;

/// The kinds of candidates that a shell can ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CandidateKind {
    /// Machines that ssh's files name.
    Hosts,
    /// Profiles for systems.
    Profiles,
    /// Specialisations of the current system.
    Specialisations,
    /// The links to the generations of the system.
    Generations,
    /// `nixosConfigurations` of a flake on this machine, with the flake: `.#pi`.
    Configurations,
}

impl CandidateKind {
    /// All kinds.
    pub const ALL: [Self; 5] = [
        Self::Hosts,
        Self::Profiles,
        Self::Specialisations,
        Self::Generations,
        Self::Configurations,
    ];

    /// Returns the kind of a flag's value, if candidates can be asked for it. The completions are made from this.
    #[must_use]
    pub fn of(flag: &Arg) -> Option<Self> {
        match flag.get_id().as_str() {
            "profile_name" => Some(Self::Profiles),
            "specialisation" => Some(Self::Specialisations),
            "store_path" => Some(Self::Generations),
            "flake" => Some(Self::Configurations),
            _ => (flag.get_value_hint() == ValueHint::Hostname).then_some(Self::Hosts),
        }
    }

    /// Returns its name in the question.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Hosts => "hosts",
            Self::Profiles => "profiles",
            Self::Specialisations => "specialisations",
            Self::Generations => "generations",
            Self::Configurations => "configurations",
        }
    }
}

/// The places where candidates may be found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// The current directory.
    pub directory: PathBuf,
    /// The user's home directory.
    pub home: PathBuf,
    /// ssh's files for all users: `/etc/ssh`.
    pub ssh: PathBuf,
    /// Nix's profiles: `/nix/var/nix/profiles`.
    pub profiles: PathBuf,
    /// The running system: `/run/current-system`.
    pub system: PathBuf,
}

impl Places {
    /// Returns the places of a NixOS system.
    #[must_use]
    pub fn here() -> Self {
        Self {
            directory: std::env::current_dir().unwrap_or_default(),
            home: std::env::var_os("HOME").unwrap_or_default().into(),
            ssh: "/etc/ssh".into(),
            profiles: "/nix/var/nix/profiles".into(),
            system: "/run/current-system".into(),
        }
    }
}

/// A word that is offered.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Candidate {
    /// The whole word, including what is typed already.
    text: String,
    /// A description, for shells that show it.
    description: Option<String>,
}

/// Returns the answer to a question: `question` holds the words after [`QUESTION`]. The answer is empty if they are no
/// question.
#[must_use]
pub fn answer(question: impl IntoIterator<Item = OsString>, places: &Places) -> String {
    let words: Option<Vec<String>> = question.into_iter().map(|word| word.into_string().ok()).collect();
    let (name, typed) = match words.as_deref() {
        Some([name]) => (name.as_str(), ""),
        Some([name, typed]) => (name.as_str(), typed.as_str()),
        _ => return String::new(),
    };
    let Some(kind) = CandidateKind::ALL.into_iter().find(|kind| kind.name() == name) else {
        return String::new();
    };
    let candidates = match kind {
        CandidateKind::Hosts => plain(hosts::hosts(typed, places)),
        CandidateKind::Profiles => plain(systems::profiles(&places.profiles)),
        CandidateKind::Specialisations => plain(systems::specialisations(places)),
        CandidateKind::Generations => systems::generations(&places.profiles),
        CandidateKind::Configurations => plain(configurations::configurations(typed, places)),
    };
    let mut text = String::new();
    for candidate in candidates.iter().filter(|candidate| candidate.text.starts_with(typed)) {
        // A shell would read it as two candidates.
        if candidate.text.contains(char::is_control) {
            continue;
        }
        let description = candidate.description.as_deref().unwrap_or_default();
        let tab = if description.is_empty() { "" } else { "\t" };
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{}{tab}{}",
            candidate.text,
            description.replace(char::is_control, " ")
        );
    }
    text
}

fn plain(texts: impl IntoIterator<Item = String>) -> Vec<Candidate> {
    let candidates = texts.into_iter().map(|text| Candidate {
        text,
        description: None,
    });
    candidates.collect()
}

/// Returns whether a name from a file may be offered. It may if it consists of letters, digits and a few signs, so that
/// it means itself in every shell, quoted or not, and if it is no flag. `more` are the other signs that names of its
/// kind may have.
fn is_harmless(name: &str, more: &str) -> bool {
    let harmless = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c) || more.contains(c);
    !name.is_empty() && !name.starts_with('-') && name.chars().all(harmless)
}

/// Returns a file's text, if the path is a regular file: a pipe would make the shell wait.
fn text_of(path: &Path) -> Option<String> {
    let found = fs::metadata(path).ok()?;
    if !found.is_file() || found.len() > MAX_SIZE {
        return None;
    }
    Some(String::from_utf8_lossy(&fs::read(path).ok()?).into_owned())
}

/// Fuzzing: reads any text as a `flake.nix`.
#[cfg(any(test, fuzzing))]
pub fn look_at(text: &str) {
    let found = configurations::names(text);
    assert!(found.iter().all(|name| is_harmless(name, "'+")), "{found:?}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStringExt;
    use tempfile::TempDir;

    /// Returns places in a directory of their own.
    pub(super) fn places() -> (TempDir, Places) {
        let root = tempfile::tempdir().unwrap();
        let place = |name: &str| {
            let path = root.path().join(name);
            fs::create_dir_all(&path).unwrap();
            path
        };
        let places = Places {
            directory: place("here"),
            home: place("home"),
            ssh: place("etc/ssh"),
            profiles: place("profiles"),
            system: place("system"),
        };
        (root, places)
    }

    /// Writes a file, and makes the directories that it is in.
    pub(super) fn write(path: &Path, text: &str) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub(super) fn ask(places: &Places, words: &[&str]) -> Vec<String> {
        let text = answer(words.iter().map(OsString::from), places);
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn only_what_begins_as_the_word_does() {
        let (_root, places) = places();
        write(&places.home.join(".ssh/config"), "Host builder bench pi\n");
        assert_eq!(ask(&places, &["hosts"]), ["bench", "builder", "pi"]);
        assert_eq!(ask(&places, &["hosts", ""]), ["bench", "builder", "pi"]);
        assert_eq!(ask(&places, &["hosts", "bu"]), ["builder"]);
        assert_eq!(ask(&places, &["hosts", "x"]), [""; 0]);
    }

    #[test]
    fn what_is_no_question_has_no_answer() {
        let (_root, places) = places();
        for words in [&[][..], &["users"], &["hosts", "a", "b"], &["--help"]] {
            assert_eq!(ask(&places, words), [""; 0], "{words:?}");
        }
        let odd = [OsString::from("hosts"), OsString::from_vec(vec![0xff])];
        assert_eq!(answer(odd, &places), "");
    }

    #[test]
    fn a_machine_without_any_of_it_offers_nothing() {
        let nowhere = PathBuf::from("/nonexistent");
        let places = Places {
            directory: nowhere.clone(),
            home: PathBuf::new(),
            ssh: nowhere.clone(),
            profiles: nowhere.clone(),
            system: nowhere,
        };
        for kind in CandidateKind::ALL {
            let expected: &[&str] = if kind == CandidateKind::Profiles {
                &["system"]
            } else {
                &[]
            };
            assert_eq!(ask(&places, &[kind.name(), ""]), expected);
        }
    }

    #[test]
    fn names_with_odd_characters_are_left_out() {
        let (_root, places) = places();
        let odd = [
            "a\tb",
            "a\nb",
            "a b",
            "$(touch PWNED)",
            "q;touch PWNED",
            "`x`",
            "a'b",
            "-x",
            "*",
        ];
        for name in odd.iter().chain(&["fine", "x86+1"]) {
            write(&places.profiles.join("system-profiles").join(name), "");
            write(&places.system.join("specialisation").join(name), "");
        }
        assert_eq!(ask(&places, &["profiles"]), ["fine", "system", "x86+1"]);
        assert_eq!(ask(&places, &["specialisations"]), ["fine", "x86+1"]);
    }
}
