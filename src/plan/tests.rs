mod settings;

use super::*;
use crate::host::{Host, OwnNames, Place};
use crate::settings::tests::WrittenPlaces;
use crate::vocabulary::{Elevation, Fallback, Proof, Rights};
use clap::Parser;

pub(super) fn facts() -> Facts {
    Facts {
        own: OwnNames::new("pi"),
        is_root: true,
        has_terminal: true,
        found: Found::default(),
    }
}

pub(super) fn user() -> Facts {
    Facts {
        is_root: false,
        ..facts()
    }
}

pub(super) fn plan_with(line: &str, facts: &Facts) -> Result<Plan, Failure> {
    plan_among(line, "", facts)
}

/// Makes a plan with `user` in the user's file of settings.
pub(super) fn plan_among(line: &str, user: &str, facts: &Facts) -> Result<Plan, Failure> {
    let words = line.split(' ').map(|word| if word == "''" { "" } else { word });
    let arguments = Arguments::try_parse_from(std::iter::once("rebuild").chain(words)).unwrap();
    let places = WrittenPlaces {
        system: "",
        user,
        environment: &[],
    };
    Plan::new(&arguments, &Settings::of_places(&arguments, &places)?, facts)
}

fn deployment_with(line: &str, facts: &Facts) -> Result<Deployment, Failure> {
    match plan_with(line, facts)?.task {
        Task::Deploy(deployment) => Ok(*deployment),
        other => unreachable!("{line}: {other:?}"),
    }
}

pub(super) fn deployment(line: &str) -> Result<Deployment, Failure> {
    deployment_with(line, &facts())
}

fn making(line: &str) -> Making {
    match deployment(line).unwrap().origin {
        Origin::Made(making) => making,
        other => unreachable!("{line}: {other:?}"),
    }
}

fn there(name: &str) -> Place {
    Place::parse(name, "pi").unwrap()
}

#[test]
fn who_evaluates_who_builds_and_who_gets_it() {
    use Place::Here;
    for (line, evaluator, builder, target) in [
        ("switch", Here, Here, Here),
        ("switch --eval-on b", there("b"), there("b"), Here),
        ("--eval-host me@b switch", there("me@b"), there("me@b"), Here),
        ("switch --eval-on b --build-on b", there("b"), there("b"), Here),
        ("switch --build-on b", Here, there("b"), Here),
        ("switch --eval-on localhost --build-on b", Here, there("b"), Here),
        ("switch --eval-on pi", Here, Here, Here),
        ("switch --eval-on b --eval-on ''", Here, Here, Here),
        ("switch --build-on ''", Here, Here, Here),
        ("switch --eval-on a --build-on ''", there("a"), Here, Here),
        ("switch --eval-on a --build-on b", there("a"), there("b"), Here),
        ("switch --target-host c", Here, Here, there("c")),
        ("switch --target-host ''", Here, Here, Here),
        ("switch --target-host pi", Here, Here, Here),
        ("switch --build-host b --target-host c", Here, there("b"), there("c")),
        ("switch --build-host c --target-host c", Here, there("c"), there("c")),
        (
            "switch --eval-on a --build-on b --target-host c",
            there("a"),
            there("b"),
            there("c"),
        ),
        ("switch --eval-on a --target-host a", there("a"), there("a"), there("a")),
    ] {
        let seen = making(line);
        assert_eq!((seen.evaluator, seen.builder), (evaluator, builder), "{line}");
        assert_eq!(deployment(line).unwrap().target, target, "{line}");
    }
}

#[test]
fn each_host_is_logged_in_to_once() {
    let hosts = |line: &str| -> Vec<String> {
        deployment(line)
            .unwrap()
            .hosts()
            .into_iter()
            .map(Host::to_string)
            .collect()
    };
    assert_eq!(
        hosts("switch --eval-on a --build-on b --target-host c"),
        ["a", "b", "c"]
    );
    assert_eq!(hosts("switch --eval-on a --target-host a"), ["a"]);
    assert!(hosts("switch").is_empty());
    assert_eq!(hosts("switch --rollback --eval-on a --target-host c"), ["c"]);
}

#[test]
fn what_becomes_of_the_result() {
    let activation = |sets_profile, action| {
        Outcome::Activate(ActivationPlan {
            sets_profile,
            action,
            specialisation: None,
            install_bootloader: false,
            goes_back: false,
            confirmation: None,
        })
    };
    for (line, expected) in [
        ("switch", activation(true, "switch")),
        ("boot", activation(true, "boot")),
        ("test", activation(false, "test")),
        ("dry-activate", activation(false, "dry-activate")),
        ("build", Outcome::Link),
        ("build-vm", Outcome::Link),
        ("build-vm-with-bootloader", Outcome::Link),
        ("build-image --image-variant raw", Outcome::Link),
        ("build-image", Outcome::ListImages),
        ("dry-build", Outcome::DryBuild),
        ("dry-run", Outcome::DryBuild),
    ] {
        assert_eq!(deployment(line).unwrap().outcome, expected, "{line}");
    }
}

/// The flag is for what changes a system. A setting is no mistake with other verbs.
#[test]
fn who_goes_back() {
    for (line, expected) in [
        ("switch", Some(true)),
        ("boot", Some(true)),
        ("test -c x", Some(true)),
        ("switch --rollback", Some(true)),
        ("dry-activate", None),
        ("build", None),
        ("dry-build", None),
        ("build-vm", None),
        ("build-image --image-variant raw", None),
    ] {
        let typed = deployment(&format!("{line} --rollback-on-failure"));
        match (expected, &typed) {
            (Some(_), Ok(typed)) => assert!(typed.outcome.activation().unwrap().goes_back, "{line}"),
            (None, Err(failure)) => {
                assert_eq!(failure.code(), 2, "{line}");
                assert!(
                    failure.to_string().contains("--rollback-on-failure has no meaning for"),
                    "{line}"
                );
            }
            _ => panic!("{line}: {typed:?}"),
        }
        let off = deployment(&format!("{line} --rollback-on-failure --no-rollback-on-failure")).unwrap();
        assert!(off.outcome.activation().is_none_or(|it| !it.goes_back), "{line}");
    }
}

#[test]
fn what_is_built() {
    for (line, attribute) in [
        ("switch", "config.system.build.toplevel"),
        ("switch -c x", "config.system.build.toplevel"),
        ("build-vm", "config.system.build.vm"),
        ("build-vm-with-bootloader", "config.system.build.vmWithBootLoader"),
        ("build-image --image-variant iso", "config.system.build.images.iso"),
        // nixpkgs#558909
        ("build-vm -c x", "config.specialisation.x.configuration.system.build.vm"),
    ] {
        assert_eq!(making(line).product.attribute(), attribute, "{line}");
    }
}

#[test]
fn profiles_and_names_that_stay_in_their_directory() {
    let profile = |line: &str| deployment(line).unwrap().profile;
    assert_eq!(profile("boot"), PathBuf::from("/nix/var/nix/profiles/system"));
    assert_eq!(
        profile("boot -p my-test"),
        PathBuf::from("/nix/var/nix/profiles/system-profiles/my-test")
    );
    assert_eq!(deployment("boot --profile-name=").unwrap_err().code(), 2);
    for name in ["../system", "a/b", "."] {
        assert_eq!(
            deployment(&format!("boot --profile-name={name}")).unwrap_err().code(),
            2
        );
    }
    for name in ["../system", "a/b", "."] {
        assert_eq!(
            deployment(&format!("test --specialisation={name}")).unwrap_err().code(),
            2
        );
    }
}

#[test]
fn where_a_system_comes_from() {
    for verb in ["switch", "boot", "test", "build", "dry-activate"] {
        let rolled = deployment(&format!("{verb} --rollback --flake . --eval-on b")).unwrap();
        assert_eq!(rolled.origin, Origin::PreviousGeneration, "{verb}");
    }
    // nixos-rebuild ends with an error of Python's.
    for verb in ["dry-build", "build-vm", "build-vm-with-bootloader", "build-image"] {
        let failure = deployment(&format!("{verb} --rollback")).unwrap_err();
        assert_eq!(failure.code(), 2);
        assert_eq!(failure.to_string(), format!("--rollback has no meaning for {verb}"));
    }
    for verb in ["switch", "boot", "test", "dry-activate"] {
        let taken = deployment(&format!("{verb} --store-path ./result --build-host b")).unwrap();
        assert_eq!(taken.origin, Origin::Path("./result".into()), "{verb}");
    }
    assert_eq!(deployment("build --store-path x").unwrap_err().code(), 2);
}

#[test]
fn specialisations_where_they_mean_something() {
    for verb in ["switch", "test", "dry-activate"] {
        let outcome = deployment(&format!("{verb} -c mobile")).unwrap().outcome;
        assert_eq!(
            outcome.activation().unwrap().specialisation.as_deref(),
            Some("mobile"),
            "{verb}"
        );
    }
    // An empty name counts as none, and there is nothing to say about it.
    for verb in ["switch", "boot", "test", "dry-activate", "build", "dry-build"] {
        let deployment = deployment(&format!("{verb} --specialisation ''")).unwrap();
        let named = deployment.outcome.activation().map(|it| it.specialisation.clone());
        assert_eq!(named.flatten(), None, "{verb}");
    }
    // nixos-rebuild refuses it after it has changed the profile.
    for line in ["boot -c mobile", "build -c mobile", "dry-build -c mobile"] {
        assert_eq!(deployment(line).unwrap_err().code(), 2, "{line}");
    }
}

#[test]
fn activation_without_root_is_refused_before_the_long_work() {
    for line in ["switch", "boot", "test", "dry-activate", "switch --rollback"] {
        let failure = plan_with(line, &user()).unwrap_err();
        assert!(failure.remedy().unwrap().contains("--sudo"), "{line}");
        assert!(plan_with(&format!("{line} --sudo"), &user()).is_ok(), "{line}");
        // Only the target knows what is allowed on the target.
        assert!(plan_with(&format!("{line} --target-host t"), &user()).is_ok(), "{line}");
    }
    for line in ["build", "dry-build --eval-on builder", "build-vm", "list-generations"] {
        assert!(plan_with(line, &user()).is_ok(), "{line}");
    }
}

#[test]
fn how_the_user_becomes_root() {
    let rights = |elevation, ask_password| Rights {
        elevation,
        ask_password,
    };
    for (line, expected) in [
        ("build", rights(Elevation::None, false)),
        ("switch --sudo", rights(Elevation::Sudo, false)),
        ("switch --elevate=sudo", rights(Elevation::Sudo, false)),
        ("switch --use-remote-sudo", rights(Elevation::Sudo, false)),
        ("switch --elevate run0 --sudo", rights(Elevation::Run0, false)),
        ("switch -S", rights(Elevation::Sudo, true)),
        ("switch --ask-sudo-password", rights(Elevation::Sudo, true)),
        (
            "switch --ask-elevate-password --elevate run0",
            rights(Elevation::Run0, true),
        ),
        ("switch --elevate doas", rights(Elevation::Doas, false)),
    ] {
        assert_eq!(deployment_with(line, &user()).unwrap().rights, expected, "{line}");
        let there = format!("{line} --target-host t");
        assert_eq!(deployment(&there).unwrap().rights, expected, "{there}");
        // Root needs no rights on this machine.
        assert_eq!(deployment(line).unwrap().rights, Rights::default(), "{line}");
    }
    for line in ["switch -S --elevate none", "switch -S --elevate doas"] {
        assert_eq!(deployment_with(line, &user()).unwrap_err().code(), 2, "{line}");
    }
}

#[test]
fn channels_are_updated_only_where_that_has_an_effect() {
    let upgrade = |line: &str| plan_with(line, &facts()).map(|plan| (plan.task, plan.warnings));
    for (line, channels) in [
        ("switch --upgrade", Some(Channels::OfNixos)),
        ("switch --upgrade-all", Some(Channels::All)),
        ("switch --upgrade --upgrade-all", Some(Channels::All)),
        ("switch", None),
    ] {
        let (Task::Deploy(deployment), warnings) = upgrade(line).unwrap() else {
            unreachable!("{line}");
        };
        assert_eq!((deployment.upgrade, warnings.len()), (channels, 0), "{line}");
    }
    for line in ["switch --upgrade --flake .", "switch --upgrade --rollback"] {
        let (Task::Deploy(deployment), warnings) = upgrade(line).unwrap() else {
            unreachable!("{line}");
        };
        assert_eq!((deployment.upgrade, warnings.len()), (None, 1), "{line}");
    }
    // Whoever leaves the builder to itself could not set its channels.
    assert_eq!(
        deployment("build --eval-on b --upgrade --detach").unwrap_err().code(),
        2
    );
    assert!(deployment("switch --eval-on b --upgrade --detach").is_ok());
    assert!(plan_with("build --upgrade", &user()).is_err());
    assert!(plan_with("build --upgrade --sudo", &user()).is_ok());
}

#[test]
fn a_flake_is_named_by_its_target() {
    let name = |line: &str| match making(line).configuration {
        Configuration::Flake(flake) => flake.name,
        other => unreachable!("{line}: {other:?}"),
    };
    assert_eq!(name("switch --flake ."), Some("pi".to_owned()));
    assert_eq!(name("switch --flake . --target-host t"), None);
    assert_eq!(name("switch --flake .#x --target-host t"), Some("x".to_owned()));
}

#[test]
fn an_evaluation_is_verified_only_where_there_is_one_elsewhere() {
    let verified =
        |line: &str| deployment(line).map(|deployment| deployment.origin.making().unwrap().verify_evaluation);
    assert_eq!(verified("switch --eval-on b --verify-eval"), Ok(true));
    assert_eq!(verified("switch --eval-on b"), Ok(false));
    assert_eq!(verified("switch --eval-on localhost --verify-eval"), Ok(false));
    for line in ["switch --verify-eval", "switch --build-on b --verify-eval"] {
        let failure = verified(line).unwrap_err();
        assert_eq!(failure.code(), 2, "{line}");
        assert_eq!(failure.remedy(), Some("name it: --eval-on HOST"));
    }
}

#[test]
fn what_is_of_this_machine_alone() {
    for verb in ["edit", "repl", "list-generations"] {
        // An alias may name an evaluator.
        assert!(
            plan_with(&format!("{verb} --eval-on b --target-host ''"), &facts()).is_ok(),
            "{verb}"
        );
        for flag in ["--build-host", "--target-host"] {
            assert_eq!(plan_with(&format!("{verb} {flag} b"), &facts()).unwrap_err().code(), 2);
            for here in ["localhost", "pi"] {
                assert!(
                    plan_with(&format!("{verb} {flag} {here}"), &facts()).is_ok(),
                    "{verb} {flag} {here}"
                );
            }
        }
    }
    assert!(plan_with("build-image --image-variant iso --target-host localhost", &facts()).is_ok());
    // It would use up a weak machine's memory without a word.
    let warned = plan_with("repl --eval-on b", &facts()).unwrap().warnings;
    assert_eq!(warned, ["'nix repl' evaluates on this machine, not on b"]);
    assert!(
        plan_with("repl --eval-on localhost", &facts())
            .unwrap()
            .warnings
            .is_empty()
    );
    assert_eq!(plan_with("edit --file x", &facts()).unwrap_err().code(), 2);
    assert_eq!(
        plan_with("build-image --target-host b", &facts()).unwrap_err().code(),
        2
    );
}

#[test]
fn old_names_are_taken_with_a_warning() {
    for flag in [
        "--fast",
        "--use-remote-sudo",
        "--install-grub",
        "--no-ssh-tty",
        "--no-build-nix",
    ] {
        let plan = plan_with(&format!("boot {flag}"), &facts()).unwrap();
        assert!(plan.warnings[0].starts_with(flag), "{:?}", plan.warnings);
    }
    let installs = |line: &str| {
        deployment(line)
            .unwrap()
            .outcome
            .activation()
            .unwrap()
            .install_bootloader
    };
    assert!(installs("boot --install-grub") && installs("boot --install-bootloader") && !installs("boot"));
    assert!(
        plan_with("boot --no-reexec --debug", &facts())
            .unwrap()
            .warnings
            .is_empty()
    );
    for verb in ["dry-build", "repl", "edit", "list-generations"] {
        assert_eq!(
            plan_with(&format!("{verb} --diff"), &facts()).unwrap().warnings.len(),
            1
        );
    }
}

#[test]
fn who_is_asked_sees_first_what_changes() {
    let seen = |line: &str| deployment(line).map(|deployment| (deployment.diff, deployment.ask));
    for line in [
        "switch --ask",
        "boot -a",
        "test -a --target-host t",
        "switch -a --rollback",
    ] {
        assert_eq!(seen(line), Ok((true, true)), "{line}");
    }
    assert_eq!(seen("switch --diff"), Ok((true, false)));
    assert_eq!(seen("switch"), Ok((false, false)));
}

#[test]
fn there_is_no_question_where_nothing_is_changed() {
    let nobody = Facts {
        has_terminal: false,
        ..facts()
    };
    for (line, shown) in [("build -a", true), ("dry-activate -a", true), ("dry-build -a", false)] {
        let plan = plan_with(line, &nobody).unwrap();
        assert!(plan.warnings[0].starts_with("--ask: nothing is changed"), "{line}");
        let Task::Deploy(deployment) = plan.task else {
            unreachable!("{line}");
        };
        assert_eq!((deployment.diff, deployment.ask), (shown, false), "{line}");
    }
}

#[test]
fn a_question_that_nobody_can_answer_is_refused_before_the_work() {
    let nobody = Facts {
        has_terminal: false,
        ..facts()
    };
    for line in ["switch --ask", "boot -a --eval-on b", "test -a --rollback"] {
        let failure = plan_with(line, &nobody).unwrap_err();
        assert_eq!(failure.code(), 2, "{line}");
        assert!(failure.remedy().unwrap().contains("--no-ask"), "{line}");
    }
    assert!(plan_with("switch --diff", &nobody).is_ok());
    // A setting does it, too, and can be overruled for one run.
    assert!(plan_among("switch", r#"{"ask": true}"#, &nobody).is_err());
    assert!(plan_among("switch --no-ask", r#"{"ask": true}"#, &nobody).is_ok());
    assert!(plan_among("build", r#"{"ask": true}"#, &nobody).is_ok());
}

#[test]
fn the_manual_is_what_there_is_without_a_verb() {
    for line in ["help", "--eval-on b", "-v"] {
        assert_eq!(plan_with(line, &facts()).unwrap().task, Task::Manual, "{line}");
    }
}

/// The change of another machine is confirmed by a login, that of this machine by another one that is reached.
#[test]
fn who_confirms() {
    let reaching = |names: &[&str]| {
        let hosts = names.iter().map(|name| there(name).host().unwrap().clone());
        Proof::Reaching(hosts.collect())
    };
    for (line, expected) in [
        ("switch", None),
        ("switch --confirm", Some((60, Proof::Person))),
        ("switch --confirm=5 --eval-on a", Some((5, reaching(&["a"])))),
        ("test --confirm=5 --build-on b -c x", Some((5, reaching(&["b"])))),
        (
            "switch --confirm --eval-on pi --build-on b",
            Some((60, reaching(&["b"]))),
        ),
        (
            "switch --confirm --eval-on a --confirm-by c",
            Some((60, reaching(&["c"]))),
        ),
        (
            "switch --confirm --eval-on a --confirm-by ''",
            Some((60, Proof::Person)),
        ),
        (
            "switch --confirm --eval-on a --confirm-by pi",
            Some((60, Proof::Person)),
        ),
        ("switch --rollback --confirm --eval-on a", Some((60, reaching(&["a"])))),
        ("switch --confirm --eval-on a --target-host t", Some((60, Proof::Login))),
        (
            "test --confirm --target-host t --confirm-by ''",
            Some((60, Proof::Person)),
        ),
        ("switch --confirm --no-confirm", None),
        ("switch --no-confirm --confirm=7", Some((7, Proof::Person))),
        ("boot --confirm --no-confirm", None),
    ] {
        let deployment = deployment(line).unwrap();
        let seen = deployment.outcome.activation().unwrap().confirmation.clone();
        assert_eq!(seen.map(|it| (it.seconds, it.by)), expected, "{line}");
    }
    for (line, text) in [
        (
            "boot --confirm",
            "--confirm has no meaning for boot: what it changes shows only after a boot",
        ),
        (
            "build --confirm",
            "--confirm has no meaning for build: it changes no system",
        ),
        ("dry-activate --confirm", "--confirm has no meaning for dry-activate"),
        (
            "switch --confirm --target-host t --confirm-by a",
            "is confirmed by a new login to it",
        ),
    ] {
        let failure = deployment(line).unwrap_err();
        assert_eq!(failure.code(), 2, "{line}");
        assert!(failure.to_string().contains(text), "{line}: {failure}");
    }
    // The host that is reached is one of those that ssh is asked about beforehand.
    let confirmed = deployment("switch --confirm --confirm-by c --eval-on a").unwrap();
    assert_eq!(
        confirmed.hosts(),
        [there("a").host().unwrap(), there("c").host().unwrap()]
    );
}

#[test]
fn a_person_confirms_what_root_has_changed() {
    let confirm = |line: &str, facts: &Facts| plan_with(line, facts).map(|plan| plan.task);
    let expected = |target, rights| Task::Confirm { target, rights };
    let task = confirm("confirm", &facts()).unwrap();
    assert_eq!(task, expected(Place::Here, Rights::default()));
    let rights = Rights {
        elevation: Elevation::Sudo,
        ask_password: false,
    };
    let task = confirm("confirm --target-host t --sudo", &user()).unwrap();
    assert_eq!(task, expected(there("t"), rights));
    assert!(confirm("confirm", &user()).is_err());
}
