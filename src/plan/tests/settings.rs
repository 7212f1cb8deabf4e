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

/// Returns the plan, and who does what if these machines do not answer.
fn candidates(line: &str, user: &str) -> (Deployment, impl Fn(&str) -> String) {
    let deployment = deployment_among(line, user, &facts());
    let (making, all) = (
        deployment.origin.making().unwrap().clone(),
        deployment.if_unreachable.candidates.clone(),
    );
    let who = move |absent: &str| {
        let absent: Vec<Host> = absent
            .split_whitespace()
            .map(|name| Host::parse(name).unwrap())
            .collect();
        let next = all.next(&making, &absent);
        let name = |place: &Place| place.host().map_or_else(|| "here".to_owned(), Host::to_string);
        let whole = if next.needs_any(&absent) { " in vain" } else { "" };
        format!("{} {}{whole}", name(&next.evaluator), name(&next.builder))
    };
    (deployment, who)
}

#[test]
fn of_several_hosts_the_first_that_answers_is_used() {
    for (line, user, expected) in [
        (
            "switch",
            "{ \"evalHost\": [\"a\", \"b\", \"c\"] }",
            &[
                ("", "a a"),
                ("a", "b b"),
                ("a b", "c c"),
                ("b", "a a"),
                ("a b c", "a a in vain"),
            ][..],
        ),
        // Each role has its own list.
        (
            "switch",
            "{ \"evalHost\": [\"a\", \"b\"], \"buildHost\": [\"b\", \"a\", \"c\"] }",
            &[("", "a b"), ("a", "b b"), ("b", "a a"), ("a b", "a c in vain")],
        ),
        // What is typed counts before what is set, for the builder too.
        (
            "switch --eval-on x,me@y",
            "{ \"evalHost\": [\"a\", \"b\"], \"buildHost\": \"c\" }",
            &[("", "x x"), ("x", "me@y me@y")],
        ),
        (
            "switch --build-on x,y",
            "{ }",
            &[("", "here x"), ("x", "here y"), ("x y", "here x in vain")],
        ),
        // One file may be for several machines: this one always answers.
        (
            "switch",
            "{ \"evalHost\": [\"a\", \"pi\", \"b\"] }",
            &[("", "a a"), ("a", "here here"), ("a b", "here here")],
        ),
        ("switch --eval-on a,a", "{ }", &[("", "a a"), ("a", "a a in vain")]),
    ] {
        let (_, who) = candidates(line, user);
        for (absent, expected) in expected {
            assert_eq!(who(absent), *expected, "{line}, {user}, without {absent}");
        }
    }
}

#[test]
fn a_machine_that_woke_takes_the_place_of_the_one_that_was_absent() {
    let host = |name: &str| Host::parse(name).unwrap();
    for (user, absent, woken, expected) in [
        ("\"evalHost\": [\"a\", \"b\"]", "b", "a", ["a", "a"]),
        (
            "\"evalHost\": [\"a\", \"b\"], \"buildHost\": [\"a\", \"c\"]",
            "a",
            "b",
            ["b", "a"],
        ),
        (
            "\"evalHost\": [\"a\", \"b\"], \"buildHost\": [\"a\", \"b\"]",
            "a",
            "b",
            ["b", "b"],
        ),
        ("\"evalHost\": \"a\", \"buildHost\": \"b\"", "b", "b", ["a", "b"]),
    ] {
        let deployment = deployment_among("switch", &format!("{{ {user} }}"), &facts());
        let all = &deployment.if_unreachable.candidates;
        let mut making = deployment.origin.making().unwrap().clone();
        if making.evaluator == making.builder && all.builders.is_none() {
            making = all.next(&making, &[host("a")]);
        }
        let made = all.woken(&making, &host(absent), &host(woken));
        assert_eq!([made.evaluator, made.builder], expected.map(there), "{user}");
    }
}

/// A host of a list is waited for less long, and so is one that can be woken. What is set for a file's hosts is not
/// meant for a host that is typed.
#[test]
fn which_hosts_are_doubtful_and_which_are_woken() {
    let wake = "\"wake\": \"w\", \"wakeTimeout\": 9";
    for (line, user, doubtful, woken) in [
        ("switch --eval-on a", "", &[][..], None),
        ("switch --eval-on a,b", "", &["a", "b"], None),
        ("switch --eval-on a", wake, &[], None),
        ("switch --eval-on a --wake x", wake, &["a"], Some(("x", 9, &["a"][..]))),
        ("switch --eval-on a --wake=", wake, &[], None),
        ("switch --wake x", "", &[], None),
        ("switch --rollback --eval-on a --wake x", "", &[], None),
        ("switch --eval-on a --wake x --target-host a", "", &[], None),
    ] {
        let seen = deployment_among(line, &format!("{{ {user} }}"), &facts()).if_unreachable;
        let names = |hosts: Vec<&Host>| hosts.into_iter().map(Host::to_string).collect::<Vec<_>>();
        assert_eq!(names(seen.doubtful()), doubtful, "{line}");
        let woken = woken.map(|(command, seconds, hosts)| (command.to_owned(), seconds, hosts.to_vec()));
        let is_woken = seen
            .wake
            .map(|wake| (wake.command, wake.patience.as_secs(), wake.hosts));
        let is_woken = is_woken.map(|(command, seconds, hosts)| {
            let hosts: Vec<String> = hosts.iter().map(Host::to_string).collect();
            (command, seconds, hosts)
        });
        let woken = woken.map(|(command, seconds, hosts)| {
            let hosts = hosts.into_iter().map(str::to_owned).collect::<Vec<_>>();
            (command, seconds, hosts)
        });
        assert_eq!(is_woken, woken, "{line}");
    }
    let user = format!("{{ \"evalHost\": [\"a\", \"b\"], {wake} }}");
    let seen = deployment_among("switch --build-on b", &user, &facts()).if_unreachable;
    let wake = seen.wake.clone().unwrap();
    assert_eq!(wake.hosts, [there("a").host().unwrap().clone()]);
    assert_eq!((wake.command.as_str(), wake.patience.as_secs()), ("w", 9));
}

#[test]
fn a_list_with_a_gap_is_refused() {
    for line in [
        "switch --eval-on a,",
        "switch --build-on ,a",
        "switch --eval-on ,",
        "build --eval-on a,,b",
    ] {
        let failure = plan_among(line, "{ }", &facts()).unwrap_err();
        assert!(
            failure.to_string().contains("a list of hosts has no empty name"),
            "{failure}"
        );
        assert_eq!(failure.code(), 2);
    }
    assert!(plan_among("switch --eval-on a,-x", "{ }", &facts()).is_err());
    for line in ["edit --build-host pi,b", "repl --target-host b"] {
        assert!(plan_among(line, "{ }", &facts()).is_err(), "{line}");
    }
    let plan = plan_among("repl --eval-on pi,b", "{ }", &facts()).unwrap();
    assert_eq!(plan.warnings, ["'nix repl' evaluates on this machine, not on pi,b"]);
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
