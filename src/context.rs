//! What every step of a run uses.

use std::sync::Arc;

use crate::failure::Failure;
use crate::own_nix::OwnNix;
use crate::process::signals::Signals;
use crate::progress::{Event, Reporter};
use crate::ssh::Ssh;
use crate::surroundings::Surroundings;

/// One value for a run, lent to each of its steps; several threads may use it at once.
pub struct Context<'a> {
    /// This machine and its user.
    pub around: &'a Surroundings,
    /// This machine's Nix.
    pub nix: &'a OwnNix,
    /// The signals by which the user asks the run to stop.
    pub signals: &'a Signals,
    /// The connections to other machines.
    pub ssh: Arc<Ssh>,
    /// Where the events of the run are reported.
    pub reporter: Reporter,
}

impl<'a> Context<'a> {
    /// Prepares for a run that may connect. No connection is made yet.
    ///
    /// # Errors
    /// Fails if no shell could read the user's options for ssh.
    pub fn new(
        around: &'a Surroundings,
        nix: &'a OwnNix,
        signals: &'a Signals,
        reporter: Reporter,
    ) -> Result<Self, Failure> {
        Ok(Self {
            ssh: Arc::new(Ssh::new(around)?),
            around,
            nix,
            signals,
            reporter,
        })
    }

    /// Returns a context for what is done for this machine, one of several. It shares all else with this one, the
    /// connections of ssh too.
    #[must_use]
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "a run for several machines (issue 16) is its first user")
    )]
    pub fn of_machine(&self, name: &str) -> Self {
        Self {
            ssh: Arc::clone(&self.ssh),
            reporter: self.reporter.of_machine(name),
            ..*self
        }
    }

    /// Reports that something has happened.
    pub fn tell(&self, event: Event) {
        self.reporter.tell(event);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::mpsc::channel;
    use std::thread;

    use signal_hook::consts::SIGTERM;

    use super::*;
    use crate::failure::Interrupted;
    use crate::process::Invocation;
    use crate::progress::{Observer, Work};

    type Told = Vec<(Option<String>, Event)>;

    /// Keeps what it is told, with the machine.
    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Told>>);

    impl Observer for Kept {
        fn see(&self, machine: Option<&str>, event: Event) {
            self.0.lock().unwrap().push((machine.map(str::to_owned), event));
        }
    }

    /// One context for the threads of several machines, each of which waits for a command.
    #[test]
    fn it_is_lent_to_threads_whose_commands_all_hear_a_signal() {
        let around = Surroundings::with(&[]);
        let nix = OwnNix::read(&around, &[], &[]);
        let (signals, kept) = (Signals::listen().unwrap(), Kept::default());
        let context = Context::new(&around, &nix, &signals, Reporter::new(kept.clone())).unwrap();
        let names = ["a", "b", "c"];
        let (started, is_started) = channel();
        let ended: Vec<_> = thread::scope(|scope| {
            let threads = names.map(|name| {
                let (context, started) = (&context, started.clone());
                scope.spawn(move || {
                    let context = context.of_machine(name);
                    context.tell(Event::phase(Work::Building, None));
                    let command = Invocation::new("sh").args(["-c", "echo started >&2; exec sleep 1000"]);
                    command.watch(&mut |_| started.send(name).unwrap(), context.signals)
                })
            });
            let mut all: Vec<&str> = (0..names.len()).map(|_| is_started.recv().unwrap()).collect();
            all.sort_unstable();
            assert_eq!(all, names);
            signals.hear(SIGTERM);
            threads.map(|thread| thread.join().unwrap()).into()
        });
        for result in ended {
            let interrupted = result.unwrap_err().downcast::<Interrupted>().unwrap();
            assert_eq!(interrupted.signal, SIGTERM);
        }
        let mut told = kept.0.lock().unwrap().clone();
        told.sort_by(|(one, _), (other, _)| one.cmp(other));
        let expected = names.map(|name| (Some(name.to_owned()), Event::phase(Work::Building, None)));
        assert_eq!(told, expected);
    }
}
