//! A machine that says nothing any more, although it lived a moment ago.

use std::time::{Duration, Instant};

use crate::host::Host;
use crate::progress::Event;

/// After a silence of this length the user is told. At least two of the words that say that the script lives are
/// missing then.
const FIRST: Duration = Duration::from_secs(8);

/// How much of the time between two looks counts as a wait, at most. If more has passed, this process was stopped, or
/// did something else.
const LOOK: Duration = Duration::from_secs(1);

/// For how long a machine has said nothing, and whether the user knows it. ssh tells of a link that is gone only after
/// two minutes. If a script says every few seconds that it lives, the silence is seen long before, and an evaluation
/// that has nothing to say is not taken for one.
#[derive(Debug)]
pub struct Silence {
    /// Whether the machine has to take something, and not to say something.
    takes: bool,
    /// Whether the machine has ever said that it lives. If not, it is not expected to.
    lives: bool,
    /// For how long nothing has come, as far as we have waited for it.
    quiet: Duration,
    looked: Instant,
    is_told: bool,
}

impl Silence {
    /// Begins to count now.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self {
            takes: false,
            lives: false,
            quiet: Duration::ZERO,
            looked: now,
            is_told: false,
        }
    }

    /// The same for a machine that has to take something. It counts as heard when it takes something.
    #[must_use]
    pub fn of_who_takes(now: Instant) -> Self {
        Self {
            takes: true,
            lives: true,
            ..Self::new(now)
        }
    }

    /// Notes that the machine has said that it lives. Returns what the user is told.
    pub fn lives(&mut self, now: Instant) -> Option<Event> {
        self.lives = true;
        self.hears(now)
    }

    /// Notes that something has come from the machine. Returns what the user is told.
    pub fn hears(&mut self, now: Instant) -> Option<Event> {
        (self.quiet, self.looked) = (Duration::ZERO, now);
        std::mem::take(&mut self.is_told).then_some(self.over(true))
    }

    fn over(&self, is_heard: bool) -> Event {
        let takes = self.takes;
        Event::SilenceOver { takes, is_heard }
    }

    /// Notes that nothing has come until now. Returns what the user is told.
    pub fn waits(&mut self, host: &Host, now: Instant) -> Option<Event> {
        self.quiet += now.saturating_duration_since(self.looked).min(LOOK);
        self.looked = now;
        if !self.lives || self.is_told || self.quiet < FIRST {
            return None;
        }
        self.is_told = true;
        Some(Event::Silent {
            host: host.to_string(),
            takes: self.takes,
            since: now.checked_sub(self.quiet)?,
        })
    }

    /// Notes that nothing will come any more. Returns what the user is told.
    pub fn ends(&mut self) -> Option<Event> {
        self.lives = false;
        std::mem::take(&mut self.is_told).then_some(self.over(false))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Place;

    const OVER: Option<Event> = Some(Event::SilenceOver {
        takes: false,
        is_heard: true,
    });

    struct Talk {
        silence: Silence,
        place: Place,
        begin: Instant,
    }

    impl Talk {
        fn new() -> Self {
            let begin = Instant::now();
            let place = Place::parse("me@builder", "pi").unwrap();
            let silence = Silence::new(begin);
            Self { silence, place, begin }
        }

        fn at(&self, seconds: u64) -> Instant {
            self.begin + Duration::from_secs(seconds)
        }

        /// Looks ten times a second from `from` to `to`. Returns when something was told, in tenths of a second, and
        /// what.
        fn waits(&mut self, from: u64, to: u64) -> Vec<(u64, Event)> {
            let host = self.place.host().unwrap();
            let looks = from * 10 + 1..=to * 10;
            looks
                .filter_map(|tenth| {
                    let now = self.begin + Duration::from_millis(tenth * 100);
                    Some((tenth, self.silence.waits(host, now)?))
                })
                .collect()
        }

        fn silent_since(&self, seconds: u64) -> Event {
            Event::Silent {
                host: self.place.host().unwrap().to_string(),
                takes: false,
                since: self.at(seconds),
            }
        }
    }

    #[test]
    fn a_silence_is_told_once_and_its_end_as_well() {
        let mut link = Talk::new();
        assert_eq!(link.silence.lives(link.at(0)), None);
        assert_eq!(link.waits(0, 3), []);
        assert_eq!(link.silence.lives(link.at(3)), None);
        assert_eq!(link.waits(3, 200), [(110, link.silent_since(3))]);
        assert_eq!(link.silence.hears(link.at(200)), OVER);
        assert_eq!(link.silence.hears(link.at(200)), None);
        assert_eq!(link.waits(200, 300), [(2080, link.silent_since(200))]);
        assert_eq!(link.silence.ends(), Some(link.silence.over(false)));
        assert_eq!(link.waits(300, 400), []);
    }

    /// A machine that has never said that it lives may just have nothing to say.
    #[test]
    fn who_never_said_that_they_live_may_be_silent() {
        let mut link = Talk::new();
        assert_eq!(link.silence.hears(link.at(0)), None);
        assert_eq!(link.waits(0, 500), []);
        assert_eq!(link.silence.ends(), None);
    }

    /// The time while this process was stopped does not count as a wait.
    #[test]
    fn time_that_was_not_waited_does_not_count() {
        let mut link = Talk::new();
        link.silence.lives(link.at(0));
        assert_eq!(link.waits(0, 5), []);
        assert_eq!(link.waits(1000, 1001), []);
        // Only a second of the gap counts.
        assert_eq!(link.waits(1001, 1100).len(), 1);
        assert_eq!(link.silence.lives(link.at(1100)), OVER);
    }
}
