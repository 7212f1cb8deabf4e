//! Makes of the events the lines to be printed for good and the state that a live display shows.

mod silence;
mod summary;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

use super::amounts::{count, elapsed, size, size_of};
use super::builds::{self, Build, Builds};
use super::nix_log::{Activity, LogLine, News};
use super::times::Times;
use super::transfer::Transfer;
use super::{Amount, Event, Phase, Verbosity, Whole, Work};
use crate::harmless::{self, Colours};
use silence::SilentMachine;
use summary::Moved;

/// After so long without a line, users without a live display are told that the work goes on.
const SILENCE: Duration = Duration::from_secs(30);

/// The number of messages that are remembered.
const MOST_SAID: usize = 10_000;

/// The number of builds that are named in a line.
const NAMED: usize = 3;

/// A line to be printed for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PrintedLine {
    /// Text, perhaps of several lines and with colours.
    Text(String),
    /// A line of a build's log, and the build's name.
    Log { name: String, text: String },
    /// What the run came to.
    Summary(String),
}

/// The state of a run, made of its events. Callers tell it the time.
pub(super) struct Watch {
    verbosity: Verbosity,
    /// Whether a live display shows what goes on, so that no line need say that it begins.
    is_live: bool,
    phase: Option<Phase>,
    times: Times,
    builds: Builds,
    /// The store paths that come from caches.
    fetched: Transfer,
    /// The store paths that come from the machine that made them, in the current phase.
    transfer: Transfer,
    /// All that this machine has received from the machine that made it.
    received: Moved,
    /// All that other machines have received.
    copied: Moved,
    sending: Amount,
    to_send: Whole,
    sent: Amount,
    /// The hashes of the messages of an evaluation, which Nix gives again with each attempt. Messages may be long.
    said: BTreeSet<u64>,
    last_line: Instant,
    /// The silences, by whether the machine should take something. Two at once do not end each other.
    silences: BTreeMap<bool, SilentMachine>,
}

impl Watch {
    pub(super) fn new(verbosity: Verbosity, is_live: bool, now: Instant) -> Self {
        Self {
            verbosity,
            is_live,
            phase: None,
            times: Times::new(now),
            builds: Builds::default(),
            fetched: Transfer::default(),
            transfer: Transfer::default(),
            received: Moved::default(),
            copied: Moved::default(),
            sending: Amount::default(),
            to_send: Whole::Unknown,
            sent: Amount::default(),
            said: BTreeSet::new(),
            last_line: now,
            silences: BTreeMap::new(),
        }
    }

    /// Takes an event in and returns the lines to print for good.
    pub(super) fn see(&mut self, event: Event, now: Instant) -> Vec<PrintedLine> {
        let lines = match event {
            Event::Phase(phase) => self.enter(Some(phase), now),
            Event::Idle => self.enter(None, now),
            Event::Since(began) => {
                self.times.began(began);
                Vec::new()
            }
            Event::Idled(time) => {
                self.times.rested(time, now);
                Vec::new()
            }
            Event::Sending(amount, whole) => {
                (self.sending, self.to_send) = (amount, whole);
                Vec::new()
            }
            Event::Sent(amount) => self.sent(amount),
            Event::Builder(builder) => {
                self.builds.builder = builder;
                Vec::new()
            }
            Event::Received(bytes) => {
                self.transfer.count(bytes, now);
                Vec::new()
            }
            Event::Text(line) => text(line),
            Event::Silent { host, takes, since } => self.falls_silent(host, takes, since, now),
            Event::SilenceOver { takes, is_heard } => self.ends_silence(takes, is_heard, now),
            Event::Detail(line) => self.said(1, line),
            Event::Trace(_) => Vec::new(),
            Event::Nix(line) => self.nix(line, now),
            Event::Finished { .. } if self.verbosity.level < 0 => Vec::new(),
            Event::Finished { is_the_same } => vec![PrintedLine::Summary(self.summary(is_the_same))],
        };
        if !lines.is_empty() {
            self.last_line = now;
        }
        lines
    }

    fn enter(&mut self, phase: Option<Phase>, now: Instant) -> Vec<PrintedLine> {
        let line = phase.as_ref().and_then(Phase::announcement);
        // A run goes on only after the silent machine has been heard.
        self.silences.clear();
        // After a new connection, an activation is still the same phase.
        if self.phase != phase {
            self.times.enter(phase.as_ref().map(|phase| phase.work), now);
            if let Some(ended) = std::mem::replace(&mut self.phase, phase) {
                self.leave(&ended);
            }
            self.last_line = now;
        }
        line.map_or_else(Vec::new, |line| self.said(0, line))
    }

    /// Adds what a phase has moved to what was moved before.
    fn leave(&mut self, phase: &Phase) {
        if phase.work == Work::Receiving {
            let transfer = std::mem::take(&mut self.transfer);
            let moved = match &phase.host {
                None => &mut self.received,
                Some(_) => &mut self.copied,
            };
            moved.add(&transfer);
        }
    }

    /// Returns the work of the phase that goes on.
    fn work(&self) -> Option<Work> {
        self.phase.as_ref().map(|phase| phase.work)
    }

    fn sent(&mut self, amount: Amount) -> Vec<PrintedLine> {
        (self.sending, self.to_send) = (Amount::default(), Whole::Unknown);
        if amount.files == 0 {
            return Vec::new();
        }
        self.sent.files += amount.files;
        self.sent.bytes += amount.bytes;
        self.said(0, format!("sent {}", files(amount)))
    }

    fn said(&self, level: i16, line: String) -> Vec<PrintedLine> {
        if level <= self.verbosity.level {
            text(line)
        } else {
            Vec::new()
        }
    }

    fn nix(&mut self, line: LogLine, now: Instant) -> Vec<PrintedLine> {
        self.builds.see(&line, now);
        let transfer = match self.work() {
            Some(Work::Receiving) => &mut self.transfer,
            _ => &mut self.fetched,
        };
        transfer.see(&line);
        match line {
            LogLine::Message { level, text } => self.message(level, text),
            LogLine::Start { activity, .. } => self.started(&activity),
            LogLine::News {
                id,
                news: News::LogLine(line),
            } => self.build_log(id, &line),
            LogLine::News { .. } | LogLine::Stop { .. } => Vec::new(),
        }
    }

    fn message(&mut self, level: i64, message: String) -> Vec<PrintedLine> {
        // The builder gives these messages with every build. They are no news: it was asked before whether it takes the
        // settings.
        let asked = message.contains("ignoring the client-specified setting")
            || message.contains("you don't have permission to set");
        if level > 3 + i64::from(self.verbosity.level) || asked {
            return Vec::new();
        }
        let is_evaluating = self.work() == Some(Work::Evaluating);
        if is_evaluating && level < 3 && self.was_said(&message) {
            return Vec::new();
        }
        let explanation = if level == 0 {
            self.builds.explain(&message, !self.verbosity.build_logs)
        } else {
            Vec::new()
        };
        let message = if explanation.is_empty() || self.builds.builder.host.is_none() {
            message
        } else {
            builds::without_advice(&message)
        };
        let mut lines = text(message);
        lines.extend(explanation.into_iter().map(PrintedLine::Text));
        lines
    }

    /// Returns whether the message was said before, as far as is remembered, and remembers it.
    fn was_said(&mut self, message: &str) -> bool {
        let mut hasher = DefaultHasher::new();
        message.hash(&mut hasher);
        let hash = hasher.finish();
        if self.said.len() < MOST_SAID {
            !self.said.insert(hash)
        } else {
            self.said.contains(&hash)
        }
    }

    fn started(&self, activity: &Activity) -> Vec<PrintedLine> {
        let usual = i16::from(self.is_live);
        match activity {
            Activity::Build { derivation, machine } => {
                let on = if machine.is_empty() {
                    String::new()
                } else {
                    format!(" on {machine}")
                };
                self.said(usual, format!("building {}{on}...", builds::name(derivation)))
            }
            Activity::Substitute(path) => self.said(usual, format!("fetching {}...", builds::name(path))),
            Activity::Fetch(address) => self.said(1, format!("fetching {address}...")),
            Activity::CopyPath(path) => self.said(1, format!("copying {}...", builds::name(path))),
            Activity::Builds | Activity::CopyPaths { .. } | Activity::Other(_) => Vec::new(),
        }
    }

    fn build_log(&self, id: u64, line: &str) -> Vec<PrintedLine> {
        match self.builds.get(id).filter(|_| self.verbosity.build_logs) {
            None => Vec::new(),
            Some(build) => vec![PrintedLine::Log {
                name: harmless::name(build.name()),
                text: harmless::text(line, Colours::Dropped),
            }],
        }
    }

    /// Returns whether there is something to be seen live. There is nothing while somebody may ask something.
    pub(super) fn is_going(&self) -> bool {
        self.work().is_some_and(|work| !work.may_ask())
    }

    /// Returns whether somebody else may write to the terminal now: ssh, for example, asks for a password.
    pub(super) fn may_ask(&self) -> bool {
        self.work().is_some_and(Work::may_ask)
    }

    /// Notes how far the transfers are. To be called a few times a second.
    pub(super) fn tick(&mut self, now: Instant) {
        self.fetched.sample(now);
        if self.work() == Some(Work::Receiving) {
            self.transfer.sample(now);
        }
    }

    /// Returns how long the current phase has been going on.
    pub(super) fn elapsed(&self, now: Instant) -> Duration {
        self.times.elapsed(now)
    }

    /// Returns what goes on in one line, or an empty text where nothing is to be seen live.
    pub(super) fn status(&self, now: Instant) -> String {
        let Some(Phase { work, host }) = &self.phase else {
            return String::new();
        };
        let on = host.as_ref().map_or(String::new(), |host| format!(" on {host}"));
        match work {
            Work::Connecting | Work::Asking | Work::Fetching => String::new(),
            Work::Waking(others) => {
                let host = host.as_ref().map_or_else(String::new, ToString::to_string);
                let others = match others {
                    0 => String::new(),
                    others => format!(" or {}", count(u64::try_from(*others).unwrap_or(u64::MAX), "other")),
                };
                format!("waiting for {host}{others} to wake")
            }
            Work::Upgrading => format!("updating the channels{on}"),
            Work::Sending => self.status_of_sending(),
            Work::Obtaining => format!("fetching the channel{on}"),
            Work::Evaluating => format!("evaluating{on}{}", self.status_of_fetching(now)),
            Work::Building => {
                let counts = self
                    .builds
                    .counts()
                    .map_or(String::new(), |counts| format!(" {counts}"));
                format!("building{counts}{on}{}", self.status_of_fetching(now))
            }
            Work::Receiving => {
                let what = self.transfer.describe(now);
                match host {
                    None => format!("receiving {what}"),
                    Some(host) => format!("copying to {host}: {what}"),
                }
            }
            Work::Looking(what) => format!("looking{on}: {what}"),
            Work::Activating(action) => format!("activating{on} ({action})"),
        }
    }

    fn status_of_sending(&self) -> String {
        let what = "sending the configuration";
        match (self.sending.files, self.to_send) {
            (0, Whole::Unknown) => what.to_owned(),
            (_, Whole::Unknown) => format!("{what}: {}", files(self.sending)),
            (done, Whole::Bytes(whole)) => {
                let bytes = size_of(self.sending.bytes.min(whole), whole);
                format!("{what}: {bytes}, {}", count(done, "file"))
            }
            (done, Whole::Files(whole)) => {
                format!(
                    "{what}: {done} of {}, {}",
                    count(whole, "file"),
                    size(self.sending.bytes)
                )
            }
        }
    }

    /// Returns what comes from caches meanwhile.
    fn status_of_fetching(&self, now: Instant) -> String {
        if self.fetched.goes_on() {
            format!(", fetching {}", self.fetched.describe(now))
        } else {
            String::new()
        }
    }

    /// Returns the builds that run, the longest-running first.
    pub(super) fn running(&self) -> Vec<&Build> {
        match self.work() {
            Some(Work::Building | Work::Evaluating) => self.builds.running(),
            _ => Vec::new(),
        }
    }

    /// Returns a sign of life, if it is time for one.
    pub(super) fn heartbeat(&mut self, now: Instant) -> Option<String> {
        if !self.is_going() || self.verbosity.level < 0 || now.saturating_duration_since(self.last_line) < SILENCE {
            return None;
        }
        self.last_line = now;
        if let Some(words) = self.silence(now) {
            return Some(words);
        }
        let running = self.running();
        let names: Vec<&str> = running.iter().take(NAMED).map(|build| build.name()).collect();
        let more = match running.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let names = if names.is_empty() {
            String::new()
        } else {
            format!(": {}{more}", names.join(", "))
        };
        let elapsed = elapsed(self.elapsed(now));
        Some(format!("still {}{names} ({elapsed})", self.status(now)))
    }
}

fn text(line: String) -> Vec<PrintedLine> {
    vec![PrintedLine::Text(line)]
}

fn files(amount: Amount) -> String {
    format!("{}, {}", count(amount.files, "file"), size(amount.bytes))
}
