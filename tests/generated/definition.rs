//! What the generators of all shells need of the definition of the command line.

use clap::builder::StyledStr;
use clap::{Arg, CommandFactory, ValueEnum, ValueHint};
use rebuild::{Arguments, CandidateKind, Verb};

/// At the top of each file.
pub const REMARK: &str = "# Made of the definition of the command line by: UPDATE=1 cargo test --test generated\n";

/// What the value of a flag is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// What the program knows, and files as well.
    Asked(CandidateKind, bool),
    /// One of these words.
    Words(Vec<String>),
    /// A file or directory.
    File,
    /// A name or number of which nothing is known.
    Free,
}

impl Value {
    fn of(flag: &Arg) -> Self {
        let files = flag.get_value_hint() == ValueHint::AnyPath;
        if let Some(kind) = CandidateKind::of(flag) {
            return Self::Asked(kind, files);
        }
        let words = flag.get_possible_values();
        match (files, words.is_empty()) {
            (true, _) => Self::File,
            (false, true) => Self::Free,
            (false, false) => Self::Words(words.iter().map(|word| word.get_name().to_owned()).collect()),
        }
    }

    /// In one line, for the shells whose files have it in a table: what to ask for, `files` or not, then words.
    pub fn row(&self) -> String {
        match self {
            Self::Asked(kind, false) => kind.name().to_owned(),
            Self::Asked(kind, true) => format!("{} files", kind.name()),
            Self::Words(words) => format!("words {}", words.join(" ")),
            Self::File => "files".to_owned(),
            Self::Free => "free".to_owned(),
        }
    }
}

/// A flag that is shown.
pub struct Flag {
    /// All its names, with their hyphens; the long ones first, and of these its own.
    pub names: Vec<String>,
    pub help: String,
    /// The number of words after it that are its values.
    pub values: usize,
    pub value: Value,
}

/// The flags that are shown, in the order of the definition.
pub fn flags() -> Vec<Flag> {
    let mut command = Arguments::command();
    // With --help and --version.
    command.build();
    let flags = command.get_arguments();
    let shown = flags.filter(|flag| !flag.is_positional() && !flag.is_hide_set());
    shown
        .map(|flag| {
            let long = flag.get_long_and_visible_aliases().unwrap_or_default();
            let short = flag.get_short_and_visible_aliases().unwrap_or_default();
            let mut names: Vec<String> = long.iter().map(|name| format!("--{name}")).collect();
            names.extend(short.iter().map(|name| format!("-{name}")));
            Flag {
                names,
                help: flag.get_help().map(StyledStr::to_string).unwrap_or_default(),
                values: flag.get_num_args().map_or(0, |range| range.max_values()),
                value: Value::of(flag),
            }
        })
        .collect()
}

/// The verbs that are shown, with their help.
pub fn verbs() -> Vec<(String, String)> {
    let values = Verb::value_variants().iter().filter_map(ValueEnum::to_possible_value);
    let shown = values.filter(|value| !value.is_hide_set());
    shown
        .map(|value| {
            let help = value.get_help().map(StyledStr::to_string).unwrap_or_default();
            (value.get_name().to_owned(), help)
        })
        .collect()
}

/// The definition as `clap_complete` gets it. Shells offer nothing where a number or a name is meant; what is asked
/// for, the generators put in.
pub fn command() -> clap::Command {
    Arguments::command().mut_args(|flag| {
        let value = Value::of(&flag);
        let takes_values = flag.get_action().takes_values();
        if takes_values && matches!(value, Value::Free | Value::Asked(_, false)) {
            flag.value_hint(ValueHint::Other)
        } else {
            flag
        }
    })
}

/// What `clap_complete` makes of it.
pub fn generated(generator: impl clap_complete::Generator) -> String {
    let mut text = Vec::new();
    clap_complete::generate(generator, &mut command(), "rebuild", &mut text);
    String::from_utf8(text).unwrap()
}

/// Puts right what the generators lack; says so when there is nothing to put right any more.
pub fn replaced(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "clap_complete no longer writes: {from}");
    text.replace(from, to)
}

/// A flag that is for a host and does not say so would complete files.
#[test]
fn every_flag_for_a_host_has_the_hosts() {
    let mut seen = 0;
    for flag in Arguments::command().get_arguments() {
        let names = flag.get_long_and_visible_aliases().unwrap_or_default();
        let by_name = names
            .iter()
            .any(|name| name.ends_with("-host") || name.ends_with("-on"));
        let values = flag.get_value_names().unwrap_or_default();
        let is_host = flag.get_action().takes_values() && (by_name || values.iter().any(|name| name.contains("HOST")));
        let is_asked = CandidateKind::of(flag) == Some(CandidateKind::Hosts);
        assert_eq!(
            is_host, is_asked,
            "--{names:?}: value_hint = ValueHint::Hostname, for a host"
        );
        seen += usize::from(is_host);
    }
    assert!(seen >= 3);
}

#[test]
fn every_kind_of_candidates_is_asked_for() {
    for kind in CandidateKind::ALL {
        let asked = flags()
            .iter()
            .any(|flag| matches!(flag.value, Value::Asked(of, _) if of == kind));
        assert!(
            asked,
            "no flag has {kind:?}: has one another name than in CandidateKind::of?"
        );
    }
}
