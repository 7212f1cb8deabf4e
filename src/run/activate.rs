//! What becomes of the made system on this machine. Everything that can be refused is refused before anything changes.

use std::path::Path;

use anyhow::{Context, Result};

use crate::failure::Failure;
use crate::plan::argv::{self, ActivationFacts};
use crate::plan::{Activation, Making, Plan};
use crate::process::signals::Signals;
use crate::store_path::StorePath;
use crate::surroundings::Surroundings;

/// Leaves `./result`. A local build has left it already.
pub(super) fn link(plan: &Plan, system: &StorePath, directory: &Path, signals: &Signals) -> Result<()> {
    if plan.making == Making::Local {
        return Ok(());
    }
    argv::link_result(system, &directory.join("result"))
        .capture(signals)
        .map(|_| ())
}

/// Sets the profile if there is one to set, and runs the activation.
pub(super) fn activate(
    activation: &Activation,
    system: &StorePath,
    around: &Surroundings,
    signals: &Signals,
) -> Result<()> {
    looks_like_a_system(system, around)?;
    // From here on an interrupt is between two changes, not before them.
    signals.check()?;
    if let Some(profile) = &activation.profile {
        if let Some(parent) = profile.parent() {
            std::fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
        }
        argv::set_profile(profile, system).run(signals)?;
    }
    argv::activate(activation, system, &facts(around)).run(signals)
}

/// A store path that is no NixOS must not become one's profile (nixpkgs#144811).
fn looks_like_a_system(system: &StorePath, around: &Surroundings) -> Result<(), Failure> {
    let careless = "NIXOS_REBUILD_I_UNDERSTAND_THE_CONSEQUENCES_PLEASE_BREAK_MY_SYSTEM";
    if around.variable(careless).is_some_and(|value| !value.is_empty()) {
        return Ok(());
    }
    for file in ["nixos-version", "bin/switch-to-configuration"] {
        if !system.as_path().join(file).exists() {
            return Err(
                Failure::new(format!("{system} is not a NixOS system: it has no {file}"))
                    .with_remedy("nothing was changed; does the configuration set system.build.toplevel itself?"),
            );
        }
    }
    Ok(())
}

fn facts(around: &Surroundings) -> ActivationFacts {
    let forbidden = around
        .variable("NIXOS_REBUILD_NO_SYSTEMD_RUN")
        .is_some_and(|value| !value.is_empty());
    let kept = ["PATH", "LOCALE_ARCHIVE", "NIXOS_NO_CHECK"];
    ActivationFacts {
        under_systemd: !forbidden && Path::new("/run/systemd/system").exists(),
        variables: kept
            .into_iter()
            .filter_map(|name| Some((name.into(), around.variable(name)?)))
            .collect(),
    }
}
