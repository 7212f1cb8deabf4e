//! Runs on this machine alone: sections 2.1, 2.2, 2.5 to 2.7 and 2.9 of nixos-rebuild's contract.

use super::{BUILD, LOCK, SET, Scene, check, full};

const SWITCH: &str = "switch-to-configuration switch";

/// 2.1. Only the change is root's. The user evaluates, builds and looks (nixpkgs#303190), and the very first step is to
/// ask root whether there is a way (nixpkgs#55802).
#[test]
fn sudo_is_for_the_change_alone() {
    for (options, sudo) in [
        (None, "sudo BECOME"),
        // The options are split as a shell splits them.
        (Some("-H --chdir '/'"), "sudo -H --chdir / BECOME"),
    ] {
        let scene = Scene::new();
        scene.typed_by(1000);
        if let Some(options) = options {
            scene.variable("NIX_SUDOOPTS", options);
        }
        scene.makes("switch --sudo", &[sudo, BUILD, sudo, LOCK, "UNIT", SET, SWITCH]);
    }
    let scene = Scene::new();
    scene.typed_by(1000);
    let change = "sudo CLEAN NIXOS_INSTALL_BOOTLOADER=1 GATE SCRIPT";
    scene.makes(
        "test --use-remote-sudo --install-bootloader",
        &[
            "sudo BECOME",
            BUILD,
            change,
            LOCK,
            "UNIT",
            "switch-to-configuration test",
        ],
    );
}

/// A verb that needs no root gets none, whatever is asked for; a verb that needs root is refused before the long work.
#[test]
fn who_is_no_root_and_does_not_become_it() {
    for (line, calls) in [
        (
            "build --sudo",
            "nix-build <nixpkgs/nixos> --attr config.system.build.toplevel",
        ),
        (
            "dry-build --sudo",
            "nix-build <nixpkgs/nixos> --attr config.system.build.toplevel --dry-run",
        ),
    ] {
        let scene = Scene::new();
        scene.typed_by(1000);
        let calls: &[&str] = if line.starts_with("dry") {
            &[calls]
        } else {
            &["sudo BECOME", calls]
        };
        scene.makes(line, calls);
    }
    for line in ["switch", "dry-activate", "test --rollback", "build --upgrade"] {
        let scene = Scene::new();
        scene.typed_by(1000);
        let run = scene.rebuild(line);
        assert_eq!((run.code, scene.calls().len()), (1, 0), "{line}: {}", run.stderr);
        assert!(run.stderr.contains("--sudo"), "{line}: {}", run.stderr);
    }
    // A root user is not elevated.
    check("switch --sudo", &[BUILD, LOCK, "UNIT", SET, SWITCH]);
}

/// The password comes once from stdin, is tried at once, and goes to sudo's stdin each time: it is no argument.
#[test]
fn a_password_for_sudo() {
    let scene = Scene::new();
    scene.typed_by(1000);
    scene.typed("secret\n");
    scene.variable("NIX_SUDOOPTS", "-H");
    let sudo = "sudo --prompt= --stdin -H BECOME";
    scene.makes("switch -S", &[sudo, BUILD, sudo, LOCK, "UNIT", SET, SWITCH]);
    let check = full("sudo --prompt= --stdin -H CLEAN NIXOS_INSTALL_BOOTLOADER=0 true");
    assert_eq!(scene.checks(), vec![check; 2]);
}

/// nixos-rebuild has run0, too (nixpkgs#512018); only this program has doas.
#[test]
fn other_programs_that_make_root() {
    for (flag, by) in [("run0", "run0 -- BECOME"), ("doas", "doas BECOME")] {
        let scene = Scene::new();
        scene.typed_by(1000);
        // These options do not belong to them.
        scene.variable("NIX_SUDOOPTS", "-H");
        scene.makes(
            &format!("switch --elevate {flag}"),
            &[by, BUILD, by, LOCK, "UNIT", SET, SWITCH],
        );
    }
}

/// 2.2. What the boot loader's question becomes is in `the_environment_of_an_activation` as well.
#[test]
fn the_boot_loader_and_other_profiles() {
    for line in ["boot --install-bootloader", "boot --install-grub"] {
        check(line, &[BUILD, LOCK, "UNIT", SET, "switch-to-configuration boot"]);
    }
    let other = "nix-env -p /nix/var/nix/profiles/system-profiles/my-trial --set SYSTEM";
    check("switch -p my-trial", &[BUILD, LOCK, "UNIT", other, SWITCH]);
    check(
        "test -p my-trial",
        &[BUILD, LOCK, "UNIT", "switch-to-configuration test"],
    );
}

/// 2.5. Nix gets the reference as it is (nixpkgs#422971). A name with a dot is one attribute. Without a name, the whole
/// host name is the name.
#[test]
fn a_flake() {
    let own = nix::unistd::gethostname().unwrap().into_string().unwrap();
    for (uri, installable) in [
        (
            "../up?submodules=1#pi.lan",
            "../up?submodules=1#nixosConfigurations.\"pi.lan\"",
        ),
        (
            "github:me/x/branch?dir=a",
            &format!("github:me/x/branch?dir=a#nixosConfigurations.\"{own}\""),
        ),
        // nixpkgs#101648
        ("", &format!(".#nixosConfigurations.\"{own}\"")),
    ] {
        let build = format!("NIX build --print-out-paths {installable}.config.system.build.toplevel --out-link ROOT");
        check(&format!("switch --flake {uri}"), &[&build, LOCK, "UNIT", SET, SWITCH]);
    }
}

/// 2.6. There are generations 1 to 3, and 2 is the current one: the way back is to 1, where nixos-rebuild's `test` and
/// `build` take 3. Nothing is evaluated (nix#12724).
#[test]
fn roll_backs() {
    let back = "nix-env --rollback -p /nix/var/nix/profiles/system";
    for (line, calls) in [
        (
            "switch --rollback",
            &[LOCK, "UNIT", back, "old/switch-to-configuration switch"] as &[_],
        ),
        (
            "boot --rollback",
            &[LOCK, "UNIT", back, "old/switch-to-configuration boot"],
        ),
        ("test --rollback", &[LOCK, "UNIT", "old/switch-to-configuration test"]),
        // With this verb and with build-vm, nixos-rebuild ends with an error of Python's.
        (
            "dry-activate --rollback",
            &[LOCK, "UNIT", "old/switch-to-configuration dry-activate"],
        ),
        ("build --rollback", &["nix-store --realise OLD --add-root LINK"]),
        (
            "switch --rollback -c quiet",
            &[
                LOCK,
                "UNIT",
                back,
                "specialisation/quiet/bin/switch-to-configuration switch",
            ],
        ),
    ] {
        let scene = Scene::new();
        let run = scene.makes(line, calls);
        assert_eq!(run.stdout.trim_end(), super::full("OLD"), "{line}");
    }
}

/// 2.7. The specialisation's own program is run, and the profile gets the system itself.
#[test]
fn a_specialisation_activates_itself() {
    let quiet = |action| format!("specialisation/quiet/bin/switch-to-configuration {action}");
    check("switch -c quiet", &[BUILD, LOCK, "UNIT", SET, &quiet("switch")]);
    check("test --specialisation quiet", &[BUILD, LOCK, "UNIT", &quiet("test")]);
    check("dry-activate -c quiet", &[BUILD, LOCK, "UNIT", &quiet("dry-activate")]);

    // nixpkgs#412749: nixos-rebuild reports it when it has changed the profile already.
    let scene = Scene::new();
    let run = scene.rebuild("switch -c nosuch");
    assert_eq!(run.code, 1, "{}", run.stderr);
    assert!(run.stderr.contains("no specialisation 'nosuch'"), "{}", run.stderr);
    assert_eq!(scene.seen(), [BUILD]);
}

/// 2.9. The channels are updated once, before everything else. nixos-rebuild does it twice, before and after its
/// re-exec.
#[test]
fn channels_first_and_once() {
    let (marked, nixos) = ("nix-channel --update marked", "nix-channel --update nixos");
    check("switch --upgrade", &[marked, nixos, BUILD, LOCK, "UNIT", SET, SWITCH]);
    check(
        "boot --upgrade-all",
        &[
            marked,
            nixos,
            "nix-channel --update other",
            BUILD,
            LOCK,
            "UNIT",
            SET,
            "switch-to-configuration boot",
        ],
    );
    let scene = Scene::new();
    scene.typed_by(1000);
    scene.variable("NIX_SUDOOPTS", "-H");
    scene.makes(
        "switch --sudo --upgrade",
        &[
            "sudo -H BECOME",
            "sudo -H nix-channel --update marked",
            marked,
            "sudo -H nix-channel --update nixos",
            nixos,
            BUILD,
            "sudo -H BECOME",
            LOCK,
            "UNIT",
            SET,
            SWITCH,
        ],
    );

    // A channel that fails is no reason to stop.
    let scene = Scene::new();
    scene.stub("nix-channel", "exit 1");
    let run = scene.makes(
        "boot --upgrade",
        &[marked, nixos, BUILD, LOCK, "UNIT", SET, "switch-to-configuration boot"],
    );
    assert!(run.stderr.contains("warning: channel nixos"), "{}", run.stderr);

    // For a flake, nixos-rebuild updates the channels all the same, and warns afterwards.
    let scene = Scene::new();
    let build = "NIX build --print-out-paths .#nixosConfigurations.\"pi\".config.system.build.toplevel";
    let run = scene.makes("build --flake .#pi --upgrade", &[build]);
    assert!(
        run.stderr.starts_with("warning: --upgrade has no effect on a flake"),
        "{}",
        run.stderr
    );
}
