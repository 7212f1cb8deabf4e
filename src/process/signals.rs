//! Signals that ask this program to stop.

use std::collections::BTreeMap;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::failure::Interrupted;

/// How much later than a child of this process the process itself may hear of a signal to both.
const SOON: Duration = Duration::from_millis(200);

type Listener = Box<dyn Fn(i32) + Send>;

/// The receiver of a signal.
enum Hearer {
    /// A command that this program waits for.
    Child(Pid),
    /// A session that has to say goodbye before it ends.
    Listener(Listener),
}

impl Hearer {
    fn tell(&self, number: i32) {
        match self {
            Self::Listener(listener) => listener(number),
            // A Ctrl-C on the terminal has reached the child already; `kill` on this program alone has not.
            Self::Child(child) => {
                if let Ok(signal) = Signal::try_from(number) {
                    let _ = kill(*child, signal);
                }
            }
        }
    }
}

#[derive(Default)]
struct State {
    first: Option<i32>,
    has_come_again: bool,
    /// All receivers at the moment, each under its own number.
    hearers: BTreeMap<u64, Hearer>,
    next: u64,
}

/// Receives Ctrl-C, SIGTERM and SIGHUP from when it is made to the end of the program. It passes them on to all
/// commands that are being waited for, and to all sessions that have to say goodbye first, in whatever thread they are.
#[derive(Clone)]
pub struct Signals {
    state: Arc<Mutex<State>>,
}

impl Signals {
    /// Starts to listen. A program makes only one.
    ///
    /// # Errors
    /// Fails if the system refuses the handlers.
    pub fn listen() -> Result<Self> {
        let mut incoming =
            signal_hook::iterator::Signals::new([SIGINT, SIGTERM, SIGHUP]).context("cannot handle signals")?;
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for number in &mut incoming {
                let mut state = shared.lock().unwrap_or_else(PoisonError::into_inner);
                state.hear(number);
            }
        });
        Ok(Self { state })
    }

    /// Hears a signal as if it had come to this process. A real signal would reach all tests that run at the same time.
    #[cfg(test)]
    pub(crate) fn hear(&self, number: i32) {
        self.locked().hear(number);
    }

    /// Returns an error if a signal has come since the start.
    ///
    /// # Errors
    /// Fails with [`Interrupted`], which holds the first signal that came.
    pub fn check(&self) -> Result<(), Interrupted> {
        match self.locked().first {
            Some(signal) => Err(Interrupted { signal }),
            None => Ok(()),
        }
    }

    /// As [`Self::check`], after something has ended that a signal to the whole group (Ctrl-C, a terminal that is closed)
    /// ends as well: this process may hear of it a moment later.
    ///
    /// # Errors
    /// Fails with [`Interrupted`].
    pub fn check_soon(&self) -> Result<(), Interrupted> {
        self.pause(SOON)
    }

    /// Returns whether more than one has come: a user who sends a second one is impatient.
    #[must_use]
    pub fn have_come_again(&self) -> bool {
        self.locked().has_come_again
    }

    /// Passes signals on to this child process until the guard is dropped, including one that came while the child was
    /// being started.
    pub(super) fn pass_on_to(&self, child: u32) -> Guard {
        let child = i32::try_from(child).ok().map(Pid::from_raw);
        let mut state = self.locked();
        let hearer = child.map(Hearer::Child);
        if let (Some(hearer), Some(number)) = (&hearer, state.first) {
            hearer.tell(number);
        }
        let number = hearer.map(|hearer| state.add(hearer));
        drop(state);
        Guard {
            signals: self.clone(),
            number,
        }
    }

    /// Sends signals as messages made by `wrap` until the guard is dropped. A signal that came before is not sent:
    /// `check` reports it.
    pub fn forward<T: Send + 'static>(&self, to: Sender<T>, wrap: fn(i32) -> T) -> Guard {
        let listener = Box::new(move |number| {
            let _ = to.send(wrap(number));
        });
        let number = self.locked().add(Hearer::Listener(listener));
        Guard {
            signals: self.clone(),
            number: Some(number),
        }
    }

    /// Waits for so long, unless a signal comes or has come.
    ///
    /// # Errors
    /// Fails with [`Interrupted`] as soon as a signal has come.
    pub fn pause(&self, time: Duration) -> Result<(), Interrupted> {
        let (sender, receiver) = std::sync::mpsc::channel();
        let _guard = self.forward(sender, |_| ());
        // One that came before is not sent.
        self.check()?;
        let _ = receiver.recv_timeout(time);
        self.check()
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn add(&mut self, hearer: Hearer) -> u64 {
        self.next += 1;
        self.hearers.insert(self.next, hearer);
        self.next
    }

    fn hear(&mut self, number: i32) {
        self.has_come_again = self.first.is_some();
        self.first.get_or_insert(number);
        self.hearers.values().for_each(|hearer| hearer.tell(number));
    }
}

/// Ends the passing on of signals to one receiver when it is dropped.
pub struct Guard {
    signals: Signals,
    number: Option<u64>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            self.signals.locked().hearers.remove(&number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Child, Command};
    use std::sync::mpsc::channel;

    fn signals() -> Signals {
        Signals { state: Arc::default() }
    }

    fn child() -> Child {
        Command::new("sleep").arg("1000").spawn().unwrap()
    }

    fn ended_by(child: &mut Child) -> Option<i32> {
        use std::os::unix::process::ExitStatusExt;
        child.wait().unwrap().signal()
    }

    #[test]
    fn everybody_hears_of_it() {
        let signals = signals();
        let (first, second) = (channel(), channel());
        let guards = [&first, &second].map(|(sender, _)| signals.forward(sender.clone(), |number| number));
        let mut children = [child(), child()];
        let passed_on = children.each_ref().map(|child| signals.pass_on_to(child.id()));
        signals.hear(SIGTERM);
        assert_eq!(children.each_mut().map(ended_by), [Some(SIGTERM); 2]);
        assert_eq!([first.1.try_recv(), second.1.try_recv()], [Ok(SIGTERM); 2]);
        assert_eq!(signals.check().unwrap_err().signal, SIGTERM);
        assert!(!signals.have_come_again());
        signals.hear(SIGINT);
        assert!(signals.have_come_again());
        assert_eq!(signals.check().unwrap_err().signal, SIGTERM);
        drop((guards, passed_on));
        assert!(signals.locked().hearers.is_empty());
    }

    /// The kernel signals one process of a group after the other.
    #[test]
    fn a_signal_that_a_child_has_had_is_waited_for() {
        let signals = signals();
        assert!(signals.check_soon().is_ok());
        let state = signals.state.clone();
        let kernel = thread::spawn(move || {
            thread::sleep(SOON / 10);
            Signals { state }.hear(SIGHUP);
        });
        assert!(signals.check().is_ok());
        assert_eq!(signals.check_soon().unwrap_err().signal, SIGHUP);
        kernel.join().unwrap();
    }

    #[test]
    fn who_has_ended_takes_nobody_elses_place() {
        let signals = signals();
        let (long, short) = (channel(), channel());
        let _long = signals.forward(long.0, |number| number);
        drop(signals.forward(short.0, |number| number));
        signals.hear(SIGINT);
        assert_eq!((long.1.try_recv(), short.1.try_recv().ok()), (Ok(SIGINT), None));
    }

    #[test]
    fn a_pause_ends_at_a_signal() {
        let signals = signals();
        assert!(signals.pause(Duration::ZERO).is_ok());
        thread::scope(|scope| {
            let pause = scope.spawn(|| signals.pause(Duration::from_secs(1000)));
            signals.hear(SIGTERM);
            assert_eq!(pause.join().unwrap().unwrap_err().signal, SIGTERM);
        });
        assert!(signals.pause(Duration::from_secs(1000)).is_err());
    }

    #[test]
    fn a_child_that_comes_late_hears_of_the_first() {
        let signals = signals();
        signals.hear(SIGHUP);
        signals.hear(SIGINT);
        let mut child = child();
        let _guard = signals.pass_on_to(child.id());
        assert_eq!(ended_by(&mut child), Some(SIGHUP));
    }
}
