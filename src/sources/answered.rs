//! What is remembered of an evaluation's answer, with the record of what it needed.

use std::collections::BTreeSet;

use crate::store_path::StorePath;

/// The answer to a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// The digest of the question.
    pub question: String,
    /// Which variables belong to the question.
    pub reads: Reads,
    /// The answer.
    pub derivation: StorePath,
    /// A word for the machine that gave it, as it was then.
    pub standing: String,
    /// What was built of it, if anything was.
    pub result: Option<StorePath>,
}

/// The variables that an evaluation asks for, besides those that Nix itself reads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reads {
    /// Their names.
    pub names: BTreeSet<String>,
    /// Whether it computes names, so that it may ask for any.
    pub any: bool,
}

/// No variable that can be sent, and no path, begins with this.
pub(super) const MARK: char = '=';

impl Answered {
    /// Returns it as words for the record: each begins with a mark and a letter that says what it is.
    pub(super) fn words(&self) -> Vec<String> {
        let mut words = vec![
            format!("{MARK}q{}", self.question),
            format!("{MARK}d{}", self.derivation),
            format!("{MARK}s{}", self.standing),
        ];
        words.extend(self.result.iter().map(|result| format!("{MARK}o{result}")));
        words.extend(self.reads.any.then(|| format!("{MARK}a")));
        words.extend(self.reads.names.iter().map(|name| format!("{MARK}r{name}")));
        words
    }

    /// Reads them among other words of a record.
    pub(super) fn of_words<'a>(words: impl Iterator<Item = &'a str>) -> Option<Self> {
        let (mut question, mut derivation, mut standing) = (None, None, None);
        let (mut result, mut reads) = (None, Reads::default());
        for word in words.filter_map(|word| word.strip_prefix(MARK)) {
            match word.split_at_checked(1)? {
                ("q", rest) => question = Some(rest.to_owned()),
                ("d", rest) => derivation = StorePath::parse(rest).ok(),
                ("s", rest) => standing = Some(rest.to_owned()),
                ("o", rest) => result = StorePath::parse(rest).ok(),
                ("a", "") => reads.any = true,
                ("r", rest) => _ = reads.names.insert(rest.to_owned()),
                _ => return None,
            }
        }
        Some(Self {
            question: question?,
            derivation: derivation?,
            standing: standing?,
            result,
            reads,
        })
    }
}
