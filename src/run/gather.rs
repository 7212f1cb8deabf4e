//! What an evaluation on another machine starts with: this machine's files and environment, and the commands.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::builder::lock::Lock;
use crate::cli::flags::FlakeFlags;
use crate::failure::Failure;
use crate::nix_settings::{NixSettings, machines_directory};
use crate::own_nix::search_path::{ROOT_CHANNELS, SearchPath, channels_of_user};
use crate::own_nix::{OwnNix, named_configuration};
use crate::plan::{Configuration, Flake};
use crate::sources::collect::{Collection, Refusal};
use crate::sources::flakes::lock_file::Renewed;
use crate::sources::flakes::{Flakes, Registry};
use crate::store_path::StorePath;
use crate::surroundings::{Directory, Surroundings};
use crate::vocabulary::FlakeReference;

/// The things that are read from this machine.
pub(super) struct Gathered {
    /// The files.
    pub collection: Collection,
    /// The flake's lock file, which the evaluation may write.
    pub lock: Option<Lock>,
    /// The file that is evaluated first, if it is no flake's and is on this machine.
    pub entry: PathBuf,
}

/// Gathers the files that the configuration begins with. `channels` are those of root's profile if they are to be other
/// ones than those that are there.
///
/// # Errors
/// Fails if there is no such configuration.
pub(super) fn gather(
    configuration: &Configuration,
    channels: Option<&StorePath>,
    around: &Surroundings,
    nix: &OwnNix,
) -> Result<Gathered> {
    let settings = &nix.settings;
    let mut collection = Collection::new(nix.search_path.clone(), around.home());
    if let Some(channels) = channels {
        collection.relink(Path::new(ROOT_CHANNELS), channels);
    }
    collection.add_surroundings(&around.directory);
    add_named(&mut collection, around)?;
    if let Some(own) = around.variable("XDG_CONFIG_HOME").filter(|value| !value.is_empty()) {
        collection.set_config_home(around.directory.join(own));
    }
    for kind in [Directory::Config, Directory::Data] {
        collection.look_into(&around.nix_directory(kind));
    }
    collection.look_into(&channels_of_user(around, settings));
    let mut lock = None;
    match configuration {
        Configuration::Classic => classic(&mut collection, around, &nix.search_path)?,
        Configuration::File { file, .. } => named_file(&mut collection, file, &around.directory)?,
        Configuration::Flake(flake) => {
            refuse_commit(flake)?;
            lock = named_flake(&mut collection, flake, around, registry_of_all(settings).as_deref())?;
        }
    }
    allow_named_by_variables(&mut collection, around);
    let entry = entry(configuration, &collection, channels.is_some(), &around.directory);
    Ok(Gathered {
        collection,
        lock,
        entry: entry.unwrap_or_default(),
    })
}

/// Returns the real place of the file in which a classic evaluation begins. If a channel is `new`, its file has no real
/// place here, and keeps the links in its name.
fn entry(configuration: &Configuration, collection: &Collection, new: bool, directory: &Path) -> Option<PathBuf> {
    let (path, is_found) = match configuration {
        Configuration::Classic => (collection.find("nixpkgs/nixos")?, true),
        Configuration::File { file, .. } => match file.strip_prefix('<').and_then(|rest| rest.strip_suffix('>')) {
            Some(name) => (collection.find(name)?, true),
            None => (directory.join(file), false),
        },
        Configuration::Flake(_) => return None,
    };
    let path = if path.is_dir() { path.join("default.nix") } else { path };
    if new && is_found {
        return Some(path);
    }
    fs::canonicalize(path).ok()
}

/// The variables, besides `NIXOS_CONFIG`, that name a file to nixpkgs and NixOS.
const FILES_IN_VARIABLES: [&str; 2] = ["NIXPKGS_CONFIG", "NIXOS_EXTRA_MODULE_PATH"];

/// Adds what the search path and variables name. If two entries of a search path have the same name, the first one
/// counts: if it did not exist on the other machine, another file would be read without a word.
fn add_named(collection: &mut Collection, around: &Surroundings) -> Result<(), Failure> {
    for path in collection.search_places() {
        collection.add_named(&path);
        refuse_missing(collection, &path, "the search path (NIX_PATH, nix-path or -I)")?;
    }
    for name in FILES_IN_VARIABLES {
        if let Some(value) = around.variable(name).filter(|value| !value.is_empty()) {
            let path = around.directory.join(value);
            collection.add_named(&path);
            refuse_missing(collection, &path, name)?;
        }
    }
    Ok(())
}

/// Allows the evaluation to ask for a path that stands in a variable which the configuration asks for: the path is the
/// user's word as well.
fn allow_named_by_variables(collection: &mut Collection, around: &Surroundings) {
    // Variables that a session sets do not name files of this run; and below XDG_CONFIG_HOME all programs keep their
    // tokens.
    let is_of_session = |name: &String| name.starts_with("XDG_") || ["PWD", "OLDPWD"].contains(&name.as_str());
    let mut names: Vec<String> = collection.asked().names.iter().cloned().collect();
    names.retain(|name| !is_of_session(name));
    for name in names {
        let value = around.variable(&name).map(PathBuf::from);
        if let Some(path) = value.filter(|path| path.is_absolute()) {
            collection.allow(&path);
        }
    }
}

/// Refuses the run before anything is begun if the evaluation would not see the path that `by` names.
fn refuse_missing(collection: &Collection, path: &Path, by: &str) -> Result<(), Failure> {
    let Some(refusal) = collection.refusal(path).filter(|_| path.exists()) else {
        return Ok(());
    };
    let shown = path.display();
    let why = match refusal {
        Refusal::TheEvaluators => "an evaluation elsewhere sees that machine's own there",
        _ => "that never leaves this machine",
    };
    Err(Failure::new(format!("{by} names {shown}: {why}")).with_remedy(format!(
        "copy it to another directory, and name that: cp -r {shown} /etc/nixos/\nor evaluate here: --eval-on ''"
    )))
}

/// Adds what `<nixpkgs/nixos>` reads.
fn classic(collection: &mut Collection, around: &Surroundings, search_path: &SearchPath) -> Result<()> {
    if !collection.add_lookup("nixpkgs") && !collection.is_address("nixpkgs") {
        refuse_unseen(collection, "nixpkgs")?;
        return Err(Failure::new("<nixpkgs> is not in the Nix search path of this user")
            .with_remedy("is NIX_PATH set? with sudo: sudo -i\nor name it: -I nixpkgs=PATH")
            .into());
    }
    let Some((entry, by)) = named_configuration(around, search_path) else {
        return Err(
            Failure::new("no configuration: neither NIXOS_CONFIG nor <nixos-config> names one")
                .with_remedy("name it: -I nixos-config=/etc/nixos/configuration.nix")
                .into(),
        );
    };
    if !entry.exists() {
        return Err(Failure::new(format!("the configuration {} does not exist", entry.display())).into());
    }
    add_file(collection, &entry, by)
}

/// Refuses a name that is in the search path but will not be seen on the other machine: it must not be called missing.
fn refuse_unseen(collection: &Collection, name: &str) -> Result<(), Failure> {
    let Some(path) = collection.find(name) else {
        return Ok(());
    };
    refuse_missing(collection, &path, &format!("<{name}>"))?;
    Err(
        Failure::new(format!("<{name}> is {}, which this user cannot read", path.display()))
            .with_remedy("is it to be read by this user? with sudo: sudo -i"),
    )
}

/// Adds a file as `nix-build` takes it: a path, a `<name>`, or an address, which the other machine fetches.
fn named_file(collection: &mut Collection, file: &str, directory: &Path) -> Result<()> {
    if let Some(name) = file.strip_prefix('<').and_then(|rest| rest.strip_suffix('>')) {
        if !collection.add_lookup(name) && !collection.is_address(name) {
            refuse_unseen(collection, name)?;
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
    // The file itself says what it reads of the search path; NixOS usually comes from there.
    add_file(collection, &path, "--file")
}

/// Adds the file in which the configuration begins, which is named by `by`.
fn add_file(collection: &mut Collection, path: &Path, by: &str) -> Result<()> {
    let default = path.join("default.nix");
    let file = if path.is_dir() && default.exists() {
        &default
    } else {
        path
    };
    collection.add_entry(file);
    Ok(refuse_missing(collection, file, by)?)
}

fn refuse_commit(flake: &Flake) -> Result<(), Failure> {
    if flake.flags.commit_lock_file {
        return Err(Failure::usage(
            "--commit-lock-file: the commit would be made where the flake is evaluated, and not on this machine",
        )
        .with_remedy("first: nix flake lock --commit-lock-file\nor leave out --eval-on"));
    }
    Ok(())
}

fn named_flake(
    collection: &mut Collection,
    flake: &Flake,
    around: &Surroundings,
    of_all: Option<&Path>,
) -> Result<Option<Lock>> {
    let of_user = registry_of_user(around);
    // These files say what a flake's settings and its names mean to this user. If the flake is at an address elsewhere,
    // its names are not looked up.
    let registries = [Some(of_user.as_path()), of_all].into_iter().flatten();
    let registries = registries.filter(|_| !FlakeReference::read(&flake.reference).is_elsewhere());
    let trusted = trusted_settings(around);
    for file in registries.chain([trusted.as_path()]).filter(|file| file.exists()) {
        collection.add_configuration(file);
    }
    let texts = [read(&of_user), registry(around), of_all.map(read).unwrap_or_default()];
    let known = if flake.flags.no_registries { &[] } else { &texts[..] };
    let registry = Registry::read(known.iter().map(String::as_str));
    let mut flakes = Flakes::new(collection, registry, flake.flags.impure);
    let found = flakes.add(&flake.reference, &around.directory);
    let inputs: Vec<PathBuf> = flake
        .flags
        .override_input
        .chunks_exact(2)
        .filter_map(|pair| flakes.add(&pair[1], &around.directory))
        .collect();
    for place in &inputs {
        refuse_missing(collection, place, "--override-input")?;
    }
    let Some(place) = found else { return Ok(None) };
    refuse_missing(collection, &place, "--flake")?;
    if FlakeReference::read(&flake.reference).is_path() && !place.join("flake.nix").exists() {
        return Err(Failure::new(format!("there is no flake.nix in {}", place.display())).into());
    }
    Ok(renewed(&flake.flags).map(|renewed| Lock::of(&place, renewed)))
}

/// Returns which of the flake's inputs may be locked anew, or None if the evaluation may not write a lock file at all
/// (`--override-input` implies that).
fn renewed(flags: &FlakeFlags) -> Option<Renewed> {
    let writes = !flags.no_write_lock_file && !flags.no_update_lock_file && flags.override_input.is_empty();
    writes.then(|| {
        if flags.recreate_lock_file {
            Renewed::All
        } else {
            Renewed::These(flags.update_input.iter().cloned().collect())
        }
    })
}

/// Returns the file of the flakes' settings that this user has allowed.
fn trusted_settings(around: &Surroundings) -> PathBuf {
    around.nix_directory(Directory::Data).join("trusted-settings.json")
}

/// Returns the registry of all users, if it is a file.
fn registry_of_all(settings: &NixSettings) -> Option<PathBuf> {
    let named = settings.get("flake-registry");
    named.filter(|name| name.starts_with('/')).map(PathBuf::from)
}

/// Returns the user's own registry.
fn registry_of_user(around: &Surroundings) -> PathBuf {
    around.nix_directory(Directory::Config).join("registry.json")
}

/// Returns this machine's registry of flakes, which gives names to them.
pub(super) fn registry(around: &Surroundings) -> String {
    read(&machines_directory(around).join("registry.json"))
}

fn read(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    /// The file of a channel that is new is on the other machine alone, behind links that lead elsewhere here.
    #[test]
    fn the_first_file_of_a_new_channel_keeps_its_links() {
        let place = tempfile::tempdir().unwrap();
        let (tree, link) = (place.path().join("tree"), place.path().join("nixos"));
        fs::create_dir_all(tree.join("nixos")).unwrap();
        fs::write(tree.join("nixos/default.nix"), "").unwrap();
        symlink(&tree, &link).unwrap();
        let variable = format!("nixpkgs={}", link.display());
        let collection = Collection::new(SearchPath::of_variable(&variable, Path::new("/")), "/root".into());
        let first = |new: bool, configuration: &Configuration| entry(configuration, &collection, new, Path::new("/"));
        let real = fs::canonicalize(tree.join("nixos/default.nix")).ok();
        assert_eq!(first(false, &Configuration::Classic), real);
        assert_eq!(
            first(true, &Configuration::Classic),
            Some(link.join("nixos/default.nix"))
        );
        // A file of one's own is here.
        let own = Configuration::File {
            file: link.join("nixos").display().to_string(),
            attribute: None,
        };
        assert_eq!(first(true, &own), real);
    }
}
