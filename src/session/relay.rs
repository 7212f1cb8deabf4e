//! Our Nix daemon, lent for one transfer.
//!
//! Whoever holds the daemon's socket is a trusted user of this machine's Nix, which is as much as root. So what ssh
//! forwards is a socket of our own: it takes one connection, and only while the result is received; before that, a
//! connection waits unanswered.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::{Context, Result};
use tempfile::TempDir;

/// A socket that leads to our Nix daemon once it is opened.
///
/// The connection to the daemon stays until this is dropped: as long as it does, the daemon keeps what has arrived from
/// being collected (its temporary roots), so drop it when the profile is set.
pub struct Relay {
    directory: TempDir,
    daemon: PathBuf,
    listener: UnixListener,
    connection: Arc<Mutex<Option<UnixStream>>>,
    received: Arc<AtomicU64>,
}

impl Relay {
    /// A socket in a directory that only we can enter, for the daemon that listens at `daemon`.
    ///
    /// # Errors
    /// When the daemon does not listen, or the socket cannot be made.
    pub fn new(daemon: &Path) -> Result<Self> {
        UnixStream::connect(daemon).with_context(|| format!("no Nix daemon listens at {}", daemon.display()))?;
        // Not in TMPDIR, which may be too long for a socket's address.
        let directory = tempfile::Builder::new().prefix("rebuild.").tempdir_in("/tmp")?;
        let listener = UnixListener::bind(directory.path().join("nix-daemon"))?;
        Ok(Self {
            directory,
            daemon: daemon.to_owned(),
            listener,
            connection: Arc::default(),
            received: Arc::default(),
        })
    }

    /// Where ssh is to bring connections.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.directory.path().join("nix-daemon")
    }

    /// Answers one connection, in the background.
    ///
    /// # Errors
    /// When the socket cannot be read from.
    pub fn open(&self) -> Result<()> {
        let listener = self.listener.try_clone()?;
        let daemon = self.daemon.clone();
        let kept = Arc::clone(&self.connection);
        let received = Arc::clone(&self.received);
        thread::spawn(move || {
            // What goes wrong here, the other side sees as the end of its connection, and says so.
            let _ = serve(&listener, &daemon, &kept, &received);
        });
        Ok(())
    }

    /// The bytes that have come through so far.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if let Some(connection) = &*self.connection.lock().unwrap_or_else(PoisonError::into_inner) {
            let _ = connection.shutdown(Shutdown::Both);
        }
    }
}

fn serve(
    listener: &UnixListener,
    daemon: &Path,
    kept: &Mutex<Option<UnixStream>>,
    received: &AtomicU64,
) -> io::Result<()> {
    let (peer, _) = listener.accept()?;
    let daemon = UnixStream::connect(daemon)?;
    *kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(daemon.try_clone()?);

    let (mut from_daemon, mut to_peer) = (daemon.try_clone()?, peer.try_clone()?);
    thread::spawn(move || {
        let _ = io::copy(&mut from_daemon, &mut to_peer);
        let _ = to_peer.shutdown(Shutdown::Both);
    });
    // The peer's end is not the daemon's (see Relay); but the peer's connection ends, or ssh would wait for it.
    let passed = pass(&peer, daemon, received);
    let _ = peer.shutdown(Shutdown::Both);
    passed
}

fn pass(mut from: &UnixStream, mut to: UnixStream, count: &AtomicU64) -> io::Result<()> {
    let mut buffer = vec![0; 1 << 16];
    loop {
        let length = from.read(&mut buffer)?;
        if length == 0 {
            return Ok(());
        }
        count.fetch_add(length as u64, Ordering::Relaxed);
        to.write_all(&buffer[..length])?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// A daemon that answers in capitals.
    fn daemon() -> (TempDir, PathBuf, thread::JoinHandle<Vec<String>>) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        let thread = thread::spawn(move || {
            let mut talks = Vec::new();
            // The first connection is the look whether anybody is here.
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

    #[test]
    fn nothing_passes_before_it_is_opened_and_one_connection_after() {
        let (_directory, path, daemon) = daemon();
        let relay = Relay::new(&path).unwrap();
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

        let mut second = UnixStream::connect(relay.socket()).unwrap();
        second.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        second.write_all(b"more").unwrap();
        assert!(second.read_exact(&mut buffer).is_err());

        // The peer's end is not the daemon's: its temporary roots are still needed.
        peer.shutdown(Shutdown::Write).unwrap();
        assert_eq!(peer.read(&mut buffer).unwrap(), 0);
        thread::sleep(Duration::from_millis(20));
        assert!(!daemon.is_finished());
        drop(relay);
        assert_eq!(daemon.join().unwrap(), ["", "early"]);
    }

    #[test]
    fn a_daemon_that_is_not_there_is_said_at_once() {
        assert!(Relay::new(Path::new("/nonexistent/socket")).is_err());
    }
}
