//! What follows from each event of the other machine, after it was found to be in turn.

use std::num::NonZeroU8;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use super::following::Following;
use super::held::Held;
use super::{BESIDE, Conversation, Memory};
use crate::builder::named::shown;
use crate::builder::preflight::FreeRoom;
use crate::builder::question::question;
use crate::builder::reply::BuilderEvent;
use crate::builder::stage::Stage;
use crate::builder::{diagnosis, promise, upgrade};
use crate::progress::{Builder, Event, Work};
use crate::sources::answered::Answered;
use crate::store_path::StorePath;

impl Conversation<'_> {
    /// Does what follows from an event.
    ///
    /// # Errors
    /// The run has failed with this event.
    pub(super) fn reply(&mut self, reply: BuilderEvent) -> Result<()> {
        match reply {
            BuilderEvent::Hello { nix, system } => self.is_greeted(&nix, &system),
            BuilderEvent::Way(way) => self.tell(&diagnosis::unusual(self.peer.host, way).unwrap_or_default()),
            BuilderEvent::EndsAtLogout(user) => self.ends_at_logout(&user)?,
            BuilderEvent::Room(free) => self.warn_of_room(free),
            BuilderEvent::Receiving(has) => {
                self.goes_to(Work::Sending);
                self.send_files(has);
            }
            BuilderEvent::Damaged => self.tell(&diagnosis::damaged(self.peer.host)),
            BuilderEvent::Fetching(tree) => self.fetches(tree)?,
            BuilderEvent::Fetched { tree, hash } => self.has_fetched(&tree, &hash)?,
            BuilderEvent::Unfetched { tree, reason } => self.could_not_fetch(&tree, &reason)?,
            BuilderEvent::Need(names) => self.send_trees(names)?,
            BuilderEvent::Nix(version) => {
                self.detail(format!("{}: Nix {version}", self.peer.host));
                self.nix.version = version;
            }
            BuilderEvent::Untraced(version) => self.tell(&diagnosis::untraced(self.peer.host, &version)),
            BuilderEvent::Evaluating => self.evaluation_begins(),
            BuilderEvent::Refused(paths) => self.rounds.refused(paths),
            BuilderEvent::Looked(path) => self.looked(&path),
            BuilderEvent::Timeless => self.rounds.cannot_look(),
            BuilderEvent::AskedFor(name) => _ = self.sources.missed().names.insert(name),
            BuilderEvent::Computes(path) => self.sources.missed().computing.push(shown(&path)),
            BuilderEvent::Word(word) => _ = self.sources.missed().words.insert(word),
            BuilderEvent::HomeNamed(path) => {
                return Err(diagnosis::another_home(&path, self.sources.collection.home()).into());
            }
            BuilderEvent::Collected => {
                // Its errors were about paths that the collection had taken.
                self.errors = Held::default();
                self.tell(&diagnosis::collected(self.peer.host));
            }
            // It is answered when the job has ended: until then, a word of the client's would end it.
            BuilderEvent::EvaluationFailed { .. } | BuilderEvent::Variables if self.is_following() => {
                self.asked = Some(reply);
            }
            BuilderEvent::EvaluationFailed { .. } | BuilderEvent::LookedAround => self.after_round(&reply)?,
            BuilderEvent::Variables => self.after_variables()?,
            BuilderEvent::Job(name) => self.following = Some(Following::new(name, 0)),
            BuilderEvent::Joined { name, at } => {
                self.tell(&diagnosis::joined(self.peer.host));
                self.following = Some(Following::new(name, at));
            }
            BuilderEvent::Idle(seconds) => self.context.tell(Event::Idled(Duration::from_secs(seconds))),
            BuilderEvent::Ended(_) => self.job_ended()?,
            BuilderEvent::Lost => self.job_is_lost(),
            BuilderEvent::Unread(path) => self.sources.hear_unread(path),
            BuilderEvent::LockLine(line) => self.sources.hear_lock(&line),
            BuilderEvent::Reads(name) => _ = self.memory.reads.names.insert(name),
            BuilderEvent::ReadsAny => self.memory.reads.any = true,
            BuilderEvent::Unmemorable(reason) => self.detail(diagnosis::unmemorable(&reason)),
            BuilderEvent::Anew(reason) => self.detail(diagnosis::anew(self.peer.host, &reason)),
            BuilderEvent::Memorable(standing) => self.memory.standing = Some(standing),
            BuilderEvent::Unchanged(derivation) => self.is_unchanged(&derivation)?,
            BuilderEvent::Evaluated(derivation) => self.is_evaluated(&derivation)?,
            BuilderEvent::Value(value) => {
                self.evaluation_counts(None)?;
                self.answer.value = Some(value);
            }
            BuilderEvent::Platform { wanted, own } => self.is_builder(&own, &wanted),
            BuilderEvent::Channels(path) => self.has_channels(path.as_deref())?,
            BuilderEvent::Building => self.goes_to(Work::Building),
            BuilderEvent::Built(path) => self.is_built(&path)?,
            BuilderEvent::Copying => self.incoming.begin(self.context)?,
            BuilderEvent::Copied => {
                self.incoming.end(self.context);
                self.answer.delivered = true;
            }
            BuilderEvent::NoSocket if self.peer.relay.is_some() => {
                self.detail(format!(
                    "{} does not forward sockets: fetching the result instead",
                    self.peer.host
                ));
            }
            // The course has refused these, but for the last one: they are said where somebody asks about jobs, which no
            // run does.
            BuilderEvent::Record(_)
            | BuilderEvent::Aged { .. }
            | BuilderEvent::Builds { .. }
            | BuilderEvent::Followed
            | BuilderEvent::HeardOf
            | BuilderEvent::Running
            | BuilderEvent::NoSocket => {}
            BuilderEvent::Done | BuilderEvent::Failed { .. } => {
                self.incoming.hang_up();
                // What a job says is the reason.
                self.ended.get_or_insert(reply);
            }
        }
        Ok(())
    }

    fn evaluation_begins(&mut self) {
        // Every path is one that the machine has by name, or a mount of the view.
        self.may_have_looked = self.sources.collection.mirror().entries.len() + BESIDE;
        self.sources.keep_base();
        self.memory = Memory::default();
        self.context.tell(Event::phase(Work::Evaluating, Some(self.peer.host)));
    }

    /// Takes it as a failure that the job was cut off.
    fn job_is_lost(&mut self) {
        self.following = None;
        self.ended.get_or_insert(BuilderEvent::Failed {
            stage: Stage::Lost,
            code: NonZeroU8::MIN,
        });
    }

    /// Answers what a job asks, now that it has ended.
    fn job_ended(&mut self) -> Result<()> {
        if let Some(line) = self.following.as_mut().and_then(Following::ends) {
            self.said(line)?;
        }
        let asked = self.asked.take();
        if asked.is_some() {
            // What comes next is said and heard on this connection, and the job has nothing more to do with it.
            self.following = None;
        }
        match asked {
            Some(BuilderEvent::Variables) => self.after_variables(),
            Some(asked) => self.after_round(&asked),
            None => Ok(()),
        }
    }

    /// Says a text to the user, line by line.
    pub(super) fn tell(&self, text: &str) {
        for line in text.lines() {
            self.context.tell(Event::Text(line.to_owned()));
        }
    }

    /// Takes it that the work there ends with the connection: an error for users who want to leave (`--detach`), and a
    /// warning for the others, to whom it matters only if the link breaks.
    fn ends_at_logout(&self, user: &str) -> Result<()> {
        let failure = diagnosis::ends_at_logout(self.peer.host, user);
        if self.request.job.detach {
            return Err(failure.into());
        }
        let remedy = failure.remedy().unwrap_or_default().replace('\n', "\n  ");
        self.tell(&format!("warning: {failure}\n  {remedy}"));
        Ok(())
    }

    fn warn_of_room(&mut self, free: FreeRoom) {
        let (evaluates, builds) = (self.request.evaluation().is_some(), self.request.realisation.is_some());
        for warning in free.warnings(self.peer.host, evaluates, builds) {
            self.tell(&warning);
        }
    }

    pub(super) fn detail(&mut self, text: String) {
        self.context.tell(Event::Detail(text));
    }

    /// Shows a phase. From now on the user sees what takes long.
    pub(super) fn goes_to(&mut self, work: Work) {
        self.channel.is_at_work();
        self.context.tell(Event::phase(work, Some(self.peer.host)));
    }

    fn is_greeted(&mut self, nix: &str, system: &str) {
        let said = self.channel.is_greeted().lines();
        let said = said.filter(|line| !line.contains("remote port forwarding failed"));
        for line in said {
            self.context.tell(Event::Text(line.to_owned()));
        }
        if self.is_second {
            // The user sees already what takes long.
            self.channel.is_at_work();
        }
        self.is_builder(system, &self.request.system);
        self.detail(format!("{}: Nix in {nix}, {system}", self.peer.host));
        if self.request.upgrade().is_some() {
            self.goes_to(Work::Upgrading);
        }
    }

    fn is_builder(&mut self, own: &str, wanted: &str) {
        let builder = Builder::there(&self.peer.host.to_string(), own, wanted);
        self.context.tell(Event::Builder(builder));
    }

    /// Takes an evaluation that has come to its end with everything that it asked for: keeps what it read, and its lock
    /// file.
    fn evaluation_counts(&mut self, answered: Option<Answered>) -> Result<()> {
        self.errors = Held::default();
        self.sources.keep(answered);
        self.keep_lock()
    }

    fn is_evaluated(&mut self, derivation: &str) -> Result<()> {
        let parsed = promise::derivation(self.peer.host, derivation);
        let answered = parsed.as_ref().ok().map(|derivation| self.answered(derivation));
        self.evaluation_counts(answered.transpose()?.flatten())?;
        self.detail(format!("derivation: {derivation}"));
        let derivation = parsed?;
        if let Some(own) = self.request.expected().filter(|own| **own != derivation) {
            return Err(diagnosis::differs(self.peer.host, own, &derivation, &self.unchanged()).into());
        }
        self.answer.derivation = Some(derivation);
        Ok(())
    }

    /// Returns what is remembered of this answer; None if it may not be remembered.
    fn answered(&mut self, derivation: &StorePath) -> Result<Option<Answered>> {
        let Memory {
            standing,
            reads,
            is_locked_anew,
        } = std::mem::take(&mut self.memory);
        let Some(standing) = standing else { return Ok(None) };
        let environment = self.sources.environment()?;
        let reasons = [
            (self.names_evaluators_own, "own-place"),
            (self.sources.collection.names_generations(), "generation"),
            (is_locked_anew || self.sources.has_heard_lock(), "lock"),
            (environment.has_secret(), "secret"),
        ];
        if let Some((_, reason)) = reasons.into_iter().find(|(is_so, _)| *is_so) {
            self.detail(diagnosis::unmemorable(reason));
            return Ok(None);
        }
        let question = question(self.request, &self.sources.need(), &environment, &reads)?;
        Ok(question.map(|question| Answered {
            question,
            reads,
            derivation: derivation.clone(),
            standing,
            result: None,
        }))
    }

    /// Takes the remembered answer.
    ///
    /// # Errors
    /// The machine has said another one.
    fn is_unchanged(&mut self, derivation: &str) -> Result<()> {
        let known = self.request.known().filter(|known| known.as_str() == derivation);
        let known = known.ok_or_else(|| diagnosis::another_answer(self.peer.host, derivation))?;
        self.answer.derivation = Some(known.clone());
        self.detail(format!("derivation: {known}"));
        self.tell("unchanged: not evaluated");
        Ok(())
    }

    fn is_built(&mut self, path: &str) -> Result<()> {
        self.detail(format!("built: {path}"));
        let derivation = self.answer.derivation.as_ref().or(self.request.derivation());
        self.answer.result = Some(promise::kept(self.peer.host, derivation, path)?);
        Ok(())
    }

    fn has_channels(&mut self, path: Option<&str>) -> Result<()> {
        let path = path.map(|text| upgrade::generation(self.peer.host, text)).transpose()?;
        if let Some(path) = &path {
            self.detail(format!("channels: {path}"));
        }
        self.answer.channels = path;
        Ok(())
    }

    /// Takes a path at which a look has looked. Only what was sent by name can be looked at, so paths beyond that
    /// number are ignored.
    fn looked(&mut self, path: &Path) {
        if let Some(left) = self.may_have_looked.checked_sub(1) {
            self.may_have_looked = left;
            self.sources.collection.add_asked(path);
        }
    }

    /// Writes a lock file that has come, and says so: it is the only thing that stays on this machine after a run that
    /// changes no system.
    pub(super) fn keep_lock(&mut self) -> Result<()> {
        if let Some(path) = self.sources.keep_lock()? {
            let text = format!("wrote {}: the inputs as {} locks them", shown(&path), self.peer.host);
            self.context.tell(Event::Text(text));
        }
        Ok(())
    }
}
