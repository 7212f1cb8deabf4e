//! fish's completion: `clap_complete`'s, which knows flags only, with the verbs and what is asked for.

use std::fmt::Write as _;

use clap_complete::Shell;

use super::definition::{REMARK, Value, flags, generated, verbs};

/// The file.
pub fn completion() -> String {
    let mut lines: Vec<String> = generated(Shell::Fish).lines().map(str::to_owned).collect();
    for flag in flags() {
        let Value::Asked(kind, _) = flag.value else {
            continue;
        };
        let begin = " -l ".to_owned() + flag.names[0].trim_start_matches('-') + " ";
        let line = lines.iter_mut().find(|line| line.contains(&begin));
        let line = line.unwrap_or_else(|| panic!("clap_complete no longer writes:{begin}"));
        write!(line, " -k -a \"(__rebuild_candidates {})\"", kind.name()).unwrap();
    }
    let mut text = format!("{REMARK}\n{}{}\n", include_str!("ask.fish"), lines.join("\n"));
    let verbs = verbs();
    let names: Vec<&str> = verbs.iter().map(|(name, _)| name.as_str()).collect();
    let none_yet = format!("not __fish_seen_subcommand_from {}", names.join(" "));
    text.push_str("complete -c rebuild -f\n");
    for (name, help) in &verbs {
        let help = help.replace('\\', "\\\\").replace('\'', "\\'");
        writeln!(text, "complete -c rebuild -n '{none_yet}' -a {name} -d '{help}'").unwrap();
    }
    text + "\n# For an alias or a link of this name.\ncomplete -c nixos-rebuild -w rebuild\n"
}
