//! A machine that says nothing any more, though it lived a moment ago.

use std::time::{Duration, Instant};

use crate::host::Host;
use crate::progress::Event;

/// After so long a silence the user is told: at least two of those words have not come.
const FIRST: Duration = Duration::from_secs(8);

/// No more than this of the time between two looks counts as a wait. If more has passed, we were stopped, or did
/// something else.
const LOOK: Duration = Duration::from_secs(1);

/// For how long a machine has said nothing, and whether the user knows it. ssh tells of a link that is gone only after
/// two minutes. Where a script says that it lives, the silence is seen long before, and an evaluation that has nothing
/// to say is not taken for one.
#[derive(Debug)]
pub struct Silence {
    /// Whether it is to take something, and not to say something.
    takes: bool,
    /// Whether it has ever said that it lives. Who has not is not expected to.
    lives: bool,
    /// For so long nothing has come, as far as it was waited for.
    quiet: Duration,
    looked: Instant,
    is_told: bool,
}

impl Silence {
    /// From now on.
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

    /// The same of a machine that is to take something: it is heard when it does.
    #[must_use]
    pub fn of_who_takes(now: Instant) -> Self {
        Self {
            takes: true,
            lives: true,
            ..Self::new(now)
        }
    }

    /// The machine has said that it lives.
    pub fn lives(&mut self, now: Instant) -> Option<Event> {
        self.lives = true;
        self.hears(now)
    }

    /// Something has come from it; gives what is to be told.
    pub fn hears(&mut self, now: Instant) -> Option<Event> {
        (self.quiet, self.looked) = (Duration::ZERO, now);
        std::mem::take(&mut self.is_told).then_some(self.over(true))
    }

    fn over(&self, is_heard: bool) -> Event {
        let takes = self.takes;
        Event::SilenceOver { takes, is_heard }
    }

    /// Nothing has come; gives what is to be told.
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

    /// Nothing will come any more.
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

        /// Looks ten times a second, up to then; gives when something was told, in tenths, and what.
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

    /// A machine of which that is not known may have nothing to say.
    #[test]
    fn who_never_said_that_they_live_may_be_silent() {
        let mut link = Talk::new();
        assert_eq!(link.silence.hears(link.at(0)), None);
        assert_eq!(link.waits(0, 500), []);
        assert_eq!(link.silence.ends(), None);
    }

    /// While this process was stopped, nothing was waited for.
    #[test]
    fn time_that_was_not_waited_does_not_count() {
        let mut link = Talk::new();
        link.silence.lives(link.at(0));
        assert_eq!(link.waits(0, 5), []);
        assert_eq!(link.waits(1000, 1001), []);
        // Of the hole it takes a second.
        assert_eq!(link.waits(1001, 1100).len(), 1);
        assert_eq!(link.silence.lives(link.at(1100)), OVER);
    }
}
