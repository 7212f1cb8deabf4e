//! Whether a name of this machine means this machine: the real ssh is asked (`tests/program/stubs` hands it the
//! question).

use crate::stubs::Stage;
use crate::{DRV, SYSTEM, good_session};

fn own_name() -> String {
    nix::unistd::gethostname().unwrap().into_string().unwrap()
}

/// Returns a stage on which no other machine answers, and everything on this machine would succeed.
fn stage() -> Stage {
    let stage = Stage::new();
    stage.stub(
        "ssh",
        "echo 'ssh: connect to host x port 2222: Connection refused' >&2; exit 255",
    );
    stage.stub("nix-build", &format!("echo {SYSTEM}"));
    stage.stub("nix-instantiate", &format!("echo {DRV}"));
    stage.stub("nix", "");
    stage
}

/// nixpkgs#148918: the name leads to a virtual machine's port, or to a tunnel. nixos-rebuild goes there; this program
/// once changed the machine that it was typed on.
#[test]
fn a_name_of_this_machine_that_ssh_leads_elsewhere_is_another_machine() {
    let own = own_name();
    for (name, options, config) in [
        ("localhost", "-p 2222", ""),
        ("localhost", "-J bastion", ""),
        (own.as_str(), "-o HostName=192.0.2.7", ""),
        ("localhost", "", "Host localhost\n Port 2222\n"),
        (
            own.as_str(),
            "",
            &format!("Host {own}\n HostName vm\n ProxyCommand nc vm 22\n"),
        ),
    ] {
        for flag in ["--target-host", "--eval-host", "--build-host"] {
            let stage = stage();
            stage.variable("NIX_SSHOPTS", options);
            stage.write("ssh-config", config);
            let run = stage.rebuild(&format!("switch {flag} {name}"));
            let case = format!("{flag} {name} {options} {config}: {}", run.stderr);
            assert_eq!((run.code, run.stdout.as_str()), (255, ""), "{case}");
            let said = format!("warning: '{name}' is another machine here: ssh leads it ");
            assert!(run.stderr.starts_with(&said), "{case}");
            assert!(run.stderr.contains(&format!("{name} cannot be reached")), "{case}");
            let calls = stage.calls();
            let begins = format!("ssh {options}");
            let goes_there = |call: &String| {
                call.starts_with(begins.trim_end()) && call.contains(&format!(" -- {name} exec /bin/sh "))
            };
            assert!(calls.iter().any(goes_there), "{case}{calls:?}");
            // If only the builder is elsewhere, this machine evaluates; it builds nothing, let alone changes anything.
            let is_evaluation = |call: &String| {
                flag == "--build-host" && (call.starts_with("nix-instantiate ") || call.starts_with("nix "))
            };
            assert!(
                calls.iter().all(|call| goes_there(call) || is_evaluation(call)),
                "{case}{calls:?}"
            );
        }
    }
}

/// The same holds for a setting, and the result comes from that machine.
#[test]
fn an_evaluator_that_is_a_port_of_this_machine() {
    let stage = Stage::new();
    stage.write("ssh-config", "Host localhost\n Port 2222\n");
    stage.stub("ssh", &good_session("say no-socket; say finished"));
    stage.stub("nix-copy-closure", "");
    stage.variable("REBUILD_EVAL_HOST", "localhost");
    let run = stage.rebuild("build --no-lend");
    run.gives(SYSTEM);
    let calls = stage.calls();
    assert!(calls[0].contains(" -- localhost "), "{calls:?}");
    assert_eq!(calls[1], format!("nix-copy-closure --from localhost {SYSTEM}"));
}

#[test]
fn where_ssh_leads_nowhere_else_nobody_logs_in() {
    let own = own_name();
    for (name, options, config) in [
        ("localhost", "-4 -l me", ""),
        (own.as_str(), "", "Host *\n User me\n Port 22\n"),
        (own.as_str(), "", &format!("Host {own}\n HostName 127.0.0.1\n")),
        // It does not matter what ssh says.
        ("", "-p 2222 -J bastion", "this is no configuration\n"),
    ] {
        let stage = stage();
        stage.variable("NIX_SSHOPTS", options);
        stage.write("ssh-config", config);
        let run = stage.rebuild(&format!("build --target-host={name} --eval-host={name}"));
        assert_eq!(run.code, 0, "{name} {options}: {}", run.stderr);
        assert!(!run.stderr.contains("another machine"), "{}", run.stderr);
        let calls = stage.calls();
        assert!(calls.len() == 1 && calls[0].starts_with("nix-build "), "{calls:?}");
    }
}

/// Neither meaning is taken for granted, and nothing is begun.
#[test]
fn where_ssh_cannot_say_the_user_has_to() {
    for flag in ["--target-host", "--eval-on", "--build-on"] {
        let stage = stage();
        stage.write("ssh-config", "this is no configuration\n");
        let run = stage.rebuild(&format!("switch {flag} localhost"));
        assert_eq!((run.code, stage.calls().len()), (1, 0), "{flag}: {}", run.stderr);
        assert!(
            run.stderr
                .contains("error: ssh does not say where 'localhost' leads: to this machine, or to another?\n")
                && run.stderr.contains("this machine is ''"),
            "{}",
            run.stderr
        );
        // The error also says why it does not.
        assert!(run.stderr.contains("ssh-config"), "{}", run.stderr);
    }
}
