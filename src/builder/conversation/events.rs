//! What each thing comes to that the other machine says, if it may say it.

use std::path::Path;

use anyhow::Result;

use super::held::Held;
use super::{BESIDE, Conversation};
use crate::builder::named::shown;
use crate::builder::reply::Reply;
use crate::builder::{diagnosis, promise};
use crate::progress::{Builder, Event, Work};

impl Conversation<'_> {
    /// Does what follows from it.
    ///
    /// # Errors
    /// With it the run has failed.
    pub(super) fn reply(&mut self, reply: Reply) -> Result<()> {
        match reply {
            Reply::Hello { nix, system } => self.is_greeted(&nix, &system),
            Reply::Way(way) => self.tell(&diagnosis::unusual(self.peer.host, way).unwrap_or_default()),
            Reply::Receiving(has) => {
                self.goes_to(Work::Sending);
                self.send_files(has);
            }
            Reply::Damaged => self.tell(&diagnosis::damaged(self.peer.host)),
            Reply::Need(names) => self.send_trees(names)?,
            Reply::Nix(version) => {
                self.detail(format!("{}: Nix {version}", self.peer.host));
                self.nix.version = version;
            }
            Reply::Untraced(version) => self.tell(&diagnosis::untraced(self.peer.host, &version)),
            Reply::Evaluating => {
                // Each is one of those that it has by name, or a mount of the view.
                self.may_have_looked = self.sources.collection.mirror().entries.len() + BESIDE;
                self.sources.keep_base();
                self.context.tell(Event::phase(Work::Evaluating, Some(self.peer.host)));
            }
            Reply::Refused(paths) => self.rounds.refused(paths),
            Reply::Looked(path) => self.looked(&path),
            Reply::Timeless => self.rounds.cannot_look(),
            Reply::AskedFor(name) => _ = self.sources.missed().names.insert(name),
            Reply::Computes(path) => self.sources.missed().computing.push(shown(&path)),
            Reply::Word(word) => _ = self.sources.missed().words.insert(word),
            Reply::HomeNamed(path) => {
                return Err(diagnosis::another_home(&path, self.sources.collection.home()).into());
            }
            Reply::Collected => {
                // What it said was about what was taken from it.
                self.errors = Held::default();
                self.tell(&diagnosis::collected(self.peer.host));
            }
            Reply::EvaluationFailed { .. } | Reply::LookedAround => self.after_round(&reply)?,
            Reply::Variables => self.after_variables()?,
            Reply::Unread(path) => self.sources.hear_unread(path),
            Reply::LockLine(line) => self.sources.hear_lock(&line),
            Reply::Evaluated(derivation) => self.is_evaluated(&derivation)?,
            Reply::Value(value) => {
                self.evaluation_counts()?;
                self.answer.value = Some(value);
            }
            Reply::Platform { wanted, own } => self.is_builder(&own, &wanted),
            Reply::Building => self.goes_to(Work::Building),
            Reply::Built(path) => self.is_built(&path)?,
            Reply::Copying => self.incoming.begin(self.context)?,
            Reply::Copied => {
                self.incoming.end(self.context);
                self.answer.delivered = true;
            }
            Reply::NoSocket if self.peer.relay.is_some() => {
                self.detail(format!(
                    "{} does not forward sockets: fetching the result instead",
                    self.peer.host
                ));
            }
            Reply::NoSocket => {}
            Reply::Done | Reply::Failed { .. } => {
                self.incoming.hang_up();
                self.ended = Some(reply);
            }
        }
        Ok(())
    }

    /// Says a text to the user, line by line.
    fn tell(&mut self, text: &str) {
        for line in text.lines() {
            self.context.tell(Event::Text(line.to_owned()));
        }
    }

    fn detail(&mut self, text: String) {
        self.context.tell(Event::Detail(text));
    }

    /// What takes long from now on is seen.
    fn goes_to(&mut self, work: Work) {
        self.channel.is_at_work();
        self.context.tell(Event::phase(work, Some(self.peer.host)));
    }

    fn is_greeted(&mut self, nix: &str, system: &str) {
        let said = self.channel.is_greeted().lines();
        let said = said.filter(|line| !line.contains("remote port forwarding failed"));
        for line in said {
            self.context.tell(Event::Text(line.to_owned()));
        }
        self.is_builder(system, &self.request.system);
        self.detail(format!("{}: Nix in {nix}, {system}", self.peer.host));
    }

    fn is_builder(&mut self, own: &str, wanted: &str) {
        let builder = Builder::there(&self.peer.host.to_string(), own, wanted);
        self.context.tell(Event::Builder(builder));
    }

    /// It has come to its end with all that it asked for: what it read is kept, and what it locked.
    fn evaluation_counts(&mut self) -> Result<()> {
        self.errors = Held::default();
        self.sources.keep();
        self.keep_lock()
    }

    fn is_evaluated(&mut self, derivation: &str) -> Result<()> {
        self.evaluation_counts()?;
        self.detail(format!("derivation: {derivation}"));
        let derivation = promise::derivation(self.peer.host, derivation)?;
        if let Some(own) = self.request.expected().filter(|own| **own != derivation) {
            return Err(diagnosis::differs(self.peer.host, own, &derivation, &self.unchanged()).into());
        }
        self.answer.derivation = Some(derivation);
        Ok(())
    }

    fn is_built(&mut self, path: &str) -> Result<()> {
        self.detail(format!("built: {path}"));
        let derivation = self.answer.derivation.as_ref().or(self.request.derivation());
        self.answer.result = Some(promise::kept(self.peer.host, derivation, path)?);
        Ok(())
    }

    /// What nobody has sent by name, nobody has looked at: whoever tells of more is not listened to.
    fn looked(&mut self, path: &Path) {
        if let Some(left) = self.may_have_looked.checked_sub(1) {
            self.may_have_looked = left;
            self.sources.collection.add_asked(path);
        }
    }

    /// A lock file that has come is written, which is said: of all that a run without a switch does, it alone stays.
    pub(super) fn keep_lock(&mut self) -> Result<()> {
        if let Some(path) = self.sources.keep_lock()? {
            let text = format!("wrote {}: the inputs as {} locks them", shown(&path), self.peer.host);
            self.context.tell(Event::Text(text));
        }
        Ok(())
    }
}
