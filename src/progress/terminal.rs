//! A live line at the bottom of a terminal; what is printed for good scrolls above it.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::watch::Watch;
use super::{Event, Observer, Phase, Verbosity};

/// Draws while something takes its time.
pub struct Terminal {
    watch: Watch,
    line: Option<ProgressBar>,
}

impl Terminal {
    /// For standard error.
    #[must_use]
    pub fn new(verbosity: Verbosity) -> Self {
        Self {
            watch: Watch::new(verbosity),
            line: None,
        }
    }

    /// No line while ssh connects, for it may ask for a password there.
    fn draws(&self) -> bool {
        !matches!(self.watch.phase(), None | Some(Phase::Connecting(_) | Phase::Done))
    }
}

impl Observer for Terminal {
    fn see(&mut self, event: Event) {
        let mut lines = self.watch.see(event);
        if !console::colors_enabled_stderr() {
            for line in &mut lines {
                *line = console::strip_ansi_codes(line).into_owned();
            }
        }
        match (&self.line, self.draws()) {
            (None, true) => self.line = Some(live_line()),
            (Some(line), false) => {
                line.finish_and_clear();
                self.line = None;
            }
            _ => {}
        }
        match &self.line {
            Some(line) => {
                if !lines.is_empty() {
                    line.suspend(|| lines.iter().for_each(|text| eprintln!("{text}")));
                }
                line.set_message(self.watch.status());
            }
            None => lines.iter().for_each(|text| eprintln!("{text}")),
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if let Some(line) = &self.line {
            line.finish_and_clear();
        }
    }
}

fn live_line() -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {wide_msg} {elapsed}");
    let line = ProgressBar::new_spinner();
    if let Ok(style) = style {
        line.set_style(style);
    }
    line.enable_steady_tick(Duration::from_millis(120));
    line
}
