//! The pages beside the program that say which settings there are.

use std::collections::BTreeSet;
use std::fs;

use clap::CommandFactory;
use rebuild::{Arguments, SETTINGS, SettingKind};
use serde_json::Value;

use super::path;

/// What says which settings there are, besides the program: `src/settings`.
#[test]
fn the_pages_of_settings_have_every_setting() {
    for (page, beginning) in [("man/rebuild.json.5", "\n.B "), ("nix/settings.nix", "\n  ")] {
        let text = fs::read_to_string(path(page)).unwrap();
        for definition in &SETTINGS {
            let entry = format!("{beginning}{}", definition.name);
            let is_there = text.match_indices(&entry).any(|(place, _)| {
                let rest = &text[place + entry.len()..];
                !rest.starts_with(|c: char| c.is_alphanumeric())
            });
            assert!(is_there, "{page} says nothing of {}", definition.name);
            let is_manual = page.starts_with("man/");
            assert!(
                !is_manual || text.contains(definition.variable),
                "{page}: {}",
                definition.variable
            );
        }
    }
}

/// The part of a manual with this heading, as a person reads it: without the marks of troff.
fn part(manual: &str, heading: &str) -> String {
    let text = fs::read_to_string(path(manual)).unwrap();
    let (_, rest) = text.split_once(&format!("\n.SH {heading}\n")).unwrap();
    rest.split("\n.SH ")
        .next()
        .unwrap()
        .replace("\\(dq", "\"")
        .replace('\\', "")
}

fn words(text: &str) -> BTreeSet<&str> {
    let ends = |c: char| !c.is_alphanumeric() && !"-_".contains(c);
    text.split(ends).collect()
}

/// The names of all settings, their variables, and for those with an opposite one of the two flags that turns them off.
#[test]
fn the_manual_of_the_program_names_every_setting() {
    let (settings, environment) = (part("man/rebuild.8", "SETTINGS"), part("man/rebuild.8", "ENVIRONMENT"));
    let (settings, environment) = (words(&settings), words(&environment));
    for definition in &SETTINGS {
        let name = definition.name;
        assert!(settings.contains(name), "SETTINGS lacks {name}");
        assert!(
            environment.contains(definition.variable),
            "ENVIRONMENT lacks {}",
            definition.variable
        );
        let has_opposite = definition.flags.len() > 1;
        let is_turned_off = definition.flags.iter().any(|flag| settings.contains(flag));
        assert!(
            !has_opposite || is_turned_off,
            "SETTINGS does not say what turns off {name}"
        );
    }
}

/// What a setting is without anybody's word, and which words it may have, is said in the manuals as it is.
#[test]
fn the_manuals_say_the_defaults_and_the_words_of_a_choice() {
    let manual = part("man/rebuild.json.5", "SETTINGS");
    let command = Arguments::command();
    let mut seen = 0;
    for definition in &SETTINGS {
        let name = definition.name;
        let (_, entry) = manual.split_once(&format!("\n.B {name}\n")).unwrap();
        let entry = entry.split("\n.TP\n").next().unwrap();
        if let SettingKind::Choice(choice) = definition.kind {
            let words = words(entry);
            let missing: Vec<_> = choice.iter().filter(|word| !words.contains(*word)).collect();
            assert!(missing.is_empty(), "man/rebuild.json.5: {name} may be {missing:?}, too");
        }
        let Some(default @ (Value::Number(_) | Value::Bool(_))) = definition.default.as_ref().map(Value::from) else {
            continue;
        };
        let sentence = format!("Without it: {default}.");
        assert!(entry.contains(&sentence), "man/rebuild.json.5: {name}: {sentence}");
        let flag = definition.flags[0].trim_start_matches('-');
        let help = command
            .get_arguments()
            .find(|argument| argument.get_long() == Some(flag));
        let help = help.and_then(clap::Arg::get_help).unwrap().to_string();
        if let Some((_, said)) = help.split_once("(default: ") {
            assert_eq!(said.split(')').next().unwrap(), default.to_string(), "--{flag}");
            seen += 1;
        }
    }
    assert_eq!(seen, 3, "the times in --help");
}

/// The NixOS module writes nothing that the program would refuse.
#[test]
fn the_nixos_module_has_no_other_settings_and_their_words() {
    let module = fs::read_to_string(path("nix/settings.nix")).unwrap();
    let (_, options) = module.split_once("\nin\n{\n").unwrap();
    let mut seen = Vec::new();
    // "  evalHost = setting types.str "builder" ''"
    for line in options.lines() {
        let Some((name, kind)) = line.split_once(" = setting ") else {
            continue;
        };
        let name = name.trim();
        let definition = SETTINGS.iter().find(|definition| definition.name == name);
        let expected = match definition
            .unwrap_or_else(|| panic!("the program has no setting {name}"))
            .kind
        {
            SettingKind::Hosts => "hosts ".to_owned(),
            SettingKind::Address => "address ".to_owned(),
            SettingKind::Command | SettingKind::Flake => "types.str ".to_owned(),
            SettingKind::Seconds => "types.ints.positive ".to_owned(),
            SettingKind::Switch => "types.bool ".to_owned(),
            SettingKind::SecondsUpTo(most) => format!("(types.ints.between 1 {most}) "),
            SettingKind::SecondsOrOff => "types.ints.unsigned ".to_owned(),
            SettingKind::Choice(words) => format!("(types.enum [ \"{}\" ]) ", words.join("\" \"")),
        };
        assert!(kind.starts_with(&expected), "{name} is {kind}, not {expected}");
        seen.push(name);
    }
    assert_eq!(seen.len(), SETTINGS.len(), "{seen:?}");
}
