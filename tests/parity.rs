//! `docs/nixos-rebuild.md` has a row for every verb and flag of nixos-rebuild and of this program, the program takes each
//! of them, what the page says that a command line comes to is what is planned, and the tests that the page names exist.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use clap::{CommandFactory, Parser, ValueEnum};
use rebuild::{
    Arguments, Channels, Deployment, Facts, Making, Origin, OutLink, Outcome, OwnNames, OwnNix, Place, Plan, Settings,
    Signals, Surroundings, Task, Verb,
};

/// Of nixos-rebuild-ng as of August 2026 (`models.py`, `__init__.py`): the verbs, and the flags with values for them.
const VERBS: &str = "switch boot test build dry-build dry-run dry-activate build-vm build-vm-with-bootloader build-image \
                     edit repl list-generations";
const FLAGS: &str = "--verbose|-v|--quiet|--max-jobs 2|-j 2|--cores 2|--log-format raw|--keep-going|-k|--keep-failed|-K|\
    --fallback|--repair|--option a b|--builders x|--include x=/y|-I x=/y|--print-build-logs|-L|--show-trace|--offline|\
    --no-net|--accept-flake-config|--refresh|--impure|--recreate-lock-file|--no-update-lock-file|--no-write-lock-file|\
    --no-registries|--commit-lock-file|--update-input x|--override-input x y|--no-build-output|-Q|--no-link|\
    --use-substitutes|--substitute-on-destination|-s|--flake|--flake .#x|-F .|--no-flake|--file x|-f x|--attr x|-A x|\
    --profile-name x|-p x|--specialisation x|-c x|--rollback|--store-path x|--upgrade|--upgrade-all|\
    --install-bootloader|--build-host x|--target-host x|--elevate none|--elevate sudo|--elevate run0|--sudo|\
    --use-remote-sudo|--ask-elevate-password|-S|--ask-sudo-password|--no-reexec|--fast|--image-variant x|--diff|--json|\
    --debug|--install-grub|--no-ssh-tty|--no-build-nix";

/// This checkout, as cargo says it when it runs the tests.
fn root() -> PathBuf {
    PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap())
}

fn page() -> String {
    fs::read_to_string(root().join("docs/nixos-rebuild.md")).unwrap()
}

/// The words in backticks in the first column of the tables under a heading.
fn rows(heading: &str) -> BTreeSet<String> {
    let page = page();
    let section = page
        .split("\n## ")
        .find(|section| section.starts_with(heading))
        .unwrap();
    let firsts = section.lines().filter_map(|line| line.strip_prefix("| `"));
    firsts
        .flat_map(|line| {
            let cell = line.split(" |").next().unwrap_or_default();
            cell.split('`').step_by(2).map(str::to_owned).collect::<Vec<_>>()
        })
        .filter(|word| !word.is_empty())
        .collect()
}

fn parse(line: &str) -> Result<Arguments, clap::Error> {
    Arguments::try_parse_from(std::iter::once("rebuild").chain(line.split_whitespace()))
}

#[test]
fn every_verb_of_nixos_rebuild_has_a_row_and_is_taken() {
    let rows = rows("Verbs");
    for verb in VERBS.split_whitespace() {
        assert!(rows.contains(verb), "{verb} has no row");
    }
    for verb in &rows {
        assert!(parse(verb).is_ok(), "{verb} is not taken");
    }
    for verb in Verb::value_variants() {
        let name = verb.to_possible_value().unwrap().get_name().to_owned();
        assert!(rows.contains(&name), "{name} has no row");
    }
}

#[test]
fn every_flag_of_nixos_rebuild_has_a_row_and_is_taken() {
    let rows = rows("Flags");
    for flag in FLAGS.split('|') {
        let name = flag.split(' ').next().unwrap();
        assert!(rows.contains(name), "{name} has no row");
        parse(&format!("switch {flag}")).unwrap();
        let words: Vec<_> = flag.split(' ').collect();
        if let ([long, value], true) = (&words[..], name.starts_with("--")) {
            parse(&format!("switch {long}={value}")).unwrap();
        }
    }
}

#[test]
fn every_flag_of_ours_has_a_row_and_every_row_is_a_flag() {
    let rows = rows("Flags");
    let command = Arguments::command();
    let mut own: BTreeSet<String> = ["--version", "--help", "-h"].map(String::from).into();
    for argument in command.get_arguments().filter(|argument| !argument.is_positional()) {
        let longs = argument.get_long_and_visible_aliases().unwrap_or_default();
        own.extend(longs.iter().map(|name| format!("--{name}")));
        own.extend(argument.get_short().map(|letter| format!("-{letter}")));
    }
    let missing: Vec<_> = own.difference(&rows).collect();
    assert!(missing.is_empty(), "without a row: {missing:?}");
    let unknown: Vec<_> = rows.difference(&own).collect();
    assert!(unknown.is_empty(), "no flags: {unknown:?}");
}

/// A row of the table of meanings: a command line, the files that there are, and what comes of it.
struct Row {
    typed: String,
    files: Vec<String>,
    asked: String,
    then: String,
}

fn meanings() -> Vec<Row> {
    let page = page();
    let mut sections = page.split("\n## ");
    let section = sections
        .find(|section| section.starts_with("What a command line"))
        .unwrap();
    let lines = section.lines().filter_map(|line| line.strip_prefix("| `"));
    let row = |line: &str| {
        let cells: Vec<&str> = line.trim_end_matches(" |").split(" | ").map(str::trim).collect();
        let [typed, files, asked, then] = match cells[..] {
            [typed, files, asked, then] => [typed, files, asked, then],
            // The last cell is empty.
            [typed, files, asked] => [typed, files, asked.trim_end_matches(" |"), ""],
            _ => unreachable!("{line}: no row"),
        };
        Row {
            typed: typed.trim_end_matches('`').to_owned(),
            files: files.split('`').skip(1).step_by(2).map(str::to_owned).collect(),
            asked: asked
                .trim_matches('`')
                .replace("SYSTEM", "config.system.build.toplevel"),
            then: then.replace('`', ""),
        }
    };
    // An empty cell has one blank.
    let apart = |line: &str| line.replace("| |", "|  |").replace("| |", "|  |");
    lines.map(|line| row(&apart(line))).collect()
}

/// What is planned for a command line where these files are: what Nix is asked, and what becomes of it.
fn planned(row: &Row) -> Result<(String, String), String> {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path();
    let here = row.files.iter().filter(|file| !file.starts_with(['/', '<']));
    for file in here {
        let path = place.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "{ }").unwrap();
    }
    let words = shlex::split(&row.typed).unwrap();
    let arguments = Arguments::try_parse_from(std::iter::once("rebuild".to_owned()).chain(words))
        .map_err(|error| error.to_string())?;
    let around = Surroundings {
        words: Vec::new(),
        variables: vec![("HOME".into(), place.into()), ("NIX_PATH".into(), "".into())],
        directory: place.to_owned(),
        directory_is_gone: false,
        own_name: "pi".to_owned(),
    };
    let settings = Settings::gather(&arguments, &around).unwrap();
    let nix = OwnNix::read(&around, &arguments.common.option, &arguments.evaluation.include);
    let looked = rebuild::facts(&arguments, &settings, &around, &nix, &Signals::listen().unwrap()).unwrap();
    let has = |file: &str| row.files.iter().any(|own| own == file);
    let mut facts = Facts {
        own: OwnNames::new("pi"),
        is_root: true,
        has_terminal: true,
        ..looked
    };
    // What this machine has in its /etc is no matter.
    facts.found.system_flake = has("/etc/nixos/flake.nix").then(|| "/etc/nixos".into());
    facts.found.system_file = has("/etc/nixos/system.nix");
    facts.found.nixos_system = has("<nixos-system>");
    match Plan::new(&arguments, &settings, &facts)
        .map_err(|failure| failure.to_string())?
        .task
    {
        Task::Deploy(deployment) => Ok((asked(&deployment), then(&deployment))),
        Task::ListGenerations { profile, json } => {
            let profile = profile.strip_prefix("/nix/var/nix/profiles").unwrap().display();
            let form = if json { "JSON" } else { "a table" };
            Ok((String::new(), format!("{profile} as {form}")))
        }
        other => Err(format!("{other:?}")),
    }
}

/// Nix's command here, in nixos-rebuild's words.
fn asked(deployment: &Deployment) -> String {
    let Origin::Made(making) = &deployment.origin else {
        return String::new();
    };
    let Making { evaluator, builder, .. } = making;
    assert_eq!(*evaluator, Place::Here);
    let (subject, root) = (making.subject(), Path::new("ROOT"));
    let link = match deployment.outcome {
        Outcome::DryBuild => OutLink::DryRun,
        Outcome::Link | Outcome::ListImages => OutLink::Result,
        Outcome::Activate(_) => OutLink::Root(root),
    };
    let command = match builder {
        Place::Here => rebuild::build_command(&subject, &deployment.flags, link),
        Place::There(_) => rebuild::evaluation_command(&subject, &deployment.flags, root),
    };
    let words: Vec<String> = command.words().map(|word| word.to_str().unwrap().to_owned()).collect();
    let quoted: Vec<&str> = words
        .iter()
        .map(|word| if word.is_empty() { "''" } else { word.as_str() })
        .collect();
    format!("{} ", quoted.join(" "))
        .replace(" --extra-experimental-features nix-command flakes", "")
        .replace(" --print-out-paths", "")
        .replace(" --out-link ROOT", " --no-out-link")
        .replace(" --add-root ROOT", "")
        .trim_end()
        .to_owned()
}

/// What becomes of it.
fn then(deployment: &Deployment) -> String {
    let mut parts = Vec::new();
    match deployment.upgrade {
        Some(Channels::OfNixos) => parts.push("root's channel nixos and the marked ones first;".to_owned()),
        Some(Channels::All) => parts.push("root's channels first;".to_owned()),
        None => {}
    }
    if let Origin::Made(Making {
        builder: Place::There(host),
        ..
    }) = &deployment.origin
    {
        parts.push(format!("on {host};"));
    }
    if let Place::There(host) = &deployment.target {
        parts.push(format!("for {host};"));
    }
    if deployment.origin == Origin::PreviousGeneration {
        parts.push("previous,".to_owned());
    }
    match &deployment.outcome {
        // Nix's own -Q, of a flake.
        Outcome::Link if asked(deployment).contains("--no-link") => {}
        Outcome::Link => parts.push("./result".to_owned()),
        Outcome::DryBuild | Outcome::ListImages => {}
        Outcome::Activate(activation) => {
            let profile = deployment.profile.strip_prefix("/nix/var/nix/profiles").unwrap();
            if activation.sets_profile && deployment.origin != Origin::PreviousGeneration {
                parts.push(format!("{},", profile.display()));
            }
            parts.push(activation.action.to_owned());
            if let Some(name) = &activation.specialisation {
                parts.push(format!("of {name}"));
            }
            if activation.install_bootloader {
                parts.push(", NIXOS_INSTALL_BOOTLOADER=1".to_owned());
            }
        }
    }
    parts.join(" ").replace(" ,", ",")
}

#[test]
fn every_command_line_of_the_page_comes_to_what_it_says() {
    let rows = meanings();
    assert!(rows.len() >= 60, "{} rows", rows.len());
    let mut wrong = Vec::new();
    for row in &rows {
        let what = match planned(row) {
            Ok((asked, then)) => (asked, then),
            Err(_) => ("refused".to_owned(), String::new()),
        };
        if what != (row.asked.clone(), row.then.clone()) {
            wrong.push(format!("{} {:?}: {what:?}", row.typed, row.files));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The flags that a command line has, whatever it calls them.
fn flags_of(command: &clap::Command, words: impl IntoIterator<Item = String>) -> BTreeSet<String> {
    let words = std::iter::once("rebuild".to_owned()).chain(words);
    let Ok(matches) = command.clone().try_get_matches_from(words) else {
        return BTreeSet::new();
    };
    let flags = command.get_arguments().filter(|argument| !argument.is_positional());
    let ids = flags.map(|argument| argument.get_id().as_str());
    let is_typed = |id: &&str| matches.value_source(id) == Some(clap::parser::ValueSource::CommandLine);
    ids.filter(is_typed).map(str::to_owned).collect()
}

#[test]
fn every_flag_of_nixos_rebuild_has_a_meaning() {
    let command = Arguments::command();
    let rows = meanings().into_iter();
    let shown: BTreeSet<String> = rows
        .flat_map(|row| flags_of(&command, shlex::split(&row.typed).unwrap()))
        .collect();
    for flag in FLAGS.split('|').filter(|flag| !flag.is_empty()) {
        let words = std::iter::once("switch").chain(flag.split(' ')).map(str::to_owned);
        let ids = flags_of(&command, words);
        assert_eq!(ids.len(), 1, "{flag}");
        assert!(ids.is_subset(&shown), "{flag} stands in no command line of the page");
    }
}

/// The last column of the table of defects names tests: functions here or in `src`, or cases of the lab.
#[test]
fn every_defect_has_its_tests() {
    let page = page();
    let section = page
        .split("\n## ")
        .find(|section| section.starts_with("Defects"))
        .unwrap();
    let table: Vec<&str> = section
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| ---"))
        .skip(1)
        .collect();
    assert!(table.len() >= 16, "{} defects", table.len());
    let root = root();
    let mut sources = String::new();
    for directory in ["src", "tests"] {
        read_all(&root.join(directory), &mut sources);
    }
    for row in table {
        let tests = row.trim_end_matches(" |").rsplit("| ").next().unwrap();
        let names: Vec<_> = tests.split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "no test: {row}");
        for name in names {
            let is_there = sources.contains(&format!("fn {name}(")) || sources.contains(&format!("case_{name}()"));
            assert!(is_there, "there is no test {name}");
        }
    }
}

fn read_all(directory: &Path, text: &mut String) {
    for entry in fs::read_dir(directory).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            read_all(&path, text);
        } else if path.extension().is_some_and(|end| end == "rs" || end == "sh") {
            text.push_str(&fs::read_to_string(path).unwrap());
        }
    }
}
