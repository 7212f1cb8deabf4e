//! Other machines: sections 2.3, 2.4, 2.6 and 2.11 of nixos-rebuild's contract.
//!
//! A copy to a machine goes to that machine's daemon, through a relay on this machine (`RELAY`). What another machine
//! sends goes to a socket that is lent to it (`LENT`), which leads to such a relay.

use super::{BUILD, EVALUATE, LOCK, SEND, SEND_DRV, SET, Scene, full};
use crate::DRV;

const SWITCH: &str = "switch-to-configuration switch";
const EVALUATE_FLAKE: &str = "NIX eval --raw .#nixosConfigurations.\"pi\".config.system.build.toplevel.drvPath";
/// nixos-rebuild makes a directory on the builder, builds into it and removes it.
const REALISE: &str = "builder: nix-store --log-format internal-json --realise DRV --add-root KEPT";
const DELIVER: &str = "builder: nix --extra-experimental-features nix-command --log-format internal-json copy \
                       --no-check-sigs --to LENT SYSTEM";

pub fn on_target(call: &str) -> String {
    format!("target: {call}")
}

/// Returns what is left on a builder for its user to see.
fn left_on(scene: &Scene, host: &str) -> String {
    scene.sh(&format!(
        "find {host}/home -name .cache -prune -o ! -name .keep ! -type d -print"
    ))
}

/// The builder may give another system by a link that another run has changed, or because it is broken: nothing is
/// taken from it.
#[test]
fn a_builder_that_gives_another_system_is_refused() {
    let other = "/nix/store/22222222222222222222222222222222-nixos-system-other";
    for (outputs, error) in [
        (
            "",
            "what builder has built is no output of the derivation, nothing was changed".to_owned(),
        ),
        (
            other,
            format!("builder was to build {DRV}, but what it gives is {other}, which is no output of that"),
        ),
    ] {
        for more in ["", " --target-host target"] {
            let scene = Scene::new();
            scene.stub_on(
                "builder",
                "nix-store",
                &format!(
                    "for word; do [ \"$before\" != --add-root ] || {{ ln -sfn {other} \"$word\"; echo \"$word\"; }}; before=$word; done
                     [ \"$2\" != --outputs ] || echo {outputs}"
                ),
            );
            let run = scene.rebuild(&format!("switch --build-host builder{more}"));
            assert_eq!(run.code, 1, "{}", run.stderr);
            assert!(run.stderr.contains(&error), "{}", run.stderr);
            assert!(
                scene
                    .calls()
                    .iter()
                    .all(|call| !call.contains("nix-env") && !call.contains(SWITCH))
            );
            assert!(
                !scene
                    .seen()
                    .iter()
                    // The builder may have begun to copy before it is refused; nothing takes what it copies.
                    .any(|call| !call.starts_with("builder: ") && call.contains("copy") && call.contains(other))
            );
        }
    }
}

/// 2.3. The derivation goes to the builder, and the result comes back; neither needs trust (nixpkgs#299996).
#[test]
fn a_builder_gets_the_derivation_and_gives_the_result() {
    for (flake, evaluate) in [("", EVALUATE), (" --flake .#pi", EVALUATE_FLAKE)] {
        let scene = Scene::new();
        scene.makes(
            &format!("switch --build-host builder{flake}"),
            &[evaluate, SEND_DRV, REALISE, DELIVER, LOCK, "UNIT", SET, SWITCH],
        );
        assert_eq!(scene.daemons(), ["builder: nix-daemon --stdio"]);

        // nixos-rebuild leaves no link on this machine, and for a flake leaves one on the builder.
        let scene = Scene::new();
        scene.makes(
            &format!("build --build-host builder{flake}"),
            &[
                evaluate,
                SEND_DRV,
                REALISE,
                DELIVER,
                "nix-store --realise SYSTEM --add-root LINK",
            ],
        );
        assert_eq!(left_on(&scene, "builder"), "");

        // nixos-rebuild builds on the builder unless it is a flake, and copies in both cases (nixpkgs#444156).
        let scene = Scene::new();
        scene.makes(
            &format!("dry-build --build-host builder{flake}"),
            &[
                evaluate,
                SEND_DRV,
                "builder: nix-store --log-format internal-json --realise DRV --dry-run",
            ],
        );
        assert_eq!(left_on(&scene, "builder"), "");
    }
}

/// What the builder builds comes to a daemon that believes this user: it is root's, and no signature is asked for.
#[test]
fn a_builder_of_a_user_who_becomes_root() {
    let scene = Scene::new();
    scene.typed_by(1000);
    scene.variable("NIX_SUDOOPTS", "-H");
    scene.makes(
        "boot --build-host builder --sudo",
        &[
            "sudo -H BECOME",
            EVALUATE,
            SEND_DRV,
            REALISE,
            DELIVER,
            "sudo -H BECOME",
            LOCK,
            "UNIT",
            SET,
            "switch-to-configuration boot",
        ],
    );
    // What sudo runs here has a line of its own. This stand-in for `nix copy` may end before sudo has started the
    // daemon, so that line is left out.
    let mut daemons = scene.daemons();
    daemons.retain(|daemon| daemon != "nix-daemon --stdio");
    daemons.sort();
    assert_eq!(daemons, ["builder: nix-daemon --stdio", &full("sudo -H SERVE")]);
}

/// 2.4, with every call of sudo: for the first look, for the daemon that takes the system, and for the change.
#[test]
fn a_target_and_every_call_of_sudo() {
    let (lock, set) = (on_target(LOCK), on_target(SET));
    let scene = Scene::new();
    scene.makes(
        "switch --target-host target",
        &[BUILD, SEND, &lock, "target: UNIT", &set, SWITCH],
    );
    assert_eq!(scene.daemons(), ["target: nix-daemon --stdio"]);

    for (line, options, sudo) in [
        ("switch --target-host target --sudo", "", "target: sudo"),
        // The options are the client's.
        (
            "switch --target-host me@target --elevate sudo",
            "-H -p 'pass word'",
            "target: sudo -H -p pass word",
        ),
    ] {
        let scene = Scene::new();
        scene.user_on("target", 1000);
        scene.variable("NIX_SUDOOPTS", options);
        let root = format!("{sudo} BECOME");
        scene.makes(line, &[&root, BUILD, SEND, &root, &lock, "target: UNIT", &set, SWITCH]);
        assert_eq!(
            scene.daemons(),
            [&full(&format!("{sudo} SERVE")), "target: nix-daemon --stdio"]
        );
    }
    // A user who is root on the target is not elevated.
    Scene::new().makes(
        "switch --target-host root@target --sudo --install-bootloader",
        &[BUILD, SEND, &lock, "target: UNIT", &set, SWITCH],
    );
}

#[test]
fn a_target_s_boot_loader_profile_and_specialisation() {
    let scene = Scene::new();
    scene.user_on("target", 1000);
    scene.makes(
        "switch --target-host target --sudo --install-bootloader -p my-trial -c quiet",
        &[
            "target: sudo BECOME",
            BUILD,
            SEND,
            "target: sudo CLEAN NIXOS_INSTALL_BOOTLOADER=1 GATE SCRIPT",
            &on_target(LOCK),
            "target: UNIT",
            "target: nix-env -p /nix/var/nix/profiles/system-profiles/my-trial --set SYSTEM",
            "specialisation/quiet/bin/switch-to-configuration switch",
        ],
    );
}

/// The password is asked for on this machine, and tried on the target before the long work; sudo's own prompt is not
/// needed.
#[test]
fn a_password_for_a_target() {
    let scene = Scene::new();
    scene.user_on("target", 1000);
    scene.typed("secret\n");
    let sudo = "target: sudo --prompt= --stdin BECOME";
    scene.makes(
        "switch --target-host target -S",
        &[
            sudo,
            BUILD,
            SEND,
            sudo,
            &on_target(LOCK),
            "target: UNIT",
            &on_target(SET),
            SWITCH,
        ],
    );
    assert_eq!(
        scene.daemons(),
        [
            &full("target: sudo --prompt= --stdin SERVE"),
            "target: nix-daemon --stdio"
        ]
    );
    // It is tried at the beginning, for the daemon, and for the change: hours may lie between them.
    let check = full("target: sudo --prompt= --stdin CLEAN NIXOS_INSTALL_BOOTLOADER=0 true");
    assert_eq!(scene.checks(), vec![check; 3]);
}

/// The system goes from the builder to the target through this machine, which keeps nothing. If both are the same
/// machine, it does not travel at all. nixos-rebuild does the first with `nix copy --from ssh://B --to ssh://T`.
#[test]
fn a_builder_and_a_target() {
    let (lock, set) = (on_target(LOCK), on_target(SET));
    for (flake, evaluate) in [("", EVALUATE), (" --flake .#pi", EVALUATE_FLAKE)] {
        let scene = Scene::new();
        scene.user_on("target", 1000);
        scene.makes(
            &format!("switch --build-host builder --target-host target --sudo{flake}"),
            &[
                "target: sudo BECOME",
                evaluate,
                SEND_DRV,
                REALISE,
                DELIVER,
                "target: sudo BECOME",
                &lock,
                "target: UNIT",
                &set,
                SWITCH,
            ],
        );
        // Only what belongs to the target needs root.
        assert_eq!(
            scene.daemons(),
            [
                "builder: nix-daemon --stdio",
                &full("target: sudo SERVE"),
                "target: nix-daemon --stdio"
            ]
        );

        let scene = Scene::new();
        scene.makes(
            &format!("switch --build-host builder --target-host builder{flake}"),
            &[
                evaluate,
                SEND_DRV,
                REALISE,
                &format!("builder: {LOCK}"),
                "builder: UNIT",
                &format!("builder: {SET}"),
                SWITCH,
            ],
        );
        assert_eq!(scene.daemons(), ["builder: nix-daemon --stdio"]);

        // nixpkgs#126614: nothing comes to this machine that is not wanted here.
        let scene = Scene::new();
        scene.makes(
            &format!("build --build-host builder --target-host target{flake}"),
            &[evaluate, SEND_DRV, REALISE, DELIVER],
        );
        assert_eq!(left_on(&scene, "builder") + &left_on(&scene, "target"), "");
    }
}

/// The name is the target's own (`uname -n`); if a name is written, it is that one.
#[test]
fn a_flake_without_a_name_has_the_target_s() {
    for (uri, name) in [(".", "target.lan"), (".#pi", "pi")] {
        Scene::new().makes(
            &format!("switch --flake {uri} --target-host target"),
            &[
                &format!(
                    "NIX build --print-out-paths .#nixosConfigurations.\"{name}\".config.system.build.toplevel \
                     --out-link ROOT"
                ),
                SEND,
                &on_target(LOCK),
                "target: UNIT",
                &on_target(SET),
                SWITCH,
            ],
        );
    }
}

/// A machine may give itself any name.
#[test]
fn a_host_name_that_is_no_name_of_a_configuration_is_refused() {
    let scene = Scene::new();
    scene.stub_on("target", "uname", "echo 'a\".x'");
    let run = scene.rebuild("switch --flake . --target-host target");
    assert_eq!(run.code, 2, "{}", run.stderr);
    assert!(
        run.stderr.contains("the host name of target, 'a\".x', is no name") && run.stderr.contains("--flake URI#NAME"),
        "{}",
        run.stderr
    );
    assert_eq!(scene.seen(), [""; 0]);
}

/// 2.6. The profile is the target's. nixos-rebuild wants the profile on this machine as well, and takes the highest
/// other generation.
#[test]
fn a_target_rolls_back_by_its_own_profile() {
    let back = "target: nix-env --rollback -p /nix/var/nix/profiles/system";
    let (lock, unit) = (&*on_target(LOCK), "target: UNIT");
    for (line, calls) in [
        (
            "switch --rollback",
            &[lock, unit, back, "old/switch-to-configuration switch"] as &[_],
        ),
        (
            "boot --rollback",
            &[lock, unit, back, "old/switch-to-configuration boot"],
        ),
        ("test --rollback", &[lock, unit, "old/switch-to-configuration test"]),
        (
            "dry-activate --rollback",
            &[lock, unit, "old/switch-to-configuration dry-activate"],
        ),
        ("build --rollback", &[]),
    ] {
        let run = Scene::new().makes(&format!("{line} --target-host target"), calls);
        assert_eq!(run.stdout.trim_end(), full("OLD"), "{line}");
    }
    // --build-host takes no part in it.
    let scene = Scene::new();
    scene.user_on("target", 1000);
    scene.makes(
        "boot --rollback --target-host target --sudo --build-host builder",
        &[
            "target: sudo BECOME",
            "target: sudo BECOME",
            lock,
            unit,
            back,
            "old/switch-to-configuration boot",
        ],
    );
}

/// The rest of ssh's command line.
const REST: &str = "-T -a -x -o ConnectTimeout=20 -o ServerAliveInterval=30 -o ServerAliveCountMax=3 \
                    -o ExitOnForwardFailure=no -o RemoteCommand=none -o SessionType=default -o StdinNull=no -o ForkAfterAuthentication=no";
const OURS: &str = "-o ControlMaster=auto -o ControlPath=OURS -o ControlPersist=60";

/// 2.11. Each host is logged in to once, by a connection that this program shares. The user's options come first, and
/// of two options ssh takes the first.
#[test]
fn one_login_for_each_host() {
    let line = "boot --build-host builder --target-host me@target";
    for (variables, options) in [
        (&[] as &[(&str, &str)], OURS.to_owned()),
        (
            &[("NIX_SSHOPTS", "-4 -o 'ProxyCommand=nc %h'")],
            format!("-4 -o ProxyCommand=nc %h {OURS}"),
        ),
        // nixpkgs#538973: even if it is empty.
        (
            &[
                ("NIX_SSHOPTS", "-4"),
                ("NIXOS_REBUILD_SSH_DEFAULT_OPTS", "-o 'ControlPath=none'"),
            ],
            "-4 -o ControlPath=none".to_owned(),
        ),
        (&[("NIXOS_REBUILD_SSH_DEFAULT_OPTS", "")], String::new()),
    ] {
        let scene = Scene::new();
        for (name, value) in variables {
            scene.variable(name, value);
        }
        let run = scene.rebuild(line);
        assert_eq!(run.code, 0, "{}", run.stderr);
        let start = format!("ssh {options} {REST}").replace("  ", " ");
        assert_eq!(
            scene.logins(),
            [
                format!("{start} -- me@target"),
                format!("{start} -- builder"),
                format!("{start} -R SOCKETS -- builder"),
            ]
        );
    }
}

/// A connection that the user shares stays the user's, host by host (nixpkgs#495907, nixpkgs#168322); and a host that
/// is logged in to only once has nothing to share.
#[test]
fn no_connection_of_ours_where_none_is_needed() {
    let scene = Scene::new();
    let ssh = scene.read("bin/ssh");
    scene.write(
        "bin/ssh",
        &ssh.replace(
            "ssh:*\\ -G\\ *",
            "ssh:*\\ -G\\ *builder) echo 'controlpath /home/me/.ssh/master'; exit ;; ssh:*\\ -G\\ *",
        ),
    );
    let run = scene.rebuild("boot --build-host builder --target-host target");
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_eq!(
        scene.logins(),
        [
            format!("ssh {OURS} {REST} -- target"),
            format!("ssh {REST} -- builder"),
            format!("ssh {REST} -R SOCKETS -- builder"),
        ]
    );
}
