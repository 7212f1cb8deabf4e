//! Runs `live` of remote/scripts/channel.sh for real: the script says that it lives.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use crate::remote::channel::ALIVE;

/// Returns a script that lives and does only this.
fn script(does: &str) -> String {
    [
        "rb_socket='' rb_client_stays=yes\n",
        include_str!("../../remote/scripts/events.sh"),
        include_str!("../../remote/scripts/channel.sh"),
        include_str!("../../remote/scripts/records.sh"),
        include_str!("../scripts/detached.sh"),
        include_str!("../scripts/attended.sh"),
        include_str!("../scripts/session.sh"),
        "take_streams\n",
        does,
    ]
    .concat()
}

/// Starts it in a group of its own. The stdin that is returned keeps it on.
fn start(does: &str) -> (Child, ChildStdin) {
    let mut command = Command::new("sh");
    command.args(["-c", &script(does)]).process_group(0);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let stdin = child.stdin.take().unwrap();
    (child, stdin)
}

fn id(child: &Child) -> Pid {
    Pid::from_raw(i32::try_from(child.id()).unwrap())
}

/// Whether a process of this group is on. One that has ended stays in /proc until its new parent has waited for it, and
/// the first process of a container may take seconds to do that.
fn is_anybody_in(group: Pid) -> bool {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let states = processes.filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok());
    let mut states = states.filter_map(|stat| {
        // The process's name, in brackets, may have anything in it.
        let mut words = stat.rsplit_once(") ")?.1.split(' ').map(str::to_owned);
        Some((words.next()?, words.nth(1)?))
    });
    states.any(|(state, number)| state != "Z" && number == group.to_string())
}

/// Checks that both streams end and no process is left, in less time than a sleep that was begun takes. Returns what
/// they said.
fn leaves_nothing(child: Child, within: Duration) -> (String, String) {
    let group = id(&child);
    let begin = Instant::now();
    let output = child.wait_with_output().unwrap();
    assert!(begin.elapsed() < within, "its streams are held: {:?}", begin.elapsed());
    while is_anybody_in(group) {
        assert!(begin.elapsed() < within, "something is left");
        thread::sleep(Duration::from_millis(5));
    }
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr))
}

fn hear_beats(child: &mut Child, number: usize) {
    let mut stderr = BufReader::with_capacity(1, child.stderr.as_mut().unwrap());
    for _ in 0..number {
        let mut line = String::new();
        stderr.read_line(&mut line).unwrap();
        assert_eq!(line, format!("{ALIVE}\n"));
    }
}

/// A script that says nothing else lives, and ends at once when its client is gone.
#[test]
fn a_quiet_script_lives_and_leaves_nothing() {
    let (mut child, stdin) = start("attend sh -c 'exec sleep 1000'\n");
    hear_beats(&mut child, 2);
    drop(stdin);
    let (stdout, stderr) = leaves_nothing(child, Duration::from_secs(2));
    assert_eq!((stdout.as_str(), stderr.as_str()), ("", ""));
}

/// Nothing is left either when the script has come to its end, or is killed.
#[test]
fn it_lives_no_longer_than_the_script() {
    let (mut child, stdin) = start("read -r _ <&3; event finished; exit 0\n");
    hear_beats(&mut child, 1);
    drop(stdin);
    let (stdout, _) = leaves_nothing(child, Duration::from_secs(2));
    assert_eq!(stdout, "@rebuild finished\n");

    let (mut child, _stdin) = start("attend sh -c 'exec sleep 1000 >&- 2>&-'\n");
    hear_beats(&mut child, 1);
    let mut stderr = child.stderr.take().unwrap();
    kill(id(&child), Signal::SIGKILL).unwrap();
    // sshd waits like this.
    child.wait().unwrap();
    let mut rest = String::new();
    // This reads until no process has the stream any more.
    stderr.read_to_string(&mut rest).unwrap();
    assert!(rest.lines().count() < 2, "{rest}");
    let _ = killpg(id(&child), Signal::SIGKILL);
}

/// The word never mixes with other output, whatever the script says, in whatever pieces, and however slowly it is read.
#[test]
fn a_long_line_in_pieces_is_whole() {
    let (mut child, stdin) = start(
        "piece() { head -c 500000 /dev/zero | tr '\\0' x; }
         printf begin; piece; read -r _ <&3; piece; printf 'end\\n'
         event finished; exit 0\n",
    );
    // A part of the first piece has gone into the pipe, and now and then a beat comes.
    hear_beats(&mut child, 2);
    drop(stdin);
    let (stdout, stderr) = leaves_nothing(child, Duration::from_secs(2));
    assert_eq!(
        stdout,
        format!("begin{}end\n@rebuild finished\n", "x".repeat(1_000_000))
    );
    assert_eq!(stderr, "");
}

/// If both streams are one, the word is not said, so that it never stands in Nix's lines.
#[test]
fn in_one_stream_there_is_no_such_word() {
    let does = "event \"has[$pulse]\"; exit 0\n";
    let mut command = Command::new("sh");
    command.args(["-c", &format!("exec 2>&1\n{}", script(does))]);
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "@rebuild has[]\n");
}

/// If only the script's own shell is killed, what it ran comes to its end, and then no process has the stream any more.
/// So the client hears that it is over, although the script says nothing itself.
#[test]
fn a_killed_script_is_over_when_its_work_is() {
    let (mut child, stdin) = start("attend sh -c 'echo begun; exec sleep 1'\n");
    let mut begun = [0; 6];
    child.stdout.as_mut().unwrap().read_exact(&mut begun).unwrap();
    kill(id(&child), Signal::SIGKILL).unwrap();
    child.wait().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let (sender, ended) = std::sync::mpsc::channel();
    thread::spawn(move || {
        let mut rest = String::new();
        _ = stdout.read_to_string(&mut rest);
        sender.send(rest)
    });
    let rest = ended.recv_timeout(Duration::from_secs(20));
    drop(stdin);
    assert_eq!(rest.as_deref(), Ok(""), "its stream is held");
    let _ = killpg(id(&child), Signal::SIGKILL);
}
