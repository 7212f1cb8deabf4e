//! What a script of the doctor's tells: facts, a line each, before anybody judges them.

use crate::harmless;
use std::collections::BTreeMap;

/// How many facts are kept, and how many values of one; a machine tells some dozens.
const MOST: usize = 64;

/// A line of the script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// It runs.
    Hello,
    /// From now on it looks at the condition of this name.
    Looks(String),
    /// A fact's name and what follows it.
    Fact(String, String),
    /// It has told everything.
    Finished,
}

impl Told {
    /// Reads a line that begins as an event does. None if it is no whole and known one.
    #[must_use]
    pub fn parse(line: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(line).ok()?.strip_prefix("@rebuild ")?;
        let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
        Some(match (word, rest) {
            ("hello", "") => Self::Hello,
            ("finished", "") => Self::Finished,
            ("looks", what) if is_name(what) => Self::Looks(what.to_owned()),
            ("is", fact) => {
                let (name, value) = fact.split_once(' ').unwrap_or((fact, ""));
                // It is shown to people, in the result as well.
                is_name(name).then(|| Self::Fact(name.to_owned(), harmless::name(value.trim())))?
            }
            _ => return None,
        })
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-')
}

/// The facts of one machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts(BTreeMap<String, Vec<String>>);

impl Facts {
    /// Takes one fact. What is more than anybody would tell is left out.
    pub fn hear(&mut self, name: String, value: String) {
        if self.0.len() >= MOST && !self.0.contains_key(&name) {
            return;
        }
        let values = self.0.entry(name).or_default();
        if values.len() < MOST {
            values.push(value);
        }
    }

    /// Returns all values of a fact, in the order in which they came.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.get(name).into_iter().flatten().map(String::as_str)
    }

    /// Returns the first value of a fact, unless it is empty.
    #[must_use]
    pub fn word(&self, name: &str) -> Option<&str> {
        self.all(name).next().filter(|value| !value.is_empty())
    }

    /// Returns whether the fact was told, even without a value.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Returns the numbers with which the fact begins.
    #[must_use]
    pub fn numbers(&self, name: &str) -> Vec<u64> {
        let words = self.word(name).unwrap_or_default().split(' ');
        words.map_while(|word| word.parse().ok()).collect()
    }

    /// Returns what a setting of the machine's Nix is, if that was told.
    #[must_use]
    pub fn setting(&self, name: &str) -> Option<&str> {
        let all = self
            .all("setting")
            .map(|line| line.split_once(' ').unwrap_or((line, "")));
        all.filter(|(own, _)| *own == name).map(|(_, value)| value).next()
    }
}
