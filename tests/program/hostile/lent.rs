//! D17: the lent daemon answers a single connection, once, and only one of this user's.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::{LIMIT, Play};

const BUILD: &str = "build --eval-on builder";

/// The other side of the forward: the socket on this machine that `-R` names.
const FORWARD: &str = "before=''
    for word; do
        [ \"$before\" != -R ] || { echo \"${word#*:}\" >forward.new; mv forward.new forward; }
        before=$word
    done
    until_there() { until [ -e \"$1\" ]; do sleep 0.01; done; }";

fn play(acts: &str) -> (Play, JoinHandle<Vec<String>>) {
    let play = Play::new(
        "D17",
        &format!("{FORWARD}\nhear_script; greet; evaluated; built; {acts}"),
    );
    let socket = play.stage.path("daemon");
    play.stage
        .variable("NIX_DAEMON_SOCKET_PATH", &socket.display().to_string());
    let listener = UnixListener::bind(socket).unwrap();
    (play, thread::spawn(move || daemon(&listener)))
}

/// Returns what the connections to this machine's daemon said, one text for each, until one says "end".
fn daemon(listener: &UnixListener) -> Vec<String> {
    let mut said = Vec::new();
    while said.last().is_none_or(|last| last != "end") {
        let (mut peer, _) = listener.accept().unwrap();
        let mut text = String::new();
        let _ = peer.read_to_string(&mut text);
        said.push(text);
    }
    said
}

fn end(play: &Play, daemon: JoinHandle<Vec<String>>) -> Vec<String> {
    let mut peer = UnixStream::connect(play.stage.path("daemon")).unwrap();
    peer.write_all(b"end").unwrap();
    drop(peer);
    daemon.join().unwrap()
}

fn socket(play: &Play) -> PathBuf {
    play.stage.wait_for("forward");
    play.stage.read("forward").trim().into()
}

fn connect(socket: &PathBuf) -> Option<UnixStream> {
    let peer = UnixStream::connect(socket).ok()?;
    peer.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    Some(peer)
}

/// Returns whether the connection was closed, or never answered.
fn is_refused(peer: Option<UnixStream>) -> bool {
    peer.is_none_or(|mut peer| match peer.read(&mut [0]) {
        Ok(length) => length == 0,
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    })
}

#[test]
fn one_connection_and_no_second() {
    let (play, daemon) = play("say copying; until_there all; say copied; until_there end; say finished");
    let running = play.stage.start(BUILD);
    let socket = socket(&play);
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().mode() & 0o7777;
    assert_eq!((mode(socket.parent().unwrap()), mode(&socket)), (0o700, 0o600));
    let mut first = connect(&socket).unwrap();
    first.write_all(b"first").unwrap();
    for _ in 0..6 {
        assert!(is_refused(connect(&socket)));
    }
    // The peer leaves its own end open, and everything has come: ssh would stay as long as the peer does.
    play.stage.write("all", "");
    assert!(is_refused(Some(first)));
    play.stage.write("end", "");
    let run = running.finish_within(LIMIT).unwrap();
    assert_eq!(run.code, 0, "{}", run.stderr);
    // The first one is this program's own look whether the daemon is there.
    assert_eq!(end(&play, daemon), ["", "first", "end"]);
}

/// Six connections were answered, one for each time that the word was said.
#[test]
fn once() {
    let (play, daemon) = play("say copying; say copying; say copying; read -r word");
    let running = play.stage.start(BUILD);
    let run = running.finish_within(LIMIT).unwrap();
    assert!(run.code > 0);
    assert!(
        run.stderr.contains("builder says 'copying' out of turn"),
        "{}",
        run.stderr
    );
    assert_eq!(end(&play, daemon), ["", "end"]);
}

/// One peer connects before anything is to come, and one afterwards.
#[test]
fn not_before_and_not_after() {
    let (play, daemon) = play("until_there early; say no-socket; say finished; until_there end");
    play.stage.stub("nix", "exit 1");
    let running = play.stage.start(BUILD);
    let socket = socket(&play);
    let mut early = connect(&socket).unwrap();
    early.write_all(b"early").unwrap();
    play.stage.write("early", "");
    // The connection is closed at the run's last word at the latest, even if the session is still there.
    assert!(is_refused(Some(early)));
    assert!(is_refused(connect(&socket)));
    play.stage.write("end", "");
    running.finish_within(LIMIT).unwrap();
    assert!(!end(&play, daemon).contains(&"early".to_owned()));
}
