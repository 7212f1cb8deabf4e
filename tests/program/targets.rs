//! A third machine: what it is asked before anything else, and what happens if it does not answer. The lab tests what
//! it does for real (70-roles, 71-privileges, 73-activation).

use crate::stubs::Stage;
use crate::{SYSTEM, good_session};

/// The target's user is not root, whoever runs the tests: the target has its own program `id`.
fn target(others: &str) -> Stage {
    let stage = Stage::new();
    stage.host("target", others);
    stage.stub_on("target", "id", "case $1 in -u) echo 1000 ;; -un) echo admin ;; esac");
    stage
}

/// nixos-rebuild takes ssh's failure for an answer in three places: the name becomes `default`, a system that cannot be
/// looked at is "missing essential files", and a target that does not answer has no systemd.
#[test]
fn a_target_that_cannot_be_asked_has_given_no_answer() {
    for line in [
        "switch --flake . --target-host target",
        "switch --rollback --target-host target",
        "boot --store-path /nix/store/x --target-host target",
        "build --eval-on builder --target-host target",
    ] {
        let stage = Stage::new();
        stage.stub(
            "ssh",
            "echo 'ssh: connect to host target port 22: Connection refused' >&2; exit 255",
        );
        stage.stub("nix", "");
        stage.stub("nix-build", "");
        let run = stage.rebuild(line);
        assert_eq!((run.code, run.stdout.as_str()), (255, ""), "{line}: {}", run.stderr);
        assert!(
            run.stderr.contains("error: target cannot be reached"),
            "{line}: {}",
            run.stderr
        );
        let calls = stage.calls();
        assert_eq!(calls.len(), 1, "{calls:?}");
        // Only an option that a session needs of ssh may contain the word.
        assert!(
            !calls[0].replace("SessionType=default", "").contains("default"),
            "{calls:?}"
        );
    }
}

/// It is known before the long work who the user is there, and whether they may change anything.
#[test]
fn a_target_user_who_cannot_become_root_is_refused_first() {
    let stage = target("exit 9");
    let run = stage.rebuild("switch --eval-on builder --target-host target");
    assert_eq!(run.code, 1, "{}", run.stderr);
    assert!(
        run.stderr.contains("error: admin is not root on target\n  add --sudo"),
        "{}",
        run.stderr
    );

    let stage = target("exit 9");
    stage.stub_on("target", "sudo", "echo 'sudo: a password is required' >&2; exit 1");
    let run = stage.rebuild("switch --eval-on builder --target-host target --sudo");
    assert_eq!(run.code, 1, "{}", run.stderr);
    assert!(
        run.stderr.contains("admin cannot become root by sudo on target") && run.stderr.contains("-S"),
        "{}",
        run.stderr
    );
    let others: Vec<String> = stage
        .calls()
        .into_iter()
        .filter(|call| call.contains("builder"))
        .collect();
    assert!(others.is_empty(), "{others:?}");
}

/// `build` needs no rights on the target.
#[test]
fn what_is_built_elsewhere_goes_to_the_target_alone() {
    let stage = target(&good_session("say copying; say copied; say finished"));
    stage.stub("nix-copy-closure", "");
    let run = stage.rebuild("build --eval-on builder --target-host target");
    assert_eq!((run.code, run.stdout), (0, format!("{SYSTEM}\n")), "{}", run.stderr);
    assert!(!stage.path("result").exists());
    let calls = stage.calls();
    assert!(!calls.iter().any(|call| call.contains("sudo")), "{calls:?}");
    // There is a look, and then the daemon, which waits for the builder.
    let logins = calls.iter().filter(|call| call.contains(" -- target ")).count();
    assert_eq!(logins, 2, "{calls:?}");
}

/// Everything that is said to a host goes over one login, by a connection that this program shares.
#[test]
fn the_target_is_logged_in_to_once() {
    let stage = target(&good_session("say copying; say copied; say finished"));
    assert_eq!(stage.rebuild("build --eval-on builder --target-host target").code, 0);
    let to_target: Vec<String> = stage
        .calls()
        .into_iter()
        .filter(|call| call.contains(" -- target "))
        .collect();
    assert!(to_target.len() >= 2);
    for call in to_target {
        assert!(
            call.starts_with("ssh -o ControlMaster=auto -o ControlPath=/tmp/rebuild.")
                && call.contains("ControlPersist=60"),
            "{call}"
        );
    }
}

/// The user's own sharing is left alone (nixpkgs#495907).
#[test]
fn a_connection_that_the_user_shares_is_the_users() {
    let stage = target(&good_session("say copying; say copied; say finished"));
    stage.write(
        "bin/ssh",
        &stage.read("bin/ssh").replace(
            "ssh:*\\ -G\\ *",
            "ssh:*\\ -G\\ *) echo 'controlpath /home/me/.ssh/master'; exit ;; ssh:never",
        ),
    );
    assert_eq!(stage.rebuild("build --eval-on builder --target-host target").code, 0);
    for call in stage.calls().iter().filter(|call| call.contains(" -- target ")) {
        assert!(!call.contains("ControlPath"), "{call}");
    }
}
