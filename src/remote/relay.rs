//! A Nix daemon, lent for one transfer: this machine's own, or that of a machine that only this one reaches.
//!
//! A process that can reach a daemon's socket may be a trusted user of that machine's Nix, which is as much as root. So
//! we lend a socket of our own, in a directory that only this user can enter. It takes one connection, of a process of
//! this user's (our ssh), and only once something has to be received. Before that, a connection waits without an
//! answer; after that, there is no socket any more. What passes through is kept nowhere here.

mod stdio;

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::private;
use crate::remote::daemon::Daemon;
use stdio::StdioDaemon;

/// A socket that leads to a Nix daemon once it is opened, and then to one connection.
///
/// The connection to the daemon stays until this is dropped. As long as it stays, the daemon protects what has arrived
/// from a collection of garbage (its temporary roots), so drop this only when the profile is set.
pub struct Relay {
    directory: TempDir,
    daemon: Daemon,
    listener: Mutex<Listener>,
    shared: Arc<Shared>,
}

/// A daemon that takes less than this to take bytes does not count as stuck.
const MOMENT: Duration = Duration::from_millis(100);

/// Who has the listening socket.
enum Listener {
    /// The relay. A process that connects waits for an answer.
    Waiting(UnixListener),
    /// The thread that answers. It drops the socket at the first connection.
    Lent(Weak<UnixListener>),
}

/// What the relay and the thread that answers share.
#[derive(Default)]
struct Shared {
    connection: Mutex<Option<DaemonEnd>>,
    peer: Mutex<Option<UnixStream>>,
    is_over: AtomicBool,
    received: AtomicU64,
    /// Since when the daemon has not taken what has come; None while it takes everything.
    stuck: Mutex<Option<Instant>>,
}

/// The daemon's end.
enum DaemonEnd {
    Socket(UnixStream),
    Command(StdioDaemon),
}

impl Relay {
    /// Makes a socket in a directory that only this user can enter.
    ///
    /// # Errors
    /// The daemon does not listen, or the socket cannot be made.
    pub fn new(daemon: Daemon) -> Result<Self> {
        if let Daemon::Socket(path) = &daemon {
            UnixStream::connect(path).with_context(|| format!("no Nix daemon listens at {}", path.display()))?;
        }
        // TMPDIR is not used, because it may be too long for a socket's address.
        let directory = private::directory(Path::new("/tmp"))?;
        let listener = private::listen(&directory.path().join("nix-daemon"))?;
        Ok(Self {
            directory,
            daemon,
            listener: Mutex::new(Listener::Waiting(listener)),
            shared: Arc::default(),
        })
    }

    /// Returns the path of the socket, to which ssh has to bring connections.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.directory.path().join("nix-daemon")
    }

    /// Answers one connection, in the background. All others are refused from then on.
    ///
    /// # Errors
    /// The relay was opened before, or the command that becomes the daemon cannot be started.
    pub fn open(&self) -> Result<()> {
        let listener = self.lend()?;
        let shared = Arc::clone(&self.shared);
        let connect: Connect = match &self.daemon {
            Daemon::Socket(path) => {
                let path = path.clone();
                Box::new(move |shared| to_socket(&path, shared))
            }
            Daemon::Command {
                command,
                first,
                may_ask,
            } => {
                // It is started at once, because it may have to log in first.
                let (daemon, candidate) = StdioDaemon::start(command, first, *may_ask)?;
                *lock(&shared.connection) = Some(DaemonEnd::Command(daemon));
                Box::new(move |_| candidate.become_daemon())
            }
        };
        thread::spawn(move || {
            // If something goes wrong here, the other side sees the end of its connection, and says so.
            let _ = serve(listener, connect, &shared);
        });
        Ok(())
    }

    /// Gives away the listener, for the one time that it is used.
    fn lend(&self) -> Result<Arc<UnixListener>> {
        let mut kept = lock(&self.listener);
        match std::mem::replace(&mut *kept, Listener::Lent(Weak::new())) {
            Listener::Waiting(listener) => {
                let listener = Arc::new(listener);
                *kept = Listener::Lent(Arc::downgrade(&listener));
                Ok(listener)
            }
            Listener::Lent(lent) => {
                *kept = Listener::Lent(lent);
                bail!("the Nix daemon was lent already, and that is for one transfer")
            }
        }
    }

    /// Ends the peer's connection, and the wait for one; the daemon's end stays. To be called when everything has come,
    /// because a connection that the other side leaves open would keep ssh from ending.
    pub fn hang_up(&self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        let former = std::mem::replace(&mut *lock(&self.listener), Listener::Lent(Weak::new()));
        if let Listener::Lent(lent) = former {
            if let Some(listener) = lent.upgrade() {
                // The thread that waits at it wakes and drops it.
                let _ = nix::sys::socket::shutdown(listener.as_raw_fd(), nix::sys::socket::Shutdown::Both);
            }
        }
        if let Some(peer) = &*lock(&self.shared.peer) {
            let _ = peer.shutdown(Shutdown::Both);
        }
    }

    /// Returns the number of bytes that have come through so far.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.shared.received.load(Ordering::Relaxed)
    }

    /// Whether the daemon has not taken what has come for a moment or longer.
    #[must_use]
    pub fn is_stuck(&self) -> bool {
        lock(&self.shared.stuck).is_some_and(|since| since.elapsed() >= MOMENT)
    }

    /// Returns what a command that should be a daemon has said on stderr, if anything: it may say why a transfer
    /// failed.
    #[must_use]
    pub fn complaint(&self) -> Option<String> {
        match &*lock(&self.shared.connection) {
            Some(DaemonEnd::Command(daemon)) => daemon.complaint(),
            _ => None,
        }
    }
}

impl Drop for Relay {
    /// Closes both ends, so that the threads between them end.
    fn drop(&mut self) {
        self.hang_up();
        let connection = lock(&self.shared.connection).take();
        if let Some(DaemonEnd::Socket(connection)) = &connection {
            let _ = connection.shutdown(Shutdown::Both);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reaches the daemon when a peer has connected.
type Connect = Box<dyn FnOnce(&Shared) -> io::Result<Ends> + Send>;

/// The streams from the daemon and to it.
type Ends = (Box<dyn Read + Send>, Box<dyn Write + Send>);

fn to_socket(path: &Path, shared: &Shared) -> io::Result<Ends> {
    let daemon = UnixStream::connect(path)?;
    *lock(&shared.connection) = Some(DaemonEnd::Socket(daemon.try_clone()?));
    Ok((Box::new(daemon.try_clone()?), Box::new(daemon)))
}

/// Waits for the first connection of this user's. All other connections end, because the listener is dropped.
fn accept(listener: Arc<UnixListener>, shared: &Shared) -> io::Result<UnixStream> {
    loop {
        let (peer, _) = listener.accept()?;
        if private::is_ours(&peer) {
            *lock(&shared.peer) = Some(peer.try_clone()?);
            drop(listener);
            if shared.is_over.load(Ordering::SeqCst) {
                peer.shutdown(Shutdown::Both)?;
            }
            return Ok(peer);
        }
    }
}

fn serve(
    listener: Arc<UnixListener>,
    connect: impl FnOnce(&Shared) -> io::Result<Ends>,
    shared: &Shared,
) -> io::Result<()> {
    let peer = accept(listener, shared)?;
    let (mut from_daemon, to_daemon) = match connect(shared) {
        Ok(ends) => ends,
        Err(error) => {
            let _ = peer.shutdown(Shutdown::Both);
            return Err(error);
        }
    };
    let mut to_peer = peer.try_clone()?;
    thread::spawn(move || {
        let _ = io::copy(&mut from_daemon, &mut to_peer);
        let _ = to_peer.shutdown(Shutdown::Both);
    });
    // When the peer ends, the daemon's connection stays (see Relay). But the peer's connection has to end, because ssh
    // would wait for it.
    let passed = pass(&peer, to_daemon, shared);
    let _ = peer.shutdown(Shutdown::Both);
    passed
}

fn pass(mut from: &UnixStream, mut to: impl Write, shared: &Shared) -> io::Result<()> {
    let mut buffer = vec![0; 1 << 16];
    loop {
        let length = from.read(&mut buffer)?;
        if length == 0 {
            return Ok(());
        }
        shared.received.fetch_add(length as u64, Ordering::Relaxed);
        *lock(&shared.stuck) = Some(Instant::now());
        to.write_all(&buffer[..length])?;
        to.flush()?;
        *lock(&shared.stuck) = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::Invocation;

    /// A daemon that answers in capitals.
    fn daemon() -> (TempDir, PathBuf, thread::JoinHandle<Vec<String>>) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        let thread = thread::spawn(move || {
            let mut talks = Vec::new();
            // The first connection only looks whether the daemon listens.
            for _ in 0..2 {
                let (mut stream, _) = listener.accept().unwrap();
                let mut talk = String::new();
                let mut buffer = [0; 64];
                while let Ok(length @ 1..) = stream.read(&mut buffer) {
                    let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
                    let _ = stream.write_all(text.to_uppercase().as_bytes());
                    talk.push_str(&text);
                }
                talks.push(talk);
            }
            talks
        });
        (directory, path, thread)
    }

    fn connect(relay: &Relay) -> UnixStream {
        let peer = UnixStream::connect(relay.socket()).unwrap();
        peer.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        peer
    }

    #[test]
    fn nothing_passes_before_it_is_opened_and_one_connection_after() {
        let (_directory, path, daemon) = daemon();
        let relay = Relay::new(Daemon::Socket(path)).unwrap();
        let mut peer = UnixStream::connect(relay.socket()).unwrap();
        peer.write_all(b"early").unwrap();
        peer.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let mut buffer = [0; 5];
        assert!(peer.read_exact(&mut buffer).is_err());

        relay.open().unwrap();
        peer.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        peer.read_exact(&mut buffer).unwrap();
        assert_eq!(&buffer, b"EARLY");
        assert_eq!(relay.received(), 5);

        // The relay was for one transfer.
        assert!(UnixStream::connect(relay.socket()).is_err());
        assert!(relay.open().is_err());
        assert!(UnixStream::connect(relay.socket()).is_err());

        // When the peer ends, the daemon's connection stays, because its temporary roots are still needed.
        peer.shutdown(Shutdown::Write).unwrap();
        assert_eq!(peer.read(&mut buffer).unwrap(), 0);
        thread::sleep(Duration::from_millis(20));
        assert!(!daemon.is_finished());
        drop(relay);
        assert_eq!(daemon.join().unwrap(), ["", "early"]);
    }

    /// The daemon is on another machine, whose link says nothing any more.
    #[test]
    fn that_nothing_is_taken_is_seen_until_it_is() {
        let place = tempfile::tempdir().unwrap();
        let go = place.path().join("go");
        let relay = becoming(
            &format!(
                "echo '@rebuild ready'; until read -r line && [ \"$line\" = '@rebuild go' ]; do :; done
                 until [ -e {} ]; do sleep 0.05; done; cat >/dev/null",
                go.display()
            ),
            b"",
        );
        relay.open().unwrap();
        let mut peer = connect(&relay);
        let writer = thread::spawn(move || peer.write_all(&vec![0; 4 << 20]).map(|()| peer).unwrap());
        let until = |is_stuck| {
            let deadline = Instant::now() + Duration::from_secs(20);
            while relay.is_stuck() != is_stuck {
                assert!(Instant::now() < deadline, "{is_stuck}");
                thread::sleep(Duration::from_millis(5));
            }
        };
        until(true);
        std::fs::write(go, "").unwrap();
        let _peer = writer.join().unwrap();
        until(false);
    }

    /// Whether the peer's connection ends within the five seconds of [`connect`].
    fn has_ended(mut peer: UnixStream) -> bool {
        matches!(peer.read(&mut [0; 8]), Ok(0))
            || peer.take_error().is_ok_and(|error| error.is_some())
            || matches!(peer.write(b"x"), Err(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }

    /// ssh stays as long as a connection that it has brought here stays.
    #[test]
    fn connections_that_wait_beside_the_one_are_ended() {
        let (_directory, path, daemon) = daemon();
        let relay = Relay::new(Daemon::Socket(path)).unwrap();
        let mut first = connect(&relay);
        let others: Vec<_> = (0..5).map(|_| connect(&relay)).collect();
        relay.open().unwrap();
        first.write_all(b"hello").unwrap();
        let mut answer = [0; 5];
        first.read_exact(&mut answer).unwrap();
        for other in others {
            assert!(has_ended(other));
        }
        // When everything has come, the first connection ends, too, but not the daemon's.
        relay.hang_up();
        assert!(has_ended(first));
        assert!(!daemon.is_finished());
        drop(relay);
        assert_eq!(daemon.join().unwrap(), ["", "hello"]);
    }

    #[test]
    fn nothing_is_lent_after_the_end() {
        let (_directory, path, _daemon) = daemon();
        // A connection that waits for the opening, and a thread that waits for a connection.
        let relay = Relay::new(Daemon::Socket(path.clone())).unwrap();
        let early = connect(&relay);
        relay.hang_up();
        assert!(has_ended(early) && relay.open().is_err());

        let relay = Relay::new(Daemon::Socket(path)).unwrap();
        relay.open().unwrap();
        let thread = match &*lock(&relay.listener) {
            Listener::Lent(listener) => listener.clone(),
            Listener::Waiting(_) => panic!("it was opened"),
        };
        relay.hang_up();
        assert!(UnixStream::connect(relay.socket()).is_err());
        while thread.strong_count() > 0 {
            thread::yield_now();
        }
    }

    #[test]
    fn a_daemon_that_is_not_there_is_said_at_once() {
        assert!(Relay::new(Daemon::Socket("/nonexistent/socket".into())).is_err());
    }

    fn becoming(script: &str, first: &[u8]) -> Relay {
        let command = Invocation::new("sh").args(["-c", script]);
        Relay::new(Daemon::Command {
            command,
            first: first.to_vec(),
            may_ask: false,
        })
        .unwrap()
    }

    /// Like sudo-rs, the command swallows what comes together with the password.
    #[test]
    fn a_command_becomes_the_daemon_after_its_password() {
        let place = tempfile::tempdir().unwrap();
        let end = place.path().join("end");
        let relay = becoming(
            &format!(
                "dd bs=8192 count=1 2>/dev/null >/dev/null; echo greetings; echo '@rebuild ready'
                 until read -r line && [ \"$line\" = '@rebuild go' ]; do :; done
                 tr a-z A-Z; echo over >{}",
                end.display()
            ),
            b"secret\n",
        );
        relay.open().unwrap();
        let mut peer = connect(&relay);
        peer.write_all(b"hello").unwrap();
        // `tr` answers when it ends, and it ends after our stream.
        peer.shutdown(Shutdown::Write).unwrap();
        let mut answer = String::new();
        peer.read_to_string(&mut answer).unwrap();
        assert!(!end.exists(), "the daemon's end is the relay's");
        drop(relay);
        assert_eq!(std::fs::read_to_string(end).unwrap(), "over\n");
    }

    #[test]
    fn what_passes_is_what_the_peer_says_and_not_the_password() {
        let relay = becoming(
            "echo '@rebuild ready'; until read -r line && [ \"$line\" = '@rebuild go' ]; do :; done
             dd bs=5 count=1 iflag=fullblock 2>/dev/null; cat >/dev/null",
            b"nobody asked\n",
        );
        relay.open().unwrap();
        let mut peer = connect(&relay);
        peer.write_all(b"hello").unwrap();
        let mut answer = [0; 5];
        peer.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"hello");
        assert_eq!((relay.received(), relay.complaint()), (5, None));
    }

    #[test]
    fn a_command_that_fails_is_heard() {
        let relay = becoming("echo 'no such daemon' >&2; exit 3", b"");
        relay.open().unwrap();
        let mut peer = connect(&relay);
        let mut answer = Vec::new();
        assert_eq!(peer.read_to_end(&mut answer).unwrap(), 0);
        assert_eq!(relay.complaint().as_deref(), Some("no such daemon"));
    }
}
