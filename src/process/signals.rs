//! Signals that ask this program to stop.

use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::failure::Interrupted;

type Listener = Box<dyn Fn(i32) + Send>;

#[derive(Default)]
struct State {
    first: Option<i32>,
    child: Option<Pid>,
    listener: Option<Listener>,
}

/// Hears Ctrl-C, SIGTERM and SIGHUP from its making to the end of the program, and sees that they reach the command that
/// is being waited for, or the session that must say goodbye first.
#[derive(Clone)]
pub struct Signals {
    state: Arc<Mutex<State>>,
}

impl Signals {
    /// Starts to listen. Make one only.
    ///
    /// # Errors
    /// When the system refuses the handlers.
    pub fn listen() -> Result<Self> {
        let mut incoming =
            signal_hook::iterator::Signals::new([SIGINT, SIGTERM, SIGHUP]).context("cannot handle signals")?;
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for number in &mut incoming {
                let mut state = shared.lock().unwrap_or_else(PoisonError::into_inner);
                state.first.get_or_insert(number);
                if let Some(listener) = &state.listener {
                    listener(number);
                }
                // A terminal's Ctrl-C has reached the child already; `kill` on us alone has not.
                if let (Some(child), Ok(signal)) = (state.child, Signal::try_from(number)) {
                    let _ = kill(child, signal);
                }
            }
        });
        Ok(Self { state })
    }

    /// An error if a signal has come since the start.
    ///
    /// # Errors
    /// [`Interrupted`], with the first signal that came.
    pub fn check(&self) -> Result<(), Interrupted> {
        match self.locked().first {
            Some(signal) => Err(Interrupted { signal }),
            None => Ok(()),
        }
    }

    /// From now on until the guard is dropped, signals are passed on to this child process; one that came while it was
    /// being started as well.
    pub(super) fn pass_on_to(&self, child: u32) -> ChildGuard {
        let mut state = self.locked();
        state.child = i32::try_from(child).ok().map(Pid::from_raw);
        let signal = state.first.and_then(|number| Signal::try_from(number).ok());
        if let (Some(child), Some(signal)) = (state.child, signal) {
            let _ = kill(child, signal);
        }
        drop(state);
        ChildGuard(self.clone())
    }

    /// From now on until the receiver is dropped, signals also arrive as messages made by `wrap`.
    pub fn forward<T: Send + 'static>(&self, to: Sender<T>, wrap: fn(i32) -> T) -> ListenerGuard {
        self.locked().listener = Some(Box::new(move |number| {
            let _ = to.send(wrap(number));
        }));
        ListenerGuard(self.clone())
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends the passing on of signals to a child.
pub(super) struct ChildGuard(Signals);

impl Drop for ChildGuard {
    fn drop(&mut self) {
        self.0.locked().child = None;
    }
}

/// Ends the forwarding of signals to a listener.
pub struct ListenerGuard(Signals);

impl Drop for ListenerGuard {
    fn drop(&mut self) {
        self.0.locked().listener = None;
    }
}
