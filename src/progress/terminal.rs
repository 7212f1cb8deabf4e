//! A live display at the bottom of a terminal. Lines that stay scroll above it.
//!
//! Events only change the state, and a thread draws it a few times a second: Nix writes tens of thousands of lines about a
//! copy of a few hundred megabytes.

use std::os::fd::AsFd;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use console::{Style, Term, measure_text_width};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::echo::Echo;
use super::layout::Layout;
use super::watch::PrintedLine;
use super::watches::{Watches, named};
use super::{Event, Observer, Say, Verbosity};
use crate::harmless::{self, Colours};
use crate::output;

/// How often the display is drawn.
const TICK: Duration = Duration::from_millis(100);

/// The number of lines that may wait for the next drawing.
const WAITING: usize = 64;

/// Draws while something takes long.
pub struct Terminal {
    screen: Arc<Mutex<Screen>>,
    /// The thread ends when this sender is dropped.
    _alive: Sender<()>,
}

struct Screen {
    watches: Watches,
    layout: Layout,
    log_name: Style,
    terminal: Term,
    /// The terminal whose echo is held back.
    echoing: Box<dyn AsFd + Send>,
    echo: Echo,
    say: Say,
    /// The lines that are drawn, and what draws them.
    display: MultiProgress,
    bars: Vec<ProgressBar>,
    /// Lines to be printed with the next drawing, with their machine if it is one of several.
    waiting: Vec<(Option<String>, PrintedLine)>,
}

impl Terminal {
    /// Starts the thread that draws, on standard error.
    #[must_use]
    pub fn new(verbosity: Verbosity) -> Self {
        Self::drawing(Screen {
            watches: Watches::new(verbosity, true, Instant::now()),
            layout: Layout::new(),
            log_name: Style::new().for_stderr().magenta(),
            terminal: Term::stderr(),
            echoing: Box::new(std::io::stderr()),
            echo: Echo::default(),
            say: Arc::new(output::say),
            display: MultiProgress::with_draw_target(ProgressDrawTarget::stderr()),
            bars: Vec::new(),
            waiting: Vec::new(),
        })
    }

    fn drawing(screen: Screen) -> Self {
        let screen = Arc::new(Mutex::new(screen));
        let (alive, end) = channel();
        let shared = Arc::clone(&screen);
        thread::spawn(move || {
            while end.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                lock(&shared).draw();
            }
        });
        Self { screen, _alive: alive }
    }
}

fn lock(screen: &Mutex<Screen>) -> MutexGuard<'_, Screen> {
    screen.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Observer for Terminal {
    fn see(&self, machine: Option<&str>, event: Event) {
        let mut screen = lock(&self.screen);
        let lines = screen.watches.see(machine, event, Instant::now());
        let lines = lines.into_iter().map(|line| (machine.map(str::to_owned), line));
        screen.waiting.extend(lines);
        // Where nothing is live, somebody else may write next, so these lines are printed before.
        if !screen.watches.is_going() {
            screen.clear();
        } else if screen.waiting.len() >= WAITING {
            screen.print();
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        lock(&self.screen).clear();
    }
}

impl Screen {
    fn draw(&mut self) {
        if !self.watches.is_going() {
            return;
        }
        let now = Instant::now();
        self.watches.tick(now);
        self.print();
        let (height, width) = self.size();
        let lines = self.layout.lines(&self.watches, height, width, now);
        while self.bars.len() > lines.len() {
            if let Some(bar) = self.bars.pop() {
                bar.finish_and_clear();
                self.display.remove(&bar);
            }
        }
        self.echo.hold(&self.echoing);
        while self.bars.len() < lines.len() {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{msg}") {
                bar.set_style(style);
            }
            self.bars.push(self.display.add(bar));
        }
        for (bar, line) in self.bars.iter().zip(lines) {
            bar.set_message(line);
        }
    }

    /// Prints the waiting lines above the display.
    fn print(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        let lines = std::mem::take(&mut self.waiting);
        let lines = lines
            .iter()
            .map(|(machine, line)| self.coloured(machine.as_deref(), line));
        let text = lines.collect::<Vec<_>>().join("\n");
        self.display.suspend(|| (self.say)(&text));
    }

    /// Returns the terminal's lines and columns.
    fn size(&self) -> (usize, usize) {
        let (height, width) = self.terminal.size_checked().unwrap_or((24, 80));
        (height.into(), width.into())
    }

    fn clear(&mut self) {
        for bar in self.bars.drain(..) {
            bar.finish_and_clear();
            self.display.remove(&bar);
        }
        self.echo.release(&self.echoing);
        self.print();
    }

    fn coloured(&self, machine: Option<&str>, line: &PrintedLine) -> String {
        let text = match line {
            PrintedLine::Text(text) if console::colors_enabled_stderr() => harmless::text(text, Colours::Kept),
            PrintedLine::Text(_) => line.plain(),
            PrintedLine::Summary(text) => {
                let (_, width) = self.size();
                let name = measure_text_width(&named(machine, ""));
                super::layout::wrapped(text, width.saturating_sub(name))
            }
            PrintedLine::Log { name, text } => format!("{}> {text}", self.log_name.apply_to(name)),
        };
        named(machine, &text)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read, Write};
    use std::sync::mpsc::Receiver;

    use nix::pty::{Winsize, openpty};

    use super::*;
    use crate::progress::nix_log::LogLine;
    use crate::progress::{Reporter, Work};

    /// How long the test waits for the screen, on a machine that is busy with other tests.
    const PATIENCE: Duration = Duration::from_secs(60);

    /// A live display on a terminal of its own, and what comes out of that.
    struct Drawn {
        reporter: Reporter,
        chunks: Receiver<Vec<u8>>,
        shown: Vec<u8>,
    }

    impl Drawn {
        fn new() -> Self {
            let size = Winsize {
                ws_row: 24,
                ws_col: 80,
                ws_xpixel: 0,
                ws_ypixel: 0,
            };
            let pair = openpty(&size, None).unwrap();
            let slave = File::from(pair.slave);
            let (sender, chunks) = channel();
            thread::spawn(move || {
                let (mut master, mut buffer) = (File::from(pair.master), [0; 4096]);
                while let Ok(size @ 1..) = master.read(&mut buffer) {
                    if sender.send(buffer[..size].to_vec()).is_err() {
                        break;
                    }
                }
            });
            let reporter = Reporter::new(Terminal::drawing(screen(&slave)));
            let shown = Vec::new();
            Self {
                reporter,
                chunks,
                shown,
            }
        }

        fn text(&self) -> String {
            let text = String::from_utf8_lossy(&self.shown);
            console::strip_ansi_codes(&text).into_owned()
        }

        fn wait_for(&mut self, text: &str) {
            let end = Instant::now() + PATIENCE;
            while !self.text().contains(text) {
                let chunk = self.chunks.recv_timeout(end.saturating_duration_since(Instant::now()));
                let chunk = chunk.unwrap_or_else(|error| panic!("no {text:?} ({error}) in:\n{}", self.text()));
                self.shown.extend(chunk);
            }
        }
    }

    fn screen(slave: &File) -> Screen {
        let file = || slave.try_clone().unwrap();
        let terminal = Term::read_write_pair(file(), file());
        let lines = Mutex::new(file());
        let target = ProgressDrawTarget::term_like_with_hz(Box::new(terminal.clone()), 20);
        Screen {
            watches: Watches::new(Verbosity::default(), true, Instant::now()),
            layout: Layout::new(),
            log_name: Style::new(),
            terminal,
            echoing: Box::new(file()),
            echo: Echo::default(),
            say: Arc::new(move |text| writeln!(lines.lock().unwrap(), "{text}").unwrap()),
            display: MultiProgress::with_draw_target(target),
            bars: Vec::new(),
            waiting: Vec::new(),
        }
    }

    fn tell_of_work(reporter: &Reporter) {
        reporter.tell(Event::phase(Work::Building, None));
        for id in 0..200 {
            let derivation = format!("/nix/store/00000000000000000000000000000000-hello-{id}.drv");
            let line = format!(r#"@nix {{"action":"start","id":{id},"type":105,"fields":["{derivation}","",1,1]}}"#);
            reporter.tell(Event::Nix(LogLine::parse(&line).unwrap()));
            reporter.tell(Event::Text(format!("line {id}.")));
            reporter.tell(Event::Nix(LogLine::Stop { id }));
        }
    }

    /// The display goes on meanwhile; each line is printed once, whole and in its machine's order. While one machine asks
    /// something, nothing is drawn, though the others work.
    #[test]
    fn several_threads_tell_one_display() {
        let mut drawn = Drawn::new();
        let names = ["pi", "nas", "tv"];
        thread::scope(|scope| {
            for name in names {
                let reporter = &drawn.reporter;
                scope.spawn(move || tell_of_work(&reporter.of_machine(name)));
            }
        });
        let nas = drawn.reporter.of_machine("nas");
        nas.tell(Event::phase(Work::Activating("switch"), None));
        drawn.wait_for(" nas: activating (switch)");
        nas.tell(Event::Text("last.".to_owned()));
        drawn.reporter.of_machine("tv").tell(Event::phase(Work::Asking, None));
        nas.tell(Event::Text("printed at once.".to_owned()));
        drawn.wait_for("nas: printed at once.\r\n");
        let text = drawn.text();
        for name in names {
            let places = (0..200).map(|id| {
                let line = format!("{name}: line {id}.\r\n");
                assert_eq!(text.matches(&line).count(), 1, "{line} {text}");
                text.find(&line).unwrap()
            });
            assert!(places.collect::<Vec<_>>().is_sorted(), "{text}");
        }
        let meanwhile = text.split_once("nas: last.\r\n").unwrap().1;
        assert!(meanwhile.starts_with("nas: printed at once."), "{meanwhile:?}");
        drawn.reporter.of_machine("tv").tell(Event::Idle);
        drawn.shown.clear();
        drawn.wait_for(" nas: activating (switch)");
    }
}
