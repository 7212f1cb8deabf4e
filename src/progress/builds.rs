//! The builds of a run: those that run, their number, and the last words of those that failed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Instant;

use super::builder::Builder;
use super::nix_log::{Activity, LogLine, News};
use crate::harmless::{self, Colours};
use crate::host::Host;
use crate::process::quote::shell_word;

/// The number of lines of a build's log that are kept, and shown when it fails.
const TAIL: usize = 25;

/// The number of characters that are kept of a line: some builds write whole files into one line.
const LONGEST: usize = 500;

/// The number of stopped builds that are kept with their logs. An error about a build comes soon after its end.
const MOST_STOPPED: usize = 32;

/// The number of running builds that are known at a time: more than any machine runs.
const MOST_RUNNING: usize = 1000;

/// The number of stopped builds that are known: more than any system has.
const MOST_KNOWN: usize = 20_000;

/// The most bytes of a derivation's path, a phase or a machine's address. A longer text is taken for none of them.
const LONGEST_NAME: usize = 512;

/// A build that runs.
pub(super) struct Build {
    derivation: String,
    /// Nix's name for the phase of the build, such as `buildPhase`.
    pub(super) phase: Option<String>,
    /// The machine, unless it is this one.
    pub(super) host: Option<String>,
    /// Whether the machine emulates the CPU for which it builds.
    pub(super) is_emulated: bool,
    pub(super) began: Instant,
    log: VecDeque<String>,
}

impl Build {
    pub(super) fn name(&self) -> &str {
        name(&self.derivation)
    }
}

/// All builds of a run.
#[derive(Default)]
pub(super) struct Builds {
    pub(super) builder: Builder,
    running: BTreeMap<u64, Build>,
    /// The builds that stopped last. An error about a build comes before or after its end.
    stopped: VecDeque<Build>,
    /// The derivations of all builds that have stopped.
    all_stopped: BTreeSet<String>,
    /// The derivations of the failed builds whose logs were shown.
    failed: BTreeSet<String>,
    /// Nix's counts of builds (done, expected, failed), by the id of the activity that counts them.
    wholes: BTreeMap<u64, [u64; 3]>,
}

impl Builds {
    /// Takes in a line of Nix's log, as far as it is about builds.
    pub(super) fn see(&mut self, line: &LogLine, now: Instant) {
        match line {
            LogLine::Start { id, activity } => match activity {
                Activity::Build { derivation, machine } => self.begin(*id, derivation, machine, now),
                Activity::Builds if self.wholes.len() < MOST_RUNNING => {
                    self.wholes.insert(*id, [0; 3]);
                }
                _ => {}
            },
            LogLine::News { id, news } => self.news(*id, news),
            LogLine::Stop { id } => {
                if let Some(build) = self.running.remove(id) {
                    if self.stopped.len() == MOST_STOPPED {
                        self.stopped.pop_front();
                    }
                    if self.all_stopped.len() < MOST_KNOWN {
                        self.all_stopped.insert(build.derivation.clone());
                    }
                    self.stopped.push_back(build);
                }
                self.wholes.remove(id);
            }
            LogLine::Message { .. } => {}
        }
    }

    fn begin(&mut self, id: u64, derivation: &str, machine: &str, now: Instant) {
        if self.running.len() >= MOST_RUNNING || derivation.len().max(machine.len()) > LONGEST_NAME {
            return;
        }
        let is_sent_on = !machine.is_empty();
        let build = Build {
            derivation: derivation.to_owned(),
            phase: None,
            host: if is_sent_on {
                Some(machine_name(machine))
            } else {
                self.builder.host.clone()
            },
            // Nix sends some builds on to other machines and does not say which CPU they have.
            is_emulated: self.builder.emulates && !is_sent_on,
            began: now,
            log: VecDeque::new(),
        };
        self.running.insert(id, build);
    }

    fn news(&mut self, id: u64, news: &News) {
        match news {
            News::LogLine(line) => {
                if let Some(build) = self.running.get_mut(&id) {
                    if build.log.len() == TAIL {
                        build.log.pop_front();
                    }
                    build.log.push_back(cut(line));
                }
            }
            News::Phase(phase) if phase.len() > LONGEST_NAME => {}
            News::Phase(phase) => {
                if let Some(build) = self.running.get_mut(&id) {
                    build.phase = Some(phase.clone());
                }
            }
            News::Progress {
                done, expected, failed, ..
            } => {
                if let Some(whole) = self.wholes.get_mut(&id) {
                    *whole = [*done, *expected, *failed];
                }
            }
            News::ExpectedBytes(_) => {}
        }
    }

    /// Returns a build that runs.
    pub(super) fn get(&self, id: u64) -> Option<&Build> {
        self.running.get(&id)
    }

    /// Returns the builds that run, the longest-running first.
    pub(super) fn running(&self) -> Vec<&Build> {
        let mut running: Vec<&Build> = self.running.values().collect();
        running.sort_by_key(|build| build.began);
        running
    }

    /// Returns Nix's counts as text, if Nix gives any: `3 of 7`, and how many failed, if some did.
    pub(super) fn counts(&self) -> Option<String> {
        let mut wholes = self.wholes.values().rev();
        let [done, expected, failed] = wholes.find(|[_, expected, _]| *expected > 0)?;
        let failed = match failed {
            0 => String::new(),
            failed => format!(", {failed} failed"),
        };
        Some(format!("{done} of {expected}{failed}"))
    }

    /// Returns how many derivations were built.
    pub(super) fn built(&self) -> u64 {
        let built = self.all_stopped.iter().filter(|name| !self.failed.contains(*name));
        built.count() as u64
    }

    /// Returns the lines that explain an error of Nix's: the last lines of the log of the build that it names, and the
    /// command that shows the whole log. Each build is explained once.
    pub(super) fn explain(&mut self, error: &str, shows_log: bool) -> Vec<String> {
        let plain = console::strip_ansi_codes(error);
        let all = self.running.values().chain(&self.stopped);
        let found = all
            .filter(|build| !build.log.is_empty() && plain.contains(build.derivation.as_str()))
            .find(|build| !self.failed.contains(&build.derivation));
        let Some(build) = found else { return Vec::new() };
        let mut lines = Vec::new();
        // Nix adds the end of the log to the error itself, unless it thinks that a log in JSON has shown it already.
        if shows_log && !plain.contains("log lines:") {
            lines.push(format!(
                "the last {} of the log of {}:",
                super::amounts::count(build.log.len() as u64, "line"),
                build.name()
            ));
            lines.extend(
                build
                    .log
                    .iter()
                    .map(|line| format!("> {}", harmless::text(line, Colours::Dropped))),
            );
        }
        // Nix on another machine gives a command that works only on that machine.
        let is_said = plain.contains("For full logs") && self.builder.host.is_none();
        if let Some(command) = self.log_command(&build.derivation).filter(|_| !is_said) {
            lines.push(format!("the whole log: {command}"));
        }
        self.failed.insert(build.derivation.clone());
        lines
    }

    /// Returns the command that shows a build's whole log. Nix keeps the log on the machine that was told to build, even
    /// if that machine sent the build on to another one. Every version of Nix knows the command.
    fn log_command(&self, derivation: &str) -> Option<String> {
        let quoted = |word: &str| String::from_utf8(shell_word(word).ok()?).ok();
        let derivation = quoted(derivation)?;
        match &self.builder.host {
            None => Some(format!("nix-store --read-log {derivation}")),
            // The login shell of the host reads the words a second time.
            Some(host) => {
                let ssh = Host::parse(host).ok()?.words_for_ssh();
                let derivation = quoted(&derivation)?;
                Some(format!("ssh {ssh} nix-store --read-log {derivation}"))
            }
        }
    }
}

/// Removes from an error Nix's advice how to get the log, which is right only on the machine that Nix runs on.
pub(super) fn without_advice(error: &str) -> String {
    let mut lines = error.lines();
    let mut kept = Vec::new();
    while let Some(line) = lines.next() {
        let plain = console::strip_ansi_codes(line);
        if !plain.contains("For full logs, run") {
            kept.push(line);
        } else if plain.trim_end().ends_with(':') {
            // The command stands on the next line.
            lines.next();
        }
    }
    kept.join("\n")
}

/// Returns a store path without its directory, its hash and `.drv`.
pub(super) fn name(path: &str) -> &str {
    let base = path
        .strip_prefix("/nix/store/")
        .and_then(|base| base.get(33..))
        .unwrap_or(path);
    base.strip_suffix(".drv").unwrap_or(base)
}

/// Returns the part of a line that is kept.
fn cut(line: &str) -> String {
    match line.char_indices().nth(LONGEST) {
        None => line.to_owned(),
        Some((end, _)) => format!("{}…", &line[..end]),
    }
}

/// Returns the host in a store's address, which looks like `ssh-ng://user@host?key=value`.
fn machine_name(address: &str) -> String {
    let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
    let rest = rest.split('?').next().unwrap_or(rest);
    rest.rsplit('@').next().unwrap_or(rest).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DRV: &str = "/nix/store/00000000000000000000000000000000-hello.drv";

    fn with_log(builder: Builder, machine: &str, lines: usize) -> Builds {
        let mut builds = Builds {
            builder,
            ..Builds::default()
        };
        let now = Instant::now();
        let activity = Activity::Build {
            derivation: DRV.into(),
            machine: machine.into(),
        };
        builds.see(&LogLine::Start { id: 1, activity }, now);
        for number in 1..=lines {
            let news = News::LogLine(format!("line {number}"));
            builds.see(&LogLine::News { id: 1, news }, now);
        }
        builds
    }

    fn on(host: &str, emulates: bool) -> Builder {
        Builder {
            host: Some(host.into()),
            emulates,
        }
    }

    #[test]
    fn a_failed_build_shows_the_end_of_its_log_once_and_where_the_rest_is() {
        let error = format!("error: builder for '\u{1b}[35;1m{DRV}\u{1b}[0m' failed with exit code 1");
        let mut builds = with_log(Builder::default(), "", 30);
        let lines = builds.explain(&error, true);
        assert_eq!(lines[0], "the last 25 lines of the log of hello:");
        assert_eq!((lines[1].as_str(), lines[25].as_str()), ("> line 6", "> line 30"));
        assert_eq!(lines[26..], [format!("the whole log: nix-store --read-log {DRV}")]);
        assert!(builds.explain(&error, true).is_empty());
        builds.see(&LogLine::Stop { id: 1 }, Instant::now());
        assert!(builds.explain(&error, true).is_empty());
        assert_eq!(builds.built(), 0);
    }

    #[test]
    fn the_log_of_another_machine_is_there() {
        let mut builds = with_log(on("me@builder", false), "ssh://third", 1);
        builds.see(&LogLine::Stop { id: 1 }, Instant::now());
        assert_eq!(
            builds.explain(&format!("Cannot build '{DRV}'."), true),
            [
                "the last 1 line of the log of hello:".to_owned(),
                "> line 1".to_owned(),
                format!("the whole log: ssh me@builder nix-store --read-log {DRV}"),
            ]
        );
    }

    #[test]
    fn a_log_that_was_shown_is_not_shown_again() {
        for (error, shows_log) in [("failed;\n last 10 log lines:\n > x", true), ("failed", false)] {
            let mut builds = with_log(Builder::default(), "", 3);
            let lines = builds.explain(&format!("error: builder for '{DRV}' {error}"), shows_log);
            assert_eq!(lines, [format!("the whole log: nix-store --read-log {DRV}")]);
        }
    }

    /// A small machine may watch thousands of builds, so the logs must not fill its memory.
    #[test]
    fn of_stopped_builds_only_the_last_logs_are_kept() {
        let derivation = |id: u64| format!("/nix/store/00000000000000000000000000000000-hello-{id}.drv");
        let mut builds = Builds::default();
        let now = Instant::now();
        for id in 1..=300 {
            let activity = Activity::Build {
                derivation: derivation(id),
                machine: String::new(),
            };
            builds.see(&LogLine::Start { id, activity }, now);
            for _ in 0..40 {
                let news = News::LogLine("é".repeat(2_000));
                builds.see(&LogLine::News { id, news }, now);
            }
            builds.see(&LogLine::Stop { id }, now);
        }
        assert_eq!(builds.built(), 300);
        let kept: usize = builds
            .stopped
            .iter()
            .flat_map(|build| &build.log)
            .map(String::capacity)
            .sum();
        assert!(kept < 2_000_000, "{kept}");
        let mut explained = |id| builds.explain(&format!("error: builder for '{}' failed", derivation(id)), true);
        assert!(explained(1).is_empty());
        let lines = explained(300);
        assert_eq!(lines[0], "the last 25 lines of the log of hello-300:");
        assert_eq!(lines[25], format!("> {}…", "é".repeat(LONGEST)));
        assert_eq!(explained(301 - MOST_STOPPED as u64).len(), 27);
        assert_eq!(builds.built(), 298);
    }

    #[test]
    fn what_nix_says_of_a_log_is_not_said_again_here() {
        let error = format!("'{DRV}' failed;\n last 2 log lines:\n > x\n For full logs, run:\n nix-store -l {DRV}");
        assert!(with_log(Builder::default(), "", 3).explain(&error, true).is_empty());
        assert_eq!(with_log(on("b", false), "", 3).explain(&error, true).len(), 1);
    }

    #[test]
    fn what_another_machines_nix_advises_is_left_out() {
        for (error, expected) in [
            (
                "error: builder for 'x' failed;\n  last 1 log lines:\n  > y\n  For full logs, run:\n    \u{1b}[1mnix-store -l x\u{1b}[0m",
                "error: builder for 'x' failed;\n  last 1 log lines:\n  > y",
            ),
            (
                "failed;\n  > y\n  For full logs, run '\u{1b}[1mnix log x\u{1b}[0m'.\nmore",
                "failed;\n  > y\nmore",
            ),
            ("error: no", "error: no"),
        ] {
            assert_eq!(without_advice(error), expected);
        }
    }

    #[test]
    fn an_error_of_something_else_explains_nothing() {
        let mut builds = with_log(Builder::default(), "", 3);
        assert!(builds.explain("error: 1 dependencies failed", true).is_empty());
        let mut silent = with_log(Builder::default(), "", 0);
        assert!(silent.explain(&format!("error: '{DRV}' failed"), true).is_empty());
    }

    #[test]
    fn what_nix_sends_on_is_not_known_to_be_emulated() {
        let builds = with_log(on("builder", true), "", 0);
        let build = builds.get(1).unwrap();
        assert_eq!((build.host.as_deref(), build.is_emulated), (Some("builder"), true));
        let builds = with_log(on("builder", true), "ssh-ng://me@third?ssh-key=/k", 0);
        let build = builds.get(1).unwrap();
        assert_eq!((build.host.as_deref(), build.is_emulated), (Some("third"), false));
    }
}
