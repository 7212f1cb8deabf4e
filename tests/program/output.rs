//! The program's own output, if nobody takes it, and if it comes from another machine.

use std::fs::File;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::stubs::Stage;
use crate::{DRV, SYSTEM, good_session};

/// Returns the end of a pipe whose other end is closed.
fn pipe_of_nobody() -> Stdio {
    nix::unistd::pipe().unwrap().1.into()
}

fn full() -> Stdio {
    File::options().write(true).open("/dev/full").unwrap().into()
}

/// A run that has changed the system is no failure only because nobody has read its last line.
#[test]
fn a_reader_that_has_gone_is_no_failure() {
    let stage = Stage::own_machine(SYSTEM);
    stage.stub("nix-build", &format!("echo {SYSTEM}"));
    for line in [
        "switch",
        "build",
        "list-generations",
        "--show-settings",
        "--show-settings --json",
    ] {
        let run = stage.rebuild_into(line, pipe_of_nobody(), Stdio::piped());
        assert_eq!(run.code, 0, "{line}: {}", run.stderr);
    }
    let run = stage.rebuild_into("switch", pipe_of_nobody(), pipe_of_nobody());
    assert_eq!(run.code, 0);
}

#[test]
fn words_that_nobody_can_read_stop_nothing() {
    for stderr in [pipe_of_nobody, full] {
        let stage = Stage::own_machine(SYSTEM);
        stage.stub("nix-build", &format!("echo trouble >&2; echo {SYSTEM}"));
        let run = stage.rebuild_into("switch", Stdio::piped(), stderr());
        assert_eq!((run.code, run.stdout), (0, format!("{SYSTEM}\n")));
        stage.stub("nix-build", "exit 100");
        let run = stage.rebuild_into("switch", Stdio::piped(), stderr());
        assert_eq!((run.code, run.stdout.as_str()), (100, ""));
    }
}

/// A script goes on with what it was given: an empty file is not the path.
#[test]
fn a_result_that_cannot_be_printed_is_said() {
    let stage = Stage::own_machine(SYSTEM);
    stage.stub("nix-build", &format!("echo {SYSTEM}"));
    let run = stage.rebuild_into("switch", full(), Stdio::piped());
    assert_eq!(run.code, 1, "{}", run.stderr);
    let expected = format!(
        "Done. The new configuration is \nerror: the result could not be printed: No space left on device (os error 28)\n  \
         all else was done. The new configuration is {SYSTEM}\n"
    );
    assert!(run.said().ends_with(&expected), "{}", run.stderr);
    for line in ["list-generations", "list-generations --json", "--show-settings"] {
        let run = stage.rebuild_into(line, full(), Stdio::piped());
        assert_eq!(run.code, 1, "{line}: {}", run.stderr);
        let expected = "error: the result could not be printed: No space left on device (os error 28)\n";
        assert_eq!(run.stderr, expected, "{line}");
    }
}

/// If a terminal heard these, they would fill the clipboard, clear the screen and change the title.
const ORDERS: &str = r"\033]52;c;aGk=\007\033[2J\033]0;title\007\302\2332K\342\200\256";

/// Nix lets colours through, and nothing else. So does a run, whoever says it.
#[test]
fn other_machines_give_the_terminal_no_orders() {
    let json = ORDERS
        .replace(r"\033", r"\\u001b")
        .replace(r"\007", r"\\u0007")
        .replace(r"\302\233", r"\\u009b")
        .replace(r"\342\200\256", r"\\u202e");
    let log = format!(
        r#"printf 'line{ORDERS}\n'
           printf 'ssh{ORDERS}\n' >&2
           printf '@nix {{"action":"msg","level":1,"msg":"message \\u001b[31mred\\u001b[0m{json}"}}\n'
           printf '@nix {{"action":"start","fields":["{DRV}{json}","{json}",1,1],"id":2,"level":3,"text":"","type":105}}\n'
           printf '@nix {{"action":"result","fields":["phase{json}"],"id":2,"type":104}}\n'
           printf '@nix {{"action":"result","fields":["log{json}"],"id":2,"type":101}}\n'
           sleep 0.5"#
    );
    let session = good_session("say no-socket; say finished").replace("say building", &format!("say building\n{log}"));
    for (terminal, line) in [
        ("dumb", "build --eval-on builder --no-lend -L"),
        ("xterm", "build --eval-on builder --no-lend -L"),
        ("xterm", "build --eval-on builder --no-lend -L -vv"),
    ] {
        let stage = Stage::new();
        stage.stub("ssh", &session);
        stage.stub("nix-copy-closure", "");
        stage.variable("TERM", terminal);
        let run = stage.start_at_terminal(line).finish();
        assert_eq!(run.code, 0, "{}", run.stderr);
        for what in ["line", "ssh", "message", "log"] {
            assert!(run.stderr.contains(what), "{terminal}: {what}: {:?}", run.stderr);
        }
        for order in ["\u{1b}]", "\u{1b}[2J", "\u{7}", "\u{9b}", "\u{202e}"] {
            assert!(!run.stderr.contains(order), "{terminal}: {order:?}: {:?}", run.stderr);
        }
        assert_eq!(
            run.stderr.contains("\u{1b}[31mred\u{1b}[0m"),
            terminal == "xterm",
            "{:?}",
            run.stderr
        );
    }
}

/// What an error quotes comes from elsewhere, too.
#[test]
fn an_error_gives_the_terminal_no_orders() {
    let stage = Stage::new();
    let session = good_session("").replace("say need", &format!(r"printf '@rebuild need {ORDERS}x\n'"));
    stage.stub("ssh", &session);
    let run = stage.rebuild("build --eval-on builder --no-lend");
    assert_eq!(run.code, 1);
    assert!(
        run.said()
            .ends_with("error: builder asks for x, which it was not offered\n"),
        "{:?}",
        run.stderr
    );
}

/// If nobody reads the screen (Ctrl-S, a slow line), the other machine waits, and does not fill this one's memory.
#[test]
fn what_nobody_reads_is_not_kept_in_memory() {
    let stage = Stage::new();
    let flood = "yes \"$(printf %01000d 0)\" | head -n 20000; : >flooded; say no-socket; say finished";
    stage.stub("ssh", &good_session(&format!(": >talking; {flood}")));
    stage.stub("nix-copy-closure", "");
    let child = stage.start("build --eval-on builder --no-lend");
    stage.wait_for("talking");
    std::thread::sleep(Duration::from_secs(1));
    assert!(!stage.path("flooded").exists());
    let used = child.memory();
    assert!(used < 30_000_000, "{used} bytes");
    let run = child.finish();
    assert_eq!(run.code, 0);
    assert!(run.stderr.len() > 20_000_000, "{}", run.stderr.len());
}

/// Ctrl-C does not wait for its turn behind what is still to be shown.
#[test]
fn an_interrupt_overtakes_what_is_to_be_shown() {
    let stage = Stage::new();
    stage.stub(
        "ssh",
        &good_session(
            ": >talking; yes 'a line of a log' & read -r word; kill $!; echo \"heard $word\" >heard; exit 130",
        ),
    );
    let mut child = stage.start("build --eval-on builder --no-lend");
    stage.wait_for("talking");
    std::thread::sleep(Duration::from_millis(300));
    let begin = Instant::now();
    child.signal("INT");
    assert_eq!(child.finish().code, 130);
    assert!(begin.elapsed() < Duration::from_secs(8), "{:?}", begin.elapsed());
    assert_eq!(stage.read("heard"), "heard cancel\n");
}

/// After the end, ssh says more than any pipe or queue holds: its end is waited for all the same.
#[test]
fn last_words_of_any_length_hold_up_nothing() {
    let last_words = "exec >&-; yes 'last words' | head -n 100000 >&2";
    let stage = Stage::new();
    stage.stub(
        "ssh",
        &good_session(&format!("say no-socket; say finished; {last_words}")),
    );
    stage.stub("nix-copy-closure", "");
    assert_eq!(stage.rebuild("build --eval-on builder --no-lend").code, 0);
    stage.stub("ssh", &format!("hear_script; {last_words}; exit 255"));
    stage.stub("nix", "");
    stage.stub("nix-build", "");
    for line in [
        "build --eval-on builder",
        "switch --target-host target --sudo",
        "switch --target-host root@target --eval-on target",
    ] {
        let run = stage.rebuild(line);
        assert_eq!(run.code, 255, "{line}");
        assert!(run.stderr.len() < 2_000_000, "{line}: {}", run.stderr.len());
    }
}
