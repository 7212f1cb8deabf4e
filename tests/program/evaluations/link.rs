//! What no shell can do, with sockets: sshd's forwarding, the connection of `nix copy` on the builder, and the daemon on the
//! client that is lent to it. The stand-ins ask for it at named pipes (`STAGE/forward`, and `/nix/copy` of the builder), and
//! hear at others what came of it (`forwarded`, `copied`).

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread;

use super::Builder;

/// The last word to whoever listens at a pipe.
const END: &str = "end";

/// How sshd makes the socket on the builder.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Forwarding {
    /// For the user alone, as it does unless it is told otherwise.
    Private,
    /// With `StreamLocalBindMask 0111`.
    Open,
    /// Not at all.
    Forbidden,
}

/// What becomes of what comes to the daemon.
#[derive(Clone, Copy)]
pub enum Daemon {
    /// It is taken.
    Takes,
    /// It dies when so many bytes have come.
    Dies(usize),
    /// Nobody ever hears what became of it.
    Waits,
}

/// A builder to which a daemon can be lent.
pub struct Link {
    pipes: Vec<PathBuf>,
    threads: Vec<thread::JoinHandle<()>>,
    /// What has come, connection by connection, when each is over.
    heard: Receiver<String>,
    daemon: PathBuf,
    /// The sockets that were made on the builder.
    made: Arc<Mutex<Vec<PathBuf>>>,
}

impl Link {
    pub fn new(builder: &Builder, forwarding: Forwarding, daemon: Daemon) -> Self {
        let socket = builder.path("daemon");
        builder.variable("NIX_DAEMON_SOCKET_PATH", &socket.display().to_string());
        let listener = UnixListener::bind(&socket).unwrap();
        let (heard, connections) = channel();
        let store = builder.path("builder");
        let made: Arc<Mutex<Vec<PathBuf>>> = Arc::default();
        let sockets = Arc::clone(&made);
        let pipes = [("forward", "forwarded"), ("builder/nix/copy", "builder/nix/copied")];
        let threads = vec![
            thread::spawn(move || {
                while let Ok((peer, _)) = listener.accept() {
                    match take(peer, daemon) {
                        text if text == END => return,
                        text => heard.send(text).unwrap(),
                    }
                }
            }),
            answer(builder, pipes[0], move |line| {
                if forwarding == Forwarding::Forbidden {
                    return Some("no".to_owned());
                }
                let (there, here) = line.split_once(':').unwrap();
                forward(there.as_ref(), here.into(), forwarding);
                sockets.lock().unwrap().push(PathBuf::from(there));
                Some("yes".to_owned())
            }),
            answer(builder, pipes[1], move |line| {
                let (socket, path) = line.split_once(' ').unwrap();
                if matches!(daemon, Daemon::Waits) {
                    return None;
                }
                let bytes = all_of(&store.join(path.trim_start_matches('/')));
                Some(copy(socket, path, &bytes).unwrap_or_else(|error| error.to_string()))
            }),
        ];
        Self {
            pipes: pipes.iter().map(|(ask, _)| builder.path(ask)).collect(),
            threads,
            heard: connections,
            daemon: socket,
            made,
        }
    }

    /// The sockets on the builder that are there still.
    pub fn left(&self) -> Vec<PathBuf> {
        let mut made = self.made.lock().unwrap().clone();
        made.retain(|socket| socket.exists());
        made
    }

    /// What has come so far to the daemon, without looks whether it is there.
    pub fn arrived(&self) -> Vec<String> {
        self.heard.try_iter().filter(|text| !text.is_empty()).collect()
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        for pipe in &self.pipes {
            // Somebody has it open: not to wait if their thread has failed.
            let pipe = File::options().read(true).write(true).open(pipe);
            writeln!(pipe.unwrap(), "{END}").unwrap();
        }
        write!(UnixStream::connect(&self.daemon).unwrap(), "{END}").unwrap();
        for thread in self.threads.drain(..) {
            assert!(thread.join().is_ok() || thread::panicking());
        }
    }
}

/// Answers each line that comes by the first pipe with one by the second, or not.
fn answer(
    builder: &Builder,
    pipes: (&str, &str),
    word: impl Fn(&str) -> Option<String> + Send + 'static,
) -> thread::JoinHandle<()> {
    builder.sh(&format!("mkfifo -m 666 {} {}", pipes.0, pipes.1));
    let (ask, tell) = (builder.path(pipes.0), builder.path(pipes.1));
    // Both ends, so that there is no end between two lines.
    let asked = File::options().read(true).write(true).open(ask).unwrap();
    thread::spawn(move || {
        for line in BufReader::new(asked).lines() {
            let line = line.unwrap();
            if line == END {
                return;
            }
            if let Some(answer) = word(&line) {
                fs::write(&tell, answer + "\n").unwrap();
            }
        }
    })
}

/// As `ssh -R there:here`.
fn forward(there: &Path, here: PathBuf, forwarding: Forwarding) {
    let listener = UnixListener::bind(there).unwrap();
    let mode = if forwarding == Forwarding::Open { 0o666 } else { 0o600 };
    fs::set_permissions(there, fs::Permissions::from_mode(mode)).unwrap();
    // It ends with all of these tests, as nobody connects any more.
    thread::spawn(move || {
        for peer in listener.incoming() {
            let (peer, inner) = (peer.unwrap(), UnixStream::connect(&here));
            let Ok(inner) = inner else { continue };
            let (from, to) = (peer.try_clone().unwrap(), inner.try_clone().unwrap());
            thread::spawn(move || pump(&from, &to));
            pump(&inner, &peer);
        }
    });
}

fn pump(mut from: &UnixStream, mut to: &UnixStream) {
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
}

/// A store path as one text: all files in it, by their names.
fn all_of(path: &Path) -> Vec<u8> {
    if path.is_file() {
        return fs::read(path).unwrap();
    }
    let names = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    names
        .flat_map(|name| {
            [
                name.file_name().map(OsStr::as_encoded_bytes).unwrap().to_vec(),
                b" ".to_vec(),
                all_of(&name),
            ]
            .concat()
        })
        .collect()
}

/// As `nix copy` to a daemon: it is taken when that says so.
fn copy(socket: &str, path: &str, bytes: &[u8]) -> io::Result<String> {
    let mut daemon = UnixStream::connect(socket)?;
    writeln!(daemon, "{path} {}", bytes.len())?;
    daemon.write_all(bytes)?;
    let mut answer = String::new();
    daemon.read_to_string(&mut answer)?;
    Ok(answer)
}

/// What comes by one connection, until the one who has it says that it is over.
fn take(mut peer: UnixStream, daemon: Daemon) -> String {
    let mut from = BufReader::new(peer.try_clone().unwrap());
    let mut text = String::new();
    from.read_line(&mut text).unwrap();
    let length = text.trim_end().rsplit_once(' ').and_then(|(_, size)| size.parse().ok());
    let Some(length) = length else { return text };
    let mut bytes = vec![
        0;
        if let Daemon::Dies(after) = daemon {
            after.min(length)
        } else {
            length
        }
    ];
    from.read_exact(&mut bytes).unwrap();
    if let Daemon::Takes = daemon {
        peer.write_all(b"taken").unwrap();
        peer.shutdown(Shutdown::Write).unwrap();
        // What has come is held as long as this lasts.
        from.read_to_end(&mut Vec::new()).unwrap();
    }
    text + &String::from_utf8(bytes).unwrap()
}
