//! How a run goes on if its evaluator or builder cannot be reached.

use std::ffi::OsString;
use std::time::Instant;

use anyhow::Result;

use super::wake;
use crate::activation::{self, Connection};
use crate::context::Context;
use crate::failure::Failure;
use crate::host::{Host, Place};
use crate::plan::{IfUnreachable, Making};
use crate::process::quote::shell_word;
use crate::progress::Event;
use crate::vocabulary::Fallback;

/// The machines of which nobody knows yet whether they can be reached.
pub(super) struct Reach<'a> {
    /// These machines, and how the run goes on without them. A machine that was tried out is no longer among its hosts.
    rule: IfUnreachable,
    /// The machines that were tried out.
    settled: Vec<Host>,
    /// The machines that have not answered.
    absent: Vec<Host>,
    /// How long a machine may take to wake. None before the command was run.
    wakes_until: Option<Instant>,
    /// The command line as it was typed.
    words: &'a [OsString],
    /// Whether the run has done something already. From then on, a machine that cannot be reached means that the link
    /// broke.
    has_begun: bool,
}

/// Another way to make the system.
pub(super) struct Other {
    pub(super) making: Making,
    /// A connection to the machine that has woken, for its work.
    pub(super) connection: Option<Connection>,
}

impl<'a> Reach<'a> {
    pub(super) fn new(rule: &IfUnreachable, words: &'a [OsString]) -> Self {
        Self {
            rule: rule.clone(),
            settled: Vec::new(),
            absent: Vec::new(),
            wakes_until: None,
            words,
            has_begun: false,
        }
    }

    /// Logs in to the machines whose first session would come only after an evaluation here, which takes long. (The
    /// first session of the others shows early enough whether they can be reached.)
    pub(super) fn try_out(&mut self, making: &mut Making, context: &Context) -> Result<Vec<Connection>> {
        let mut connections = Vec::new();
        while let Some(host) = self.late(making) {
            match activation::reach(&host, context) {
                Ok(connection) => {
                    self.settle(&host);
                    connections.push(connection);
                }
                Err(error) => {
                    let other = self.other(making, error, context)?;
                    *making = other.making;
                    connections.extend(other.connection);
                    // Until now the work of another machine was planned.
                    if let Some(host) = making.builder.host().filter(|_| making.builder != making.evaluator) {
                        context.ssh.share(host, context.signals)?;
                    }
                }
            }
        }
        Ok(connections)
    }

    /// Whether the run has done something.
    pub(super) fn is_under_way(&self) -> bool {
        self.has_begun
    }

    /// Notes that the run has done something.
    pub(super) fn has_begun(&mut self) {
        self.has_begun = true;
    }

    /// Returns the making without the machine that cannot be reached: by the next candidate, by one that has woken, or
    /// here. The last of these works once.
    ///
    /// # Errors
    /// Returns the same error, with the command to type, if it is another kind of error or if the plan has no other
    /// way.
    pub(super) fn without(&mut self, making: &Making, error: anyhow::Error, context: &Context) -> Result<Other> {
        if self.has_begun {
            return Err(error);
        }
        self.other(making, error, context)
    }

    /// Notes that this machine answers: from now on, that it cannot be reached means that the link broke.
    pub(super) fn settle(&mut self, host: &Host) {
        self.rule.hosts.retain(|other| other != host);
        self.settled.push(host.clone());
    }

    /// Returns a machine that takes part late and was not tried out yet: a builder that follows the evaluation, or an
    /// evaluator that follows the evaluation with which it is compared.
    fn late(&self, making: &Making) -> Option<Host> {
        let Making { evaluator, builder, .. } = making;
        let evaluator_is_late = making.verify_evaluation;
        let late = [
            evaluator.host().filter(|_| evaluator_is_late),
            builder.host().filter(|_| builder != evaluator),
        ];
        let doubtful = self.rule.doubtful();
        let mut late = late.into_iter().flatten();
        let found = late.find(|host| doubtful.contains(host) && !self.settled.contains(host));
        found.cloned()
    }

    fn other(&mut self, making: &Making, error: anyhow::Error, context: &Context) -> Result<Other> {
        let found = error
            .downcast_ref::<Failure>()
            .and_then(|failure| Some((failure, missing(making, failure)?)));
        let Some((failure, host)) = found else {
            return Err(error);
        };
        let mut next = making.clone();
        if !self.settled.contains(&host) {
            self.absent.push(host.clone());
            next = self.rule.candidates.next(making, &self.absent);
            if !next.needs_any(&self.absent) {
                context.tell(Event::Text(format!("{failure}: {}", deeds_of(making, &next))));
                return Ok(Other {
                    making: next,
                    connection: None,
                });
            }
            if let Some(other) = self.wake(&next, failure, &host, context)? {
                return Ok(other);
            }
        }
        let making = self.here(&next, failure, &host, context)?;
        Ok(Other {
            making,
            connection: None,
        })
    }

    /// Wakes the machine, or another candidate for its work, if the plan has a way.
    fn wake(&mut self, making: &Making, failure: &Failure, host: &Host, context: &Context) -> Result<Option<Other>> {
        let Some(wake) = self.rule.wake.as_ref().filter(|wake| wake.hosts.contains(host)) else {
            return Ok(None);
        };
        let beside = self.rule.candidates.beside(making, host).iter();
        let hosts: Vec<Host> = beside.filter_map(Place::host).cloned().collect();
        let deadline = if let Some(deadline) = self.wakes_until {
            deadline
        } else {
            context.tell(Event::Text(failure.to_string()));
            let mut deadline = Instant::now();
            if wake::run(wake, &hosts, context)? {
                deadline += wake.patience;
            }
            *self.wakes_until.insert(deadline)
        };
        if deadline <= Instant::now() {
            return Ok(None);
        }
        let Some((woken, connection)) = wake::wait(&hosts, deadline, context)? else {
            return Ok(None);
        };
        let making = self.rule.candidates.woken(making, host, &woken);
        self.absent.clear();
        self.settle(&woken);
        Ok(Some(Other {
            making,
            connection: Some(connection),
        }))
    }

    /// Returns the making with this machine in place of the one that cannot be reached, if the plan allows that.
    fn here(&mut self, making: &Making, failure: &Failure, host: &Host, context: &Context) -> Result<Making> {
        let less = making.without(host);
        let is_expected = self.rule.hosts.contains(host);
        if is_expected && self.rule.then == Fallback::Local {
            self.has_begun = true;
            let deeds = deeds(making, &less);
            for line in format!("warning: {failure}\n  so this machine {deeds}").lines() {
                context.tell(Event::Text(line.to_owned()));
            }
            return Ok(less);
        }
        let way_out = if is_expected {
            self.command(making, &less)
        } else if less.evaluator == making.evaluator {
            "or build here, this once: --build-on ''".to_owned()
        } else {
            "or evaluate here, this once: --eval-on ''".to_owned()
        };
        let remedy = [failure.remedy(), Some(&way_out)]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>();
        Err(failure.clone().with_remedy(remedy.join("\n")).into())
    }

    /// Returns the command that does the same without the machine.
    fn command(&self, making: &Making, less: &Making) -> String {
        let mut flags = Vec::new();
        if less.evaluator != making.evaluator {
            flags.extend(["--eval-host", ""]);
        }
        // A machine that is named as the evaluator builds, too.
        let builder = less.builder.host().map(Host::to_string).unwrap_or_default();
        if less.evaluator == making.evaluator || less.builder != Place::Here {
            flags.extend(["--build-host", &builder]);
        }
        format!(
            "{}  {} here, this once",
            typed_with(self.words, &flags),
            deeds(making, less)
        )
    }
}

/// Returns the evaluator or builder that cannot be reached, as the failure says.
fn missing(making: &Making, failure: &Failure) -> Option<Host> {
    let host = failure.unreachable()?;
    let hosts = [making.evaluator.host(), making.builder.host()];
    hosts.contains(&Some(host)).then(|| host.clone())
}

/// Returns what this machine does instead.
fn deeds(making: &Making, less: &Making) -> &'static str {
    match (less.evaluator != making.evaluator, less.builder != making.builder) {
        (true, true) => "evaluates and builds",
        (true, false) => "evaluates",
        _ => "builds",
    }
}

/// Returns which machines do it now, as the end of a sentence.
fn deeds_of(making: &Making, next: &Making) -> String {
    let name = |place: &Place| place.host().map_or_else(|| "this machine".to_owned(), Host::to_string);
    let (evaluator, builder) = (name(&next.evaluator), name(&next.builder));
    match deeds(making, next) {
        "evaluates and builds" if evaluator != builder => format!("{evaluator} evaluates, {builder} builds"),
        "builds" => format!("{builder} builds"),
        deeds => format!("{evaluator} {deeds}"),
    }
}

/// Returns what was typed with more flags added; the last flag counts.
pub(super) fn typed_with(words: &[OsString], flags: &[&str]) -> String {
    let (program, typed) = words
        .split_first()
        .map_or(("rebuild".into(), &[][..]), |(first, rest)| {
            let name = std::path::Path::new(first).file_name();
            (name.unwrap_or(first).to_owned(), rest)
        });
    // No flags follow after this word.
    let end = typed.iter().position(|word| word == "--").unwrap_or(typed.len());
    let (before, after) = typed.split_at(end);
    let flags: Vec<OsString> = flags.iter().map(Into::into).collect();
    let all = std::iter::once(&program).chain(before).chain(&flags).chain(after);
    // No argument of a process contains a NUL byte.
    let quoted = all.map(|word| shell_word(word).unwrap_or_default());
    let words: Vec<String> = quoted.map(|word| String::from_utf8_lossy(&word).into_owned()).collect();
    words.join(" ")
}

/// Changes the error if it says that a machine cannot be reached which was talked to before: that means that the link
/// broke, and nothing else is done instead. All other errors stay as they are.
pub(super) fn link_broke(error: anyhow::Error, reached: Option<&Host>) -> anyhow::Error {
    let failure = error.downcast_ref::<Failure>();
    match failure.filter(|failure| reached.is_some() && failure.unreachable() == reached) {
        Some(failure) => failure.clone().after_being_reached().into(),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(line: &[&str], flags: &[&str]) -> String {
        let words: Vec<OsString> = line.iter().map(Into::into).collect();
        typed_with(&words, flags)
    }

    #[test]
    fn the_command_to_type_is_what_was_typed_and_a_flag() {
        for (line, expected) in [
            (&["rebuild", "switch"][..], "rebuild switch --eval-host ''"),
            (
                &[
                    "/run/current-system/sw/bin/nixos-rebuild",
                    "switch",
                    "--flake",
                    "/a b#c",
                ],
                "nixos-rebuild switch --flake '/a b#c' --eval-host ''",
            ),
            (
                &["rebuild", "--diff", "--", "switch"],
                "rebuild --diff --eval-host '' -- switch",
            ),
            (&[], "rebuild --eval-host ''"),
        ] {
            assert_eq!(typed(line, &["--eval-host", ""]), expected);
        }
    }

    /// Otherwise `--if-unreachable local` would evaluate on this machine a second time, after the long work.
    #[test]
    fn a_machine_that_was_reached_is_not_unreachable_later() {
        let [b, c] = ["b", "c"].map(|name| Place::parse(name, "pi").unwrap());
        let of_b = || {
            let failure = Failure::new("b cannot be reached");
            let failure = failure.of_unreachable(b.host().unwrap()).with_code(255);
            anyhow::Error::from(failure).context("this machine → b")
        };
        for (reached, expected) in [(b.host(), None), (c.host(), b.host()), (None, b.host())] {
            let error = link_broke(of_b(), reached);
            let failure = error.downcast_ref::<Failure>().unwrap();
            assert_eq!((failure.unreachable(), failure.code()), (expected, 255));
        }
        let other = anyhow::Error::from(Failure::new("no space")).context("this machine → b");
        assert_eq!(
            format!("{:#}", link_broke(other, b.host())),
            "this machine → b: no space"
        );
    }
}
