//! What a machine must have whose system is changed.

use super::Case;
use crate::conditions::Condition;
use crate::conditions::room::{Bounds, OF_BOOT, OF_SYSTEM};
use crate::doctor::Patient;
use crate::doctor::finding::{Finding, Verdict};
use crate::vocabulary::Elevation;

impl Case<'_> {
    /// Returns what was found of a machine whose system is changed.
    pub(super) fn is_changed(&self, patient: &Patient) -> Vec<Finding> {
        let mut findings = Vec::new();
        let host = self.words.host;
        match self.facts.word("nixos") {
            Some("yes") => findings.push(Finding::good(Condition::NixOs, "is what it runs")),
            Some(_) => {
                let seen = format!("{host} is not a NixOS system");
                findings.push(self.amiss(Condition::NixOs, Verdict::Bad, seen));
            }
            None => {}
        }
        findings.extend(self.root(patient));
        findings.extend(self.state());
        let message = format!("{host} has no room for a new system in /nix/store");
        findings.extend(self.room(Condition::StoreRoom, "room-store", OF_SYSTEM, &message));
        findings.extend(self.boot());
        if !patient.roles.evaluates {
            findings.extend(self.memory(0));
        }
        findings
    }

    fn boot(&self) -> Vec<Finding> {
        let message = format!("{} has no room for another kernel in /boot", self.words.host);
        let told: Vec<&str> = self.facts.all("room-boot").collect();
        let least = told.into_iter().min_by_key(|fact| {
            let free = fact.split(' ').next().and_then(|free| free.parse::<u64>().ok());
            free.unwrap_or(u64::MAX)
        });
        let Some(least) = least else { return Vec::new() };
        let mut facts = crate::doctor::facts::Facts::default();
        facts.hear("room-boot".to_owned(), least.to_owned());
        let case = Case {
            facts: &facts,
            words: self.words,
        };
        case.room(Condition::BootRoom, "room-boot", OF_BOOT, &message)
            .into_iter()
            .collect()
    }

    fn root(&self, patient: &Patient) -> Option<Finding> {
        let host = self.words.host;
        let user = self
            .facts
            .word("user")
            .and_then(|user| user.split_once(' '))
            .map_or("", |(_, name)| name);
        let (how, program) = self
            .facts
            .word("root")
            .map(|told| told.split_once(' ').unwrap_or((told, "")))?;
        let asks_here = patient.elevation != Elevation::None;
        Some(match how {
            "is" => Finding::good(Condition::Root, "this user is root"),
            "by" => Finding::good(
                Condition::Root,
                format!("{user} becomes root by {program}, without a password"),
            ),
            "could" if patient.host.is_none() => {
                let mut finding = self.amiss(
                    Condition::Root,
                    Verdict::Weak,
                    "only root can activate a system: not yet, but sudo needs no password",
                );
                finding.remedy = Some("add --sudo when you type rebuild switch".to_owned());
                finding
            }
            "could" => self.amiss(
                Condition::Root,
                Verdict::Weak,
                format!("{user} is not root on {host}, but sudo needs no password there"),
            ),
            "asks" if asks_here => Finding::unknown(
                Condition::Root,
                format!("{program} asks {user} for a password: with -S it is tried before the long work"),
            ),
            "missing" => self.amiss(
                Condition::Root,
                Verdict::Bad,
                format!("{user} cannot become root by {program} on {host}: it is not there"),
            ),
            _ => self.amiss(Condition::Root, Verdict::Bad, format!("{user} is not root on {host}")),
        })
    }

    fn state(&self) -> Option<Finding> {
        let bounds = Bounds { bad: 64, weak: 1 << 10 };
        let message = format!("a change of {} cannot be noted in /var/lib/rebuild", self.words.host);
        match self.facts.word("state")? {
            "no" => Some(self.amiss(Condition::State, Verdict::Bad, message)),
            "unknown" => self
                .room(Condition::State, "room-state", bounds, &message)
                .map(|finding| match finding.verdict {
                    Verdict::Good => Finding::unknown(Condition::State, "only root can tell"),
                    _ => finding,
                }),
            _ => self.room(Condition::State, "room-state", bounds, &message),
        }
    }
}
