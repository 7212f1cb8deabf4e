//! The states of the machines that a run is for, one of which is shown.

use std::collections::BTreeMap;
use std::time::Instant;

use super::watch::{PrintedLine, Watch};
use super::{Event, Verbosity};
use crate::harmless;

/// A [`Watch`] for each machine. A run for one machine alone names none.
pub(super) struct Watches {
    verbosity: Verbosity,
    is_live: bool,
    /// The machine whose event came last, if it is one of several.
    last: Option<String>,
    of_one: Watch,
    of_several: BTreeMap<String, Watch>,
}

impl Watches {
    pub(super) fn new(verbosity: Verbosity, is_live: bool, now: Instant) -> Self {
        Self {
            verbosity,
            is_live,
            last: None,
            of_one: Watch::new(verbosity, is_live, now),
            of_several: BTreeMap::new(),
        }
    }

    /// Takes an event in and returns the lines to print for good, without the machine's name ([`named`] adds it).
    pub(super) fn see(&mut self, machine: Option<&str>, event: Event, now: Instant) -> Vec<PrintedLine> {
        if self.last.as_deref() != machine {
            self.last = machine.map(str::to_owned);
        }
        let Some(name) = machine else {
            return self.of_one.see(event, now);
        };
        let fresh = || Watch::new(self.verbosity, self.is_live, now);
        let watch = self.of_several.entry(name.to_owned()).or_insert_with(fresh);
        watch.see(event, now)
    }

    /// Returns whether there is something to be seen live: some machine works, and none may ask something.
    pub(super) fn is_going(&self) -> bool {
        self.all().any(|(_, watch)| watch.is_going()) && !self.all().any(|(_, watch)| watch.may_ask())
    }

    /// Returns the machine that is shown, and its name if it is one of several: the one whose event came last, or
    /// another one if nothing goes on there.
    pub(super) fn shown(&self) -> (Option<&str>, &Watch) {
        let last = self.all().find(|(name, _)| *name == self.last.as_deref());
        let last = last.unwrap_or((None, &self.of_one));
        if last.1.is_going() {
            return last;
        }
        self.all().find(|(_, watch)| watch.is_going()).unwrap_or(last)
    }

    /// Returns a line for each machine from which nothing comes, or to which nothing goes.
    pub(super) fn silences(&self, now: Instant) -> Vec<String> {
        let silences = self.all().filter_map(|(name, watch)| {
            let words = watch.silence(now)?;
            Some(named(name, &words))
        });
        silences.collect()
    }

    fn all(&self) -> impl Iterator<Item = (Option<&str>, &Watch)> {
        let of_several = self.of_several.iter();
        let of_several = of_several.map(|(name, watch)| (Some(name.as_str()), watch));
        std::iter::once((None, &self.of_one)).chain(of_several)
    }

    /// Notes how far each machine is. To be called a few times a second.
    pub(super) fn tick(&mut self, now: Instant) {
        self.of_one.tick(now);
        self.of_several.values_mut().for_each(|watch| watch.tick(now));
    }

    /// Returns a sign of life of each machine for which it is time, with the machine's name. There is none while another
    /// machine may ask something on the terminal.
    pub(super) fn heartbeats(&mut self, now: Instant) -> Vec<String> {
        if !self.is_going() {
            return Vec::new();
        }
        let of_several = self.of_several.iter_mut();
        let of_several = of_several.filter_map(|(name, watch)| Some(named(Some(name), &watch.heartbeat(now)?)));
        self.of_one.heartbeat(now).into_iter().chain(of_several).collect()
    }
}

/// Puts the name of a machine that is one of several before each line of a text: `pi: building...`.
pub(super) fn named(machine: Option<&str>, text: &str) -> String {
    let Some(machine) = machine else {
        return text.to_owned();
    };
    let name = harmless::name(machine);
    let lines = text.split('\n').map(|line| format!("{name}: {line}"));
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::progress::Work;

    /// Watches that are told of work a second after one another.
    fn watches(told: &[(Option<&str>, Work)], start: Instant) -> Watches {
        let mut watches = Watches::new(Verbosity::default(), false, start);
        for ((machine, work), second) in told.iter().zip(0..) {
            let now = start + Duration::from_secs(second);
            watches.see(*machine, Event::phase(*work, None), now);
        }
        watches
    }

    fn shown(watches: &Watches, now: Instant) -> (Option<&str>, String) {
        let (name, watch) = watches.shown();
        (name, watch.status(now))
    }

    #[test]
    fn each_machine_has_a_state_of_its_own_and_the_last_one_is_shown() {
        let now = Instant::now();
        let mut watches = watches(&[(Some("a"), Work::Evaluating)], now);
        assert_eq!(shown(&watches, now), (Some("a"), "evaluating".to_owned()));
        watches.see(Some("b"), Event::phase(Work::Building, None), now);
        assert_eq!(shown(&watches, now), (Some("b"), "building".to_owned()));
        watches.see(Some("a"), Event::Text(String::new()), now);
        assert_eq!(shown(&watches, now), (Some("a"), "evaluating".to_owned()));
        watches.see(None, Event::phase(Work::Sending, None), now);
        assert_eq!(shown(&watches, now), (None, "sending the configuration".to_owned()));
    }

    #[test]
    fn a_machine_that_has_ended_hides_none_that_works() {
        let now = Instant::now();
        let mut watches = watches(&[(Some("a"), Work::Building), (Some("b"), Work::Building)], now);
        watches.see(Some("b"), Event::Idle, now);
        assert_eq!(shown(&watches, now), (Some("a"), "building".to_owned()));
        assert!(watches.is_going());
        watches.see(Some("a"), Event::Idle, now);
        assert!(!watches.is_going());
        assert_eq!(watches.shown().0, Some("a"));
    }

    /// A prompt of one machine's ssh would be drawn over by what another machine does.
    #[test]
    fn nothing_is_live_while_any_machine_may_ask() {
        for asking in [Work::Connecting, Work::Asking, Work::Fetching] {
            let now = Instant::now();
            let mut watches = watches(&[(Some("a"), asking), (Some("b"), Work::Building)], now);
            assert!(!watches.is_going(), "{asking:?}");
            assert_eq!(watches.heartbeats(now + Duration::from_secs(100)), [""; 0]);
            watches.see(Some("a"), Event::Idle, now);
            assert!(watches.is_going(), "{asking:?}");
        }
    }

    #[test]
    fn each_sign_of_life_names_its_machine() {
        let start = Instant::now();
        let at = |second| start + Duration::from_secs(second);
        let told = [
            (None, Work::Evaluating),
            (Some("a"), Work::Building),
            (Some("b"), Work::Activating("switch")),
        ];
        let mut watches = watches(&told, start);
        assert_eq!(watches.heartbeats(at(29)), [""; 0]);
        assert_eq!(
            watches.heartbeats(at(32)),
            [
                "still evaluating (32 s)",
                "a: still building (31 s)",
                "b: still activating (switch) (30 s)"
            ]
        );
        watches.see(Some("a"), Event::Text("x".to_owned()), at(50));
        assert_eq!(
            watches.heartbeats(at(62)),
            ["still evaluating (1 min 2 s)", "b: still activating (switch) (1 min)"]
        );
    }

    #[test]
    fn the_silence_of_a_machine_that_is_not_shown_is_seen_as_well() {
        let now = Instant::now();
        let mut watches = watches(&[(Some("a"), Work::Building)], now);
        for machine in [Some("a"), None] {
            let silent = Event::Silent {
                host: "builder".to_owned(),
                takes: false,
                since: now,
            };
            watches.see(machine, silent, now);
        }
        watches.see(Some("b"), Event::phase(Work::Building, None), now);
        assert_eq!(watches.shown().0, Some("b"));
        assert_eq!(
            watches.silences(now + Duration::from_secs(8)),
            [
                "nothing has come from builder for 8 s",
                "a: nothing has come from builder for 8 s"
            ]
        );
    }

    #[test]
    fn the_name_stands_before_each_line_and_is_harmless() {
        assert_eq!(named(None, "x\ny"), "x\ny");
        assert_eq!(named(Some("pi"), "x\ny"), "pi: x\npi: y");
        assert!(!named(Some("p\u{1b}[31mi"), "x").contains('\u{1b}'));
    }
}
