//! Finds a system on the target, and checks that it is one, before anything is changed.

use std::path::Path;

use anyhow::Result;

use super::reply::TargetEvent;
use super::session::{FromScript, Session, Text};
use super::text::{self, Inspected};
use super::{Subject, Target};
use crate::context::Context;
use crate::difference::{Difference, NextBoot};
use crate::failure::Failure;
use crate::progress::Event;
use crate::store_path::StorePath;

/// How many specialisations an error names at most.
const MOST_NAMED: usize = 100;

/// What is asked of the target before a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inquiry<'a> {
    /// What is looked at.
    pub subject: Subject<'a>,
    /// The specialisation that it must have.
    pub specialisation: Option<&'a str>,
    /// Whether it is compared with the system that runs.
    pub diff: bool,
    /// Whether it is compared with what was booted.
    pub next_boot: bool,
}

/// What the target answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    /// The system.
    pub system: StorePath,
    /// What differs from the system that runs, if that was asked and there is an answer.
    pub difference: Option<Difference>,
    /// What is not in use before a boot.
    pub next_boot: Option<NextBoot>,
}

impl Target {
    /// Finds the system, checks that it is one and has the specialisation, and compares it. Changes nothing and needs
    /// no rights.
    ///
    /// # Errors
    /// The system is not there, or is not what it should be. If it cannot be compared, that is a warning and no error.
    pub fn inspect(&self, inquiry: &Inquiry, context: &Context) -> Result<Inspection> {
        let (system, profile) = match &inquiry.subject {
            Subject::System(system) => (system.as_str(), Path::new("")),
            Subject::Previous(profile) => ("", *profile),
        };
        let specialisation = inquiry.specialisation.unwrap_or_default();
        let text = text::inspection(&Inspected {
            system,
            profile,
            specialisation,
            diff: inquiry.diff,
            next_boot: inquiry.next_boot,
            careless: self.careless,
        })?;
        let on = self.label();
        let mut answers = Answers::default();
        let last = self.hear_answers(&text, &mut answers, context)?;
        let failure = match last {
            TargetEvent::Finished => match answers.found {
                Some(system) => {
                    return Ok(Inspection {
                        system,
                        difference: answers.difference,
                        next_boot: answers.next_boot,
                    });
                }
                None => Failure::new(format!(
                    "the system is not on {on} any more: was it collected meanwhile?"
                ))
                .with_remedy("nothing was changed; run the same command again"),
            },
            TargetEvent::Gone(system) => gone(&system, profile, &on),
            TargetEvent::Lacks(file) => no_system(system, profile, &file, &on),
            TargetEvent::NoSpecialisation => no_specialisation(specialisation, &answers.others),
            TargetEvent::Failed(stage) => {
                Failure::new(format!("{on} cannot look at the system ({stage})")).with_remedy("nothing was changed")
            }
            _ => Failure::new(format!(
                "{} has no generation before the current one on {on}",
                profile.display()
            )),
        };
        Err(failure.into())
    }

    /// Runs the script, and returns its last word.
    fn hear_answers(&self, text: &Text, answers: &mut Answers, context: &Context) -> Result<TargetEvent> {
        let on = self.label();
        let mut session = Session::start(&self.place, text, context)?;
        loop {
            match session.next(context)? {
                FromScript::Event(reply) => {
                    if let Some(last) = answers.hear(reply, &on, context)? {
                        session.is_over();
                        return Ok(last);
                    }
                }
                FromScript::Output(_) => {}
                FromScript::End => return Err(session.broken(context)?.into()),
            }
        }
    }
}

/// What the script has said so far.
#[derive(Default)]
struct Answers {
    found: Option<StorePath>,
    /// The specialisations that the system has.
    others: Vec<String>,
    difference: Option<Difference>,
    next_boot: Option<NextBoot>,
}

impl Answers {
    /// Takes one event. Returns it if it is the script's last word.
    fn hear(&mut self, reply: TargetEvent, on: &str, context: &Context) -> Result<Option<TargetEvent>> {
        match reply {
            TargetEvent::Found(system) => self.found = Some(StorePath::parse(&system)?),
            TargetEvent::HasSpecialisation(name) if self.others.len() < MOST_NAMED => self.others.push(name),
            TargetEvent::NoCurrent => context.tell(Event::Text(format!(
                "warning: --diff: {on} has no /run/current-system to compare with"
            ))),
            TargetEvent::Incomparable => {
                context.tell(Event::Text(format!("warning: --diff: Nix on {on} does not compare")));
            }
            TargetEvent::Compared(current) => self.difference = Some(Difference::with(current)),
            TargetEvent::Difference(line) => {
                if let Some(difference) = &mut self.difference {
                    difference.hear(&line);
                }
            }
            TargetEvent::Closure { bytes, system } => {
                if let Some(difference) = &mut self.difference {
                    difference.measured(&system, bytes);
                }
            }
            TargetEvent::NextBoot(answer) => self.next_boot = Some(answer),
            TargetEvent::Finished
            | TargetEvent::NoPrevious
            | TargetEvent::Gone(_)
            | TargetEvent::Lacks(_)
            | TargetEvent::NoSpecialisation
            | TargetEvent::Failed(_) => return Ok(Some(reply)),
            _ => {}
        }
        Ok(None)
    }
}

/// A generation's link may outlive its system: somebody may have deleted the system by force, or restored only the
/// profile.
fn gone(system: &str, profile: &Path, on: &str) -> Failure {
    Failure::new(format!(
        "the system of the generation before the current one of {} is not on {on} any more: {system}",
        profile.display()
    ))
    .with_remedy(
        "nothing was changed; take another one: rebuild list-generations, and then: rebuild switch --store-path PATH",
    )
}

/// A store path that is no NixOS system must not become a generation of the profile (nixpkgs#144811).
fn no_system(system: &str, profile: &Path, file: &str, on: &str) -> Failure {
    let what = if system.is_empty() {
        format!("the generation before the current one of {}", profile.display())
    } else {
        system.to_owned()
    };
    if file == "bin/switch-to-configuration" {
        // It has a nixos-version: `system.switch.enable = false` makes such systems.
        return Failure::new(format!("{what} cannot be switched to: it has no {file} on {on}")).with_remedy(
            "nothing was changed; is system.switch.enable false in its configuration, or system.build.toplevel set by itself?",
        );
    }
    Failure::new(format!("{what} is not a NixOS system: it has no {file} on {on}"))
        .with_remedy("nothing was changed; does the configuration set system.build.toplevel itself?")
}

/// The failure names the specialisations that there are (nixpkgs#412749).
fn no_specialisation(name: &str, others: &[String]) -> Failure {
    let remedy = if others.is_empty() {
        "nothing was changed; it has none".to_owned()
    } else {
        format!("nothing was changed; there are: {}", others.join(", "))
    };
    Failure::new(format!("the system has no specialisation '{name}'")).with_remedy(remedy)
}
