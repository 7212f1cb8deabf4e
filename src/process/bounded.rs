//! Commands that get no longer than a limit.

use std::os::fd::AsFd;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::Invocation;
use super::companion::Companion;
use super::signals::Signals;

/// The time between two looks whether a signal has come, or the limit.
const LOOK: Duration = Duration::from_millis(50);

impl Invocation {
    /// Runs the command to its end, without input; what it prints goes to this program's stderr. Returns its exit status,
    /// or None if it had not ended within `limit`; it is ended then.
    ///
    /// # Errors
    /// Fails if the command cannot be started, or if a signal has come.
    pub fn run_within(&self, limit: Duration, signals: &Signals) -> Result<Option<u8>> {
        let mut command = self.command();
        command.stdin(Stdio::null());
        command.stdout(Stdio::from(std::io::stderr().as_fd().try_clone_to_owned()?));
        let deadline = Instant::now() + limit;
        let child = command.spawn().map_err(|error| self.not_started(&error))?;
        let guard = signals.pass_on_to(child.id());
        let mut companion = Companion::new(child);
        while !companion.ends_within(LOOK) {
            signals.check()?;
            if Instant::now() >= deadline {
                return Ok(None);
            }
        }
        drop(guard);
        signals.check()?;
        companion.ended()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use signal_hook::consts::SIGINT;

    use super::*;
    use crate::failure::Interrupted;

    const LONG: Duration = Duration::from_secs(1000);

    fn shell(text: &str) -> Invocation {
        Invocation::new("sh").args(["-c", text])
    }

    #[test]
    fn its_exit_status_or_none_if_it_takes_too_long() {
        let signals = Signals::listen().unwrap();
        for (text, limit, expected) in [
            ("exit 0", LONG, Some(0)),
            ("read -r x; exit 3", LONG, Some(3)),
            ("kill -KILL $$", LONG, Some(137)),
            ("exec sleep 1000", Duration::ZERO, None),
        ] {
            assert_eq!(shell(text).run_within(limit, &signals).unwrap(), expected, "{text}");
        }
        assert!(Invocation::new("/nonexistent/x").run_within(LONG, &signals).is_err());
    }

    /// A command that lets go of its streams may leave something behind that goes on.
    #[test]
    fn what_it_leaves_in_the_background_is_not_waited_for() {
        let signals = Signals::listen().unwrap();
        let place = tempfile::tempdir().unwrap();
        let fifo = place.path().join("fifo");
        let text = format!("mkfifo {0}; cat {0} & exit 4", fifo.display());
        assert_eq!(shell(&text).run_within(LONG, &signals).unwrap(), Some(4));
        // What waits there ends.
        drop(std::fs::OpenOptions::new().write(true).open(&fifo));
    }

    #[test]
    fn it_ends_at_a_signal() {
        let signals = Signals::listen().unwrap();
        let place = tempfile::tempdir().unwrap();
        let fifo = place.path().join("fifo");
        assert!(
            shell(&format!("mkfifo {}", fifo.display()))
                .run_within(LONG, &signals)
                .is_ok()
        );
        let (ended, is_over) = mpsc::channel();
        thread::scope(|scope| {
            scope.spawn(|| {
                // It hears nothing of a signal.
                let text = format!("trap '' INT; echo >{}; exec sleep 1000", fifo.display());
                ended.send(shell(&text).run_within(LONG, &signals)).unwrap();
            });
            std::fs::read_to_string(&fifo).unwrap();
            signals.hear(SIGINT);
        });
        let error = is_over.recv().unwrap().unwrap_err();
        assert!(error.is::<Interrupted>(), "{error:#}");
    }
}
