//! The hostile builder: a machine that was trusted to evaluate and build, and does everything else that it can instead.
//! It plays every line of the parts D and E of issue 11 ("Never another system").
//!
//! To add a play, write a `#[test]` into the file here that fits (or into a new one: `mod NAME;` below). In the test,
//! write
//!
//! ```ignore
//! Play::new("D16", "hear_script; greet; say finished").fails("switch --eval-on builder", "says 'finished'");
//! ```
//!
//! `new` takes the line of the issue that is played, and the play: shell text for the stand-in for ssh, with the words
//! of `tests/program/stubs/hostile-builder.sh` (`greet`, `evaluated`, `asks_by_error`, `flood`, `weigh`, ...).
//! `play.stage` is the stage (`tests/program/stubs`); it is for files and further stand-ins before the run, and for
//! looking around after it. `fails` runs the program and checks what must hold in every play: the run comes to an end,
//! in time and with an exit status that is not 0; the error has this text and the builder's name; nothing was printed
//! as a result; nothing was changed on this machine; and no ssh is left. It returns the run, for whatever else must
//! hold. `ends` is the same for a run that comes to a good end all the same. `memory` is the most memory that the
//! program held when the play called `weigh`.

mod asks;
mod channels;
mod ends;
mod floods;
mod jobs;
mod lent;
mod lock;
mod refusals;
mod silences;
mod targets;
mod told;
mod unchanged;
mod words;

use std::time::Duration;

use crate::stubs::{Run, Stage};
use crate::{DRV, SYSTEM};

const BUILDER: &str = include_str!("../stubs/hostile-builder.sh");

/// No play takes longer, even on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

/// Plays that mostly wait run at the same time.
pub fn at_once<T: Send>(plays: impl IntoIterator<Item = T>, each: impl Fn(T) + Sync) {
    let each = &each;
    std::thread::scope(|scope| {
        for play in plays {
            scope.spawn(move || each(play));
        }
    });
}

pub struct Play {
    line: &'static str,
    pub stage: Stage,
}

impl Play {
    pub fn new(line: &'static str, acts: &str) -> Self {
        let stage = Stage::own_machine(SYSTEM);
        stage.stub("ssh", &format!("DRV={DRV} SYSTEM={SYSTEM}\n{BUILDER}\n{acts}"));
        stage.stub("nix-copy-closure", "");
        Self { line, stage }
    }

    /// Runs the program. Whatever the result is, the run must come to an end and leave no ssh.
    pub fn run(&self, arguments: &str) -> Run {
        let run = self.stage.start(arguments).finish_within(LIMIT);
        assert!(run.is_some(), "{}: {arguments} hangs", self.line);
        self.no_ssh_is_left();
        run.unwrap()
    }

    pub fn fails(&self, arguments: &str, text: &str) -> Run {
        let run = self.run(arguments);
        let line = self.line;
        assert!(run.code > 0, "{line}: exit status {}: {}", run.code, run.stderr);
        let error = run.stderr.rsplit("error: ").next().unwrap_or_default();
        assert!(
            error.contains(text) && error.contains("builder"),
            "{line}: {}",
            run.stderr
        );
        assert_eq!(run.stdout, "", "{line}");
        self.nothing_is_changed();
        run
    }

    pub fn ends(&self, arguments: &str) -> Run {
        let run = self.run(arguments);
        assert_eq!(run.code, 0, "{}: {}", self.line, run.stderr);
        run
    }

    /// Returns the memory in bytes.
    pub fn memory(&self) -> usize {
        self.stage.read("memory").trim().parse::<usize>().unwrap() * 1024
    }

    pub fn nothing_is_changed(&self) {
        let calls = self.stage.calls();
        let changes = ["nix-env ", "systemd-run ", "switch-to-configuration"];
        let is_change = |call: &&String| changes.iter().any(|change| call.starts_with(change));
        assert_eq!(calls.iter().find(is_change), None, "{}", self.line);
    }

    pub fn no_ssh_is_left(&self) {
        let left = self.stage.sh("for file in ssh-*.pid; do
                [ ! -e \"$file\" ] || [ ! -e \"/proc/$(cat \"$file\")\" ] || cat \"$file\"
             done");
        assert_eq!(left, "", "{}: ssh is left", self.line);
    }
}
