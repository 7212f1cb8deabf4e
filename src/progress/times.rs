//! The time that each part of a run took.

use std::time::{Duration, Instant};

use super::Work;

/// A part of a run whose time the summary tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TimedPart {
    Sending,
    Evaluating,
    Building,
    Receiving,
    Activating,
}

impl TimedPart {
    /// Returns the part that this work counts as. Connecting and asking count as none.
    pub(super) fn of(work: Work) -> Option<Self> {
        match work {
            Work::Connecting | Work::Waking(_) | Work::Asking | Work::Upgrading | Work::Looking(_) => None,
            Work::Sending | Work::Obtaining => Some(Self::Sending),
            Work::Evaluating => Some(Self::Evaluating),
            Work::Building => Some(Self::Building),
            Work::Receiving | Work::Fetching => Some(Self::Receiving),
            Work::Activating(_) => Some(Self::Activating),
        }
    }
}

/// A stop watch for each part. A part may come more than once: files are sent in rounds.
pub(super) struct Times {
    spent: [Duration; 5],
    current: Option<TimedPart>,
    /// When the current phase began.
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

    /// Begins another phase; None is one without work.
    pub(super) fn enter(&mut self, work: Option<Work>, now: Instant) {
        if let Some(part) = self.current {
            self.spent[part as usize] += now.saturating_duration_since(self.began);
        }
        self.current = work.and_then(TimedPart::of);
        self.began = now;
    }

    /// Notes that the current phase began then.
    pub(super) fn began(&mut self, began: Instant) {
        self.began = began;
    }

    /// Notes that nothing was done for so long in the current phase, up to now.
    pub(super) fn rested(&mut self, time: Duration, now: Instant) {
        self.began = self.began.checked_add(time).map_or(now, |began| began.min(now));
    }

    /// Returns how long the current phase has been going on.
    pub(super) fn elapsed(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.began)
    }

    /// Returns how long a part took in all, without the current phase.
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
        times.enter(Some(Work::Connecting), at(1));
        times.enter(Some(Work::Sending), at(3));
        times.enter(Some(Work::Evaluating), at(4));
        times.enter(Some(Work::Sending), at(14));
        assert_eq!(times.elapsed(at(16)), Duration::from_secs(2));
        times.enter(None, at(18));
        let spent = |part| times.spent(part).as_secs();
        assert_eq!((spent(TimedPart::Sending), spent(TimedPart::Evaluating)), (5, 10));
        assert_eq!((spent(TimedPart::Building), spent(TimedPart::Activating)), (0, 0));
    }

    /// Whatever the other machine says, no time is less than none.
    #[test]
    fn time_in_which_nothing_was_done_does_not_count() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        for (idle, spent) in [(0, 20), (15, 5), (20, 0), (1000, 0), (u64::MAX, 0)] {
            let mut times = Times::new(start);
            times.enter(Some(Work::Building), at(1));
            times.rested(Duration::from_secs(idle), at(21));
            times.enter(None, at(21));
            assert_eq!(times.spent(TimedPart::Building).as_secs(), spent, "{idle}");
        }
    }
}
