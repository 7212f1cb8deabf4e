//! Store paths that the other machine fetches itself, instead of being sent them (`scripts/releases.sh`).

use anyhow::Result;

use super::{Conversation, Question};
use crate::builder::diagnosis;
use crate::progress::{Event, Work};
use crate::sources::releases::Release;

impl Conversation<'_> {
    /// Takes it that the other machine fetches this store path, which it may do once.
    pub(super) fn fetches(&mut self, tree: String) -> Result<()> {
        let offered = self
            .request
            .evaluation()
            .map_or(&[][..], |evaluation| &evaluation.releases);
        let release = offered.iter().find(|release| release.tree == tree);
        let release = release.filter(|_| self.fetching.is_none() && self.fetched.insert(tree.clone()));
        let Some(name) = release.map(Release::name) else {
            let tree = tree.escape_debug();
            anyhow::bail!("{} fetches {tree}, which it was not offered", self.peer.host);
        };
        let text = format!("{} fetches {name} itself: it need not be sent", self.peer.host);
        self.fetching = Some(tree);
        self.goes_to(Work::Obtaining);
        self.context.tell(Event::Text(text));
        Ok(())
    }

    /// Compares what it has fetched with what this machine has.
    ///
    /// # Errors
    /// It is not the same.
    pub(super) fn has_fetched(&mut self, tree: &str, hash: &str) -> Result<()> {
        self.ends_fetching(tree)?;
        let own = (self.peer.database)(Question::Hash, &[tree.into()]);
        if own.as_deref() != Some(&[hash.to_owned()]) {
            let own = own.and_then(|mut lines| lines.pop());
            return Err(diagnosis::another_release(self.peer.host, tree, hash, own.as_deref()).into());
        }
        self.detail(format!("/nix/store/{tree} has the same hash there and here: {hash}"));
        Ok(())
    }

    pub(super) fn could_not_fetch(&mut self, tree: &str, reason: &str) -> Result<()> {
        self.ends_fetching(tree)?;
        let reason = if reason.is_empty() { "" } else { &format!(": {reason}") };
        let text = format!("{} could not fetch it, so it is sent{reason}", self.peer.host);
        self.context.tell(Event::Text(text));
        Ok(())
    }

    fn ends_fetching(&mut self, tree: &str) -> Result<()> {
        let is_that = self.fetching.take().is_some_and(|fetching| fetching == tree);
        let tree = tree.escape_debug();
        anyhow::ensure!(is_that, "{} has fetched {tree}, which it had not begun", self.peer.host);
        Ok(())
    }
}
