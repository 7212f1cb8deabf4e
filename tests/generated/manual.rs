//! The option part of the manual, and what else of it can be checked.

use std::fmt::Write as _;
use std::fs;

use clap::CommandFactory;
use clap::builder::StyledStr;
use rebuild::Arguments;

use super::definition::verbs;
use super::{is_up_to_date, path};

const MANUAL: &str = "man/rebuild.8";
const BEGIN: &str = ".\\\" begin generated options: UPDATE=1 cargo test --test generated\n";
const END: &str = ".\\\" end generated options\n";

/// The section OPTIONS, with the option groups as its parts.
fn options() -> String {
    let command = Arguments::command().mut_args(|argument| {
        // The verbs have a section of their own, written by hand.
        if argument.get_id() == "verb" {
            return argument.hide(true);
        }
        // The manual has all of them.
        let argument = argument.hide_short_help(false);
        // The generator knows nothing of second names.
        let names = argument.get_visible_aliases().unwrap_or_default().join(", --");
        if names.is_empty() {
            return argument;
        }
        let help = argument.get_help().map(StyledStr::to_string).unwrap_or_default();
        argument.help(format!("{help} (the same: --{names})"))
    });
    let mut text = Vec::new();
    clap_mangen::Man::new(command)
        .render_options_section(&mut text)
        .unwrap();
    let text = String::from_utf8(text).unwrap();
    // Before the heading are definitions that the manual has at its top.
    let start = text.find(".SH OPTIONS").unwrap();
    let mut section = String::new();
    for line in text[start..].lines() {
        match line.strip_prefix(".SH ") {
            Some("OPTIONS") | None => section.push_str(line),
            Some(group) => {
                // Of several words, it is in quotes.
                let (first, rest) = group.split_at(if group.starts_with('"') { 2 } else { 1 });
                write!(section, ".SS {first}{}", rest.to_lowercase()).unwrap();
            }
        }
        section.push('\n');
    }
    section
}

#[test]
fn the_options_of_the_manual_are_up_to_date() {
    let manual = fs::read_to_string(path(MANUAL)).unwrap();
    let (before, rest) = manual
        .split_once(BEGIN)
        .expect("the manual has a place for the options");
    let (_, after) = rest.split_once(END).expect("the place for the options ends");
    is_up_to_date(MANUAL, &format!("{before}{BEGIN}{}{END}{after}", options()));
}

#[test]
fn the_manual_has_every_verb_and_this_version() {
    let manual = fs::read_to_string(path(MANUAL)).unwrap();
    for (name, _) in verbs() {
        let entry = format!("\n.B {}\n", name.replace('-', "\\-"));
        assert!(manual.contains(&entry), "{MANUAL} says nothing of the verb {name}");
    }
    let version = concat!("\"rebuild ", env!("CARGO_PKG_VERSION"), "\"");
    assert!(
        manual.contains(version),
        "{MANUAL} is of another version than {version}"
    );
}
