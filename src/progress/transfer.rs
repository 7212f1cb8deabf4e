//! Store paths on their way: their number and bytes, their speed, and the time that is left.
//!
//! Nix 2.26 and later tell the totals of a copy. Nix 2.8 tells the number of paths in the words of its activity, and tells
//! bytes only of paths that it fetches from caches. Where the bytes pass through this program, they are counted here.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use super::amounts::{count, elapsed, size, size_of};
use super::nix_log::{Activity, LogLine, News};

/// The time over which the rate is measured.
const WINDOW: Duration = Duration::from_secs(5);

/// The least time between two samples.
const STEP: Duration = Duration::from_millis(250);

/// The number of activities that are counted at a time. Nix has a few.
const MOST: usize = 10_000;

/// The store paths that come from one place: from caches, or from the machine that made them.
#[derive(Default)]
pub(super) struct Transfer {
    /// Nix's counts of paths (done, expected), by the activity that counts them.
    wholes: BTreeMap<u64, (u64, u64)>,
    /// The bytes expected, by the activity that says so.
    expected: BTreeMap<u64, u64>,
    /// The paths under way, with their bytes so far.
    under_way: BTreeMap<u64, u64>,
    paths: u64,
    bytes: u64,
    /// Bytes counted outside of Nix.
    counted: Option<u64>,
    samples: VecDeque<(Instant, u64)>,
}

impl Transfer {
    /// Takes in a line of Nix's log, as far as it is about store paths.
    pub(super) fn see(&mut self, line: &LogLine) {
        match line {
            LogLine::Start { id, activity } => match activity {
                Activity::CopyPaths { paths } if self.wholes.len() < MOST => {
                    self.wholes.insert(*id, (0, *paths));
                }
                Activity::CopyPath(_) if self.under_way.len() < MOST => {
                    self.under_way.insert(*id, 0);
                }
                _ => {}
            },
            LogLine::News { id, news } => match news {
                News::Progress { done, expected, .. } => {
                    if let Some(whole) = self.wholes.get_mut(id) {
                        *whole = (*done, *expected);
                    } else if let Some(bytes) = self.under_way.get_mut(id) {
                        *bytes = *done;
                    }
                }
                News::ExpectedBytes(bytes) if self.expected.len() < MOST => {
                    self.expected.insert(*id, *bytes);
                }
                _ => {}
            },
            LogLine::Stop { id } => {
                if let Some(bytes) = self.under_way.remove(id) {
                    self.paths += 1;
                    self.bytes = self.bytes.saturating_add(bytes);
                }
            }
            LogLine::Message { .. } => {}
        }
    }

    /// Takes in how many bytes have passed through this program so far.
    pub(super) fn count(&mut self, bytes: u64, now: Instant) {
        self.counted = Some(bytes);
        self.sample(now);
    }

    /// Notes how far the transfer is, for the rate.
    pub(super) fn sample(&mut self, now: Instant) {
        let bytes = self.bytes();
        if self
            .samples
            .back()
            .is_some_and(|(last, _)| now.saturating_duration_since(*last) < STEP)
        {
            return;
        }
        self.samples.push_back((now, bytes));
        while self.samples.len() > 2
            && self
                .samples
                .front()
                .is_some_and(|(first, _)| now.saturating_duration_since(*first) > WINDOW)
        {
            self.samples.pop_front();
        }
    }

    /// Returns how many paths have come.
    pub(super) fn paths(&self) -> u64 {
        self.paths
    }

    /// Returns how many bytes have come.
    pub(super) fn bytes(&self) -> u64 {
        let by_nix = self
            .under_way
            .values()
            .fold(self.bytes, |sum, bytes| sum.saturating_add(*bytes));
        self.counted.unwrap_or(by_nix)
    }

    /// Returns whether something is still to come.
    pub(super) fn goes_on(&self) -> bool {
        !self.under_way.is_empty() || self.whole().is_some_and(|(done, expected)| done < expected)
    }

    /// Returns what is known as text: `12 of 31 paths, 4.2 of 8.4 MB, 1.2 MB/s, 3 s left`.
    pub(super) fn describe(&self, now: Instant) -> String {
        let mut parts = Vec::new();
        match self.whole() {
            Some((done, expected)) => parts.push(format!("{done} of {}", count(expected, "path"))),
            None if self.paths > 0 => parts.push(count(self.paths, "path")),
            None => {}
        }
        let bytes = self.bytes();
        let expected = self.expected_bytes();
        match expected {
            // The own count includes a few bytes of the protocol.
            Some(expected) => parts.push(size_of(bytes.min(expected), expected)),
            None if bytes > 0 || parts.is_empty() => parts.push(size(bytes)),
            None => {}
        }
        if let Some(rate) = self.rate(now).filter(|rate| *rate > 0) {
            parts.push(format!("{}/s", size(rate)));
            if let Some(left) = expected.and_then(|expected| expected.checked_sub(bytes)) {
                if left > 0 {
                    let seconds = left.div_ceil(rate);
                    parts.push(format!("{} left", elapsed(Duration::from_secs(seconds))));
                }
            }
        }
        parts.join(", ")
    }

    /// Returns the counts of the newest activity that has any. An older one may be a worker's own and empty.
    fn whole(&self) -> Option<(u64, u64)> {
        let mut wholes = self.wholes.values().rev();
        let (done, expected) = wholes.find(|(_, expected)| *expected > 0)?;
        Some(((*done).max(self.paths).min(*expected), *expected))
    }

    fn expected_bytes(&self) -> Option<u64> {
        self.expected.values().rev().find(|bytes| **bytes > 0).copied()
    }

    /// Returns the rate in bytes per second, once there are samples of a second or more.
    fn rate(&self, now: Instant) -> Option<u64> {
        let (first, before) = self.samples.front()?;
        let span = now.saturating_duration_since(*first);
        if span < Duration::from_secs(1) {
            return None;
        }
        let bytes = u128::from(self.bytes().saturating_sub(*before));
        u64::try_from(bytes * 1_000 / span.as_millis()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn started(id: u64, activity: Activity) -> LogLine {
        LogLine::Start { id, activity }
    }

    #[test]
    fn paths_bytes_rate_and_what_is_left() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut transfer = Transfer::default();
        assert!(!transfer.goes_on());
        transfer.see(&started(7, Activity::CopyPaths { paths: 31 }));
        transfer.see(&LogLine::News {
            id: 7,
            news: News::ExpectedBytes(8_000_000),
        });
        transfer.count(0, at(0));
        assert_eq!(transfer.describe(at(0)), "0 of 31 paths, 0.0 of 8.0 MB");
        for step in 1..=20 {
            transfer.count(step * 100_000, at(step * 100));
        }
        transfer.see(&LogLine::progress(7, 12, 31));
        assert_eq!(
            transfer.describe(at(2_000)),
            "12 of 31 paths, 2.0 of 8.0 MB, 1.0 MB/s, 6 s left"
        );
        assert!(transfer.goes_on());
        // The transfer stands still: the rate goes down, and nothing is divided by zero.
        transfer.count(2_000_000, at(60_000));
        transfer.count(2_000_000, at(70_000));
        assert_eq!(transfer.describe(at(71_000)), "12 of 31 paths, 2.0 of 8.0 MB");
    }

    #[test]
    fn without_totals_there_is_no_time_left() {
        let start = Instant::now();
        let mut transfer = Transfer::default();
        transfer.see(&started(2, Activity::CopyPath("/nix/store/x".into())));
        transfer.count(0, start);
        transfer.count(3_000_000, start + Duration::from_secs(2));
        transfer.see(&LogLine::Stop { id: 2 });
        assert_eq!(
            transfer.describe(start + Duration::from_secs(2)),
            "1 path, 3.0 MB, 1.5 MB/s"
        );
    }

    #[test]
    fn without_our_own_count_nix_bytes_are_added_up() {
        let mut transfer = Transfer::default();
        for id in [1, 2] {
            transfer.see(&started(id, Activity::CopyPath("/nix/store/x".into())));
            transfer.see(&LogLine::progress(id, 1_000, 5_000));
        }
        transfer.see(&LogLine::Stop { id: 1 });
        assert_eq!((transfer.paths(), transfer.bytes()), (1, 2_000));
    }
}
