//! What a shell may offer for a word that is being typed: `rebuild --candidates KIND [WORD]` prints one candidate a
//! line, which may have a description after a tab.
//!
//! For the files in `completions/` and nobody else: it is in no help, and `main` answers before clap reads the command
//! line, for clap says aloud what it does not like, and the user would have that in their prompt. Only files are read: no
//! Nix program is started and no machine asked. Whatever goes wrong, there is less to offer.
//!
//! Why not the `unstable-dynamic` of `clap_complete`, where the program completes everything itself: its interface may
//! change with any release, all of it would be in the program on the Pi, which would be started at each Tab, be it for a
//! verb. Here the shells know from their files what is always the same, and ask for what only the machine knows.

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

/// The first argument of those who ask.
pub const QUESTION: &str = "--candidates";

/// A larger file is not read while somebody waits, in bytes.
const MAX_SIZE: u64 = 4 << 20;

/// What can be asked for.
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
    /// All there are.
    pub const ALL: [Self; 5] = [
        Self::Hosts,
        Self::Profiles,
        Self::Specialisations,
        Self::Generations,
        Self::Configurations,
    ];

    /// What the value of a flag is, if it is something that can be asked for. The completions are made of this.
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

    /// Its name in the question.
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

/// Where there may be candidates.
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
    /// Where they are on a NixOS.
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

/// Something to offer.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Candidate {
    /// The whole word, with what is typed already.
    text: String,
    /// What it is, for shells that show it.
    description: Option<String>,
}

/// The answer to a question: its words are those after [`QUESTION`]. To what is no question it is empty.
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
        // It would be read as two.
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

/// Whether a name that stands in some file may be offered: of letters, digits and a few signs, it means itself in every
/// shell, be it quoted or not, and is no flag. `more` are the other signs that its kind may have.
fn is_harmless(name: &str, more: &str) -> bool {
    let harmless = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c) || more.contains(c);
    !name.is_empty() && !name.starts_with('-') && name.chars().all(harmless)
}

/// A file's text, if it is a file: a pipe would keep us waiting.
fn text_of(path: &Path) -> Option<String> {
    let found = fs::metadata(path).ok()?;
    if !found.is_file() || found.len() > MAX_SIZE {
        return None;
    }
    Some(String::from_utf8_lossy(&fs::read(path).ok()?).into_owned())
}

/// What is made of any text, as a `flake.nix`.
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

    /// A machine of its own.
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

    /// A file, with the directories that it is in.
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
