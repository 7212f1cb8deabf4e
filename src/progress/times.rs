//! How long each part of a run took.

use std::time::{Duration, Instant};

use super::Phase;

/// A part whose time is told at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TimedPart {
    Sending,
    Evaluating,
    Building,
    Receiving,
    Activating,
}

impl TimedPart {
    /// What a phase counts as. Connecting is nobody's work.
    pub(super) fn of(phase: &Phase) -> Option<Self> {
        match phase {
            Phase::Connecting(_) | Phase::Done => None,
            Phase::Sending => Some(Self::Sending),
            Phase::Evaluating => Some(Self::Evaluating),
            Phase::Building => Some(Self::Building),
            Phase::Receiving(_) | Phase::Fetching(_) => Some(Self::Receiving),
            Phase::Activating { .. } => Some(Self::Activating),
        }
    }
}

/// The stop watches. A part may come more than once: files are sent in rounds.
pub(super) struct Times {
    spent: [Duration; 5],
    current: Option<TimedPart>,
    /// When the phase that goes on began.
    began: Instant,
}

impl Times {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            spent: [Duration::ZERO; 5],
            current: None,
            began: now,
        }
    }

    /// Another phase has begun.
    pub(super) fn enter(&mut self, phase: &Phase, now: Instant) {
        if let Some(part) = self.current {
            self.spent[part as usize] += now.saturating_duration_since(self.began);
        }
        self.current = TimedPart::of(phase);
        self.began = now;
    }

    /// How long the phase has been going on.
    pub(super) fn elapsed(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.began)
    }

    /// How long a part took, all together. What goes on is not in it.
    pub(super) fn spent(&self, part: TimedPart) -> Duration {
        self.spent[part as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_that_come_again_are_added_up() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut times = Times::new(start);
        times.enter(&Phase::Connecting("b".into()), at(1));
        times.enter(&Phase::Sending, at(3));
        times.enter(&Phase::Evaluating, at(4));
        times.enter(&Phase::Sending, at(14));
        assert_eq!(times.elapsed(at(16)), Duration::from_secs(2));
        times.enter(&Phase::Done, at(18));
        let spent = |part| times.spent(part).as_secs();
        assert_eq!((spent(TimedPart::Sending), spent(TimedPart::Evaluating)), (5, 10));
        assert_eq!((spent(TimedPart::Building), spent(TimedPart::Activating)), (0, 0));
    }
}
