//! Checks that each part of the scripts takes and gives what its head says, and that a run has all the parts that it
//! needs and no more.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::{Command, Stdio};

use super::super::parts::{ALL, Part, all_scripts, parts};
use super::super::realisation::Building;
use super::super::request::{Beginning, Client, Request};
use super::super::upgrade::Upgrade;
use super::example::{evaluation, request_for as request};
use crate::remote::script::without_comments;
use crate::store_path::StorePath;

const GENERATION: &str = "/nix/store/00000000000000000000000000000000-user-environment";

const DERIVATION: &str = "/nix/store/00000000000000000000000000000000-x.drv";

type Names = BTreeSet<String>;

fn files(gives_value: bool) -> Beginning {
    let mut evaluation = evaluation();
    evaluation.gives_value = gives_value;
    Beginning::Files(Box::new(evaluation))
}

fn derivation() -> Beginning {
    Beginning::Derivation(StorePath::parse(DERIVATION).unwrap())
}

fn channels() -> Beginning {
    Beginning::Channels(Upgrade {
        channels: "https://h/nixos nixos\n".into(),
    })
}

/// Returns every kind of run, and what it does there.
fn runs() -> Vec<(Request, &'static str)> {
    let (real, dry) = (Some(Building::Real), Some(Building::Dry));
    vec![
        (
            request(files(false), real, true),
            "begin_run, find_way, begin, preflight, evaluate start_probe build, deliver \"$rb_socket\" \"$out\", \
             forget_results, finish_run",
        ),
        (
            request(files(false), real, false),
            "begin_run, find_way, begin, preflight, evaluate start_probe build, forget_results, finish_run",
        ),
        (
            request(files(false), dry, false),
            "begin_run, find_way, begin, preflight, evaluate : build_nothing, build_dry \"$drv\", finish_run",
        ),
        (
            request(files(false), None, true),
            "begin_run, find_way, begin, preflight, evaluate : build_nothing, deliver \"$rb_socket\" --derivation \"$drv\", finish_run",
        ),
        (
            request(files(true), None, false),
            "begin_run, find_way, begin, preflight, evaluate : build_nothing, finish_run",
        ),
        (
            request(derivation(), real, true),
            "begin_run, begin, preflight, detach probe_and_build /nix/store/00000000000000000000000000000000-x.drv, \
             deliver \"$rb_socket\" \"$out\", forget_results, finish_run",
        ),
        (
            request(derivation(), dry, false),
            "begin_run, begin, build_dry /nix/store/00000000000000000000000000000000-x.drv, finish_run",
        ),
        (
            request(channels(), None, false),
            "begin_run, begin, update_channels, finish_run",
        ),
        (
            request(Beginning::Path(StorePath::parse(GENERATION).unwrap()), None, true),
            "begin_run, begin, deliver \"$rb_socket\" /nix/store/00000000000000000000000000000000-user-environment, finish_run",
        ),
    ]
}

fn text(request: &Request) -> String {
    String::from_utf8(request.script().unwrap()).unwrap()
}

fn parts_of(request: &Request) -> BTreeSet<Part> {
    parts(&request.instructions())
}

/// Returns the names in a table of a part's head: the words of each row before two blanks.
fn rows(part: Part, table: &str) -> Names {
    let head = part.files()[0].lines().take_while(|line| line.starts_with('#'));
    let after = head.skip_while(|line| line.strip_prefix("# ") != Some(table)).skip(1);
    let rows = after.map_while(|line| line.strip_prefix("#   "));
    let names = rows.flat_map(|row| row.split("  ").next().unwrap().split(", "));
    let names = names.map(|name| name.trim_end_matches(',').trim_start_matches('$').to_owned());
    names.filter(|name| !name.is_empty()).collect()
}

/// The lines of a part that are no comments.
fn code(part: Part) -> impl Iterator<Item = &'static str> {
    let lines = part.files().iter().flat_map(|file| file.lines());
    lines.filter(|line| !line.trim_start().starts_with('#'))
}

fn is_of_name(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_'
}

/// Returns all names in a line, each with what stands before and after it.
fn names_in(line: &str) -> Vec<(&str, &str, &str)> {
    let mut found = Vec::new();
    let mut start = 0;
    while let Some(offset) = line[start..].find(is_of_name) {
        let begin = start + offset;
        let end = line[begin..].find(|c| !is_of_name(c)).map_or(line.len(), |n| begin + n);
        found.push((&line[..begin], &line[begin..end], &line[end..]));
        start = end;
    }
    found
}

fn is_clients(name: &str) -> bool {
    name.starts_with("rb_") || name.starts_with("with_client_")
}

/// The client's words that a part names.
fn words_used(part: Part) -> Names {
    let names = code(part).flat_map(names_in).map(|(_, name, _)| name);
    names.filter(|name| is_clients(name)).map(str::to_owned).collect()
}

/// Variables that the shell and its programs read.
const OTHERS: [&str; 15] = [
    "HOME",
    "IFS",
    "LC_ALL",
    "NIX_CONFIG",
    "NIX_DAEMON_SOCKET_PATH",
    "NIX_REMOTE",
    "NIX_STATE_DIR",
    "NIX_USER_CONF_FILES",
    "PATH",
    "PWD",
    "TMPDIR",
    "USER",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
    "_",
];

/// The variables that a part sets: by `x=`, `for x`, `read x`.
fn set(part: Part) -> Names {
    let mut found = Names::new();
    for line in code(part) {
        for (before, name, after) in names_in(line) {
            let words: Vec<&str> = before.split_whitespace().collect();
            let is_read = words.iter().rposition(|word| *word == "read").is_some_and(|place| {
                let rest = &words[place + 1..];
                rest.iter().all(|word| word.chars().all(is_of_name) || *word == "-r")
            });
            let is_set = after.starts_with('=') && (before.is_empty() || before.ends_with(['\t', ' ', '(', '{']));
            let is_for = words.last() == Some(&"for") && !before.ends_with('-');
            if is_set || is_for || (is_read && !before.ends_with(['-', '$'])) {
                found.insert(name.to_owned());
            }
        }
    }
    found.retain(|name| !OTHERS.contains(&name.as_str()));
    found
}

/// The variables that a part reads.
fn read(part: Part) -> Names {
    let names = code(part).flat_map(names_in);
    let names = names.filter(|(before, _, _)| before.ends_with('$') || before.ends_with("${"));
    let names = names.map(|(_, name, _)| name);
    let names = names.filter(|name| !is_clients(name) && !OTHERS.contains(name));
    let is_number = |name: &&str| name.chars().all(|c| c.is_ascii_digit());
    names.filter(|name| !is_number(name)).map(str::to_owned).collect()
}

/// The functions that a part defines.
fn functions(part: Part) -> Names {
    let starts = code(part)
        .filter_map(|line| line.split_once("() {"))
        .map(|(name, _)| name);
    starts
        .filter(|name| name.chars().all(is_of_name))
        .map(str::to_owned)
        .collect()
}

/// Returns those of the known functions that a part names where a command may stand.
fn calls(part: Part, known: &Names) -> Names {
    let names = code(part).flat_map(names_in);
    let is_command = |before: &str, after: &str| {
        // A name in a text that is printed is no call.
        let is_text = before.matches('"').count() % 2 == 1 && !before.rsplit('"').next().unwrap().contains("$(");
        let stands_alone = !is_text && (before.is_empty() || before.ends_with([' ', '\t', '(', '!']));
        stands_alone && (after.is_empty() || after.starts_with([' ', ')', ';']))
    };
    let called = names.filter(|(before, name, after)| known.contains(*name) && is_command(before, after));
    called.map(|(_, name, _)| name.to_owned()).collect()
}

/// The events that a part says: by `event` or `tell`, or as text for another program to print.
fn said(part: Part) -> Names {
    let mut found = Names::new();
    for line in code(part) {
        for before in ["event ", "tell ", "@rebuild "] {
            let words = line.split(before).skip(1);
            let words = words.map(|rest| {
                rest.split(|c: char| !c.is_ascii_lowercase() && c != '-')
                    .next()
                    .unwrap()
            });
            found.extend(words.filter(|word| !word.is_empty()).map(str::to_owned));
        }
    }
    found
}

fn clients(names: Names) -> Names {
    names.into_iter().filter(|name| is_clients(name)).collect()
}

fn others(names: Names) -> Names {
    names.into_iter().filter(|name| !is_clients(name)).collect()
}

#[test]
fn a_run_does_what_it_is_for() {
    for (request, does) in runs() {
        let text = text(&request);
        let lines: Vec<&str> = text.lines().collect();
        let does: Vec<&str> = does.split(", ").collect();
        assert_eq!(lines[lines.len() - does.len()..], does);
        assert_eq!(
            lines[lines.len() - does.len() - 1],
            "}",
            "a part does something by itself"
        );
    }
}

#[test]
fn a_part_names_the_clients_words_in_its_head_and_no_others() {
    for part in ALL {
        assert_eq!(clients(rows(part, "Takes")), words_used(part), "{part:?}");
    }
}

#[test]
fn the_client_sets_what_the_parts_of_a_run_take() {
    for (request, does) in runs() {
        let instructions = request.instructions();
        let words = String::from_utf8(request.words(&instructions).unwrap().into_bytes()).unwrap();
        let is_set =
            |name: &&str, after: &str| is_clients(name) && (after.starts_with('=') || after.starts_with("() {"));
        let lines = words.lines().filter_map(|line| names_in(line).first().copied());
        let set: Names = lines
            .filter(|(before, name, after)| before.is_empty() && is_set(name, after))
            .map(|(_, name, _)| name.to_owned())
            .collect();
        let taken = parts(&instructions)
            .into_iter()
            .flat_map(|part| clients(rows(part, "Takes")));
        assert_eq!(set, taken.collect(), "{does}");
    }
}

#[test]
fn a_part_says_the_events_in_its_head_and_no_others() {
    for part in ALL {
        assert_eq!(said(part), rows(part, "Says"), "{part:?}");
    }
}

/// What a part reads and does not set is the session's, and stands in both heads. Parts hand on only what their heads
/// name.
#[test]
fn parts_share_the_variables_that_their_heads_name() {
    let given: BTreeMap<Part, Names> = ALL.map(|part| (part, rows(part, "Gives"))).into();
    for part in ALL {
        let foreign: Names = read(part).difference(&set(part)).cloned().collect();
        assert_eq!(foreign, others(rows(part, "Takes")), "{part:?} reads these of others");
        if part != Part::Session {
            assert!(foreign.is_subset(&given[&Part::Session]), "{part:?}: {foreign:?}");
        }
        for other in ALL.into_iter().filter(|other| *other > part) {
            let both: Names = set(part).intersection(&set(other)).cloned().collect();
            let named: Names = given[&part].intersection(&given[&other]).cloned().collect();
            assert!(both.is_subset(&named), "{part:?} and {other:?} both set {both:?}");
        }
        assert!(
            given[&part].is_subset(&set(part)),
            "{part:?} does not set all of {:?}",
            given[&part]
        );
    }
}

/// A part calls no other part than the session, so each part can be run with the session alone.
#[test]
fn parts_call_themselves_and_the_session() {
    let all: Names = ALL.into_iter().flat_map(functions).collect();
    assert_eq!(
        all.len(),
        ALL.map(|part| functions(part).len()).iter().sum::<usize>(),
        "one is defined twice"
    );
    for part in ALL {
        let mut own = functions(part);
        own.extend(functions(Part::Session));
        let called = calls(part, &all);
        let foreign: Vec<&String> = called.difference(&own).collect();
        assert!(foreign.is_empty(), "{part:?} calls {foreign:?}");
    }
}

/// A run has the parts that it needs, and no others.
#[test]
fn a_run_has_the_parts_that_it_needs() {
    for (request, does) in runs() {
        let text = text(&request);
        for part in ALL {
            let is_needed = parts_of(&request).contains(&part);
            assert!(
                part.files()
                    .iter()
                    .all(|file| text.contains(&without_comments(file)) == is_needed),
                "{does}: {part:?}"
            );
        }
    }
    assert_eq!(
        all_scripts().len(),
        ALL.map(|part| part.files().len()).iter().sum::<usize>()
    );
}

#[test]
fn a_shell_can_read_it() {
    for (request, does) in runs() {
        let mut command = Command::new("sh");
        let mut child = command.arg("-n").stdin(Stdio::piped()).spawn().unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(text(&request).as_bytes())
            .unwrap();
        assert!(child.wait().unwrap().success(), "{does}");
    }
}

/// The text that is sent means the same to a shell as the written one: no line of a quoted text looks like a comment.
#[test]
fn comments_that_stay_here_are_comments() {
    let functions = |text: &str| {
        let mut command = Command::new("bash");
        let output = command.args(["-c", &format!("{text}\ndeclare -f")]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    for file in all_scripts() {
        let (whole, sent) = (functions(file), functions(&without_comments(file)));
        assert!(whole.contains("()"), "{file}");
        assert_eq!(whole, sent);
    }
    let view = format!("view() {{\n{}}}\n", include_str!("../scripts/view.sh"));
    assert_eq!(functions(&view), functions(&without_comments(&view)));
}

/// What is asked about jobs is asked without a run: it has the session's words, and neither an evaluation's nor a build's.
#[test]
fn what_is_asked_about_jobs_has_what_it_takes() {
    use super::super::jobs;
    use super::super::parts::Instruction;
    let client = Client {
        name: "pi-0".into(),
        stays: true,
    };
    let names = ["a b".to_owned()];
    for (instruction, last) in [
        (Instruction::TellJobs, "tell_jobs"),
        (Instruction::Follow { name: "a'b", heard: 7 }, "follow_there \"a'b\" 7"),
        (Instruction::CancelJobs(&names), "cancel_jobs 'a b'"),
    ] {
        let text = String::from_utf8(jobs::script(&client, &instruction).unwrap()).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[lines.len() - 3..], ["begin_run", last, "finish_run"]);
        let is_set = |line: &&str| line.starts_with("rb_");
        let set: Names = lines
            .iter()
            .take_while(|line| is_set(line))
            .map(|line| names_in(line)[0].1.to_owned())
            .collect();
        let taken = parts(&[Instruction::Begin, instruction])
            .into_iter()
            .flat_map(|part| clients(rows(part, "Takes")));
        assert_eq!(set, taken.collect(), "{last}");
    }
}
