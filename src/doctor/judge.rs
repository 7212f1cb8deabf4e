//! What the facts of a machine mean for a run.
//!
//! "Cannot tell" is never "bad": a fact that was not told is no finding, or one that says so.

mod builder;
mod target;

use super::Patient;
use super::facts::Facts;
use super::finding::{Finding, Verdict};
use crate::conditions::room::{Bounds, size};
use crate::conditions::{Condition, Words};
use crate::host::Host;

/// The facts of a machine, and what is expected of it.
struct Case<'a> {
    facts: &'a Facts,
    words: Words<'a>,
}

/// Returns what the facts mean, in the order in which it matters.
pub(super) fn judge(facts: &Facts, patient: &Patient) -> Vec<Finding> {
    if !facts.has("machine") {
        return Vec::new();
    }
    let name = patient.host.map_or_else(|| "this machine".to_owned(), Host::to_string);
    let ssh = patient.host.map_or_else(String::new, Host::words_for_ssh);
    let system = patient.system.or_else(|| facts.word("machine")).unwrap_or_default();
    let case = Case {
        facts,
        words: Words {
            host: &name,
            ssh: &ssh,
            system,
            it: "",
        },
    };
    let mut findings = vec![case.nix(patient)];
    if patient.roles.builds || patient.roles.evaluates {
        findings.extend(case.works(patient));
    }
    if patient.roles.is_changed {
        findings.extend(case.is_changed(patient));
    }
    findings
}

impl Case<'_> {
    fn amiss(&self, condition: Condition, verdict: Verdict, seen: impl Into<String>) -> Finding {
        self.amiss_of(condition, verdict, seen, "")
    }

    /// `it` is what the remedy speaks of.
    fn amiss_of(&self, condition: Condition, verdict: Verdict, seen: impl Into<String>, it: &str) -> Finding {
        let words = Words { it, ..self.words };
        let mut finding = Finding::amiss(condition, verdict, seen, &words);
        if self.words.ssh.is_empty() {
            // What is typed on this machine needs no ssh.
            finding.remedy = finding.remedy.map(|remedy| remedy.replace("ssh  ", ""));
        }
        finding
    }

    fn nix(&self, patient: &Patient) -> Finding {
        let host = self.words.host;
        match (self.facts.word("nix"), self.facts.word("version")) {
            (None, _) => self.amiss(
                Condition::Nix,
                Verdict::Bad,
                format!("{host} has no Nix, or it is not where its users find it"),
            ),
            (Some(place), Some(version)) if patient.host.is_some() => {
                Finding::good(Condition::Nix, format!("{version}, in {place}"))
            }
            (Some(_), Some(version)) => Finding::good(Condition::Nix, version),
            (Some(place), None) => Finding::unknown(Condition::Nix, format!("{place}/nix-store says no version")),
        }
    }

    /// Judges the room of a place that the script has looked at; None if it has not.
    fn room(&self, condition: Condition, fact: &str, bounds: Bounds, message: &str) -> Option<Finding> {
        let told = self.facts.word(fact)?;
        let (free, place) = told.split_once(' ')?;
        let free: u64 = free.parse().ok()?;
        let seen = format!("{} free in {place}", size(free));
        Some(match free {
            free if free < bounds.bad => self.amiss(condition, Verdict::Bad, format!("{message}: {seen}")),
            free if free < bounds.weak => self.amiss(condition, Verdict::Weak, format!("little, {seen}")),
            _ => Finding::good(condition, seen),
        })
    }

    /// Judges the memory, in MiB: `least` is what an evaluation of NixOS takes.
    fn memory(&self, least: u64) -> Option<Finding> {
        let numbers = self.facts.numbers("memory");
        let [memory, swap, limit] = numbers[..] else {
            return None;
        };
        let all = memory.saturating_add(swap);
        let mut seen = format!("{} and {} of swap", size(memory << 10), size(swap << 10));
        if limit > 0 && limit < memory {
            seen = format!("{seen}, of which its user may take {}", size(limit << 10));
        }
        let may_take = if limit > 0 { all.min(limit) } else { all };
        Some(if may_take < least {
            let seen = format!("{} has only {all} MiB of memory: {seen}", self.words.host);
            self.amiss(Condition::Memory, Verdict::Weak, seen)
        } else {
            Finding::good(Condition::Memory, seen)
        })
    }
}
