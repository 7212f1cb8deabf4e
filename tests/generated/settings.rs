//! The pages beside the program that say which settings there are.

use std::fs;

use rebuild::SettingKind;

use super::path;

/// What says which settings there are, besides the program: `src/settings`.
#[test]
fn the_pages_of_settings_have_every_setting() {
    for (page, beginning) in [("man/rebuild.json.5", "\n.B "), ("nix/settings.nix", "\n  ")] {
        let text = fs::read_to_string(path(page)).unwrap();
        for definition in &rebuild::SETTINGS {
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
        let definition = rebuild::SETTINGS.iter().find(|definition| definition.name == name);
        let expected = match definition
            .unwrap_or_else(|| panic!("the program has no setting {name}"))
            .kind
        {
            SettingKind::Hosts => "hosts ".to_owned(),
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
    assert_eq!(seen.len(), rebuild::SETTINGS.len(), "{seen:?}");
}
