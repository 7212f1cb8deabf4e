//! What the other machine may say, and when. What it says counts only if it was asked for. An event that was not asked
//! for, that comes in another order or twice, ends the run. `finished` counts only after everything that the request
//! asked for.

#[cfg(test)]
mod tests;

use super::realisation::Building;
use super::reply::BuilderEvent;
use super::request::Request;
use super::rounds::NextRound;

/// What a request asks for, as far as events answer it.
#[allow(clippy::struct_excessive_bools, reason = "each is asked for or not")]
#[derive(Debug, Clone, Copy)]
struct Demand {
    first: First,
    /// Whether the evaluation may write a lock file.
    locks: bool,
    /// Whether the evaluation gives a value.
    gives_value: bool,
    /// Whether the client remembers an answer.
    knows: bool,
    /// Whether the client may remember this answer.
    remembers: bool,
    /// What becomes of the derivation, if anything is done with it.
    building: Option<Building>,
    handover: Handover,
}

/// What there is to do at first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum First {
    /// The client's files are evaluated.
    Evaluation,
    /// The client's channels are updated, and nothing else is done.
    Channels,
    /// Nothing: there is a derivation already, or another path.
    Nothing,
}

/// Where the result goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Handover {
    Stays,
    /// The client fetches it afterwards.
    Fetched,
    /// It goes to a daemon that was lent for it, if that can be reached.
    Sent,
}

/// How far the other machine has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Start,
    /// It has greeted; in a later round, the client has answered it. Next it says which of the client's files it has.
    Files(Round),
    /// Next it says which of the client's store paths it lacks.
    Trees(Round),
    /// It has everything that the round needs.
    Ready(Round),
    Evaluating(Round),
    /// The client's channels are being updated.
    Updating,
    /// A round is over, and the client says what comes next.
    Asking,
    /// The client has told it to give up.
    GivenUp,
    /// There is a derivation, or a value, or a generation of channels.
    Made,
    Building,
    Built,
    Copying,
    /// The result is delivered, or the machine has said that it cannot deliver it.
    Delivered,
    Over,
}

/// Which kind of round it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Round {
    Closed,
    /// The evaluation only looks.
    Open,
}

/// How much may be told about variables, in bytes. What thousands of Nix files have about them is less than a
/// thousandth of it. Each evaluation that begins again counts as a part of this.
const MOST_ASIDE: usize = 8 << 20;

/// The course of one talk.
#[allow(clippy::struct_excessive_bools, reason = "each has been said or not")]
#[derive(Debug)]
pub(super) struct Course {
    demand: Demand,
    at: At,
    /// How many bytes may still be said aside ([`MOST_ASIDE`]).
    aside: usize,
    /// Whether the machine was told that no variable is missing. It does not ask twice.
    has_variables: bool,
    /// Whether the machine may still say that the question is unchanged: only before it asks for files.
    may_be_unchanged: bool,
    /// Whether it may still say that the answer may be remembered.
    may_be_remembered: bool,
    /// Whether a job is on.
    job: bool,
    /// How many more jobs may join another one. A job that is joined builds, so it joins none itself.
    joins: u8,
    /// Whether a new connection goes on with it, which has not been greeted yet.
    comes_back: bool,
}

impl Course {
    /// Starts the course of the talk about this request.
    pub(super) fn new(request: &Request) -> Self {
        let evaluation = request.evaluation();
        Self::of(Demand {
            first: match (evaluation, request.upgrade()) {
                (Some(_), _) => First::Evaluation,
                (None, Some(_)) => First::Channels,
                (None, None) => First::Nothing,
            },
            locks: evaluation.is_some_and(|evaluation| evaluation.lock.is_some()),
            gives_value: evaluation.is_some_and(|evaluation| evaluation.gives_value),
            knows: evaluation.is_some_and(|evaluation| evaluation.known.is_some()),
            remembers: evaluation.is_some_and(|evaluation| evaluation.may_be_remembered),
            building: request.realisation.as_ref().map(|realisation| realisation.building),
            handover: match &request.delivery {
                None => Handover::Stays,
                Some(_) if request.socket().is_none() => Handover::Fetched,
                Some(_) => Handover::Sent,
            },
        })
    }

    fn of(demand: Demand) -> Self {
        Self {
            demand,
            at: At::Start,
            aside: MOST_ASIDE,
            has_variables: false,
            may_be_unchanged: demand.knows,
            may_be_remembered: demand.remembers,
            job: false,
            joins: 1,
            comes_back: false,
        }
    }

    /// Whether this event may come now. If so, the course goes on with it.
    #[must_use]
    pub(super) fn hears(&mut self, reply: &BuilderEvent) -> bool {
        let next = match reply {
            // A failure may come at any step, and after that of a job its run may fail as well.
            BuilderEvent::Failed { .. } if self.at == At::Over => Some(At::Over).filter(|_| self.job),
            BuilderEvent::Failed { .. } => Some(At::Over).filter(|_| self.at != At::GivenUp),
            BuilderEvent::AskedFor(text) | BuilderEvent::Word(text) => self.says_aside(text.len()),
            BuilderEvent::Reads(name) if self.may_be_remembered => self.says_aside(name.len()),
            BuilderEvent::Memorable(_) => self.is_memorable(),
            BuilderEvent::Unchanged(_) => self.is_unchanged(),
            BuilderEvent::Computes(path) => self.says_aside(path.as_os_str().len()),
            BuilderEvent::Collected => self.says_aside(MOST_ASIDE / 50),
            BuilderEvent::Job(_) => self.begins_job(),
            BuilderEvent::Joined { .. } => self.joins(),
            BuilderEvent::Ended(_) | BuilderEvent::Lost => std::mem::take(&mut self.job).then_some(self.at),
            BuilderEvent::Hello { .. } if std::mem::take(&mut self.comes_back) => Some(self.at),
            _ if self.is_aside(reply) => Some(self.at),
            _ => self.step(reply),
        };
        self.at = next.unwrap_or(self.at);
        self.may_be_unchanged &= self.at == At::Start || self.at == At::Files(Round::Closed);
        next.is_some()
    }

    /// Notes what the client has answered when a round was over.
    pub(super) fn answered(&mut self, next: NextRound) {
        self.at = match next {
            NextRound::Look => At::Files(Round::Open),
            NextRound::Evaluate => At::Files(Round::Closed),
            NextRound::GiveUp => At::GivenUp,
        };
    }

    /// Notes that the client has said that no variable is missing, so that what was evaluated counts.
    pub(super) fn goes_on(&mut self) {
        self.at = At::Evaluating(Round::Closed);
        self.has_variables = true;
    }

    /// The connection has broken, and another one goes on with the job.
    ///
    /// If the job had ended, its end is heard again. A copy that was cut off counts as one that is not made there.
    pub(super) fn comes_back(&mut self) {
        // After a failure nobody comes back.
        if self.at == At::Over {
            return;
        }
        self.comes_back = true;
        self.job = true;
        if self.is_copying() {
            self.at = At::Delivered;
        } else if self.at == At::Building && self.demand.building == Some(Building::Dry) {
            self.at = At::Made;
        }
    }

    /// Whether the result is on its way to the lent daemon, or is there.
    pub(super) fn is_copying(&self) -> bool {
        matches!(self.at, At::Copying | At::Delivered)
    }

    /// Whether something is being built.
    pub(super) fn is_building(&self) -> bool {
        self.at == At::Building
    }

    /// Whether the result is delivered, or will not be.
    pub(super) fn is_delivered(&self) -> bool {
        self.at == At::Delivered
    }

    /// The machine is as it was when the question was answered, and has the derivation.
    fn is_unchanged(&mut self) -> Option<At> {
        let is_time = self.at == At::Files(Round::Closed) && std::mem::take(&mut self.may_be_unchanged);
        is_time.then_some(At::Made)
    }

    /// The answer that comes next may be remembered.
    fn is_memorable(&mut self) -> Option<At> {
        let is_time = self.at == At::Evaluating(Round::Closed) && std::mem::take(&mut self.may_be_remembered);
        is_time.then_some(self.at)
    }

    /// One job at a time, for what takes long: a closed evaluation, or a build of a derivation that is there.
    fn begins_job(&mut self) -> Option<At> {
        let may_begin = matches!(self.at, At::Evaluating(Round::Closed) | At::Made) && !self.job;
        self.job |= may_begin;
        may_begin.then_some(self.at)
    }

    /// The build of a derivation may be another job's already.
    fn joins(&mut self) -> Option<At> {
        let is_time = self.at == At::Made && !self.job && self.demand.building == Some(Building::Real);
        self.joins = self.joins.checked_sub(u8::from(is_time))?;
        self.job |= is_time;
        is_time.then_some(self.at)
    }

    /// Takes `length` bytes that are told aside, which may come during a closed evaluation.
    fn says_aside(&mut self, length: usize) -> Option<At> {
        self.aside = self.aside.checked_sub(length + 64)?;
        (self.at == At::Evaluating(Round::Closed)).then_some(self.at)
    }

    /// Whether this event may come at this step any number of times, without leading to another step.
    fn is_aside(&self, reply: &BuilderEvent) -> bool {
        match reply {
            BuilderEvent::Way(_) => self.at == At::Files(Round::Closed),
            BuilderEvent::Room(_) | BuilderEvent::EndsAtLogout(_) => self.at == self.begun(),
            BuilderEvent::Idle(_) => self.job,
            BuilderEvent::Fetching(_) | BuilderEvent::Fetched { .. } | BuilderEvent::Unfetched { .. } => {
                matches!(self.at, At::Trees(_))
            }
            BuilderEvent::Nix(_) | BuilderEvent::Untraced(_) => matches!(self.at, At::Ready(_)),
            BuilderEvent::Refused(_) | BuilderEvent::Unread(_) | BuilderEvent::HomeNamed(_) => {
                self.at == At::Evaluating(Round::Closed)
            }
            BuilderEvent::Anew(_) => self.may_be_unchanged && self.at == At::Files(Round::Closed),
            BuilderEvent::ReadsAny | BuilderEvent::Unmemorable(_) => {
                self.may_be_remembered && self.at == At::Evaluating(Round::Closed)
            }
            BuilderEvent::Looked(_) | BuilderEvent::Timeless => self.at == At::Evaluating(Round::Open),
            BuilderEvent::LockLine(_) => {
                self.demand.locks && matches!(self.at, At::Evaluating(Round::Closed) | At::GivenUp)
            }
            BuilderEvent::Platform { .. } => self.at == At::Made && self.demand.building == Some(Building::Real),
            _ => false,
        }
    }

    /// Returns the step to which the greeting leads.
    fn begun(&self) -> At {
        match self.demand.first {
            First::Evaluation => At::Files(Round::Closed),
            First::Channels => At::Updating,
            First::Nothing => At::Made,
        }
    }

    /// Returns the step to which this event leads. None if it is out of turn.
    fn step(&self, reply: &BuilderEvent) -> Option<At> {
        let Demand {
            gives_value,
            building,
            handover,
            ..
        } = self.demand;
        Some(match (self.at, reply) {
            (At::Start, BuilderEvent::Hello { .. }) => self.begun(),
            // The files that were kept are damaged, or those that have come: then they are sent anew.
            (At::Files(round) | At::Trees(round), BuilderEvent::Damaged) => At::Files(round),
            (At::Files(round), BuilderEvent::Receiving(_)) => At::Trees(round),
            (At::Trees(round), BuilderEvent::Need(_)) => At::Ready(round),
            (At::Ready(round), BuilderEvent::Evaluating) => At::Evaluating(round),
            (At::Evaluating(Round::Closed), BuilderEvent::EvaluationFailed { .. })
            | (At::Evaluating(Round::Open), BuilderEvent::LookedAround) => At::Asking,
            (At::Evaluating(Round::Closed), BuilderEvent::Variables) if !self.has_variables => At::Asking,
            (At::Evaluating(Round::Closed), BuilderEvent::Value(_)) if gives_value => At::Made,
            (At::Evaluating(Round::Closed), BuilderEvent::Evaluated(_)) if !gives_value => At::Made,
            (At::Updating, BuilderEvent::Channels(_)) => At::Made,
            (At::Made, BuilderEvent::Building) if building.is_some() => At::Building,
            (At::Building, BuilderEvent::Built(_)) if building == Some(Building::Real) => At::Built,
            (_, BuilderEvent::Copying) if handover == Handover::Sent && self.is_to_be_delivered() => At::Copying,
            (_, BuilderEvent::NoSocket) if self.is_to_be_delivered() => At::Delivered,
            (At::Copying, BuilderEvent::Copied) => At::Delivered,
            (_, BuilderEvent::Done) if self.is_done() => At::Over,
            _ => return None,
        })
    }

    /// Whether the result has been made and has to go elsewhere.
    fn is_to_be_delivered(&self) -> bool {
        self.demand.handover != Handover::Stays && self.at == self.demand.made()
    }

    /// Whether everything that was asked for has been said.
    fn is_done(&self) -> bool {
        let last = match self.demand.handover {
            Handover::Stays => self.demand.made(),
            Handover::Fetched | Handover::Sent => At::Delivered,
        };
        self.at == last
    }
}

/// Fuzzing: a talk about some request, in lines. A line is one of the client's words (`[good]`, `[look]`, `[again]`,
/// `[stop]`, `[back]`) or an event. Whatever is said: a success is one only after everything that was asked for, and nothing comes
/// twice or after the end.
#[cfg(any(test, fuzzing))]
pub(super) fn look_at(bytes: &[u8]) {
    let (kind, rest) = bytes.split_first().unwrap_or((&0, &[]));
    let demand = Demand {
        first: match (kind & 1, kind & 0x80) {
            (0, _) => First::Evaluation,
            (_, 0) => First::Nothing,
            _ => First::Channels,
        },
        locks: kind & 2 == 0,
        gives_value: kind & 1 == 0 && kind & 64 != 0,
        knows: kind & 1 == 0 && kind & 128 != 0,
        remembers: kind & 1 == 0 && kind & 128 == 0,
        building: [Some(Building::Real), Some(Building::Dry), None, Some(Building::Real)][usize::from((kind >> 2) & 3)]
            .filter(|_| kind & 0x81 != 0x81 && (kind & 1 != 0 || kind & 64 == 0)),
        handover: [Handover::Stays, Handover::Sent, Handover::Fetched, Handover::Sent][usize::from((kind >> 4) & 3)],
    };
    let (mut course, mut heard, mut backs) = (Course::of(demand), Vec::new(), 0);
    for line in rest.split(|byte| *byte == b'\n') {
        match line {
            b"[back]" if course.job => {
                course.comes_back();
                backs += 1;
            }
            b"[good]" if course.at == At::Asking => course.goes_on(),
            b"[look]" if course.at == At::Asking => course.answered(NextRound::Look),
            b"[again]" if course.at == At::Asking => course.answered(NextRound::Evaluate),
            b"[stop]" if course.at == At::Asking => course.answered(NextRound::GiveUp),
            _ => heard.extend(BuilderEvent::parse(&[b"@rebuild ", line].concat()).filter(|event| course.hears(event))),
        }
    }
    let count = |is: fn(&BuilderEvent) -> bool| heard.iter().filter(|event| is(event)).count();
    let once = |is: fn(&BuilderEvent) -> bool, is_asked_for: bool| {
        assert!(count(is) <= usize::from(is_asked_for), "{demand:?} {heard:?}");
        count(is) == 1
    };
    let value = once(|event| matches!(event, BuilderEvent::Value(_)), demand.gives_value);
    let derivation = once(
        |event| matches!(event, BuilderEvent::Evaluated(_)),
        demand.first == First::Evaluation && !demand.gives_value,
    );
    let channels = once(
        |event| matches!(event, BuilderEvent::Channels(_)),
        demand.first == First::Channels,
    );
    let unchanged = once(|event| matches!(event, BuilderEvent::Unchanged(_)), demand.knows);
    once(|event| matches!(event, BuilderEvent::Memorable(_)), demand.remembers);
    assert!(!unchanged || (!value && !derivation), "{heard:?}");
    let begun = once(
        |event| matches!(event, BuilderEvent::Building),
        demand.building.is_some(),
    );
    let built = once(
        |event| matches!(event, BuilderEvent::Built(_)),
        demand.building == Some(Building::Real),
    );
    let copied = once(
        |event| matches!(event, BuilderEvent::Copied),
        demand.handover == Handover::Sent,
    );
    let none = once(
        |event| matches!(event, BuilderEvent::NoSocket),
        demand.handover != Handover::Stays,
    );
    assert!(
        count(|event| matches!(event, BuilderEvent::Hello { .. })) <= 1 + backs,
        "{heard:?}"
    );
    let jobs = count(|event| matches!(event, BuilderEvent::Job(_) | BuilderEvent::Joined { .. }));
    let ended = count(|event| matches!(event, BuilderEvent::Ended(_) | BuilderEvent::Lost));
    assert_eq!(jobs, ended + usize::from(course.job), "{heard:?}");
    assert!(
        demand.locks || count(|event| matches!(event, BuilderEvent::LockLine(_))) == 0,
        "{heard:?}"
    );
    let is_end = |event: &BuilderEvent| matches!(event, BuilderEvent::Done | BuilderEvent::Failed { .. });
    if let Some(end) = heard.iter().position(is_end) {
        // The first end counts. That of a job, or of its run, may come after it.
        let is_late = |event: &BuilderEvent| {
            matches!(
                event,
                BuilderEvent::Failed { .. } | BuilderEvent::Ended(_) | BuilderEvent::Lost
            )
        };
        assert!(
            heard[end + 1..].iter().all(is_late) && (jobs > 0 || end == heard.len() - 1),
            "{heard:?}"
        );
        let is_made = demand.first == First::Nothing || value || derivation || unchanged || channels;
        let is_built = match demand.building {
            Some(Building::Real) => built,
            Some(Building::Dry) => begun,
            None => true,
        };
        let is_delivered = demand.handover == Handover::Stays || copied || none;
        assert!(
            heard[end] != BuilderEvent::Done || (is_made && is_built && is_delivered),
            "{demand:?} {heard:?}"
        );
    }
}

impl Demand {
    /// Returns the step at which everything that was asked for has been made.
    fn made(self) -> At {
        match self.building {
            Some(Building::Real) => At::Built,
            Some(Building::Dry) => At::Building,
            None => At::Made,
        }
    }
}
