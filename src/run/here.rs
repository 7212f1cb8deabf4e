//! Evaluating and building on this machine: Nix's own commands.

use std::path::Path;

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::host::Host;
use crate::plan::argv::{self, Images, Link};
use crate::plan::{Making, NixFlags, Outcome};
use crate::process::Invocation;
use crate::process::signals::Signals;
use crate::progress::nix_log::LogLine;
use crate::progress::{Event, Observer, Phase};
use crate::session::relay::Relay;
use crate::store_path::StorePath;

/// What this machine makes, and what keeps it from being collected meanwhile.
pub(super) struct Here<'a> {
    flags: &'a NixFlags,
    outcome: &'a Outcome,
    /// Whether the result is this machine's, and not only to be sent on.
    stays: bool,
    roots: TempDir,
    signals: &'a Signals,
}

impl<'a> Here<'a> {
    pub(super) fn new(flags: &'a NixFlags, outcome: &'a Outcome, stays: bool, signals: &'a Signals) -> Result<Self> {
        Ok(Self {
            flags,
            outcome,
            stays,
            roots: tempfile::Builder::new().prefix("rebuild.").tempdir()?,
            signals,
        })
    }

    /// What holds the results, as long as it is kept.
    pub(super) fn into_roots(self) -> TempDir {
        self.roots
    }

    /// Evaluates and builds. Nothing comes of a dry run.
    pub(super) fn build(&self, making: &Making) -> Result<Option<StorePath>> {
        let root = self.roots.path().join("result");
        let subject = making.subject();
        self.built(&|link| argv::build(&subject, self.flags, link), &root)
    }

    /// Builds what was evaluated elsewhere.
    pub(super) fn realise(&self, derivation: &StorePath) -> Result<Option<StorePath>> {
        let root = self.roots.path().join("result");
        self.built(&|link| argv::realise(derivation, self.flags, link), &root)
    }

    fn built(&self, command: &dyn Fn(Link) -> Invocation, root: &Path) -> Result<Option<StorePath>> {
        let link = match self.outcome {
            Outcome::DryBuild => {
                command(Link::DryRun).run(self.signals)?;
                return Ok(None);
            }
            Outcome::Link if self.stays => Link::Result,
            _ => Link::Root(root),
        };
        let output = command(link).capture(self.signals)?;
        store_path(&output).map(Some)
    }

    /// Evaluates.
    pub(super) fn evaluate(&self, making: &Making) -> Result<StorePath> {
        let root = self.roots.path().join("derivation");
        let output = argv::evaluate(&making.subject(), self.flags, &root).capture(self.signals)?;
        store_path(&output)
    }

    /// Asks which images there are.
    pub(super) fn images(&self, making: &Making, variant: &str) -> Result<Images> {
        let output = argv::images(making, variant, self.flags).capture(self.signals)?;
        serde_json::from_slice(&output).context("Nix printed something else than the images")
    }

    /// Sends a path to another machine, through a relay to its daemon.
    pub(super) fn send(
        &self,
        cargo: argv::Cargo,
        relay: &Relay,
        receiver: &Host,
        observer: &mut dyn Observer,
    ) -> Result<()> {
        let command = argv::send(cargo, &relay.socket(), self.flags);
        through(&command, relay, Some(receiver), observer, self.signals)
    }
}

/// Runs a command of Nix's that copies to the daemon behind a relay, and shows what arrives there: at the machine that is
/// named, or here.
pub(super) fn through(
    command: &Invocation,
    relay: &Relay,
    receiver: Option<&Host>,
    observer: &mut dyn Observer,
    signals: &Signals,
) -> Result<()> {
    observer.see(Event::Phase(Phase::Receiving(receiver.map(Host::to_string))));
    observer.see(Event::Detail(format!("$ {command}")));
    relay.open()?;
    let mut each = |line: &str| {
        observer.see(LogLine::parse(line).map_or_else(|| Event::Text(line.to_owned()), Event::Nix));
        observer.see(Event::Received(relay.received()));
    };
    let copied = command.watch(&mut each, signals);
    observer.see(Event::Phase(Phase::Done));
    copied
}

/// The one store path that a command printed; of a `result` link, where it leads.
fn store_path(output: &[u8]) -> Result<StorePath> {
    let text = String::from_utf8_lossy(output);
    let printed = text.lines().last().unwrap_or_default();
    let path =
        std::fs::read_link(printed).map_or_else(|_| printed.to_owned(), |target| target.to_string_lossy().into_owned());
    StorePath::parse(&path).context("Nix printed something else than its result")
}
