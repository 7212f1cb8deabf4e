//! The program as a process, among stand-ins for ssh and Nix. They note how they are called, and misbehave on purpose,
//! in ways in which reality does so too rarely to wait for it. What holds for the real parts is tested in `tests/lab`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod amounts;
mod bad_days;
mod changes;
mod configurations;
mod confirm;
mod detached;
mod display;
mod doctor;
mod ended;
mod evaluations;
mod homes;
mod hostile;
mod logs;
mod output;
mod remedies;
mod scenarios;
mod sequences;
mod settings;
mod sleepers;
mod stubs;
mod targets;
mod this_machine;

use std::time::{Duration, Instant};

use stubs::Stage;

const SYSTEM: &str = "/nix/store/00000000000000000000000000000000-nixos-system-pi";
const DRV: &str = "/nix/store/11111111111111111111111111111111-nixos-system-pi.drv";

/// Returns the other side of a run in which everything goes well, up to the transfer.
fn good_session(ending: &str) -> String {
    format!(
        "hear_script
         say hello /usr/bin x86_64-linux
         say receiving none
         hear_change >files.tar; : >all-heard
         say need
         say evaluating
         say evaluated {DRV}
         say building
         say built {SYSTEM}
         {ending}"
    )
}

#[test]
fn a_local_build_is_one_command() {
    let stage = Stage::new();
    stage.stub("nix-build", &format!("echo {SYSTEM}"));
    let run = stage.rebuild("build --show-trace -I x=/y");
    run.gives(SYSTEM);
    assert_eq!(
        stage.calls(),
        [
            "nix-build <nixpkgs/nixos> --attr config.system.build.toplevel -I x=/y --show-trace --log-format internal-json"
        ]
    );
    let lines: Vec<&str> = run.stderr.lines().collect();
    assert_eq!(
        (lines[0], lines[2]),
        (
            "building the system configuration...",
            "Done. The new configuration is "
        )
    );
    // Nothing of a log is shown: this was no Nix.
    assert!(
        lines[1].starts_with("nothing was built; evaluated in ") && lines.len() == 3,
        "{}",
        run.stderr
    );
}

#[test]
fn a_local_dry_build_prints_no_path() {
    let stage = Stage::new();
    stage.stub("nix-build", "");
    let run = stage.rebuild("dry-build");
    assert_eq!((run.code, run.stdout.as_str()), (0, ""));
    let expected = "nix-build <nixpkgs/nixos> --attr config.system.build.toplevel --dry-run --log-format internal-json";
    assert_eq!(stage.calls(), [expected]);
}

/// Programs that are needed at the end are looked for at the beginning.
#[test]
fn a_program_that_is_not_there_is_said_before_the_long_work() {
    let stage = Stage::new();
    std::fs::remove_file(stage.path("bin/nix-env")).unwrap();
    // This leaves out all of this machine, which may have Nix in the same place as its shell.
    stage.variable("PATH", &stage.path("bin").display().to_string());
    let run = stage.rebuild("switch --eval-on builder");
    assert_eq!(run.code, 127);
    assert!(
        run.stderr.starts_with("error: nix-env: command not found\n"),
        "{}",
        run.stderr
    );
    assert!(stage.calls().is_empty());
}

#[test]
fn nix_own_exit_status_is_ours() {
    let stage = Stage::new();
    stage.stub("nix-build", "echo 'error: builder failed' >&2; exit 100");
    let run = stage.rebuild("switch");
    assert_eq!(run.code, 100);
    assert_eq!(stage.calls().len(), 1);
    assert!(run.stderr.contains("error: builder failed"), "{}", run.stderr);
}

/// nixpkgs#375725: with little memory the kernel kills the evaluation, and nixos-rebuild does not mention memory.
#[test]
fn a_killed_evaluation_says_memory_and_the_way_out() {
    let stage = Stage::new();
    stage.stub("nix-build", "kill -KILL $$");
    let run = stage.rebuild("switch");
    assert_eq!(run.code, 137);
    assert!(run.stderr.contains("ran out of memory"), "{}", run.stderr);
    assert!(run.stderr.contains("--eval-on HOST"), "{}", run.stderr);
}

#[test]
fn what_is_no_nixos_does_not_become_the_profile() {
    let stage = Stage::new();
    stage.stub("nix-build", "echo /nix/store/22222222222222222222222222222222-hello");
    let run = stage.rebuild("switch");
    assert_eq!(run.code, 1);
    assert!(run.stderr.contains("is not a NixOS system"), "{}", run.stderr);
    assert_eq!(stage.calls().len(), 1);
}

/// The test has the whole command line of ssh, and what follows a session that could not bring the result.
#[test]
fn a_remote_run_is_one_ssh_and_then_what_it_could_not_do() {
    let stage = Stage::new();
    stage.stub("ssh", &good_session("say no-socket; say finished"));
    stage.stub("nix-copy-closure", "");
    stage.stub("nix-store", "");
    let run = stage.rebuild("build --eval-on me@builder --no-lend -s");
    run.gives(SYSTEM);
    let calls = stage.calls();
    // Nix logs in as well, by the same connection.
    let start = "ssh -o ControlMaster=auto -o ControlPath=/tmp/rebuild.";
    assert!(calls[0].starts_with(start), "{}", calls[0]);
    let rest = "/ssh-%C -o ControlPersist=60 -T -a -x -o ConnectTimeout=20 -o ServerAliveInterval=30 \
                -o ServerAliveCountMax=3 -o ExitOnForwardFailure=no -o RemoteCommand=none -o SessionType=default \
                -o StdinNull=no -o ForkAfterAuthentication=no -- me@builder exec /bin/sh -c 'for name in dd tar id readlink \
                sed grep find unshare; do command -v $name >/dev/null || \
                { PATH=$PATH:/run/current-system/sw/bin:/usr/bin:/bin; break; }; done; while IFS= read -r line; do case $line in \
                \"@rebuild script\") eval \"$(dd bs=";
    assert!(calls[0].contains(rest), "{}", calls[0]);
    assert_eq!(calls[1], format!("nix-copy-closure -s --from me@builder {SYSTEM}"));
    let link = stage.path("result");
    assert_eq!(
        calls[2],
        format!("nix-store --realise {SYSTEM} --add-root {}", link.display())
    );
    assert_eq!(calls.len(), 3);
}

#[test]
fn the_files_are_the_configuration_and_nothing_else() {
    let stage = Stage::new();
    stage.write("etc/nixos/unrelated-secret", "x");
    stage.stub("ssh", &good_session("say no-socket; say finished"));
    stage.stub("nix-copy-closure", "");
    stage.stub("nix-store", "");
    assert_eq!(stage.rebuild("build --eval-on builder --no-lend").code, 0);
    // Everything else is there by name only, without content and without a right to read it.
    let listing = stage.sh("tar -tvf files.tar | grep -v -e '^d' -e '^l' -e '^.---------' | sed 's/.* //'");
    let root = stage.path("").display().to_string();
    let files: Vec<&str> = listing
        .lines()
        .map(|line| line.strip_prefix(&root[1..]).unwrap_or(line))
        .collect();
    assert_eq!(
        files,
        [
            "etc/nixos/configuration.nix",
            "etc/nixos/hardware.nix",
            "nixpkgs/nixos/default.nix"
        ]
    );
}

#[test]
fn build_host_alone_evaluates_here() {
    let stage = Stage::new();
    stage.stub("nix-instantiate", &format!("echo {DRV}"));
    stage.stub("nix", "");
    stage.stub("nix-copy-closure", "");
    stage.stub(
        "ssh",
        &format!("hear_script; say hello /usr/bin x; say building; say built {SYSTEM}; say no-socket; say finished"),
    );
    stage.stub("nix-store", "");
    let run = stage.rebuild("build --build-on builder --no-lend --cores 2");
    assert_eq!(run.code, 0, "{}", run.stderr);
    let calls = stage.calls_but_of_daemons();
    assert!(
        calls[0].starts_with("nix-instantiate <nixpkgs/nixos> --attr config.system.build.toplevel --add-root /")
            && calls[0].ends_with("/derivation --cores 2 --log-format internal-json"),
        "{}",
        calls[0]
    );
    // The copy goes through a relay to the daemon on that machine: nix-copy-closure, which goes path by path, takes
    // long (nixpkgs#499820).
    let copy = "nix --extra-experimental-features nix-command flakes --log-format internal-json copy --no-check-sigs --to unix:///tmp/rebuild.";
    assert!(calls[1].starts_with(copy), "{}", calls[1]);
    assert!(
        calls[1].ends_with(&format!("/nix-daemon --derivation {DRV}")),
        "{}",
        calls[1]
    );
    assert!(calls[2].starts_with("ssh "), "{}", calls[2]);
    assert_eq!(calls[3], format!("nix-copy-closure --from builder {SYSTEM}"));
}

/// If the other machine cannot evaluate, the user is told, and the run goes on as with `--build-on`.
#[test]
fn a_machine_that_refuses_namespaces_builds_what_is_evaluated_here() {
    for verify in ["", " --verify-eval"] {
        let stage = Stage::new();
        stage.stub("nix-instantiate", &format!("echo {DRV}"));
        stage.stub("nix", "");
        stage.stub("nix-copy-closure", "");
        stage.stub("nix-store", "");
        stage.stub(
            "ssh",
            &format!(
                "hear_script; say hello /usr/bin x
                 if [ -e been-here ]; then say building; say built {SYSTEM}; say no-socket; say finished
                 else touch been-here; say failed no-namespaces 1; exit 1; fi"
            ),
        );
        let run = stage.rebuild(&format!("build --eval-on builder --no-lend{verify}"));
        run.gives(SYSTEM);
        assert!(
            run.stderr
                .contains("warning: builder does not let its users make user namespaces"),
            "{}",
            run.stderr
        );
        let calls = stage.calls_but_of_daemons();
        let mut programs: Vec<&str> = calls.iter().filter_map(|call| call.split(' ').next()).collect();
        programs.sort_unstable();
        // If an evaluation for comparison comes first, there are two of them.
        programs.dedup();
        let expected = ["nix", "nix-copy-closure", "nix-instantiate", "nix-store", "ssh"];
        assert_eq!(programs, expected);
    }
}

/// `NIX_SSHOPTS` has quoted values, as any shell would read them.
#[test]
fn the_users_ssh_options_are_respected() {
    let stage = Stage::new();
    stage.stub("ssh", "exit 255");
    stage.variable("NIX_SSHOPTS", "-p 2222 -o 'ProxyCommand=nc %h %p'");
    stage.rebuild("build --eval-on builder");
    assert!(
        stage.calls()[0].starts_with("ssh -p 2222 -o ProxyCommand=nc %h %p -T "),
        "{:?}",
        stage.calls()
    );
}

/// An evaluation error about a file that this machine has brings the file; the error is not shown.
#[test]
fn a_file_that_no_literal_names_is_sent_when_it_is_missed() {
    let stage = Stage::new();
    stage.write("etc/hostname", "pi\n");
    let file = stage.path("etc/hostname");
    let other = stage.path("etc/nixos/modules/b.nix").display().to_string();
    stage.write("etc/nixos/modules/b.nix", "{ looked = 1; }");
    let error = format!(
        "@nix {{\"action\":\"msg\",\"level\":0,\"msg\":\"error: opening file '{}': Permission denied\"}}",
        file.display()
    );
    stage.stub(
        "ssh",
        &format!(
            "hear_script
             say hello /usr/bin x; say receiving none; hear_change >files.tar; say need; say evaluating
             cat <<'END'\n{error}\nEND
             say evaluation-failed 1
             read -r word rest; [ \"$word\" = open ] || exit 9; hear_files >environment
             say receiving base; hear_files >removed; hear_change >more.tar; say need; say evaluating
             echo \"@rebuild looked {other}\"; say looked-around
             read -r word rest; [ \"$word\" = closed ] || exit 8; hear_files >environment
             say receiving base; hear_files >removed; hear_change >again.tar; say need; say evaluating
             say evaluated {DRV}; say building; say built {SYSTEM}; say no-socket; say finished"
        ),
    );
    stage.stub("nix-copy-closure", "");
    stage.stub("nix-store", "");
    let run = stage.rebuild("build --eval-on builder --no-lend");
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(!run.stderr.contains("Permission denied"), "{}", run.stderr);
    assert!(stage.sh("tar -xOf more.tar").contains("pi\n"));
    assert!(stage.sh("tar -xOf again.tar").contains("looked = 1"));
}

/// The other machine's word alone is no reason to hand out a secret: not if it asks, and not if a link stands in its
/// way.
#[test]
fn what_the_other_machine_only_asks_for_is_no_secret_of_ours() {
    let stage = Stage::new();
    stage.write("home/.ssh/id_x", "marker-of-a-key");
    stage.write("home/notes.txt", "marker-of-notes");
    stage.sh("chmod 600 home/notes.txt");
    std::os::unix::fs::symlink("../home/notes.txt", stage.path("nixpkgs/../etc/notes")).unwrap();
    let asked = [
        "home/.ssh/id_x",
        "home/notes.txt",
        "etc/notes",
        "etc/nixos/../../home/notes.txt",
    ];
    let asked: Vec<String> = asked
        .iter()
        .map(|name| format!("echo '@rebuild looked {}'", stage.path(name).display()))
        .collect();
    stage.stub(
        "ssh",
        &format!(
            "hear_script
             say hello /usr/bin x; say receiving none; hear_change >files.tar; say need; say evaluating
             echo '@nix {{\"action\":\"msg\",\"level\":0,\"msg\":\"error: opening file '\\''{}'\\'': Permission denied\"}}'
             say evaluation-failed 1
             read -r word rest; hear_files >environment
             say receiving base; hear_files >removed; hear_change >>files.tar; say need; say evaluating
             {}
             say looked-around
             read -r word rest; hear_files >environment
             say receiving base; hear_files >removed; hear_change >>files.tar; say need; say evaluating
             say evaluated {DRV}; say building; say built {SYSTEM}; say no-socket; say finished",
            stage.path("home/notes.txt").display(),
            asked.join("\n")
        ),
    );
    stage.stub("nix-copy-closure", "");
    stage.stub("nix-store", "");
    let run = stage.rebuild("build --eval-on builder --no-lend");
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_eq!(stage.sh("grep -c marker-of files.tar || true"), "0\n");
    assert!(run.stderr.contains("asks for"), "{}", run.stderr);
    assert!(run.stderr.contains("never leaves this machine"), "{}", run.stderr);
}

#[test]
fn an_evaluation_error_is_nix_own_text_and_code() {
    let stage = Stage::new();
    stage.stub(
        "ssh",
        "hear_script
         say hello /usr/bin x; say receiving none; hear_change >/dev/null; say need; say evaluating
         echo '@nix {\"action\":\"msg\",\"level\":0,\"msg\":\"error: \\u001b[35;1mundefined variable\\u001b[0m\"}'
         say evaluation-failed 1
         read -r word; [ \"$word\" = stop ] && exit 1; exit 9",
    );
    let run = stage.rebuild("switch --eval-on builder");
    assert_eq!(run.code, 1);
    assert!(
        // The message about what was sent may come in between.
        run.stderr.contains("error: undefined variable\n")
            && run.said().ends_with("error: the evaluation on builder failed\n"),
        "{}",
        run.stderr
    );
}

#[test]
fn ctrl_c_tells_the_other_side_and_ends_with_130() {
    let stage = Stage::new();
    stage.stub(
        "ssh",
        &good_session("read -r word <&0; echo \"heard $word\" >>heard; exit 130").replace("say built", "#"),
    );
    let mut child = stage.start("switch --eval-on builder");
    stage.wait_for("all-heard");
    let begin = Instant::now();
    child.signal("INT");
    let run = child.finish();
    assert!(begin.elapsed() < Duration::from_secs(2));
    assert_eq!((run.code, run.stdout.as_str()), (130, ""));
    assert_eq!(stage.read("heard"), "heard cancel\n");
    assert_eq!(stage.calls().len(), 1);
}

#[test]
fn a_configuration_that_is_not_there_is_said_before_any_connection() {
    let stage = Stage::new();
    for (arguments, expected) in [
        ("-I nixos-config=/nonexistent/x.nix", "no configuration"),
        ("-I nixpkgs=/nonexistent", "<nixpkgs> is not in the Nix search path"),
    ] {
        stage.variable("NIX_PATH", "");
        let with_nixpkgs = format!("-I nixpkgs={}", stage.path("nixpkgs").display());
        let first = if arguments.contains("nixpkgs=") {
            String::new()
        } else {
            with_nixpkgs
        };
        let run = stage.rebuild(&format!("switch --eval-on builder {first} {arguments}"));
        assert_eq!(run.code, 1);
        assert!(run.stderr.contains(expected), "{}", run.stderr);
    }
    assert!(stage.calls().is_empty());
}
