//! nixos-rebuild's scenarios, each with all commands that it makes here, in their order. They run on a machine of their own
//! with stand-ins for Nix and systemd.

use crate::SYSTEM;
use crate::stubs::Stage;

const UNIT: &str = "systemd-run -E LOCALE_ARCHIVE -E NIXOS_INSTALL_BOOTLOADER -E NIXOS_NO_CHECK --collect \
                    --no-ask-password --pipe --quiet --service-type=exec --unit=nixos-rebuild-switch-to-configuration";

/// What an activation comes to: the unit, whose job sets the profile and calls the system's own program.
fn machine() -> Stage {
    let stage = Stage::own_machine(SYSTEM);
    stage.stub("nix-build", &format!("echo {SYSTEM}"));
    stage.stub("nix", &format!("echo {SYSTEM}"));
    stage
}

/// The calls, without what differs from run to run: names of directories and jobs.
fn calls(stage: &Stage) -> Vec<String> {
    let shorten = |call: String| {
        let call = call
            .split(" /bin/sh /var/lib/rebuild/")
            .next()
            .unwrap_or_default()
            .to_owned();
        let call = call.replace(&stage.path("result").display().to_string(), "LINK");
        let (call, rest) = match call.split_once("unix:///tmp/rebuild.") {
            Some((before, rest)) => (
                format!("{before}RELAY"),
                rest.split_once(' ').map_or("", |(_, rest)| rest).to_owned(),
            ),
            None => (call, String::new()),
        };
        match call.split_once("--out-link ") {
            Some((before, _)) => format!("{before}--out-link ROOT"),
            None if rest.is_empty() => call,
            None => format!("{call} {rest}"),
        }
    };
    // What goes over ssh is seen by what it does there.
    let of_ssh = |call: &String| call.starts_with("ssh ");
    stage
        .calls()
        .into_iter()
        .filter(|call| !of_ssh(call))
        .map(shorten)
        .collect()
}

fn check(line: &str, expected: &[&str]) {
    check_on(&machine(), line, expected);
}

fn check_on(stage: &Stage, line: &str, expected: &[&str]) {
    let run = stage.rebuild(line);
    assert_eq!(run.code, 0, "{line}: {}", run.stderr);
    let expected: Vec<String> = expected
        .iter()
        .map(|call| call.replace("UNIT", UNIT).replace("SYSTEM", SYSTEM))
        .collect();
    assert_eq!(calls(stage), expected, "{line}");
}

const BUILD: &str = "nix-build <nixpkgs/nixos> --attr config.system.build.toplevel --out-link ROOT";
const SET: &str = "nix-env -p /nix/var/nix/profiles/system --set SYSTEM";
const LOCK: &str = "systemctl is-active --quiet nixos-rebuild-switch-to-configuration.service";

#[test]
fn activations() {
    check("switch", &[BUILD, LOCK, "UNIT", SET, "switch-to-configuration switch"]);
    check("boot", &[BUILD, LOCK, "UNIT", SET, "switch-to-configuration boot"]);
    check("test", &[BUILD, LOCK, "UNIT", "switch-to-configuration test"]);
    check(
        "dry-activate",
        &[BUILD, LOCK, "UNIT", "switch-to-configuration dry-activate"],
    );
}

#[test]
fn profiles_specialisations_and_what_was_built_before() {
    check(
        "boot -p trial",
        &[
            BUILD,
            LOCK,
            "UNIT",
            "nix-env -p /nix/var/nix/profiles/system-profiles/trial --set SYSTEM",
            "switch-to-configuration boot",
        ],
    );
    check(
        "switch -c quiet",
        &[BUILD, LOCK, "UNIT", SET, "switch-to-configuration switch"],
    );
    check(
        "switch --store-path SYSTEM".replace("SYSTEM", SYSTEM).as_str(),
        &[LOCK, "UNIT", SET, "switch-to-configuration switch"],
    );
}

#[test]
fn roll_backs() {
    check(
        "switch --rollback",
        &[
            LOCK,
            "UNIT",
            "nix-env --rollback -p /nix/var/nix/profiles/system",
            "switch-to-configuration switch",
        ],
    );
    check("test --rollback", &[LOCK, "UNIT", "switch-to-configuration test"]);
    check("build --rollback", &["nix-store --realise SYSTEM --add-root LINK"]);
}

/// What activation may see, and nothing else (section 2.1 of the contract): `PATH`, `LOCALE_ARCHIVE`, `NIXOS_NO_CHECK` and
/// the question of the boot loader.
#[test]
fn the_environment_of_an_activation() {
    for (line, install) in [("boot", "0"), ("boot --install-bootloader", "1")] {
        let stage = machine();
        stage.stub(
            "systemd-run",
            "env | grep -v -e ^PWD= -e ^_= -e ^OLDPWD= -e ^SHLVL= >environment",
        );
        stage.write(
            "bin/systemd-run",
            &stage
                .read("bin/systemd-run")
                .replace("$STAGE", &stage.path("").display().to_string()),
        );
        stage.variable("NIXOS_NO_CHECK", "1");
        stage.variable("LD_PRELOAD_OF_SOMEBODY", "x");
        stage.rebuild(line);
        let environment = stage.sh("sort environment");
        let names: Vec<&str> = environment.lines().filter_map(|line| line.split('=').next()).collect();
        assert_eq!(names, ["NIXOS_INSTALL_BOOTLOADER", "NIXOS_NO_CHECK", "PATH"]);
        assert!(environment.contains(&format!("NIXOS_INSTALL_BOOTLOADER={install}\n")));
    }
}

/// Units that failed are no reason to go back, and the exit status says so.
#[test]
fn exit_status_4_of_the_activation_is_ours() {
    let stage = machine();
    stage.stub(
        "switch-to-configuration",
        "echo 'warning: the following units failed' >&2; exit 4",
    );
    let run = stage.rebuild("switch");
    assert_eq!((run.code, run.stdout.as_str()), (4, ""), "{}", run.stderr);
    assert!(run.stderr.contains("the following units failed"), "{}", run.stderr);
}

/// systemd's own lock: an activation that something else has begun.
#[test]
fn a_second_activation_changes_nothing() {
    let stage = machine();
    stage.stub("systemctl", "exit 0");
    let run = stage.rebuild("switch");
    assert_eq!(run.code, 1, "{}", run.stderr);
    assert!(run.stderr.contains("an activation is under way"), "{}", run.stderr);
    assert_eq!(calls(&stage).last().map(String::as_str), Some(LOCK));
}

/// nixos-rebuild's opt-out (`NIXOS_REBUILD_NO_SYSTEMD_RUN`).
#[test]
fn without_systemd_run() {
    let stage = machine();
    stage.variable("NIXOS_REBUILD_NO_SYSTEMD_RUN", "1");
    check_on(&stage, "switch", &[BUILD, SET, "switch-to-configuration switch"]);
}

/// A target whose user is root there, or becomes it by sudo.
fn with_target(user: u32) -> Stage {
    let stage = machine();
    stage.host("target", "exit 9");
    stage.stub_on(
        "target",
        "id",
        &format!("case $1 in -u) echo {user} ;; -un) echo somebody ;; esac"),
    );
    stage.stub_on("target", "systemctl", "exit 3");
    stage.stub_on(
        "target",
        "systemd-run",
        "while [ \"$1\" != /bin/sh ]; do shift; done; exec \"$@\"",
    );
    stage.stub_on("target", "sudo", "exec \"$@\"");
    stage.stub("nix", "");
    stage
}

/// nixos-rebuild: nix-copy-closure, and four commands over ssh.
#[test]
fn a_third_machine() {
    let copy = "nix --extra-experimental-features nix-command flakes --log-format internal-json copy --no-check-sigs --to RELAY SYSTEM";
    for user in [0, 1000] {
        let stage = with_target(user);
        let sudo = if user == 0 { "" } else { " --sudo" };
        let run = stage.rebuild(&format!("switch --target-host target{sudo}"));
        assert_eq!(run.code, 0, "{}", run.stderr);
        let mut seen = calls(&stage);
        // The daemon that waited for what never comes from these stand-ins is told of it at some time.
        seen.retain(|call| !call.contains(": id ") && call != "target: nix-daemon --stdio");
        let by_sudo = seen.iter().filter(|call| call.starts_with("target: sudo ")).count();
        // The first look, and the change itself.
        assert!(if user == 0 { by_sudo == 0 } else { by_sudo >= 2 }, "{seen:?}");
        seen.retain(|call| !call.starts_with("target: sudo "));
        let expected: Vec<String> = [
            BUILD,
            copy,
            "target: systemctl is-active --quiet nixos-rebuild-switch-to-configuration.service",
            "target: UNIT",
            "target: nix-env -p /nix/var/nix/profiles/system --set SYSTEM",
            "switch-to-configuration switch",
        ]
        .iter()
        .map(|call| call.replace("UNIT", UNIT).replace("SYSTEM", SYSTEM))
        .collect();
        assert_eq!(seen, expected);
    }
}
