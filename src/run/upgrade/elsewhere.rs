//! Updating root's channels by another machine, which has the newest of them unpacked in its store afterwards. Here the
//! profile is set last, to the generation that this machine's own nix-channel would have made.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use tempfile::TempDir;

use super::super::leg::Made;
use super::{NONE, chosen};
use crate::activation::RootHere;
use crate::context::Context;
use crate::harmless;
use crate::host::Host;
use crate::output;
use crate::own_nix::search_path::ROOT_CHANNELS;
use crate::plan::{Channels, argv};
use crate::private;
use crate::process::Invocation;
use crate::progress::Event;
use crate::store_path::StorePath;
use crate::surroundings::Surroundings;

/// No channel has this name: a name begins with a letter, a digit or a low line.
const NO_CHANNEL: &str = ".none";

/// What is to be done about root's channels.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::run) enum Wanted {
    /// Nothing.
    Nothing,
    /// This machine has to update them.
    Here,
    /// Another machine can.
    There(List),
}

/// The list of root's channels.
#[derive(PartialEq, Eq)]
pub(in crate::run) struct List {
    updated: Vec<Channel>,
    kept: Vec<Channel>,
}

#[derive(Clone, PartialEq, Eq)]
struct Channel {
    name: String,
    /// It may have a password in it.
    address: String,
}

impl std::fmt::Debug for List {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names = |channels: &[Channel]| channels.iter().map(|it| it.name.clone()).collect::<Vec<_>>();
        write!(formatter, "{:?} {:?}", names(&self.updated), names(&self.kept))
    }
}

/// Channels that are on another machine, and here as soon as they were brought.
pub(in crate::run) struct Upgraded {
    /// The machine that has updated them.
    pub(in crate::run) host: Host,
    /// The generation.
    pub(in crate::run) generation: StorePath,
    /// What has come to this machine of it.
    pub(in crate::run) here: Option<Here>,
}

/// What keeps a generation from being collected on this machine.
pub(in crate::run) struct Here {
    _made: Made,
    _profile: Option<TempDir>,
}

impl Here {
    pub(in crate::run) fn of(made: Made) -> Self {
        Self {
            _made: made,
            _profile: None,
        }
    }
}

/// Finds out which of root's channels are to be updated, and whether another machine can do that.
pub(in crate::run) fn wanted(channels: Channels, root: &RootHere, context: &Context) -> Result<Wanted> {
    let profile = Path::new(ROOT_CHANNELS);
    let names = chosen(channels, profile);
    let listed = root.capture(&argv::list_channels(), context.signals);
    context.signals.check()?;
    // nix-channel will say here what is wrong.
    let Ok(listed) = listed else { return Ok(Wanted::Here) };
    let wanted = of_list(&String::from_utf8_lossy(&listed), &names, profile);
    if wanted == Wanted::Nothing {
        output::say(NONE);
    }
    Ok(wanted)
}

/// The same for a list as nix-channel prints it.
fn of_list(text: &str, names: &[String], profile: &Path) -> Wanted {
    let listed = text.lines().filter_map(Channel::parse);
    let (updated, kept): (Vec<Channel>, Vec<Channel>) = listed.partition(|channel| names.contains(&channel.name));
    if updated.is_empty() {
        return Wanted::Nothing;
    }
    // Of a kept channel nix-channel wants the store path; and another machine has other files of the same names.
    let has_all = kept.iter().all(|channel| channel.tree(profile).is_some());
    if !has_all || updated.iter().any(Channel::is_of_this_machine) {
        return Wanted::Here;
    }
    Wanted::There(List { updated, kept })
}

/// Fuzzing: the lines of the list in another order.
#[cfg(any(test, fuzzing))]
pub(in crate::run) fn lines_of(text: &str) -> String {
    text.lines()
        .filter_map(Channel::parse)
        .map(|channel| channel.line())
        .collect()
}

impl Channel {
    /// Reads `NAME ADDRESS`.
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let (name, address) = (words.next()?, words.next()?);
        if words.next().is_some() {
            return None;
        }
        let is_name = |name: &str| {
            let mut letters = name.chars();
            let is_first = |first: char| first.is_ascii_alphanumeric() || first == '_';
            letters.next().is_some_and(is_first) && letters.all(|it| it.is_ascii_alphanumeric() || "_-.".contains(it))
        };
        is_name(name).then(|| Self {
            name: name.to_owned(),
            address: address.to_owned(),
        })
    }

    fn is_of_this_machine(&self) -> bool {
        self.address.starts_with("file:") || !self.address.contains("://")
    }

    /// Returns where the link of this channel in a generation leads: `/nix/store/HASH-VERSION/NAME`.
    fn tree(&self, generation: &Path) -> Option<PathBuf> {
        let tree = fs::read_link(generation.join(&self.name)).ok()?;
        let is_one = tree
            .parent()
            .and_then(Path::to_str)
            .is_some_and(|path| StorePath::parse(path).is_ok());
        (is_one && tree.file_name() == Some(self.name.as_ref())).then_some(tree)
    }

    fn line(&self) -> String {
        format!("{} {}\n", self.address, self.name)
    }
}

impl List {
    /// Returns the lines of a `~/.nix-channels` of those that are updated.
    pub(in crate::run) fn updated(&self) -> String {
        self.updated.iter().map(Channel::line).collect()
    }

    /// Returns whether all channels are updated.
    pub(in crate::run) fn is_whole(&self) -> bool {
        self.kept.is_empty()
    }

    /// Returns the names of those that are updated.
    pub(in crate::run) fn names(&self) -> String {
        let names: Vec<&str> = self.updated.iter().map(|channel| channel.name.as_str()).collect();
        harmless::name(&names.join(", "))
    }

    /// Makes the generation that has the updated channels of this one, which is here, and this machine's own in place of
    /// those that are kept. This machine's nix-channel makes it, in a home of its own, where it finds all of them
    /// unpacked. It takes those that it is not told to update from its profile.
    pub(in crate::run) fn join(&self, made: Made, context: &Context) -> Result<(StorePath, Here)> {
        let place = private::directory(&std::env::temp_dir())?;
        let trees = place.path().join("trees");
        fs::create_dir(&trees)?;
        let own = Path::new(ROOT_CHANNELS);
        let updated = self.updated.iter().map(|channel| (channel, made.path.as_path()));
        let kept = self.kept.iter().map(|channel| (channel, own));
        for (channel, generation) in updated.chain(kept) {
            let tree = channel.tree(generation);
            let tree = tree.with_context(|| format!("{} has no channel {}", generation.display(), channel.name))?;
            symlink(tree, trees.join(&channel.name))?;
        }
        let profiles = profiles(place.path(), context.around);
        for profile in &profiles {
            fs::create_dir_all(profile.parent().unwrap_or(profile))?;
            symlink(&trees, profile)?;
        }
        let lines: String = self.updated.iter().chain(&self.kept).map(Channel::line).collect();
        // The second place is the one of the setting use-xdg-base-directories.
        for file in [".nix-channels", ".local/state/nix/channels"] {
            fs::write(place.path().join(file), &lines)?;
        }
        let command = joining(place.path(), context.around);
        context.tell(Event::Trace(format!("$ {command}")));
        let mut tell = |line: &str| context.tell(Event::Detail(line.to_owned()));
        command.capture_and_watch(&mut tell, context.signals)?;
        let mut generations = profiles
            .iter()
            .filter(|profile| fs::read_link(profile).is_ok_and(|to| to != trees));
        let generation = generations.find_map(|profile| fs::canonicalize(profile).ok());
        let generation = generation.context("nix-channel has made no generation")?;
        let generation = StorePath::parse(&generation.to_string_lossy())?;
        let here = Here {
            _made: made,
            _profile: Some(place),
        };
        Ok((generation, here))
    }
}

/// Returns where nix-channel may have its profile in this home: that of root, that of an older Nix, and that of a newer one.
fn profiles(home: &Path, around: &Surroundings) -> Vec<PathBuf> {
    let user = around
        .text("USER")
        .filter(|user| !user.is_empty() && !user.contains('/'));
    let user = user.unwrap_or_else(|| "root".to_owned());
    let mut users = vec![user, "root".to_owned()];
    users.dedup();
    let of_users = users
        .iter()
        .map(|user| home.join("nix/profiles/per-user").join(user).join("channels"));
    of_users
        .chain([home.join(".local/state/nix/profiles/channels")])
        .collect()
}

/// Returns the command of nix-channel in this home.
fn joining(home: &Path, around: &Surroundings) -> Invocation {
    // Nix counts the making of links as a build, which this machine may have been told to leave to others.
    let config = around.text("NIX_CONFIG").unwrap_or_default();
    let socket = around.variable("NIX_DAEMON_SOCKET_PATH").map(PathBuf::from);
    let socket = socket.unwrap_or_else(|| PathBuf::from("/nix/var/nix/daemon-socket/socket"));
    // With another place for profiles, Nix has to be told where the store is.
    let store = if socket.exists() {
        "daemon"
    } else {
        "local?state=/nix/var/nix"
    };
    Invocation::new("nix-channel")
        .args(["--update", NO_CHANNEL])
        .env("NIX_CONFIG", format!("{config}\nmax-jobs = 1"))
        .env("HOME", home)
        .env("XDG_STATE_HOME", home.join(".local/state"))
        .env("NIX_STATE_DIR", home.join("nix"))
        .env("NIX_DAEMON_SOCKET_PATH", socket)
        .env("NIX_REMOTE", store)
}

/// Returns whether root's channels are this generation.
pub(in crate::run) fn is_set(generation: &StorePath) -> bool {
    fs::canonicalize(ROOT_CHANNELS).is_ok_and(|current| current == generation.as_path())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TREE: &str = "/nix/store/00000000000000000000000000000000-other-1/other";

    fn wanted(text: &str, names: &[&str], profile: &Path) -> Wanted {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        of_list(text, &names, profile)
    }

    #[test]
    fn what_another_machine_can_update() {
        let place = tempfile::tempdir().unwrap();
        symlink(TREE, place.path().join("other")).unwrap();
        symlink("/somewhere/odd", place.path().join("odd")).unwrap();
        let nixos = "nixos https://channels.nixos.org/nixos-25.05\n";
        for (text, names, expected) in [
            (nixos.to_owned(), &["nixos"][..], "There([\"nixos\"] [])"),
            (
                format!("{nixos}other https://h/other-1\n"),
                &["nixos"],
                "There([\"nixos\"] [\"other\"])",
            ),
            (
                format!("{nixos}other https://h/other-1\n"),
                &["nixos", "other"],
                "There([\"nixos\", \"other\"] [])",
            ),
            // It was added and never fetched; or its tree is no store path.
            (format!("{nixos}new https://h/new-1\n"), &["nixos"], "Here"),
            (format!("{nixos}odd https://h/odd-1\n"), &["nixos"], "Here"),
            // Files of this machine. If such a channel is kept, nobody reads its address.
            ("nixos file:///srv/nixos\n".to_owned(), &["nixos"], "Here"),
            ("nixos /srv/nixos\n".to_owned(), &["nixos"], "Here"),
            (
                format!("{nixos}other file:///other\n"),
                &["nixos"],
                "There([\"nixos\"] [\"other\"])",
            ),
            // What the profile has and the list lacks is nobody's to update.
            (nixos.to_owned(), &["other"], "Nothing"),
            (String::new(), &["nixos"], "Nothing"),
            ("-x https://h/x\n".to_owned(), &["-x"], "Nothing"),
        ] {
            assert_eq!(format!("{:?}", wanted(&text, names, place.path())), expected, "{text}");
        }
    }

    #[test]
    fn the_list_of_the_other_machine_has_what_is_updated() {
        let place = tempfile::tempdir().unwrap();
        symlink(TREE, place.path().join("other")).unwrap();
        let text = "nixos https://me:pw@h/nixos\nother https://h/other-1\n";
        let Wanted::There(list) = wanted(text, &["nixos"], place.path()) else {
            unreachable!()
        };
        assert_eq!(list.updated(), "https://me:pw@h/nixos nixos\n");
        assert_eq!((list.names().as_str(), list.is_whole()), ("nixos", false));
    }
}
