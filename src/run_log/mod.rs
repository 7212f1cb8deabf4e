//! The log that each run keeps for bug reports: what was typed, what applied, what was planned, and everything that
//! happened, with times, whatever of it was shown. It stays within bounds ([`bounded`]), the logs of the last runs
//! are kept ([`place`]), and secrets are left out ([`secrets`]).
//!
//! It is written beside the display as things happen. A log that cannot be written is no failure of the run.

mod bounded;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod place;
mod secrets;
mod sieve;
mod words;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chrono::Local;
use nix::fcntl::Flock;

use crate::failure::Interrupted;
use crate::failure::{Declined, describe, exit_code};
use crate::harmless::{self, Colours};
use crate::own_nix::OwnNix;
use crate::plan::{Deployment, Origin, Plan, Task};
use crate::progress::{Event, Listener, Reporter};
use crate::settings::Settings;
use crate::surroundings::Surroundings;
use bounded::{BOUNDS, Bounded, Bounds};
use secrets::Secrets;

/// The most bytes of one text: some builds write whole files into one line.
const LONGEST: usize = 8 << 10;

/// After so long, what waits is written with the next text.
const LATEST: Duration = Duration::from_secs(10);

/// The log of a run that goes on.
pub struct RunLog {
    path: PathBuf,
    began: Instant,
    secrets: Secrets,
    state: Mutex<State>,
}

struct State {
    file: Bounded<Flock<File>>,
    flushed: Instant,
    /// The numbers of the builds that run.
    builds: BTreeSet<u64>,
}

impl RunLog {
    /// Begins the log of a run that makes or changes a system, if the user wants one; other runs have none. Returns it,
    /// and a reporter that tells it beside the display. If the log cannot be kept, that is no reason not to run.
    #[must_use]
    pub fn begin(
        plan: &Plan,
        settings: &Settings,
        around: &Surroundings,
        nix: &OwnNix,
        reporter: Reporter,
    ) -> (Option<Arc<Self>>, Reporter) {
        let deployment = match &plan.task {
            Task::Deploy(deployment) if settings.log() => deployment,
            _ => return (None, reporter),
        };
        let secrets = Secrets::of(around, nix, &deployment.flags.common.option, settings.wake());
        match Self::make(&place::directory(around), secrets, BOUNDS) {
            Ok(log) => {
                log.head(deployment, plan, settings, around);
                let log = Arc::new(log);
                let listener = Arc::clone(&log) as Arc<dyn Listener>;
                (Some(log), reporter.with(listener))
            }
            Err(error) => {
                reporter.tell(Event::Detail(format!("no log of this run is kept: {error}")));
                (None, reporter)
            }
        }
    }

    fn make(directory: &Path, secrets: Secrets, bounds: Bounds) -> io::Result<Self> {
        let (path, file) = place::new_file(directory)?;
        let began = Instant::now();
        let state = State {
            file: Bounded::new(file, bounds),
            flushed: began,
            builds: BTreeSet::new(),
        };
        Ok(Self {
            path,
            began,
            secrets,
            state: Mutex::new(state),
        })
    }

    /// Writes that all is done.
    pub fn succeeds(&self) {
        let _ = self.end("done: exit status 0");
    }

    /// Writes why the run failed. Returns the line that tells the user where the log is, unless they have stopped the
    /// run themselves.
    #[must_use]
    pub fn fails(&self, error: &anyhow::Error) -> Option<String> {
        let text = describe(error).unwrap_or_else(|| error.to_string());
        let ended = self.end(&format!("{text}\nfailed: exit status {}", exit_code(error)));
        if error.is::<Interrupted>() || error.is::<Declined>() {
            return None;
        }
        let path = harmless::name(&self.path.to_string_lossy());
        Some(match ended {
            Ok(()) => format!("log: {path}"),
            Err(error) => format!("log: {path} (its end is missing: {error})"),
        })
    }

    fn end(&self, text: &str) -> io::Result<()> {
        let mut state = self.lock();
        self.write(&mut state, None, text);
        self.write(&mut state, None, &format!("ended: {}", now()));
        state.file.finish()
    }

    /// Writes what is known before the run does anything.
    fn head(&self, deployment: &Deployment, plan: &Plan, settings: &Settings, around: &Surroundings) {
        let words: Vec<String> = around
            .words
            .iter()
            .map(|word| word.to_string_lossy().into_owned())
            .collect();
        let words = self.secrets.without_in_words(&words);
        let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let mut lines = vec![
            format!("rebuild {}", env!("CARGO_PKG_VERSION")),
            "Secrets that are known as such are left out. Read it before you show it to anybody.".to_owned(),
            format!("began: {}", now()),
            format!("command: {}", words.join(" ")),
            format!("directory: {}", around.directory.display()),
            format!(
                "machine: {}, {}, Linux {}",
                around.own_name,
                std::env::consts::ARCH,
                kernel.trim()
            ),
            format!("user: {}", nix::unistd::geteuid()),
        ];
        lines.push(indented("settings:", &settings.table()));
        lines.extend(plan_lines(deployment));
        lines.extend(plan.warnings.iter().map(|warning| format!("warning: {warning}")));
        let text = harmless::text(&lines.join("\n"), Colours::Dropped);
        let text = self.secrets.without(&text);
        let mut state = self.lock();
        state.file.add(&format!("{text}\n\n"));
        state.file.flush();
    }

    /// Writes a text with its time, which is in seconds since the beginning.
    fn write(&self, state: &mut State, machine: Option<&str>, text: &str) {
        let text = harmless::text(&with_ends(text), Colours::Dropped);
        let text = self.secrets.without(&text);
        let text = cut(&text);
        let time = self.began.elapsed();
        let mut line = format!("{:>7}.{:03} ", time.as_secs(), time.subsec_millis());
        line.extend(machine.iter().flat_map(|name| [name, ": "]));
        for (number, part) in text.split('\n').enumerate() {
            line.push_str(if number > 0 { "\n            " } else { "" });
            line.push_str(part);
        }
        line.push('\n');
        state.file.add(&line);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Listener for RunLog {
    fn hear(&self, machine: Option<&str>, event: &Event) {
        let mut state = self.lock();
        let Some(text) = words::words(event, &mut state.builds) else {
            return;
        };
        self.write(&mut state, machine, &text);
        if matches!(event, Event::Phase(_)) || state.flushed.elapsed() > LATEST {
            state.file.flush();
            state.flushed = Instant::now();
        }
    }
}

/// Returns the plan: who does what, and the steps.
fn plan_lines(deployment: &Deployment) -> Vec<String> {
    let mut lines = vec![format!("target: {:?}", deployment.target)];
    match &deployment.origin {
        Origin::Made(making) => lines.extend([
            format!("evaluator: {:?}", making.evaluator),
            format!("builder: {:?}", making.builder),
            format!("configuration: {}", making.configuration),
        ]),
        origin => lines.push(format!("origin: {origin:?}")),
    }
    lines.push(format!("outcome: {:?}", deployment.outcome));
    let steps: Vec<String> = deployment.steps().iter().map(|step| format!("{step:?}")).collect();
    lines.push(indented("steps:", &steps.join("\n")));
    lines
}

fn indented(heading: &str, text: &str) -> String {
    format!("{heading}\n  {}", text.trim_end().replace('\n', "\n  "))
}

fn now() -> String {
    Local::now().format("%Y-%m-%d %H:%M:%S %z").to_string()
}

/// Returns the text with an end of a line where it would be written over: in a log nothing is hidden behind other text.
fn with_ends(text: &str) -> Cow<'_, str> {
    if text.contains('\r') {
        Cow::Owned(text.trim_end_matches('\r').replace("\r\n", "\n").replace('\r', "\n"))
    } else {
        Cow::Borrowed(text)
    }
}

/// Returns the beginning and the end of a text that is too long.
fn cut(text: &str) -> Cow<'_, str> {
    if text.len() <= LONGEST {
        return Cow::Borrowed(text);
    }
    let is_boundary = |index: &usize| text.is_char_boundary(*index);
    let first = (0..=LONGEST / 2).rev().find(is_boundary).unwrap_or_default();
    let last = (text.len() - LONGEST / 2..text.len())
        .find(is_boundary)
        .unwrap_or(text.len());
    Cow::Owned(format!(
        "{} [{} bytes are left out here] {}",
        &text[..first],
        last - first,
        &text[last..]
    ))
}

#[cfg(test)]
mod tests;
