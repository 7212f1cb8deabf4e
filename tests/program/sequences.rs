//! What all activations have in common: their commands and their environment. `ended.rs` tests how they end;
//! `scenarios*.rs` has the scenarios with other flags and other machines.

use super::scenarios::{BUILD, LOCK, SET, Scene, check};

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

/// An activation sees these variables and nothing else (section 2.1 of the contract): `PATH`, `LOCALE_ARCHIVE`,
/// `NIXOS_NO_CHECK` and the question of the boot loader.
#[test]
fn the_environment_of_an_activation() {
    for (line, install) in [("boot", "0"), ("boot --install-bootloader", "1")] {
        let stage = Scene::new();
        stage.stub(
            "systemd-run",
            "env | grep -v -e ^PWD= -e ^_= -e ^OLDPWD= -e ^SHLVL= >environment",
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

/// nixos-rebuild's opt-out (`NIXOS_REBUILD_NO_SYSTEMD_RUN`).
#[test]
fn without_systemd_run() {
    let stage = Scene::new();
    stage.variable("NIXOS_REBUILD_NO_SYSTEMD_RUN", "1");
    stage.makes("switch", &[BUILD, SET, "switch-to-configuration switch"]);
}
