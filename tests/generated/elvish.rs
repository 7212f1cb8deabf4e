//! Elvish's completion. Not by `clap_complete`: what that writes has no values of flags, and expects subcommands.

use std::fmt::Write as _;

use super::definition::{REMARK, flags, verbs};

/// The file.
pub fn completion() -> String {
    let (mut rows, mut candidates) = (String::new(), String::new());
    for flag in flags() {
        for name in flag.names {
            if flag.values > 0 {
                writeln!(rows, "    &{name}=[{} {}]", flag.values, flag.value.row()).unwrap();
            }
            writeln!(candidates, "    [{name} {}]", quoted(&flag.help)).unwrap();
        }
    }
    let verbs = verbs().into_iter().fold(String::new(), |mut rows, (name, help)| {
        writeln!(rows, "    [{name} {}]", quoted(&help)).unwrap();
        rows
    });
    let text = include_str!("rebuild.elv");
    let text = text.replace("@rows@\n", &rows).replace("@verbs@\n", &verbs);
    REMARK.to_owned() + &text.replace("@flags@\n", &candidates)
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
