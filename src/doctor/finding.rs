//! What the doctor has found.

use crate::conditions::{Condition, Words};
use crate::host::Host;

/// Whether a condition holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// It holds.
    Good,
    /// It does not hold, and a run goes on without it: slower, or by another way.
    Weak,
    /// It does not hold, and a run fails, or does not do what it is asked.
    Bad,
    /// Nobody can tell from here.
    Unknown,
}

impl Verdict {
    /// Returns its name for programs.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Weak => "weak",
            Self::Bad => "bad",
            Self::Unknown => "unknown",
        }
    }
}

/// One condition on one machine, and what was seen of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The condition.
    pub condition: Condition,
    /// Whether it holds.
    pub verdict: Verdict,
    /// What was seen, in a few words.
    pub seen: String,
    /// What the user can type or change. None where there is nothing to do.
    pub remedy: Option<String>,
}

impl Finding {
    /// Returns a condition that holds.
    pub fn good(condition: Condition, seen: impl Into<String>) -> Self {
        Self::without_remedy(condition, Verdict::Good, seen)
    }

    /// Returns a condition of which nobody can tell, with the reason.
    pub fn unknown(condition: Condition, seen: impl Into<String>) -> Self {
        Self::without_remedy(condition, Verdict::Unknown, seen)
    }

    fn without_remedy(condition: Condition, verdict: Verdict, seen: impl Into<String>) -> Self {
        Self {
            condition,
            verdict,
            seen: seen.into(),
            remedy: None,
        }
    }

    /// Returns a condition that does not hold, with the remedy of the table.
    pub fn amiss(condition: Condition, verdict: Verdict, seen: impl Into<String>, words: &Words) -> Self {
        Self {
            remedy: Some(condition.remedy(words)),
            ..Self::without_remedy(condition, verdict, seen)
        }
    }
}

/// A machine, and what was found there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Examined {
    /// The machine; None for this one.
    pub host: Option<Host>,
    /// What it does in a run, in words: "evaluates", "builds", "is changed".
    pub roles: Vec<&'static str>,
    /// What was found, in the order in which it matters.
    pub findings: Vec<Finding>,
}

/// Everything that was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// The machines, this one first.
    pub machines: Vec<Examined>,
    /// What to type next if nothing is amiss.
    pub next: Vec<String>,
}

impl Report {
    /// Returns how many findings have this verdict.
    #[must_use]
    pub fn count(&self, verdict: Verdict) -> usize {
        let all = self.machines.iter().flat_map(|machine| &machine.findings);
        all.filter(|finding| finding.verdict == verdict).count()
    }
}
