//! The effect of settings on a plan.

use super::*;

fn deployment_among(line: &str, user: &str, facts: &Facts) -> Deployment {
    match plan_among(line, user, facts).unwrap().task {
        Task::Deploy(deployment) => *deployment,
        other => unreachable!("{line}: {other:?}"),
    }
}

#[test]
fn settings_say_what_the_command_line_leaves_unsaid() {
    use Place::Here;
    let (a, ab) = (
        "{ \"evalHost\": \"a\" }",
        "{ \"evalHost\": \"a\", \"buildHost\": \"b\" }",
    );
    for (line, user, evaluator, builder) in [
        ("switch", a, there("a"), there("a")),
        ("switch", ab, there("a"), there("b")),
        ("switch", "{ \"buildHost\": \"b\" }", Here, there("b")),
        ("switch", "{ \"evalHost\": \"pi\" }", Here, Here),
        ("switch --build-host c", a, there("a"), there("c")),
        ("switch --build-host ''", a, there("a"), Here),
        ("switch --eval-host ''", ab, Here, Here),
        ("switch --eval-host c", ab, there("c"), there("c")),
    ] {
        let deployment = deployment_among(line, user, &facts());
        let making = deployment.origin.making().unwrap();
        assert_eq!((&making.evaluator, &making.builder), (&evaluator, &builder), "{line}");
        assert_eq!(deployment.target, Here);
    }
    let all = "{ \"lend\": false, \"useSubstitutes\": true, \"diff\": true, \"elevate\": \"run0\", \"flake\": \"/f\" }";
    let deployment = deployment_among("switch", all, &user());
    assert!(deployment.diff && deployment.flags.copy.use_substitutes && !deployment.flags.lend);
    assert_eq!(deployment.rights.elevation, Elevation::Run0);
    let configuration = &deployment.origin.making().unwrap().configuration;
    assert_eq!(configuration.to_string(), "the flake /f#pi");
    let line = "switch --lend --no-use-substitutes --no-diff --elevate sudo --no-flake";
    let deployment = deployment_among(line, all, &user());
    assert!(!deployment.diff && !deployment.flags.copy.use_substitutes && deployment.flags.lend);
    assert_eq!(deployment.rights.elevation, Elevation::Sudo);
    let configuration = &deployment.origin.making().unwrap().configuration;
    assert_eq!(configuration, &Configuration::Classic);
}

/// The setting was made for other commands.
#[test]
fn a_setting_that_means_nothing_is_no_mistake() {
    let user_file = "{ \"evalHost\": \"a\", \"buildHost\": \"b\", \"verifyEval\": true, \"diff\": true }";
    for line in [
        "edit",
        "repl",
        "list-generations",
        "dry-build",
        "switch --rollback",
        "help",
    ] {
        let plan = plan_among(line, user_file, &facts()).unwrap();
        assert!(plan.warnings.is_empty(), "{line}: {:?}", plan.warnings);
    }
    let line = "switch --store-path /x";
    assert!(deployment_among(line, user_file, &facts()).hosts().is_empty());
    // If this machine evaluates, there is nothing to compare.
    let verifies = |line: &str, user_file: &str| {
        let deployment = deployment_among(line, user_file, &facts());
        deployment.origin.making().unwrap().verify_evaluation
    };
    let verify = "{ \"verifyEval\": true }";
    assert!(!verifies("switch", verify) && verifies("switch --eval-on b", verify));
    assert!(!verifies("switch --eval-on b --no-verify-eval", verify));
    // What is typed may refer to what is set.
    assert!(verifies("switch --verify-eval", "{ \"evalHost\": \"b\" }"));
    // A password is asked for a program; the setting may name it.
    let rights = |user_file: &str| deployment_among("switch -S", user_file, &user()).rights.elevation;
    assert_eq!(rights("{ \"elevate\": \"run0\" }"), Elevation::Run0);
    assert_eq!(rights("{ \"elevate\": \"none\" }"), Elevation::Sudo);
}

#[test]
fn of_a_host_that_this_command_names_nothing_is_made_up() {
    let local = "\"fallback\": \"local\"";
    for (line, user, expected) in [
        ("switch", "\"evalHost\": \"a\"", &["a"][..]),
        ("switch", "\"evalHost\": \"a\", \"buildHost\": \"b\"", &["a", "b"]),
        ("switch", "\"buildHost\": \"b\"", &["b"]),
        ("switch --eval-host c", "\"evalHost\": \"a\"", &[]),
        (
            "switch --eval-host c --if-unreachable local",
            "\"evalHost\": \"a\"",
            &["c"],
        ),
        ("switch --build-host c", "\"evalHost\": \"a\"", &["a"]),
        ("switch --build-host a", "\"evalHost\": \"a\"", &[]),
        (
            "switch --build-host c --if-unreachable fail",
            "\"evalHost\": \"a\"",
            &["a", "c"],
        ),
        ("switch --target-host a", "\"evalHost\": \"a\"", &[]),
        ("switch --rollback", "\"evalHost\": \"a\"", &[]),
    ] {
        for (settings, then) in [
            (user.to_owned(), Fallback::Fail),
            (format!("{user}, {local}"), Fallback::Local),
        ] {
            let seen = deployment_among(line, &format!("{{ {settings} }}"), &facts()).if_unreachable;
            let hosts: Vec<String> = seen.hosts.iter().map(Host::to_string).collect();
            assert_eq!(hosts, expected, "{line}");
            if !line.contains("--if-unreachable") && !line.contains("--rollback") {
                assert_eq!(seen.then, then, "{line}");
            }
        }
    }
}

#[test]
fn what_is_done_without_a_machine_is_done_here() {
    let made = |line: &str| making(line);
    let host = |name: &str| there(name).host().unwrap().clone();
    for (line, gone, expected) in [
        ("switch --eval-on a --verify-eval", "a", "switch"),
        ("switch --eval-on a --build-on b", "a", "switch --build-on b"),
        (
            "switch --eval-on a --build-on b --verify-eval",
            "b",
            "switch --eval-on a --build-on '' --verify-eval",
        ),
        (
            "switch --eval-on a --build-on b",
            "c",
            "switch --eval-on a --build-on b",
        ),
    ] {
        assert_eq!(made(line).without(&host(gone)), made(expected), "{line} without {gone}");
    }
}

#[test]
fn what_applies_is_shown_with_any_verb_and_without_one() {
    for line in [
        "--show-settings",
        "switch --show-settings --eval-on b",
        "list-generations --show-settings",
    ] {
        let task = plan_among(line, "{ \"diff\": true }", &user()).unwrap().task;
        let Task::ShowSettings { settings, json: false } = task else {
            unreachable!("{line}: {task:?}");
        };
        assert!(settings.diff());
    }
    let task = plan_with("--show-settings --json", &facts()).unwrap().task;
    assert!(matches!(task, Task::ShowSettings { json: true, .. }));
}

/// A confirmation is a setting for those verbs that activate something, and a host that confirms changes of this machine
/// says nothing of others.
#[test]
fn a_confirmation_is_for_what_is_activated() {
    let user_file = "{ \"evalHost\": \"a\", \"confirm\": 90, \"confirmBy\": \"c\" }";
    let host = |name| there(name).host().cloned().into_iter().collect();
    for (line, expected) in [
        ("switch", Some((90, Proof::Reaching(host("c"))))),
        ("test --confirm=5", Some((5, Proof::Reaching(host("c"))))),
        ("switch --target-host t", Some((90, Proof::Login))),
        ("switch --no-confirm", None),
        ("boot", None),
        ("dry-activate", None),
    ] {
        let deployment = deployment_among(line, user_file, &facts());
        let seen = deployment.outcome.activation().unwrap().confirmation.clone();
        assert_eq!(seen.map(|it| (it.seconds, it.by)), expected, "{line}");
    }
    assert!(
        deployment_among("build", user_file, &facts())
            .outcome
            .activation()
            .is_none()
    );
}
