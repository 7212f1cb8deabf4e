//! What is asked of the other machine: with what it begins, what it makes of that, and so what it does ([`parts`]).

use std::path::Path;
use std::time::Duration;

use super::delivery::Delivery;
use super::evaluation::{Evaluation, Known};
use super::parts::{Given, Instruction, Part, compose, parts};
use super::question::question;
use super::realisation::{Building, Realisation};
use super::sources::Sources;
use super::upgrade::Upgrade;
use crate::failure::Failure;
use crate::remote::script::Script;
use crate::store_path::StorePath;

/// How long a job goes on that nobody follows and that nobody can find either, because its client has another name in its
/// next run. Only the run that began it comes back, after its link broke.
const UNFINDABLE: Duration = Duration::from_secs(20 * 60);

/// A run on the other machine.
#[derive(Debug)]
pub struct Request {
    /// Who asks. What is kept there for them has their name.
    pub client: Client,
    /// Nix settings that the command line gives, as lines of a `nix.conf`.
    pub settings: String,
    /// The system that is made, as `aarch64-linux`.
    pub system: String,
    /// What there is to begin with.
    pub beginning: Beginning,
    /// How the derivation is built, if it is.
    pub realisation: Option<Realisation>,
    /// How the output, or else the derivation, goes elsewhere, if it does.
    pub delivery: Option<Delivery>,
    /// The part of it that goes on if the connection breaks.
    pub job: Job,
}

/// What is said of the jobs of a run: work that outlives the connection (`scripts/detached.sh`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// A name that no other run has.
    pub name: String,
    /// What the user would call it.
    pub about: String,
    /// How long a job goes on that nobody follows, as the user has it ([`Request::alone`]).
    pub alone: Duration,
    /// How long the client tries to come back to it after the link broke. Zero: it does not try.
    pub reconnect: Duration,
    /// Whether the client leaves when the job builds, and nothing of the client is needed any more.
    pub detach: bool,
}

/// This machine's user, as the other machine knows them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// The name of what is kept there; a file name.
    pub name: String,
    /// Whether the next run has the same name. Otherwise nothing is kept, and no run finds the job of another one.
    pub stays: bool,
}

/// What a run begins with.
#[derive(Debug)]
pub enum Beginning {
    /// Files of this machine, which are evaluated.
    Files(Box<Evaluation>),
    /// A derivation that is there already.
    Derivation(StorePath),
    /// Channels of this machine, which are updated there; nothing is built.
    Channels(Upgrade),
    /// A path that is there already, and goes elsewhere as it is.
    Path(StorePath),
}

impl Request {
    /// Returns how long a job goes on that nobody follows.
    pub(super) fn alone(&self) -> Duration {
        if self.client.stays {
            self.job.alone
        } else {
            self.job.alone.min(UNFINDABLE.max(self.job.reconnect))
        }
    }

    /// Returns the number of minutes for that, at least one: the other machine counts whole ones.
    fn minutes_alone(&self) -> u64 {
        self.alone().as_secs().div_ceil(60).max(1)
    }

    /// The evaluation, if there is one.
    #[must_use]
    pub fn evaluation(&self) -> Option<&Evaluation> {
        match &self.beginning {
            Beginning::Files(evaluation) => Some(evaluation),
            _ => None,
        }
    }

    /// The derivation that is there already.
    pub(super) fn derivation(&self) -> Option<&StorePath> {
        match &self.beginning {
            Beginning::Derivation(derivation) => Some(derivation),
            _ => None,
        }
    }

    /// The channels that are updated, if any are.
    pub(super) fn upgrade(&self) -> Option<&Upgrade> {
        match &self.beginning {
            Beginning::Channels(upgrade) => Some(upgrade),
            _ => None,
        }
    }

    /// The derivation that the evaluation has to give, if one is expected.
    pub(super) fn expected(&self) -> Option<&StorePath> {
        self.evaluation().and_then(|evaluation| evaluation.expected.as_ref())
    }

    /// Settings without which the evaluation would be another one.
    pub(super) fn decisive_settings(&self) -> &[String] {
        self.evaluation()
            .map_or(&[], |evaluation| &evaluation.decisive_settings)
    }

    /// The path at which ssh makes the socket of a lent daemon on the other machine.
    pub(super) fn socket(&self) -> Option<&Path> {
        self.delivery.as_ref().and_then(|delivery| delivery.socket.as_deref())
    }

    fn building(&self) -> Option<Building> {
        self.realisation.as_ref().map(|realisation| realisation.building)
    }

    /// Returns how what was made goes elsewhere, if it does.
    fn delivered<'a>(&'a self, given: Given<'a>) -> Option<Instruction<'a>> {
        self.delivery.as_ref()?;
        if let Beginning::Path(path) = &self.beginning {
            return Some(Instruction::DeliverPath(path));
        }
        match self.building() {
            Some(Building::Real) => Some(Instruction::DeliverOutput),
            Some(Building::Dry) => None,
            None => Some(Instruction::DeliverDerivation(given)),
        }
    }

    /// Takes what this machine remembers of the same question, so that it need not be asked again. Returns whether it was
    /// another question.
    ///
    /// # Errors
    /// A word has a NUL byte in it.
    pub fn recall(&mut self, sources: &Sources) -> Result<bool, Failure> {
        let Some((answered, evaluation)) = sources.answered().zip(self.evaluation()) else {
            return Ok(false);
        };
        let asked = question(self, &evaluation.need, &evaluation.environment, &answered.reads)?;
        if asked.is_none_or(|asked| asked != answered.question) {
            return Ok(true);
        }
        if let Beginning::Files(evaluation) = &mut self.beginning {
            evaluation.known = Some(Known {
                derivation: answered.derivation.clone(),
                standing: answered.standing.clone(),
            });
        }
        Ok(false)
    }

    /// What was built of the remembered answer, if this machine knows it ([`Self::recall`]).
    #[must_use]
    pub fn known_result<'a>(&self, sources: &'a Sources) -> Option<&'a StorePath> {
        let answered = sources.answered()?;
        answered
            .result
            .as_ref()
            .filter(|_| self.known() == Some(&answered.derivation))
    }

    /// The answer that this machine remembers.
    pub(super) fn known(&self) -> Option<&StorePath> {
        let known = self.evaluation()?.known.as_ref();
        known.map(|known| &known.derivation)
    }

    /// Returns the text for the other machine's shell.
    ///
    /// # Errors
    /// A word has a NUL byte in it.
    pub(super) fn script(&self) -> Result<Vec<u8>, Failure> {
        let instructions = self.instructions();
        compose(self.words(&instructions)?, &instructions)
    }

    /// Returns the text that goes on with a job of an earlier connection, after so many bytes of its output.
    /// `delivers` says whether the result still goes to the lent daemon.
    ///
    /// # Errors
    /// A word has a NUL byte in it.
    pub(super) fn rejoining(&self, name: &str, heard: u64, delivers: bool) -> Result<Vec<u8>, Failure> {
        let delivered = self.delivered(Given::Evaluated).filter(|_| delivers);
        let all = [
            Some(Instruction::Begin),
            Some(Instruction::MakePlace),
            Some(Instruction::Rejoin { name, heard }),
            (self.building() == Some(Building::Dry)).then_some(Instruction::BuildDry(Given::Evaluated)),
            delivered,
            Some(Instruction::Finish),
        ];
        let instructions: Vec<_> = all.into_iter().flatten().collect();
        compose(self.words(&instructions)?, &instructions)
    }

    /// Returns what is done there, step by step.
    pub(super) fn instructions(&self) -> Vec<Instruction<'_>> {
        let given = self.derivation().map_or(Given::Evaluated, Given::Named);
        let evaluates = self.evaluation().is_some();
        let building = self.building();
        let is_built = building == Some(Building::Real);
        let all = [
            Some(Instruction::Begin),
            evaluates.then_some(Instruction::FindWay),
            Some(Instruction::MakePlace),
            (evaluates || is_built).then_some(Instruction::Preflight),
            self.upgrade().map(|_| Instruction::UpdateChannels),
            evaluates.then_some(Instruction::Evaluate { builds: is_built }),
            match building {
                Some(Building::Real) if !evaluates => Some(Instruction::Build(given)),
                Some(Building::Dry) => Some(Instruction::BuildDry(given)),
                _ => None,
            },
            self.delivered(given),
            is_built.then_some(Instruction::ForgetResults),
            Some(Instruction::Finish),
        ];
        all.into_iter().flatten().collect()
    }

    /// Returns the client's words. Each of them is taken by one of the parts.
    pub(super) fn words(&self, instructions: &[Instruction]) -> Result<Script, Failure> {
        let mut script = Script::default();
        script.set("rb_client", &self.client.name)?;
        script.set_yes("rb_client_stays", self.client.stays)?;
        script.set("rb_socket", self.socket().unwrap_or(Path::new("")))?;
        script.set("rb_job", &self.job.name)?;
        script.set("rb_about", &self.job.about)?;
        script.set("rb_alone", self.minutes_alone().to_string())?;
        let parts = parts(instructions);
        if parts.contains(&Part::Evaluate) || parts.contains(&Part::Build) {
            script.set("rb_system", &self.system)?;
        }
        let obeys = [Part::Evaluate, Part::Build, Part::Upgrade];
        if obeys.iter().any(|part| parts.contains(part)) {
            script.set("rb_settings", &self.settings)?;
        }
        if let Some(upgrade) = self.upgrade().filter(|_| parts.contains(&Part::Upgrade)) {
            upgrade.describe(&mut script)?;
        }
        if let Some(evaluation) = self.evaluation().filter(|_| parts.contains(&Part::Evaluate)) {
            evaluation.describe(&mut script)?;
        }
        if let Some(realisation) = self.realisation.as_ref().filter(|_| parts.contains(&Part::Build)) {
            realisation.describe(&self.system, &mut script)?;
        }
        if let Some(delivery) = self.delivery.as_ref().filter(|_| parts.contains(&Part::Deliver)) {
            delivery.describe(&mut script)?;
        }
        Ok(script)
    }
}
