//! nushell's completion: `clap_complete`'s, with what is asked for.

use std::fmt::Write as _;

use clap_complete_nushell::Nushell;
use rebuild::CandidateKind;

use super::definition::{REMARK, Value, flags, generated, replaced};

/// The file.
pub fn completion() -> String {
    let text = generated(Nushell);
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for flag in flags() {
        let Value::Asked(kind, files) = flag.value else {
            continue;
        };
        for name in flag.names.iter().filter(|name| name.starts_with("--")) {
            let is_of = |line: &&mut String| {
                let rest = line.trim_start().strip_prefix(name.as_str());
                rest.is_some_and(|rest| rest.starts_with([':', '(']))
            };
            let line = lines.iter_mut().find(is_of);
            let line = line.unwrap_or_else(|| panic!("clap_complete no longer writes a line for {name}"));
            let kind_of_value = if files { "path" } else { "string" };
            *line = replaced(
                line,
                &format!(": {kind_of_value}"),
                &format!(": {kind_of_value}@\"nu-complete rebuild {}\"", kind.name()),
            );
        }
    }
    let text = lines.join("\n") + "\n";
    let mut completers = String::new();
    for kind in CandidateKind::ALL.map(CandidateKind::name) {
        writeln!(completers, "  def \"nu-complete rebuild {kind}\" [context: string] {{").unwrap();
        writeln!(completers, "    rebuild-candidates {kind} $context\n  }}\n").unwrap();
    }
    let head = format!("module completions {{\n\n{}{completers}", include_str!("ask.nu"));
    let text = replaced(&text, "module completions {\n\n", &head);
    // An alias is looked through; a link is another command.
    let begin = text.find("  # nixos-rebuild for").unwrap();
    let end = text.rfind("\n}\n").unwrap();
    let again = replaced(
        &text[begin..end],
        "export extern rebuild [",
        "export extern nixos-rebuild [",
    );
    format!(
        "{REMARK}{}\n  # For a link of this name.\n{again}{}",
        &text[..end],
        &text[end..]
    )
}
