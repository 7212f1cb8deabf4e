//! What an evaluation on another machine begins with: this machine's files and environment, and the commands.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::Surroundings;
use crate::failure::Failure;
use crate::nix_settings::NixSettings;
use crate::plan::{Configuration, Flake, Plan};
use crate::sources::collect::Collection;
use crate::sources::flakes::{Flakes, Registry};
use crate::sources::search_path::SearchPath;

/// What of this machine is read.
pub(super) struct Gathered {
    /// The files.
    pub collection: Collection,
    /// The flake's lock file, which the evaluation may write.
    pub lock: Option<PathBuf>,
}

/// The files that the configuration begins with.
///
/// # Errors
/// There is no such configuration.
pub(super) fn gather(plan: &Plan, around: &Surroundings, settings: &NixSettings) -> Result<Gathered> {
    let search_path = SearchPath::new(
        &plan.flags.evaluation.include,
        around.text("NIX_PATH").as_deref(),
        settings.get("nix-path"),
        &around.home(),
        &around.directory,
    );
    let mut collection = Collection::new(search_path, around.home());
    collection.add_surroundings(&around.directory);
    let mut lock = None;
    match &plan.configuration {
        Configuration::Classic => classic(&mut collection, around)?,
        Configuration::File { file, .. } => named_file(&mut collection, file, &around.directory)?,
        Configuration::Flake(flake) => lock = named_flake(&mut collection, flake, around)?,
    }
    Ok(Gathered { collection, lock })
}

/// What `<nixpkgs/nixos>` reads.
fn classic(collection: &mut Collection, around: &Surroundings) -> Result<()> {
    if !collection.add_lookup("nixpkgs") && !collection.is_address("nixpkgs") {
        return Err(Failure::new("<nixpkgs> is not in the Nix search path of this user")
            .with_remedy("is NIX_PATH set? with sudo: sudo -i\nor name it: -I nixpkgs=PATH")
            .into());
    }
    // As nixos/lib/from-env.nix does: the variable, then the search path.
    let entry = around
        .variable("NIXOS_CONFIG")
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
        .or_else(|| collection.find("nixos-config"));
    let Some(entry) = entry else {
        return Err(
            Failure::new("no configuration: neither NIXOS_CONFIG nor <nixos-config> names one")
                .with_remedy("name it: -I nixos-config=/etc/nixos/configuration.nix")
                .into(),
        );
    };
    if !entry.exists() {
        return Err(Failure::new(format!("the configuration {} does not exist", entry.display())).into());
    }
    add_file(collection, &around.directory.join(entry));
    Ok(())
}

/// A file as `nix-build` takes it: a path, a `<name>`, or an address, which the other machine fetches.
fn named_file(collection: &mut Collection, file: &str, directory: &Path) -> Result<()> {
    if let Some(name) = file.strip_prefix('<').and_then(|rest| rest.strip_suffix('>')) {
        if !collection.add_lookup(name) && !collection.is_address(name) {
            return Err(
                Failure::new(format!("{file} is not in the Nix search path of this user"))
                    .with_remedy(format!("name it: -I {name}=PATH"))
                    .into(),
            );
        }
        return Ok(());
    }
    if file.contains("://") || file.starts_with("channel:") {
        return Ok(());
    }
    let path = directory.join(file);
    if !path.exists() {
        return Err(Failure::new(format!("the configuration {} does not exist", path.display())).into());
    }
    // What it reads of the search path stands in it; NixOS usually comes from there.
    add_file(collection, &path);
    Ok(())
}

fn add_file(collection: &mut Collection, path: &Path) {
    let default = path.join("default.nix");
    if path.is_dir() && default.exists() {
        collection.add_entry(&default);
    } else {
        collection.add_entry(path);
    }
}

fn named_flake(collection: &mut Collection, flake: &Flake, around: &Surroundings) -> Result<Option<PathBuf>> {
    if flake.flags.commit_lock_file {
        return Err(Failure::usage(
            "--commit-lock-file: a commit is made on this machine, and not where it is evaluated",
        )
        .with_remedy("first: nix flake lock --commit-lock-file\nor leave out --eval-on"))?;
    }
    let of_user = registry_of_user(around);
    // What a flake's names and its own settings mean to this user.
    for file in [&of_user, &around.home().join(".local/share/nix/trusted-settings.json")] {
        if file.exists() {
            collection.add_configuration(file);
        }
    }
    let texts = [read(&of_user), registry(around)];
    let known = if flake.flags.no_registries { &[] } else { &texts[..] };
    let mut flakes = Flakes::new(
        collection,
        Registry::read(known.iter().map(String::as_str)),
        flake.flags.impure,
    );
    let found = flakes.add(&flake.reference, &around.directory);
    for pair in flake.flags.override_input.chunks_exact(2) {
        flakes.add(&pair[1], &around.directory);
    }
    match found {
        Some(place) if !place.join("flake.nix").exists() => {
            Err(Failure::new(format!("there is no flake.nix in {}", place.display())).into())
        }
        // Where it really is, if it is a link.
        Some(place) => Ok(Some(
            fs::canonicalize(place.join("flake.lock")).unwrap_or_else(|_| place.join("flake.lock")),
        )),
        None => Ok(None),
    }
}

/// The user's own registry.
fn registry_of_user(around: &Surroundings) -> PathBuf {
    let directory = around.variable("XDG_CONFIG_HOME").filter(|value| !value.is_empty());
    directory
        .map_or_else(|| around.home().join(".config"), PathBuf::from)
        .join("nix/registry.json")
}

/// This machine's registry of flakes, which gives names to them.
pub(super) fn registry(around: &Surroundings) -> String {
    let directory = around
        .variable("NIX_CONF_DIR")
        .map_or_else(|| PathBuf::from("/etc/nix"), PathBuf::from);
    read(&directory.join("registry.json"))
}

fn read(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_default()
}
