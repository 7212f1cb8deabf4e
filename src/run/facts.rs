//! The facts of this machine that decide over a plan.

use std::io::IsTerminal;
use std::path::Path;

use anyhow::Result;

use crate::cli::Arguments;
use crate::host::{Host, OwnNames};
use crate::own_nix::OwnNix;
use crate::plan::{FILE, Facts, Found};
use crate::process::signals::Signals;
use crate::settings::Settings;
use crate::ssh::Ssh;
use crate::surroundings::Surroundings;

const SYSTEM_FLAKE: &str = "/etc/nixos/flake.nix";
const SYSTEM_FILE: &str = "/etc/nixos/system.nix";

/// Looks the facts up. It starts no program except ssh, and ssh only if a host has this machine's name. nixos-rebuild
/// asks `nix-instantiate` for `<nixos-system>`, which costs a weak machine a second, and does not pass the user's `-I`
/// on to it.
///
/// # Errors
/// Fails if nobody can say whether such a name means this machine.
pub fn facts(
    arguments: &Arguments,
    settings: &Settings,
    around: &Surroundings,
    nix: &OwnNix,
    signals: &Signals,
) -> Result<Facts> {
    Ok(Facts {
        own: own_names(arguments, settings, around, signals)?,
        is_root: nix::unistd::geteuid().is_root(),
        has_terminal: std::io::stdin().is_terminal(),
        found: Found {
            // It can be a symlink to the flake's own file.
            system_flake: std::fs::canonicalize(SYSTEM_FLAKE)
                .ok()
                .and_then(|file| file.parent().map(Path::to_path_buf)),
            file_in_directory: has_system(arguments, around),
            file_here: [FILE, "default.nix"]
                .into_iter()
                .find(|name| around.directory.join(name).exists()),
            nixos_system: nix.knows("nixos-system"),
            system_file: Path::new(SYSTEM_FILE).exists(),
        },
    })
}

/// Returns this machine's names. If this command or a setting names one of them as a host, ssh is asked where the name
/// leads.
fn own_names(arguments: &Arguments, settings: &Settings, around: &Surroundings, signals: &Signals) -> Result<OwnNames> {
    let mut own = OwnNames::new(&around.own_name);
    if arguments.settings.show_settings {
        return Ok(own);
    }
    let roles = &arguments.roles;
    let typed = [&roles.target_host, &roles.eval_host, &roles.build_host];
    let texts = typed.into_iter().filter_map(Option::as_deref);
    let texts = texts.flat_map(|text| text.split(','));
    let set = [settings.eval_hosts(), settings.build_hosts()];
    let texts = texts.chain(set.into_iter().flatten().flatten());
    // A text that is no host is refused where it is read.
    let mut hosts: Vec<Host> = texts.filter_map(|text| Host::parse(text).ok()).collect();
    hosts.retain(|host| own.claims(host));
    hosts.sort_by(|one, other| one.name().cmp(other.name()));
    hosts.dedup();
    if hosts.is_empty() {
        return Ok(own);
    }
    let ssh = Ssh::new(around)?;
    for host in hosts {
        if let Some(there) = ssh.detour(&host, &own, signals)? {
            own.lead(&host, there);
        }
    }
    Ok(own)
}

/// Returns whether `--file` names a directory, which means its `system.nix`.
fn has_system(arguments: &Arguments, around: &Surroundings) -> bool {
    let named = arguments.configuration.file.as_deref().filter(|file| !file.is_empty());
    let directory = named.map(|file| around.directory.join(file));
    directory.is_some_and(|directory| directory.is_dir() && directory.join(FILE).exists())
}
