//! The steps of a run that are about root's channels.

use anyhow::{Context as _, Result};

use super::Run;
use crate::activation::RootHere;
use crate::own_nix::search_path::ROOT_CHANNELS;
use crate::plan::{Channels, argv};
use crate::progress::Event;
use crate::run::upgrade;
use crate::run::upgrade::elsewhere::{self, Upgraded, Wanted};

impl Run<'_> {
    /// Returns how a command runs as root on this machine.
    fn root(&self) -> Result<RootHere<'_>> {
        let is_root = nix::unistd::geteuid().is_root();
        self.target()?.root_here(self.plan.rights, is_root, self.context.around)
    }

    pub(super) fn upgrade(&mut self, channels: Channels) -> Result<()> {
        upgrade::channels(channels, &self.root()?, self.context.signals)?;
        self.has_upgraded = true;
        Ok(())
    }

    /// Has the evaluator update the channels, and notes what came of it.
    pub(super) fn upgrade_there(&mut self, channels: Channels) -> Result<()> {
        let list = match elsewhere::wanted(channels, &self.root()?, self.context)? {
            Wanted::Nothing => return Ok(()),
            Wanted::Here => return self.upgrade(channels),
            Wanted::There(list) => list,
        };
        let maker = self.maker()?;
        let host = maker.making.evaluator.host().context("this machine evaluates")?.clone();
        let answer = maker.errand(&host).update(list.updated())?;
        let Some(generation) = answer.channels else {
            self.reach.has_begun();
            // Nix has said why. As on this machine, that is no reason to stop.
            let text = format!(
                "warning: {host} could not update {}: the channels stay as they are",
                list.names()
            );
            self.context.tell(Event::Text(text));
            return Ok(());
        };
        let (generation, here) = if list.is_whole() {
            (generation, None)
        } else {
            let (generation, here) = list.join(maker.bring_here(generation, &host)?, self.context)?;
            (generation, Some(here))
        };
        self.reach.has_begun();
        if elsewhere::is_set(&generation) {
            let text = format!("{}: nothing newer than what is here", list.names());
            self.context.tell(Event::Text(text));
            return Ok(());
        }
        let then = if self.plan.outcome.stays() {
            "they are set at last"
        } else {
            "this run does not set them"
        };
        let text = format!("{}: {host} has found newer ones; {then}", list.names());
        self.context.tell(Event::Text(text));
        self.upgraded = Some(Upgraded { host, generation, here });
        Ok(())
    }

    pub(super) fn bring_channels(&mut self) -> Result<()> {
        let Some(upgraded) = self.upgraded.as_ref().filter(|upgraded| upgraded.here.is_none()) else {
            return Ok(());
        };
        let made = self.maker()?.bring_here(upgraded.generation.clone(), &upgraded.host)?;
        if let Some(upgraded) = &mut self.upgraded {
            upgraded.here = Some(elsewhere::Here::of(made));
        }
        Ok(())
    }

    /// Makes the new channels this machine's. This comes last before the change: a run that fails before it leaves them
    /// as they were, and a change that fails has them as the system that it was to.
    pub(super) fn set_channels(&self) -> Result<()> {
        let Some(upgraded) = &self.upgraded else { return Ok(()) };
        self.context.signals.check()?;
        self.context.tell(Event::Idle);
        let command = argv::set_channels(ROOT_CHANNELS, &upgraded.generation);
        self.context.tell(Event::Trace(format!("$ {command}")));
        self.root()?.run(&command, self.context.signals)?;
        let text = format!("root's channels are now those that {} has updated", upgraded.host);
        self.context.tell(Event::Text(text));
        Ok(())
    }
}
