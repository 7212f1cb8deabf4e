//! How a report is shown: to people, a line for each condition, with its remedy below it; to programs, as JSON.

use serde_json::{Value, json as value};

use super::finding::{Examined, Finding, Report, Verdict};
use crate::harmless::{self, Colours};

/// How a terminal takes it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Looks {
    /// Whether it shows more than ASCII.
    pub unicode: bool,
    /// Whether it has colours.
    pub colours: bool,
    /// How many columns it has.
    pub columns: usize,
}

/// Lines are not broken to less than this, in columns.
const NARROWEST: usize = 40;

/// Returns the report for people.
#[must_use]
pub fn shown(report: &Report, looks: Looks) -> String {
    let mut text = String::new();
    for machine in &report.machines {
        text.push_str(&heading(machine));
        for finding in &machine.findings {
            line(finding, looks, &mut text);
        }
        text.push('\n');
    }
    text.push_str(&summary(report));
    text
}

fn heading(machine: &Examined) -> String {
    let name = machine
        .host
        .as_ref()
        .map_or_else(|| "this machine".to_owned(), ToString::to_string);
    let roles = match &machine.roles[..] {
        [] => return format!("{name}\n"),
        [only] => (*only).to_owned(),
        [others @ .., last] => format!("{} and {last}", others.join(", ")),
    };
    format!("{name}, which {roles}\n")
}

fn mark(verdict: Verdict, looks: Looks) -> String {
    let (sign, ascii, colour) = match verdict {
        Verdict::Good => ("✓", "ok ", 32),
        Verdict::Weak => ("!", "!  ", 33),
        Verdict::Bad => ("✗", "BAD", 31),
        Verdict::Unknown => ("?", "?  ", 2),
    };
    let sign = if looks.unicode { sign } else { ascii };
    if looks.colours {
        format!("\u{1b}[{colour}m{sign}\u{1b}[0m")
    } else {
        sign.to_owned()
    }
}

fn line(finding: &Finding, looks: Looks, text: &mut String) {
    let indent = if looks.unicode { 4 } else { 6 };
    let title = finding.condition.about().title;
    let what = match (finding.verdict, finding.seen.is_empty()) {
        (_, true) => title.to_owned(),
        _ => format!("{title}: {}", finding.seen),
    };
    text.push_str("  ");
    text.push_str(&mark(finding.verdict, looks));
    for (index, piece) in folded(&what, looks.columns.saturating_sub(indent).max(NARROWEST))
        .iter()
        .enumerate()
    {
        let before = if index == 0 { 1 } else { indent };
        text.push_str(&" ".repeat(before));
        text.push_str(piece);
        text.push('\n');
    }
    for step in finding.remedy.iter().flat_map(|remedy| remedy.split('\n')) {
        // A command stays on one line, so that it can be copied whole.
        text.push_str(&" ".repeat(indent + 2));
        text.push_str(step);
        text.push('\n');
    }
}

/// Breaks a text between its words.
fn folded(text: &str, columns: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let Some(last) = lines.last_mut() else { break };
        if last.is_empty() {
            last.push_str(word);
        } else if console::measure_text_width(last) + 1 + console::measure_text_width(word) <= columns {
            last.push(' ');
            last.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

fn summary(report: &Report) -> String {
    let things = |number: usize| {
        if number == 1 {
            "1 thing".to_owned()
        } else {
            format!("{number} things")
        }
    };
    let (bad, weak) = (report.count(Verdict::Bad), report.count(Verdict::Weak));
    let next = report.next.join("\n");
    match (bad, weak) {
        (0, 0) => format!("Nothing is amiss. {next}\n"),
        (0, weak) => format!("It will work; {} could be better. {next}\n", things(weak)),
        (bad, _) => format!(
            "{} will not work as it is. When that is mended: rebuild doctor\n",
            things(bad)
        ),
    }
}

/// Returns the report for programs. `good` says whether nothing is bad.
#[must_use]
pub fn json(report: &Report) -> Value {
    let machines: Vec<Value> = report.machines.iter().map(of_machine).collect();
    value!({ "good": report.count(Verdict::Bad) == 0, "machines": machines })
}

fn of_machine(machine: &Examined) -> Value {
    // A terminal obeys more than what JSON forbids.
    let plain = |text: &str| harmless::text(text, Colours::Dropped);
    let findings = machine.findings.iter().map(|finding| {
        value!({
            "condition": finding.condition.about().word,
            "title": finding.condition.about().title,
            "verdict": finding.verdict.word(),
            "seen": plain(&finding.seen),
            "remedy": finding.remedy.as_deref().map(plain),
        })
    });
    value!({
        "machine": machine.host.as_ref().map(ToString::to_string),
        "roles": machine.roles,
        "conditions": findings.collect::<Vec<_>>(),
    })
}
