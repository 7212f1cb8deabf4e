//! What a job on another machine came to, in the words of its record (`scripts/detached.sh`).

use std::num::NonZeroU8;

use super::stage::Stage;
use crate::store_path::StorePath;

/// How a job has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobEnd {
    /// The evaluation asks the client something, or has failed. A run knows which.
    Asked,
    /// It has evaluated this derivation, and there was nothing to build.
    Made(StorePath),
    /// It has built this.
    Built {
        /// The derivation.
        derivation: StorePath,
        /// Its output.
        output: StorePath,
    },
    /// Another job builds the same derivation.
    Joins {
        /// The name of that job's record.
        name: String,
        /// The byte of that job's output from which on it builds.
        at: u64,
    },
    /// It has evaluated a value.
    Valued,
    /// A part of it failed.
    Failed {
        /// That part.
        stage: Stage,
        /// The exit status of the command that failed.
        code: NonZeroU8,
    },
    /// It was ended, by its user or because nobody followed it for too long.
    Cancelled,
    /// It has ended with words that this program does not know.
    Unknown,
}

impl JobEnd {
    /// Reads the line of a record.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        Self::known(text).unwrap_or(Self::Unknown)
    }

    fn known(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace();
        let mut word = || words.next();
        let path = |word: Option<&str>| StorePath::parse(word?).ok();
        Some(match word()? {
            "asked" => Self::Asked,
            "made" => Self::Made(path(word())?),
            "built" => Self::Built {
                derivation: path(word())?,
                output: path(word())?,
            },
            "joins" => {
                let _derivation = word()?;
                Self::Joins {
                    name: word()?.to_owned(),
                    at: word()?.parse().ok()?,
                }
            }
            "valued" => Self::Valued,
            "failed" => Self::Failed {
                stage: Stage::of_word(word()?)?,
                // 0 is no status of a failure.
                code: word()?.parse().unwrap_or(NonZeroU8::MIN),
            },
            "cancelled" => Self::Cancelled,
            _ => return None,
        })
    }

    /// Returns its name for programs.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Asked => "asks",
            Self::Made(_) | Self::Valued => "evaluated",
            Self::Built { .. } => "built",
            Self::Joins { .. } => "joined",
            Self::Failed { .. } => "failed",
            Self::Cancelled => "cancelled",
            Self::Unknown => "unknown",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_record() {
        let path = |name: &str| StorePath::parse(&format!("/nix/store/{}-{name}", "0".repeat(32))).unwrap();
        let (derivation, output) = (path("x.drv"), path("x"));
        for (text, expected) in [
            ("asked 1".to_owned(), JobEnd::Asked),
            (format!(" made {derivation}"), JobEnd::Made(derivation.clone())),
            (
                format!("built {derivation} {output}"),
                JobEnd::Built {
                    derivation: derivation.clone(),
                    output,
                },
            ),
            (
                format!("joins {derivation} ab.1 17"),
                JobEnd::Joins {
                    name: "ab.1".to_owned(),
                    at: 17,
                },
            ),
            ("valued".to_owned(), JobEnd::Valued),
            (
                "failed build 0".to_owned(),
                JobEnd::Failed {
                    stage: Stage::Build,
                    code: NonZeroU8::MIN,
                },
            ),
            ("cancelled".to_owned(), JobEnd::Cancelled),
            ("failed nothing 1".to_owned(), JobEnd::Unknown),
            (format!("built {derivation} /etc"), JobEnd::Unknown),
            (String::new(), JobEnd::Unknown),
        ] {
            assert_eq!(JobEnd::parse(&text), expected, "{text}");
        }
    }
}
