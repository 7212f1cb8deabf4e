//! zsh's completion: `clap_complete`'s, with what is asked for.

use clap_complete::Shell;

use super::definition::{REMARK, Value, command, flags, generated, replaced};

/// The file.
pub fn completion() -> String {
    let text = generated(Shell::Zsh);
    let head = format!("#compdef rebuild nixos-rebuild\n{REMARK}");
    let text = replaced(&text, "#compdef rebuild\n", &head);
    let text = replaced(
        &text,
        "compdef _rebuild rebuild\n",
        "compdef _rebuild rebuild nixos-rebuild\n",
    );
    let text = asking(&text);
    replaced(
        &text,
        "(( $+functions[_rebuild_commands] )) ||\n",
        concat!(include_str!("ask.zsh"), "(( $+functions[_rebuild_commands] )) ||\n"),
    )
}

/// A flag's line ends with its value and what that is: `:HOST:_hosts' \`.
fn asking(text: &str) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for flag in flags() {
        let Value::Asked(kind, files) = flag.value else {
            continue;
        };
        for name in &flag.names {
            let begin = if name.starts_with("--") {
                format!("{name}=[")
            } else {
                format!("{name}+[")
            };
            let line = lines.iter_mut().find(|line| {
                let spec = line.trim_start_matches('\'');
                // Before it may be the flags that exclude it.
                let spec = spec
                    .strip_prefix('(')
                    .and_then(|rest| rest.split_once(')'))
                    .map_or(spec, |(_, rest)| rest);
                spec.trim_start_matches('*').starts_with(&begin)
            });
            let line = line.unwrap_or_else(|| panic!("clap_complete no longer writes a line for {name}"));
            let end = if files { ":_files' \\" } else { ":' \\" };
            let spec = line.strip_suffix(end);
            let spec = spec.unwrap_or_else(|| panic!("clap_complete no longer ends the line of {name} so: {line}"));
            let function = if files {
                "_rebuild_candidates_or_files"
            } else {
                "_rebuild_candidates"
            };
            *line = format!("{spec}:{function} {}' \\", kind.name());
        }
    }
    lines.join("\n") + "\n"
}

/// So that `command` is not all that decides: a flag with neither files nor a kind offers nothing.
#[test]
fn the_generator_has_no_hosts_of_its_own() {
    assert!(!completion().contains("_hosts"));
    assert!(command().get_arguments().count() > 50);
}
