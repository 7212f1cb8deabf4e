//! `--eval-on`: what a run makes of a builder that evaluates, command by command. `tests/program/evaluations` tests
//! what the builder itself does; here it is a stand-in that keeps to its part of the talk.

use super::hosts::on_target;
use super::{LOCK, SEND, SET, Scene};
use crate::{DRV, SYSTEM};

/// Such a builder sends this to the daemon that is lent to it: its end of the socket leads there.
const COPY: &str = "say copying; connect_to \"unix://${forward#*:}\"; say copied";

/// Returns a scene whose builder evaluates, and then does this.
fn evaluating(then: &str) -> Scene {
    let scene = Scene::new();
    scene.write(
        "builder/login-1",
        &format!(
            "say hello /usr/bin x86_64-linux; say way user; say receiving none; hear_change >files.tar; say need
             say nix 2.26.3; say evaluating; {then}; say finished; exit 0\n"
        ),
    );
    scene
}

/// Returns a scene whose builder also builds, and sends what it has built.
fn building() -> Scene {
    evaluating(&format!(
        "say evaluated {DRV}; say building; say built {SYSTEM}; {COPY}"
    ))
}

/// All that this machine does is to change itself.
#[test]
fn every_verb_leaves_the_rest_to_the_builder() {
    let activation = |action| match action {
        "test" => vec![LOCK, "UNIT", "switch-to-configuration test"],
        "boot" => vec![LOCK, "UNIT", SET, "switch-to-configuration boot"],
        _ => vec![LOCK, "UNIT", SET, "switch-to-configuration switch"],
    };
    for (line, expected) in [
        ("switch", activation("switch")),
        ("boot", activation("boot")),
        ("test", activation("test")),
        ("build", vec!["nix-store --realise SYSTEM --add-root LINK"]),
        ("switch -p other", {
            let set = "nix-env -p /nix/var/nix/profiles/system-profiles/other --set SYSTEM";
            vec![LOCK, "UNIT", set, "switch-to-configuration switch"]
        }),
    ] {
        let scene = building();
        scene.makes(&format!("{line} --eval-on builder"), &expected);
        assert_eq!(scene.logins().len(), 1, "{line}: {:?}", scene.logins());
    }
    for line in ["dry-build", "dry-build --build-host builder"] {
        let scene = evaluating(&format!("say evaluated {DRV}; say building"));
        scene.makes(&format!("{line} --eval-on builder"), &[]);
        assert_eq!(scene.logins().len(), 1, "{line}: {:?}", scene.logins());
    }
}

/// If no daemon is lent, Nix fetches by a connection of its own.
#[test]
fn what_cannot_be_sent_is_fetched() {
    for (more, then) in [
        (
            "",
            format!("say evaluated {DRV}; say building; say built {SYSTEM}; say no-socket"),
        ),
        (
            " --no-lend",
            format!("say evaluated {DRV}; say building; say built {SYSTEM}; say no-socket"),
        ),
    ] {
        let fetch = "NIX copy --no-check-sigs --from ssh://builder --to RELAY SYSTEM";
        let build = ["nix-store --realise SYSTEM --add-root LINK"];
        evaluating(&then).makes(
            &format!("build --eval-on builder{more}"),
            &[&[fetch], &build[..]].concat(),
        );
    }
}

/// The builder evaluates, and this machine builds the result.
#[test]
fn a_machine_that_builds_what_was_evaluated_elsewhere() {
    let scene = evaluating(&format!("say evaluated {DRV}; {COPY}"));
    scene.stub("nix-store", &format!("echo {SYSTEM}"));
    scene.makes(
        "build --eval-on builder --build-host localhost",
        &["nix-store --realise DRV --add-root result"],
    );
}

/// The result of the build goes from the builder to the target, whose daemon is lent to the builder.
#[test]
fn a_target_that_another_machine_makes_a_system_for() {
    let scene = building();
    let change = [LOCK, "UNIT", SET].map(on_target);
    let mut expected: Vec<&str> = change.iter().map(String::as_str).collect();
    expected.push("switch-to-configuration switch");
    scene.makes("switch --eval-on builder --target-host target", &expected);
    assert!(!scene.seen().iter().any(|call| call == SEND), "{:?}", scene.seen());
}

/// These are the calls of sudo: for the first look, for the daemon that takes the system, and for the change.
#[test]
fn a_user_who_becomes_root() {
    let scene = building();
    scene.typed_by(1000);
    scene.makes(
        "switch --eval-on builder --sudo",
        &[
            "sudo BECOME",
            "sudo BECOME",
            LOCK,
            "UNIT",
            SET,
            "switch-to-configuration switch",
        ],
    );
}
