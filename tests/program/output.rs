//! What becomes of the program's own output, where nobody takes it and where it comes from another machine.

use std::fs::File;
use std::process::Stdio;

use crate::SYSTEM;
use crate::stubs::Stage;

/// The end of a pipe whose other end is closed.
fn pipe_of_nobody() -> Stdio {
    nix::unistd::pipe().unwrap().1.into()
}

fn full() -> Stdio {
    File::options().write(true).open("/dev/full").unwrap().into()
}

/// A run that has changed the system is no failure because nobody has read its last line.
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
    assert!(run.stderr.ends_with(&expected), "{}", run.stderr);
    for line in ["list-generations", "list-generations --json", "--show-settings"] {
        let run = stage.rebuild_into(line, full(), Stdio::piped());
        assert_eq!(run.code, 1, "{line}: {}", run.stderr);
        let expected = "error: the result could not be printed: No space left on device (os error 28)\n";
        assert_eq!(run.stderr, expected, "{line}");
    }
}
