//! Evaluating and building on this machine with Nix's own commands.

use anyhow::{Context as _, Result};
use tempfile::TempDir;

use super::nix_here;
use crate::context::Context;
use crate::host::Host;
use crate::plan::argv::{self, Images, OutLink};
use crate::plan::{Making, NixFlags, Outcome};
use crate::private;
use crate::process::Invocation;
use crate::progress::{Event, Work};
use crate::remote::relay::Relay;
use crate::store_path::StorePath;

/// The work of this machine, with the roots that keep its results from being collected meanwhile.
pub(super) struct Here<'a> {
    flags: &'a NixFlags,
    outcome: &'a Outcome,
    /// Whether this program reads Nix's log.
    reads_log: bool,
    /// Whether this machine keeps the result, and does not only send it on.
    stays: bool,
    roots: TempDir,
    context: &'a Context<'a>,
}

impl<'a> Here<'a> {
    pub(super) fn new(
        flags: &'a NixFlags,
        outcome: &'a Outcome,
        reads_log: bool,
        stays: bool,
        context: &'a Context<'a>,
    ) -> Result<Self> {
        Ok(Self {
            flags,
            outcome,
            reads_log,
            stays,
            roots: private::directory(&std::env::temp_dir())?,
            context,
        })
    }

    /// Returns the directory that holds the results; they are kept as long as it is.
    pub(super) fn into_roots(self) -> TempDir {
        self.roots
    }

    /// Evaluates and builds. A dry run returns None.
    pub(super) fn build(&self, making: &Making) -> Result<Option<StorePath>> {
        let subject = making.subject();
        let command = |link: OutLink| argv::build(&subject, self.flags, link);
        self.built(&command, Work::Evaluating)
    }

    /// Builds a derivation that was evaluated elsewhere.
    pub(super) fn realise(&self, derivation: &StorePath) -> Result<Option<StorePath>> {
        let command = |link: OutLink| argv::realise(derivation, self.flags, link);
        self.built(&command, Work::Building)
    }

    fn built(&self, command: &dyn Fn(OutLink) -> Invocation, first: Work) -> Result<Option<StorePath>> {
        let root = self.roots.path().join("result");
        let link = match self.outcome {
            Outcome::DryBuild => {
                let output = self.output(command(OutLink::DryRun), first)?;
                for line in String::from_utf8_lossy(&output).lines() {
                    self.context.tell(Event::Text(line.to_owned()));
                }
                return Ok(None);
            }
            Outcome::Link if self.stays => OutLink::Result,
            _ => OutLink::Root(&root),
        };
        let output = self.output(command(link), first)?;
        store_path(&output).map(Some)
    }

    /// Returns what a command of Nix prints.
    fn output(&self, command: Invocation, first: Work) -> Result<Vec<u8>> {
        if self.reads_log {
            nix_here::run(command, first, self.context)
        } else {
            self.context.tell(Event::Trace(format!("$ {command}")));
            command.capture(self.context.signals)
        }
    }

    /// Evaluates the configuration.
    pub(super) fn evaluate(&self, making: &Making) -> Result<StorePath> {
        let root = self.roots.path().join("derivation");
        let command = argv::evaluate(&making.subject(), self.flags, &root);
        let output = self.output(command, Work::Evaluating)?;
        store_path(&output)
    }

    /// Asks which images there are.
    pub(super) fn images(&self, making: &Making, variant: &str) -> Result<Images> {
        let command = argv::images(making, variant, self.flags);
        let output = self.output(command, Work::Evaluating)?;
        serde_json::from_slice(&output).context("Nix printed something else than the images")
    }

    /// Sends a path to another machine, through a relay to that machine's daemon.
    pub(super) fn send(&self, cargo: argv::Cargo, relay: &Relay, receiver: &Host) -> Result<()> {
        let command = argv::send(cargo, &relay.socket(), self.flags);
        through(&command, relay, Some(receiver), self.context)
    }
}

/// Runs a command of Nix that copies to the daemon behind a relay, and shows what arrives at `receiver`, or on this
/// machine if that is None.
pub(super) fn through(command: &Invocation, relay: &Relay, receiver: Option<&Host>, context: &Context) -> Result<()> {
    context.tell(Event::Detail(format!("$ {command}")));
    relay.open()?;
    context.tell(Event::phase(Work::Asking, receiver));
    let mut passes = false;
    let mut each = |line: &str| {
        // The display does not start earlier, because ssh may ask for a password until then.
        if !passes && relay.received() > 0 {
            passes = true;
            context.tell(Event::phase(Work::Receiving, receiver));
        }
        if let Some(event) = Event::of_nix(line) {
            context.tell(event);
        }
        context.tell(Event::Received(relay.received()));
    };
    let copied = command.watch(&mut each, context.signals);
    if passes {
        context.tell(Event::Received(relay.received()));
    }
    context.tell(Event::Idle);
    copied
}

/// Returns the one store path that a command printed; a `result` link stands for the path that it leads to.
fn store_path(output: &[u8]) -> Result<StorePath> {
    let text = String::from_utf8_lossy(output);
    let printed = text.lines().last().unwrap_or_default();
    let path =
        std::fs::read_link(printed).map_or_else(|_| printed.to_owned(), |target| target.to_string_lossy().into_owned());
    StorePath::parse(&path).context("Nix printed something else than its result")
}
