//! A terminal at which somebody types: the shells complete nowhere else as they do there.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use nix::pty::{Winsize, openpty};

/// The prompt that a shell must have been given.
pub const PROMPT: &str = "ready> ";

/// For a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(60);

/// After which nothing more is coming. nushell takes keys that come within 100 ms for one, as if pasted.
const QUIET: Duration = Duration::from_millis(150);

/// A shell at a terminal.
pub struct Terminal {
    shell: Child,
    keys: File,
    output: Receiver<Vec<u8>>,
    /// All that was shown.
    shown: Vec<u8>,
    /// How much of it has been looked at for questions.
    answered: usize,
}

impl Terminal {
    /// Starts the shell and waits for its prompt.
    pub fn start(shell: &mut Command) -> Self {
        let size = Winsize {
            ws_row: 60,
            ws_col: 200,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        let pair = openpty(&size, None).unwrap();
        let (keys, slave) = (File::from(pair.master), File::from(pair.slave));
        // setsid makes it the shell's own terminal.
        let mut command = Command::new("setsid");
        command
            .args(["--ctty", "--wait"])
            .arg(shell.get_program())
            .args(shell.get_args());
        for (name, value) in shell.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        if let Some(directory) = shell.get_current_dir() {
            command.current_dir(directory);
        }
        let stdio = || Stdio::from(slave.try_clone().unwrap());
        let child = command.stdin(stdio()).stdout(stdio()).stderr(stdio()).spawn().unwrap();
        let mut reader = keys.try_clone().unwrap();
        let (sender, output) = channel();
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(size @ 1..) = reader.read(&mut buffer) {
                if sender.send(buffer[..size].to_vec()).is_err() {
                    break;
                }
            }
        });
        let mut terminal = Self {
            shell: child,
            keys,
            output,
            shown: Vec::new(),
            answered: 0,
        };
        terminal.wait_until("a prompt", |terminal| terminal.text().contains(PROMPT));
        terminal.settle();
        terminal
    }

    /// Types it, and waits until the shell has no more to show.
    pub fn type_keys(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.settle();
    }

    /// Ends the line, and waits for a file that its command makes and for the prompt after it.
    pub fn run(&mut self, file: &Path) {
        self.keys.write_all(b"\r").unwrap();
        self.wait_until("the command to run", |terminal| {
            file.exists() && terminal.text().contains(PROMPT)
        });
        self.settle();
    }

    /// What was shown up to now; it is forgotten.
    pub fn take_shown(&mut self) -> String {
        self.answered = 0;
        String::from_utf8_lossy(&std::mem::take(&mut self.shown)).into_owned()
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.shown).into_owned()
    }

    fn settle(&mut self) {
        while let Ok(bytes) = self.output.recv_timeout(QUIET) {
            self.see(&bytes);
        }
    }

    fn wait_until(&mut self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let begin = Instant::now();
        while !is_so(self) {
            assert!(
                begin.elapsed() < PATIENCE,
                "waited for {what}; shown was:\n{}",
                self.text()
            );
            if let Ok(bytes) = self.output.recv_timeout(Duration::from_millis(20)) {
                self.see(&bytes);
            }
        }
    }

    /// Answers what shells ask a terminal: where the cursor is, and what kind it is.
    fn see(&mut self, bytes: &[u8]) {
        self.shown.extend_from_slice(bytes);
        for (question, answer) in [
            ("\x1b[6n", "\x1b[1;1R"),
            ("\x1b[c", "\x1b[?1;2c"),
            ("\x1b[0c", "\x1b[?1;2c"),
        ] {
            let new = String::from_utf8_lossy(&self.shown[self.answered..]).into_owned();
            for _ in new.matches(question) {
                // A shell that has ended hears nothing.
                let _ = self.keys.write_all(answer.as_bytes());
            }
        }
        self.answered = self.shown.len();
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}
