//! Commands that get no longer than a limit.

use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::Result;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::Invocation;
use super::companion::Companion;
use super::signals::Signals;

/// The time between two looks whether a signal has come, or the limit.
const LOOK: Duration = Duration::from_millis(50);

/// How long processes that are told to end may take for it.
const GRACE: Duration = Duration::from_secs(1);

impl Invocation {
    /// Runs the command to its end, without input; what it prints goes to this program's stderr. Returns its exit status,
    /// or None if it had not ended within `limit`: it is ended then, with all that it has started.
    ///
    /// # Errors
    /// Fails if the command cannot be started, or if a signal has come.
    pub fn run_within(&self, limit: Duration, signals: &Signals) -> Result<Option<u8>> {
        let mut command = self.command();
        command.stdin(Stdio::null());
        command.stdout(Stdio::from(std::io::stderr().as_fd().try_clone_to_owned()?));
        // A shell that is ended leaves what it waits for, so all of them are ended.
        command.process_group(0);
        let deadline = Instant::now() + limit;
        let child = command.spawn().map_err(|error| self.not_started(&error))?;
        let guard = signals.pass_on_to(child.id());
        let group = i32::try_from(child.id()).ok().map(Pid::from_raw);
        let mut companion = Companion::new(child);
        while !companion.ends_within(LOOK) {
            let interrupted = signals.check();
            if interrupted.is_ok() && Instant::now() < deadline {
                continue;
            }
            end(group, &mut companion);
            return Ok(interrupted.map(|()| None)?);
        }
        drop(guard);
        signals.check()?;
        companion.ended()
    }
}

/// Ends a group of processes, of which the companion is the first: they are asked to, and a second later made to.
fn end(group: Option<Pid>, first: &mut Companion) {
    let tell = |signal| group.map(|group| killpg(group, signal));
    let _ = tell(Signal::SIGTERM);
    first.ends_within(GRACE);
    let _ = tell(Signal::SIGKILL);
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

    /// Nobody holds the other end of the pipe after the shell's child, which it waits for, has ended.
    #[test]
    fn what_a_shell_waits_for_ends_with_it() {
        let signals = Signals::listen().unwrap();
        let place = tempfile::tempdir().unwrap();
        let fifo = place.path().join("fifo");
        assert_eq!(
            shell(&format!("mkfifo {}", fifo.display()))
                .run_within(LONG, &signals)
                .unwrap(),
            Some(0)
        );
        thread::scope(|scope| {
            let reader = scope.spawn(|| std::fs::read_to_string(&fifo).unwrap());
            let text = format!("(trap '' TERM; sleep 1000; :) >{}; :", fifo.display());
            assert_eq!(
                shell(&text).run_within(Duration::from_millis(300), &signals).unwrap(),
                None
            );
            assert_eq!(reader.join().unwrap(), "");
        });
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
