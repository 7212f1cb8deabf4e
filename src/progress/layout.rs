//! The live display as text: a line for what goes on, and one for each build that runs. No line is wider than the
//! terminal.

use std::time::{Duration, Instant};

use console::{Style, measure_text_width, pad_str, truncate_str};

use super::amounts::elapsed;
use super::builds::Build;
use super::watches::{Watches, named};
use crate::harmless;

/// The number of builds that have a line, where there is room.
const MOST: usize = 8;

/// Stands in place of what does not fit.
const CUT: &str = "…";

/// The frames of the spinner, which shows that the program is alive.
const FRAMES: [&str; 10] = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];

/// How long each frame stands.
const FRAME: Duration = Duration::from_millis(100);

/// The styles of the display.
pub(super) struct Layout {
    verb: Style,
    mark: Style,
    faint: Style,
}

impl Layout {
    /// Returns the layout for a terminal, with colours unless the user wants none.
    pub(super) fn new() -> Self {
        Self {
            verb: Style::new().for_stderr().cyan().bold(),
            mark: Style::new().for_stderr().yellow(),
            faint: Style::new().for_stderr().dim(),
        }
    }

    /// Returns the lines of the display for a terminal of this size.
    pub(super) fn lines(&self, watches: &Watches, height: usize, width: usize, now: Instant) -> Vec<String> {
        // Some terminals go on to the next line when the last column is written.
        let width = width.saturating_sub(1);
        let (name, watch) = watches.shown();
        let since = watch.elapsed(now);
        let frame = since.as_millis() / FRAME.as_millis() % FRAMES.len() as u128;
        let frame = FRAMES[usize::try_from(frame).unwrap_or(0)];
        let status = watch.status(now);
        let (verb, rest) = status
            .find(' ')
            .map_or((status.as_str(), ""), |end| status.split_at(end));
        let elapsed = elapsed(since);
        let name = named(name, "");
        // 4 columns are for the frame and three blanks.
        let taken = measure_text_width(&name) + measure_text_width(verb) + measure_text_width(&elapsed) + 4;
        let (verb, rest) = (self.verb.apply_to(verb), fitting(rest, width.saturating_sub(taken)));
        let mut lines = vec![row(&format!("{frame} {name}{verb}{rest}"), &elapsed, width)];
        for words in watches.silences(now) {
            lines.push(row(&format!("  {}", self.mark.apply_to(words)), "", width));
        }
        let running = watch.running();
        let room = MOST.min((height / 3).max(1));
        let shown = if running.len() > room { room - 1 } else { running.len() };
        lines.extend(running.iter().take(shown).map(|build| self.build(build, width, now)));
        match running.len() - shown {
            0 => {}
            more if shown == 0 => lines.push(row(&format!("  {more} builds"), "", width)),
            more => lines.push(row(&format!("  and {more} more"), "", width)),
        }
        lines.truncate(height.max(1));
        lines
    }

    fn build(&self, build: &Build, width: usize, now: Instant) -> String {
        // Name, phase and host are Nix's words, and Nix repeats words of other machines.
        let mut left = format!("  {}", harmless::name(build.name()));
        if let Some(phase) = &build.phase {
            let phase = harmless::name(phase);
            left = format!("{left} {}", self.faint.apply_to(format!("({phase})")));
        }
        let mut right = Vec::new();
        if build.is_emulated {
            right.push(self.mark.apply_to("emulated").to_string());
        }
        right.extend(build.host.as_deref().map(harmless::name));
        right.push(elapsed(now.saturating_duration_since(build.began)));
        row(&left, &right.join("  "), width)
    }
}

/// Returns the parts of a list that fit, from its beginning. It cuts no part in two and keeps at least one.
fn fitting(list: &str, room: usize) -> &str {
    let mut list = list;
    while measure_text_width(list) > room {
        let Some((shorter, _)) = list.rsplit_once(", ") else {
            break;
        };
        list = shorter;
    }
    list
}

/// Returns a line with a text at its left end and one at its right end. The left text is cut first.
fn row(left: &str, right: &str, width: usize) -> String {
    let right = truncate_str(right, width, CUT);
    let room = width.saturating_sub(measure_text_width(&right) + 2);
    if right.is_empty() {
        return truncate_str(left, width, CUT).into_owned();
    }
    if room == 0 {
        return right.into_owned();
    }
    let left = truncate_str(left, room, CUT);
    format!("{}  {right}", pad_str(&left, room, console::Alignment::Left, None))
}

/// Breaks a text into lines of a terminal's width, after commas or semicolons.
pub(super) fn wrapped(text: &str, width: usize) -> String {
    let mut lines: Vec<String> = Vec::new();
    for part in text.split_inclusive([',', ';']).map(str::trim_start) {
        match lines.last_mut() {
            Some(line) if measure_text_width(line) + 1 + measure_text_width(part) < width => {
                line.push(' ');
                line.push_str(part);
            }
            Some(_) => lines.push(format!("  {part}")),
            None => lines.push(part.to_owned()),
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Host;
    use crate::progress::nix_log::{Activity, LogLine, News};
    use crate::progress::{Builder, Event, Verbosity, Work};

    /// Returns the state with so many builds, each begun one second after the one before.
    fn watches(machine: Option<&str>, builds: u64, start: Instant) -> Watches {
        let mut watches = Watches::new(Verbosity::default(), true, start);
        let host = Host::parse("builder").unwrap();
        watches.see(machine, Event::phase(Work::Building, Some(&host)), start);
        watches.see(
            machine,
            Event::Builder(Builder {
                host: Some("builder".into()),
                emulates: true,
            }),
            start,
        );
        for id in 0..builds {
            let activity = Activity::Build {
                derivation: format!("/nix/store/00000000000000000000000000000000-hello-{id}.drv"),
                machine: if id == 1 { "ssh://third".into() } else { String::new() },
            };
            let line = LogLine::Start { id, activity };
            watches.see(machine, Event::Nix(line), start + Duration::from_secs(id));
        }
        watches
    }

    fn lines(watches: &Watches, height: usize, width: usize, now: Instant) -> Vec<String> {
        let lines = Layout::new().lines(watches, height, width, now);
        lines
            .iter()
            .map(|line| console::strip_ansi_codes(line).into_owned())
            .collect()
    }

    #[test]
    fn each_build_has_a_line_with_its_phase_its_host_and_its_time() {
        let start = Instant::now();
        let mut watches = watches(None, 2, start);
        let news = News::Phase("buildPhase".into());
        watches.see(None, Event::Nix(LogLine::News { id: 0, news }), start);
        assert_eq!(
            lines(&watches, 24, 61, start + Duration::from_secs(90)),
            [
                "⠋ building on builder                             1 min 30 s",
                "  hello-0 (buildPhase)         emulated  builder  1 min 30 s",
                "  hello-1                                  third  1 min 29 s",
            ]
        );
    }

    #[test]
    fn one_of_several_machines_is_named() {
        let start = Instant::now();
        assert_eq!(
            lines(&watches(Some("pi"), 1, start), 24, 61, start),
            [
                "⠋ pi: building on builder                                0 s",
                "  hello-0                             emulated  builder  0 s",
            ]
        );
    }

    #[test]
    fn no_more_builds_than_there_is_room_for() {
        let start = Instant::now();
        let shown = lines(&watches(None, 30, start), 15, 40, start);
        assert_eq!(shown.len(), 6);
        assert_eq!(shown[5], "  and 26 more");
        let shown = lines(&watches(None, 30, start), 2, 40, start);
        assert_eq!(shown[1..], ["  30 builds"]);
        assert_eq!(lines(&watches(None, 30, start), 200, 40, start).len(), 1 + MOST);
    }

    #[test]
    fn that_nothing_comes_stands_under_what_goes_on() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut watches = watches(None, 1, start);
        let silent = Event::Silent {
            host: "builder".to_owned(),
            takes: false,
            since: at(70),
        };
        watches.see(None, silent, at(78));
        assert_eq!(
            lines(&watches, 24, 61, at(90)),
            [
                "⠋ building on builder                             1 min 30 s",
                "  nothing has come from builder for 20 s",
                "  hello-0                      emulated  builder  1 min 30 s",
            ]
        );
        // The display is neither higher nor wider than the terminal.
        assert_eq!(lines(&watches, 2, 61, at(90)).len(), 2);
        assert_eq!(lines(&watches, 1, 61, at(90)).len(), 1);
        assert_eq!(lines(&watches, 24, 21, at(90))[1], "  nothing has come …");
        watches.see(
            None,
            Event::SilenceOver {
                takes: false,
                is_heard: true,
            },
            at(91),
        );
        assert_eq!(lines(&watches, 24, 61, at(91)).len(), 2);
    }

    #[test]
    fn a_long_line_is_broken_between_its_parts() {
        assert_eq!(wrapped("built 12; sent in 0.4 s", 80), "built 12; sent in 0.4 s");
        assert_eq!(wrapped("built 12; sent in 0.4 s", 20), "built 12;\n  sent in 0.4 s");
        assert_eq!(
            wrapped("built 12, received 4 paths (1.0 MB); sent in 0.4 s, built in 5.0 s", 40),
            "built 12, received 4 paths (1.0 MB);\n  sent in 0.4 s, built in 5.0 s"
        );
        assert_eq!(wrapped("unbreakable", 5), "unbreakable");
    }

    #[test]
    fn what_has_no_room_is_left_out_in_whole_parts() {
        let list = " 3 of 6 paths, 4.0 of 5.0 MB, 1.1 MB/s, 2 s left";
        for (room, expected) in [
            (48, list),
            (47, " 3 of 6 paths, 4.0 of 5.0 MB, 1.1 MB/s"),
            (37, " 3 of 6 paths, 4.0 of 5.0 MB"),
            (20, " 3 of 6 paths"),
            (3, " 3 of 6 paths"),
        ] {
            assert_eq!(fitting(list, room), expected, "{room}");
        }
    }

    #[test]
    fn nothing_is_wider_than_the_terminal() {
        let start = Instant::now();
        for machine in [None, Some("pi"), Some("a-machine-with-a-long-name")] {
            let watches = watches(machine, 3, start);
            for width in [2, 3, 5, 10, 20, 40, 80] {
                for line in lines(&watches, 24, width, start + Duration::from_secs(4_000)) {
                    assert!(
                        measure_text_width(&line) <= width.saturating_sub(1),
                        "{width}: {line:?}"
                    );
                }
            }
        }
        let narrow = lines(&watches(None, 3, start), 24, 30, start);
        assert_eq!(narrow[1], "  he…  emulated  builder  0 s");
    }
}
