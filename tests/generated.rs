//! The files that follow from the definition of the command line: the completions, and the option part of the manual.
//! They are in the repository, so that a package needs no build step for them; this says when they are old:
//!
//!     UPDATE=1 cargo test --test generated
//!
//! What is tested of the shells is tested with the real ones. bash is on every machine that runs the tests; the others
//! are used where they are installed.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::builder::StyledStr;
use clap::{CommandFactory, ValueEnum, ValueHint};
use clap_complete::{Generator, Shell};
use clap_complete_nushell::Nushell;
use rebuild::cli::{Arguments, Verb};
use tempfile::TempDir;

const MANUAL: &str = "man/rebuild.8";
const BEGIN: &str = ".\\\" begin generated options: UPDATE=1 cargo test --test generated\n";
const END: &str = ".\\\" end generated options\n";

fn command() -> clap::Command {
    // Shells offer nothing where a number or a name is meant.
    Arguments::command().mut_args(|argument| {
        let unknown = argument.get_action().takes_values() && argument.get_value_hint() == ValueHint::Unknown;
        if unknown {
            argument.value_hint(ValueHint::Other)
        } else {
            argument
        }
    })
}

/// The verbs that are shown, with their help.
fn verbs() -> Vec<(String, String)> {
    let values = Verb::value_variants().iter().filter_map(ValueEnum::to_possible_value);
    let shown = values.filter(|value| !value.is_hide_set());
    shown
        .map(|value| {
            let help = value.get_help().map(StyledStr::to_string).unwrap_or_default();
            (value.get_name().to_owned(), help)
        })
        .collect()
}

fn generated(generator: impl Generator) -> String {
    let mut text = Vec::new();
    clap_complete::generate(generator, &mut command(), "rebuild", &mut text);
    String::from_utf8(text).unwrap()
}

/// Puts right what the generators lack; says so when there is nothing to put right any more.
fn replaced(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "clap_complete no longer writes: {from}");
    text.replace(from, to)
}

fn bash() -> String {
    // Where nixos-rebuild itself is installed, its completion may have been loaded already, and stays.
    generated(Shell::Bash)
        + "\n# For an alias or a link of this name.\n\
           complete -p nixos-rebuild &>/dev/null || complete -F _rebuild -o bashdefault -o default nixos-rebuild\n"
}

fn zsh() -> String {
    let text = generated(Shell::Zsh);
    let text = replaced(&text, "#compdef rebuild\n", "#compdef rebuild nixos-rebuild\n");
    replaced(
        &text,
        "compdef _rebuild rebuild\n",
        "compdef _rebuild rebuild nixos-rebuild\n",
    )
}

/// The generator knows options only: the verbs are added.
fn fish() -> String {
    let mut text = generated(Shell::Fish);
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

/// As with fish; and a verb is no subcommand, after which the generator expects another list.
fn elvish() -> String {
    let text = generated(Shell::Elvish);
    let mut list = "&'rebuild'= {\n".to_owned();
    for (name, help) in verbs() {
        writeln!(list, "            cand {name} '{}'", help.replace('\'', "''")).unwrap();
    }
    let text = replaced(&text, "&'rebuild'= {\n", &list);
    let text = replaced(&text, "    $completions[$command]\n", "    $completions[rebuild]\n");
    text + "\n# For an alias or a link of this name.\n\
            set edit:completion:arg-completer[nixos-rebuild] = $edit:completion:arg-completer[rebuild]\n"
}

/// The section OPTIONS, with the option groups as its parts.
fn options() -> String {
    let command = Arguments::command().mut_args(|argument| {
        // The verbs have a section of their own, written by hand.
        if argument.get_id() == "verb" {
            return argument.hide(true);
        }
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
                let (first, rest) = group.split_at(1);
                write!(section, ".SS {first}{}", rest.to_lowercase()).unwrap();
            }
        }
        section.push('\n');
    }
    section
}

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// The file has this text; with UPDATE=1 it gets it.
fn is_up_to_date(name: &str, expected: &str) {
    let path = path(name);
    if std::env::var_os("UPDATE").is_some_and(|value| value == "1") {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, expected).unwrap();
        return;
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    let pairs = found.lines().zip(expected.lines());
    let same = pairs.take_while(|(found, expected)| found == expected).count();
    assert!(
        found == expected,
        "{name} does not fit the command line any more, from line {}; to write it anew:\n\
         \n    UPDATE=1 cargo test --test generated\n",
        same + 1
    );
}

#[test]
fn the_completions_are_up_to_date() {
    is_up_to_date("completions/rebuild.bash", &bash());
    is_up_to_date("completions/_rebuild", &zsh());
    is_up_to_date("completions/rebuild.fish", &fish());
    is_up_to_date("completions/rebuild.elv", &elvish());
    is_up_to_date("completions/rebuild.nu", &generated(Nushell));
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

/// What says which settings there are, besides the program: `src/settings`.
#[test]
fn the_pages_of_settings_have_every_setting() {
    for (page, beginning) in [("man/rebuild.json.5", "\n.B "), ("nix/settings.nix", "\n  ")] {
        let Ok(text) = fs::read_to_string(path(page)) else {
            // Not by eprintln, which cargo hides when all went well.
            let _ = writeln!(std::io::stderr(), "skipped: there is no {page} yet");
            continue;
        };
        for definition in &rebuild::settings::ALL {
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

/// The text as a file, for a shell to read. Not the repository's file, which may be just being written.
fn file(name: &str, text: &str) -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join(name);
    fs::write(&file, text).unwrap();
    (directory, file)
}

/// What a shell prints. It must say nothing on its stderr: a file with errors in it is read as far as it goes.
fn shell(program: &str, arguments: &[&str], file: &Path) -> String {
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new(program);
    command.args(arguments).env("FILE", file).env("HOME", home.path());
    command.env("DIRECTORY", file.parent().unwrap());
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && errors.is_empty(),
        "{program} {arguments:?}: {errors}"
    );
    String::from_utf8(output.stdout).unwrap()
}

fn is_installed(program: &str) -> bool {
    let found = which::which(program).is_ok();
    if !found {
        // Not by eprintln, which cargo hides when all went well.
        let _ = writeln!(std::io::stderr(), "skipped: there is no {program} on this machine");
    }
    found
}

#[test]
fn bash_completes() {
    let (_directory, file) = file("rebuild.bash", &bash());
    let complete = |line: &str, name: &str| {
        let script = format!(
            "set -e; source \"$FILE\"; complete -p {name} >/dev/null
             COMP_WORDS=({line}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
             _rebuild {name} \"${{COMP_WORDS[-1]}}\" \"${{COMP_WORDS[-2]}}\"
             printf '%s\\n' \"${{COMPREPLY[@]}}\""
        );
        shell("bash", &["--norc", "--noprofile", "-c", &script], &file)
    };
    assert_eq!(complete("rebuild sw", "rebuild"), "switch\n");
    assert_eq!(complete("nixos-rebuild sw", "nixos-rebuild"), "switch\n");
    assert_eq!(complete("rebuild switch --eval-o", "rebuild"), "--eval-on\n");
    assert_eq!(
        complete("rebuild --eval-on builder dry-", "rebuild"),
        "dry-build\ndry-activate\n"
    );
}

#[test]
fn bash_leaves_a_completion_of_nixos_rebuild_itself() {
    let (_directory, file) = file("rebuild.bash", &bash());
    let script = "complete -F _theirs nixos-rebuild; source \"$FILE\"; complete -p nixos-rebuild";
    let shown = shell("bash", &["--norc", "--noprofile", "-c", script], &file);
    assert_eq!(shown, "complete -F _theirs nixos-rebuild\n");
}

#[test]
fn zsh_loads() {
    if !is_installed("zsh") {
        return;
    }
    let (_directory, file) = file("_rebuild", &zsh());
    // The two ways to load it: from fpath, and by sourcing.
    for load in [
        "fpath=($DIRECTORY $fpath); compinit -u -D; autoload +X _rebuild",
        "compinit -u -D; source $FILE",
    ] {
        let script = format!("autoload -U compinit; {load}; print $_comps[rebuild] $_comps[nixos-rebuild]");
        assert_eq!(shell("zsh", &["-f", "-c", &script], &file), "_rebuild _rebuild\n");
    }
}

#[test]
fn fish_completes() {
    if !is_installed("fish") {
        return;
    }
    let (_directory, file) = file("rebuild.fish", &fish());
    let complete = |line: &str| {
        let script = format!("source $FILE; complete -C '{line}'");
        let shown = shell("fish", &["--no-config", "-c", &script], &file);
        let words = shown.lines().map(|line| line.split('\t').next().unwrap().to_owned());
        words.collect::<Vec<_>>()
    };
    assert_eq!(complete("rebuild sw"), ["switch"]);
    assert_eq!(complete("nixos-rebuild sw"), ["switch"]);
    // fish 4 offers what is near, too.
    assert_eq!(complete("rebuild switch --eval-o")[0], "--eval-on");
    assert_eq!(complete("rebuild switch sw"), [""; 0]);
    assert_eq!(complete("rebuild -I /et"), ["/etc/"]);
}
