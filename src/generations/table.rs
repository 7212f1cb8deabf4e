//! The table that a person reads.

use super::{Generation, UNKNOWN};
use crate::harmless;
use crate::table;

const HEADERS: [&str; 7] = [
    "Generation",
    "Build-date",
    "NixOS version",
    "Kernel",
    "Configuration Revision",
    "Specialisation",
    "Current",
];

/// Returns nixos-rebuild's table, in its words, because scripts read it.
#[must_use]
pub fn table(generations: &[Generation]) -> String {
    let headers = HEADERS.map(str::to_owned);
    let rows: Vec<[String; 7]> = std::iter::once(headers).chain(generations.iter().map(row)).collect();
    table::lines(&rows, [usize::MAX; 7]).join("\n") + "\n"
}

fn row(generation: &Generation) -> [String; 7] {
    // A row stays one line, whatever a system's files contain.
    let known = |text: &str| harmless::name(if text.is_empty() { UNKNOWN } else { text });
    let names: Vec<String> = generation
        .specialisations
        .iter()
        .map(|name| python_text(name))
        .collect();
    [
        generation.generation.to_string(),
        generation.date.clone(),
        known(&generation.nixos_version),
        known(&generation.kernel_version),
        known(&generation.configuration_revision),
        format!("[{}]", names.join(", ")),
        if generation.current { "True" } else { "False" }.to_owned(),
    ]
}

/// Returns a text as Python shows it in a list.
fn python_text(text: &str) -> String {
    let escaped = harmless::name(&text.replace('\\', "\\\\"));
    match (text.contains('\''), text.contains('"')) {
        (false, _) => format!("'{escaped}'"),
        (true, false) => format!("\"{escaped}\""),
        (true, true) => format!("'{}'", escaped.replace('\'', "\\'")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_as_python_does() {
        for (name, expected) in [
            ("mobile", "'mobile'"),
            ("it's", "\"it's\""),
            ("\"x\"", "'\"x\"'"),
            ("'\"\\", "'\\'\"\\\\'"),
        ] {
            assert_eq!(python_text(name), expected);
        }
    }

    #[test]
    fn a_row_is_one_line_whatever_the_files_say() {
        for odd in ["26.05\nsecond", "26.05\r\n\tx", "a\u{1b}[2Jb"] {
            let one = Generation {
                generation: 1,
                date: "2026-11-24 08:30:00".into(),
                nixos_version: odd.into(),
                kernel_version: odd.into(),
                configuration_revision: odd.into(),
                specialisations: vec![odd.into()],
                current: false,
            };
            let text = table(&[one]);
            assert_eq!(text.lines().count(), 2, "{text}");
            assert!(!text.contains(['\r', '\t', '\u{1b}']), "{text}");
        }
    }

    #[test]
    fn columns_are_as_wide_as_their_widest() {
        let generation = |number, current| Generation {
            generation: number,
            date: "2026-11-24 08:30:00".into(),
            nixos_version: "26.05.20261124.abcdef0".into(),
            kernel_version: UNKNOWN.into(),
            configuration_revision: String::new(),
            specialisations: if current { vec!["a".into(), "b".into()] } else { vec![] },
            current,
        };
        assert_eq!(
            table(&[generation(10, true), generation(9, false)]),
            "Generation  Build-date           NixOS version           Kernel   Configuration Revision  Specialisation  Current\n\
             10          2026-11-24 08:30:00  26.05.20261124.abcdef0  Unknown  Unknown                 ['a', 'b']      True\n\
             9           2026-11-24 08:30:00  26.05.20261124.abcdef0  Unknown  Unknown                 []              False\n"
        );
    }
}
