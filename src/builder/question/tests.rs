use super::*;
use crate::builder::evaluation::Evaluation;
use crate::builder::request::Beginning;
use crate::builder::tests::example;
use crate::sources::environment::{Asked, Environment};

/// Returns the question of an evaluation that was changed a little, if it asks for these variables.
fn asked(reads: &[&str], change: impl Fn(&mut Evaluation)) -> String {
    let mut evaluation = example::evaluation();
    change(&mut evaluation);
    let (need, environment) = (evaluation.need.clone(), evaluation.environment.clone());
    let request = example::request(Beginning::Files(Box::new(evaluation)));
    let reads = Reads {
        names: reads.iter().map(|name| (*name).to_owned()).collect(),
        any: reads.contains(&"any"),
    };
    question(&request, &need, &environment, &reads).unwrap().unwrap()
}

/// Returns the environment of these variables, of which nothing is asked.
fn environment(variables: &[(&str, &str)]) -> Chosen {
    let variables = variables.iter().map(|(name, value)| (name.into(), value.into()));
    Environment::new(variables.collect(), &[]).chosen(&Asked::default())
}

#[test]
fn whatever_the_evaluation_sees_is_another_question() {
    let plain = asked(&[], |_| {});
    assert_eq!(asked(&[], |_| {}), plain);
    let changes: [&dyn Fn(&mut Evaluation); 12] = [
        &|it| it.command.push("-A".into()),
        &|it| it.command.push("-x".into()),
        &|it| it.system = "x86_64-linux".into(),
        &|it| it.lock = Some("/flake.lock".into()),
        &|it| it.registry = "{}".into(),
        &|it| it.home = Some("/root".into()),
        &|it| it.home_is_unsure = true,
        &|it| it.settings.push_str("restrict-eval = true\n"),
        &|it| it.directory = "/etc".into(),
        &|it| it.need.question = "10".into(),
        &|it| it.need.trees.push("e-f".into()),
        &|it| it.need.fixed.clear(),
    ];
    for (number, change) in changes.into_iter().enumerate() {
        assert_ne!(asked(&[], change), plain, "{number}");
    }
}

#[test]
fn what_is_there_already_is_no_part_of_it() {
    let plain = asked(&[], |_| {});
    let changes: [&dyn Fn(&mut Evaluation); 6] = [
        &|it| it.command.push("-vv".into()),
        &|it| it.command.push("--quiet".into()),
        &|it| it.need.mirror = "10".into(),
        &|it| it.need.base = Some("ab".into()),
        &|it| it.need.proof = "cd".into(),
        &|it| it.may_be_remembered = false,
    ];
    for (number, change) in changes.into_iter().enumerate() {
        assert_eq!(asked(&[], change), plain, "{number}");
    }
}

/// A variable counts if Nix reads it or the evaluation asks for it, also if it is not there, or does not go.
#[test]
fn variables_that_are_asked_for() {
    let of = |reads: &[&str], variables: &[(&str, &str)]| asked(reads, |it| it.environment = environment(variables));
    let home = ("HOME", "/root");
    for (reads, one, other, is_same) in [
        (
            vec![],
            vec![home, ("XDG_SESSION_ID", "1")],
            vec![home, ("XDG_SESSION_ID", "2")],
            true,
        ),
        (vec![], vec![home, ("TERM", "x")], vec![home], true),
        (vec!["TERM"], vec![home, ("TERM", "x")], vec![home], false),
        (
            vec!["TERM"],
            vec![home, ("TERM", "x")],
            vec![home, ("TERM", "y")],
            false,
        ),
        (vec!["any"], vec![home, ("TERM", "x")], vec![home, ("TERM", "y")], false),
        (vec![], vec![home], vec![("HOME", "/home/me")], false),
        (vec![], vec![home], vec![home, ("XDG_CONFIG_HOME", "/c")], false),
        (vec![], vec![home, ("NIXPKGS_ALLOW_UNFREE", "1")], vec![home], false),
        (vec![], vec![home, ("COLOUR", "red")], vec![home], true),
        (vec!["COLOUR"], vec![home, ("COLOUR", "red")], vec![home], false),
        (vec!["any"], vec![home, ("COLOUR", "red")], vec![home], false),
    ] {
        assert_eq!(
            of(&reads, &one) == of(&reads, &other),
            is_same,
            "{reads:?} {one:?} {other:?}"
        );
    }
}

#[test]
fn a_value_is_never_remembered() {
    let mut evaluation = example::evaluation();
    evaluation.gives_value = true;
    let (need, environment) = (evaluation.need.clone(), evaluation.environment.clone());
    let request = example::request(Beginning::Files(Box::new(evaluation)));
    assert_eq!(
        question(&request, &need, &environment, &Reads::default()).unwrap(),
        None
    );
}
