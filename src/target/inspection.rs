//! Finding a system on the target, and seeing that it is one, before anything is changed.

use std::path::Path;

use anyhow::Result;

use super::reply::Reply;
use super::session::{Next, Session};
use super::text::{self, Inspected};
use super::{Subject, Target};
use crate::failure::Failure;
use crate::process::signals::Signals;
use crate::progress::{Event, Observer};
use crate::ssh::Ssh;
use crate::store_path::StorePath;

impl Target {
    /// Finds the system and sees that it is one, and has the specialisation; `diff`: shows which packages change. Changes
    /// nothing and needs no rights.
    ///
    /// # Errors
    /// When it is not what it should be.
    pub fn inspect(
        &self,
        subject: &Subject,
        specialisation: Option<&str>,
        diff: bool,
        ssh: &Ssh,
        observer: &mut dyn Observer,
        signals: &Signals,
    ) -> Result<StorePath> {
        let (system, profile) = match subject {
            Subject::System(system) => (system.as_str(), Path::new("")),
            Subject::Previous(profile) => ("", *profile),
        };
        let text = text::inspection(&Inspected {
            system,
            profile,
            specialisation: specialisation.unwrap_or_default(),
            diff,
            careless: self.careless,
        })?;
        let on = self.label();
        let mut session = Session::start(&self.place, ssh, &text, observer)?;
        let mut found = None;
        let mut others = Vec::new();
        let failure = loop {
            let reply = match session.next(observer, signals)? {
                Next::Reply(reply) => reply,
                Next::Output(_) => continue,
                Next::End => return Err(session.broken(observer).into()),
            };
            match reply {
                Reply::Found(system) => found = Some(StorePath::parse(&system)?),
                Reply::HasSpecialisation(name) => others.push(name),
                Reply::NoCurrent => observer.see(Event::Text(format!(
                    "warning: --diff: {on} has no /run/current-system to compare with"
                ))),
                Reply::Incomparable => {
                    observer.see(Event::Text(format!("warning: --diff: Nix on {on} does not compare")));
                }
                Reply::Finished => match found.take() {
                    Some(system) => {
                        session.is_over();
                        return Ok(system);
                    }
                    None => {
                        break Failure::new(format!(
                            "the system is not on {on} any more: was it collected meanwhile?"
                        ))
                        .with_remedy("nothing was changed; run the same command again");
                    }
                },
                Reply::NoPrevious => {
                    break Failure::new(format!(
                        "{} has no generation before the current one on {on}",
                        profile.display()
                    ));
                }
                Reply::Lacks(file) => break no_system(system, profile, &file, &on),
                Reply::NoSpecialisation => break no_specialisation(specialisation.unwrap_or_default(), &others),
                Reply::Failed(stage) => {
                    break Failure::new(format!("{on} cannot look at the system ({stage})"))
                        .with_remedy("nothing was changed");
                }
                _ => {}
            }
        };
        session.is_over();
        Err(failure.into())
    }
}

/// A store path that is no NixOS must not become one's profile (nixpkgs#144811).
fn no_system(system: &str, profile: &Path, file: &str, on: &str) -> Failure {
    let what = if system.is_empty() {
        format!("the generation before the current one of {}", profile.display())
    } else {
        system.to_owned()
    };
    Failure::new(format!("{what} is not a NixOS system: it has no {file} on {on}"))
        .with_remedy("nothing was changed; does the configuration set system.build.toplevel itself?")
}

/// nixpkgs#412749
fn no_specialisation(name: &str, others: &[String]) -> Failure {
    let remedy = if others.is_empty() {
        "nothing was changed; it has none".to_owned()
    } else {
        format!("nothing was changed; there are: {}", others.join(", "))
    };
    Failure::new(format!("the system has no specialisation '{name}'")).with_remedy(remedy)
}
