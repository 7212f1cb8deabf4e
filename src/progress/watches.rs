//! The states of the machines that a run is for, of which one is shown.

use std::collections::BTreeMap;
use std::time::Instant;

use super::watch::{PrintedLine, Watch};
use super::{Event, Verbosity};

/// A [`Watch`] for each machine. A run that is for one alone names none.
pub(super) struct Watches {
    verbosity: Verbosity,
    is_live: bool,
    /// The machine of which something was heard last, if it is one of several.
    shown: Option<String>,
    of_one: Watch,
    of_several: BTreeMap<String, Watch>,
}

impl Watches {
    pub(super) fn new(verbosity: Verbosity, is_live: bool, now: Instant) -> Self {
        Self {
            verbosity,
            is_live,
            shown: None,
            of_one: Watch::new(verbosity, is_live, now),
            of_several: BTreeMap::new(),
        }
    }

    /// Takes an event in; gives the lines to print for good.
    pub(super) fn see(&mut self, machine: Option<&str>, event: Event, now: Instant) -> Vec<PrintedLine> {
        if self.shown.as_deref() != machine {
            self.shown = machine.map(str::to_owned);
        }
        let Some(name) = machine else {
            return self.of_one.see(event, now);
        };
        let fresh = || Watch::new(self.verbosity, self.is_live, now);
        let watch = self.of_several.entry(name.to_owned()).or_insert_with(fresh);
        watch.see(event, now)
    }

    /// The one that is shown.
    pub(super) fn shown(&self) -> &Watch {
        let named = self.shown.as_ref().and_then(|name| self.of_several.get(name));
        named.unwrap_or(&self.of_one)
    }

    fn all(&mut self) -> impl Iterator<Item = &mut Watch> {
        std::iter::once(&mut self.of_one).chain(self.of_several.values_mut())
    }

    /// Notes how far each is. To be called a few times a second.
    pub(super) fn tick(&mut self, now: Instant) {
        self.all().for_each(|watch| watch.tick(now));
    }

    /// A sign of life, if it is time for one.
    pub(super) fn heartbeat(&mut self, now: Instant) -> Option<String> {
        self.all().find_map(|watch| watch.heartbeat(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Phase;

    #[test]
    fn each_machine_has_a_state_of_its_own_and_the_last_one_is_shown() {
        let now = Instant::now();
        let mut watches = Watches::new(Verbosity::default(), true, now);
        watches.see(Some("a"), Event::Phase(Phase::Evaluating), now);
        assert_eq!(watches.shown().status(now), "evaluating");
        watches.see(Some("b"), Event::Phase(Phase::Building), now);
        assert_eq!(watches.shown().status(now), "building");
        watches.see(Some("a"), Event::Text(String::new()), now);
        assert_eq!(watches.shown().status(now), "evaluating");
        watches.see(None, Event::Phase(Phase::Sending), now);
        assert_eq!(watches.shown().status(now), "sending the configuration");
    }
}
