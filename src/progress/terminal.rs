//! A live display at the bottom of a terminal; what is printed for good scrolls above it.
//!
//! Events change the state and no more: a thread draws it a few times a second. Of a copy of a few hundred megabytes
//! Nix writes tens of thousands of lines.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use console::{Style, Term};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::echo::Echo;
use super::layout::Layout;
use super::watch::PrintedLine;
use super::watches::Watches;
use super::{Event, Observer, Verbosity};
use crate::harmless::{self, Colours};
use crate::output;

/// How often it is drawn.
const TICK: Duration = Duration::from_millis(100);

/// As many lines wait for the next drawing.
const WAITING: usize = 64;

/// Draws while something takes its time.
pub struct Terminal {
    screen: Arc<Mutex<Screen>>,
    /// Whose end ends the thread.
    _alive: Sender<()>,
}

struct Screen {
    watches: Watches,
    layout: Layout,
    log_name: Style,
    terminal: Term,
    echo: Echo,
    /// The lines that are drawn, and what draws them.
    display: MultiProgress,
    bars: Vec<ProgressBar>,
    /// Lines to be printed with the next drawing.
    waiting: Vec<PrintedLine>,
}

impl Terminal {
    /// For standard error.
    #[must_use]
    pub fn new(verbosity: Verbosity) -> Self {
        let screen = Screen {
            watches: Watches::new(verbosity, true, Instant::now()),
            layout: Layout::new(),
            log_name: Style::new().for_stderr().magenta(),
            terminal: Term::stderr(),
            echo: Echo::default(),
            display: MultiProgress::with_draw_target(ProgressDrawTarget::stderr()),
            bars: Vec::new(),
            waiting: Vec::new(),
        };
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
        screen.waiting.extend(lines);
        // Where nothing is live, somebody else may write next: before them.
        if !screen.watches.shown().is_going() {
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
        if !self.watches.shown().is_going() {
            return;
        }
        let now = Instant::now();
        self.watches.tick(now);
        self.print();
        let (height, width) = self.size();
        let lines = self.layout.lines(self.watches.shown(), height, width, now);
        while self.bars.len() > lines.len() {
            if let Some(bar) = self.bars.pop() {
                bar.finish_and_clear();
                self.display.remove(&bar);
            }
        }
        self.echo.hold(std::io::stderr());
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

    /// Prints what waits, above the display.
    fn print(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        let lines = std::mem::take(&mut self.waiting);
        let lines: Vec<String> = lines.iter().map(|line| self.coloured(line)).collect();
        let text = lines.join("\n");
        self.display.suspend(|| output::say(&text));
    }

    /// Lines and columns.
    fn size(&self) -> (usize, usize) {
        let (height, width) = self.terminal.size_checked().unwrap_or((24, 80));
        (height.into(), width.into())
    }

    fn clear(&mut self) {
        for bar in self.bars.drain(..) {
            bar.finish_and_clear();
            self.display.remove(&bar);
        }
        self.echo.release(std::io::stderr());
        self.print();
    }

    fn coloured(&self, line: &PrintedLine) -> String {
        match line {
            PrintedLine::Text(text) if console::colors_enabled_stderr() => harmless::text(text, Colours::Kept),
            PrintedLine::Text(_) => line.plain(),
            PrintedLine::Summary(text) => {
                let (_, width) = self.size();
                super::layout::wrapped(text, width)
            }
            PrintedLine::Log { name, text } => format!("{}> {text}", self.log_name.apply_to(name)),
        }
    }
}
