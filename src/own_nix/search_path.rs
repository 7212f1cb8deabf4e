//! Nix's search path: what `<name>` means on this machine (manual: "Lookup path").

use std::path::{Path, PathBuf};

use crate::nix_settings::NixSettings;
use crate::surroundings::{Directory, HomeVariable, Surroundings};

/// The channels that Nix looks into on its own, after everything else.
pub const ROOT_CHANNELS: &str = "/nix/var/nix/profiles/per-user/root/channels";

/// The entries in order; the first one that has a name decides what the name means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchPath {
    entries: Vec<SearchPathEntry>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct SearchPathEntry {
    prefix: String,
    /// The entry's path; None for an address (`https:`, `channel:`, `flake:`), which does not belong to this machine:
    /// the evaluator fetches it.
    path: Option<PathBuf>,
    /// Whether that address is a file of this machine (`file:///x.tar.gz`), which is sent when the evaluation misses
    /// it.
    is_own_archive: bool,
}

impl SearchPath {
    /// Returns the search path of a command that runs here: its `-I` flags, then `--option nix-path`, or `NIX_PATH`, or
    /// the setting, or Nix's own default, with what `extra-nix-path` adds. An older Nix puts that last; the evaluator's
    /// own order decides.
    #[must_use]
    pub fn of(include: &[String], around: &Surroundings, settings: &NixSettings) -> Self {
        let words = |text: Option<&str>| -> Vec<String> {
            let words = text.unwrap_or_default().split_whitespace();
            words.map(str::to_owned).collect()
        };
        let mut texts: Vec<String> = include.to_vec();
        let variable = around.text("NIX_PATH").filter(|_| !settings.is_typed("nix-path"));
        match (variable, settings.get("nix-path")) {
            (Some(text), _) => {
                texts.extend(split(&text));
                texts.extend(words(settings.added("nix-path")));
            }
            (None, Some(text)) => texts.extend(words(Some(text))),
            (None, None) => {
                texts.extend(words(settings.added("nix-path")));
                let channels = channels_of_user(around, settings);
                texts.extend([
                    channels.to_string_lossy().into_owned(),
                    format!("nixpkgs={ROOT_CHANNELS}/nixpkgs"),
                ]);
            }
        }
        texts.push(ROOT_CHANNELS.to_owned());
        Self::in_directory(&texts, &around.directory)
    }

    fn in_directory(texts: &[String], directory: &Path) -> Self {
        let entries = texts
            .iter()
            .filter_map(|text| SearchPathEntry::parse(text, directory))
            .collect();
        Self { entries }
    }

    /// Returns the search path of a test's `NIX_PATH`.
    #[cfg(any(test, fuzzing))]
    pub fn of_variable(nix_path: &str, directory: &Path) -> Self {
        Self::in_directory(&split(nix_path), directory)
    }

    /// Returns a search path that finds nothing.
    #[must_use]
    pub fn none() -> Self {
        Self { entries: Vec::new() }
    }

    /// Returns the path that `<name>` stands for, if this machine has it.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<PathBuf> {
        self.entries.iter().find_map(|entry| entry.find(name))
    }

    /// Returns whether the user has given the name a meaning of its own (`-I NAME=PATH`).
    #[must_use]
    pub fn is_given(&self, name: &str) -> bool {
        let below = |prefix: &str| {
            name.strip_prefix(prefix)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        self.entries
            .iter()
            .any(|entry| !entry.prefix.is_empty() && below(&entry.prefix))
    }

    /// Returns whether a name may be found in a file of this machine that has to be unpacked first.
    #[must_use]
    pub fn is_in_own_archive(&self, name: &str) -> bool {
        let mut archives = self.entries.iter().filter(|entry| entry.is_own_archive);
        archives.any(|entry| entry.rest_of(name).is_some())
    }

    /// Returns the places of this machine that the search path names, whether anything exists there or not.
    pub fn places(&self) -> impl Iterator<Item = &Path> {
        self.entries.iter().filter_map(|entry| entry.path.as_deref())
    }

    /// Returns whether an address has this name as its prefix; the evaluator will look there.
    #[must_use]
    pub fn is_address(&self, name: &str) -> bool {
        self.entries
            .iter()
            .any(|entry| entry.prefix == name && entry.path.is_none())
    }
}

/// Returns the place of the user's own channels.
#[must_use]
pub fn channels_of_user(around: &Surroundings, settings: &NixSettings) -> PathBuf {
    if settings.get("use-xdg-base-directories") == Some("true") {
        around.nix_directory(Directory::State).join("defexpr/channels")
    } else {
        around.home().join(".nix-defexpr/channels")
    }
}

/// Returns Nix's own default as the text of a setting if another machine's Nix would use another home for it: HOME is
/// another user's, which that Nix cannot see. Otherwise returns an empty text.
#[must_use]
pub fn own_search_path(around: &Surroundings, settings: &NixSettings) -> String {
    let is_said = around.variable("NIX_PATH").is_some() || settings.get("nix-path").is_some();
    if is_said || !matches!(around.home_variable(), HomeVariable::AnotherUsers(_)) {
        return String::new();
    }
    let channels = channels_of_user(around, settings).to_string_lossy().into_owned();
    let nixpkgs = format!("{ROOT_CHANNELS}/nixpkgs");
    let entries = [
        (channels.clone(), channels),
        (nixpkgs.clone(), format!("nixpkgs={nixpkgs}")),
        (ROOT_CHANNELS.to_owned(), ROOT_CHANNELS.to_owned()),
    ];
    let there = entries.iter().filter(|(path, _)| Path::new(path).exists());
    let words: Vec<&str> = there.map(|(_, text)| text.as_str()).collect();
    format!("nix-path = {}\n", words.join(" "))
}

impl SearchPathEntry {
    fn parse(text: &str, directory: &Path) -> Option<Self> {
        let (prefix, path) = text.split_once('=').unwrap_or(("", text));
        (!path.is_empty()).then(|| Self {
            prefix: prefix.to_owned(),
            path: (!is_address(path)).then(|| directory.join(path)),
            is_own_archive: path.starts_with("file:"),
        })
    }

    /// Returns what follows this entry's prefix in a name, if the name begins with the prefix.
    fn rest_of<'a>(&self, name: &'a str) -> Option<&'a str> {
        if self.prefix.is_empty() {
            return Some(name);
        }
        let rest = name.strip_prefix(&self.prefix)?;
        rest.strip_prefix('/').or_else(|| rest.is_empty().then_some(rest))
    }

    fn find(&self, name: &str) -> Option<PathBuf> {
        let own = self.path.as_ref()?;
        let rest = self.rest_of(name)?;
        let mut path = own.clone().into_os_string();
        if !rest.is_empty() {
            // The parts are joined as text, as Nix does: a rest that begins with a slash leads nowhere else.
            path.push("/");
            path.push(rest);
        }
        let path = PathBuf::from(path);
        path.exists().then_some(path)
    }
}

fn is_address(path: &str) -> bool {
    path.contains("://") || ["channel:", "flake:"].iter().any(|scheme| path.starts_with(scheme))
}

/// Splits `NIX_PATH` at its colons, but not at the colons of an address.
fn split(text: &str) -> Vec<String> {
    let mut entries: Vec<String> = Vec::new();
    for piece in text.split(':') {
        match entries.last_mut() {
            Some(last) if continues_address(last, piece) => {
                last.push(':');
                last.push_str(piece);
            }
            _ => entries.push(piece.to_owned()),
        }
    }
    entries.retain(|entry| !entry.is_empty());
    entries
}

fn continues_address(before: &str, piece: &str) -> bool {
    let scheme = before.split_once('=').map_or(before, |(_, path)| path);
    let is_scheme = !scheme.is_empty() && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    is_scheme && (piece.starts_with("//") || scheme == "channel" || scheme == "flake")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_keep_their_colons() {
        assert_eq!(
            split("a=/x:https://h:80/y.tar.gz::n=channel:nixos:/z"),
            ["a=/x", "https://h", "80/y.tar.gz", "n=channel:nixos", "/z"]
        );
        assert_eq!(split("nixpkgs=flake:nixpkgs:/z"), ["nixpkgs=flake:nixpkgs", "/z"]);
    }

    fn search(include: &[&str], variables: &[(&str, &str)], directory: &Path) -> SearchPath {
        let mut around = Surroundings::with(variables);
        around.directory = directory.to_owned();
        let include: Vec<String> = include.iter().map(|text| (*text).to_owned()).collect();
        let isolated = [("NIX_CONF_DIR", "/absent"), ("NIX_USER_CONF_FILES", "")];
        around
            .variables
            .extend(isolated.map(|(name, value)| (name.into(), value.into())));
        let settings = NixSettings::read(&around);
        SearchPath::of(&include, &around, &settings)
    }

    #[test]
    fn names_in_archives_of_this_machine() {
        let text = "a=file:///x.tar.gz:b=https://h/y.tar.gz:c=/c";
        let search = SearchPath::of_variable(text, Path::new("/"));
        assert!(search.is_in_own_archive("a/z") && search.is_in_own_archive("a"));
        assert!(!search.is_in_own_archive("ab") && !search.is_in_own_archive("b/z") && !search.is_in_own_archive("c"));
        assert!(SearchPath::of_variable("file:///x.tar.gz", Path::new("/")).is_in_own_archive("any"));
    }

    #[test]
    fn the_first_entry_that_has_the_name_decides() {
        let root = tempfile::tempdir().unwrap();
        let path = |name: &str| root.path().join(name);
        for directory in ["one/nixos", "two/nixpkgs", "two/home-manager/nixos"] {
            std::fs::create_dir_all(path(directory)).unwrap();
        }
        let text = format!(
            "nixpkgs={}:gone={}:{}",
            path("one").display(),
            path("absent").display(),
            path("two").display()
        );
        let found = search(&[], &[("NIX_PATH", &text)], Path::new("/"));
        assert_eq!(found.find("nixpkgs"), Some(path("one")));
        assert_eq!(found.find("nixpkgs/nixos"), Some(path("one/nixos")));
        assert_eq!(found.find("home-manager"), Some(path("two/home-manager")));
        assert_eq!(found.find("nixpkgs2"), None);
        assert_eq!(found.find("gone"), None);
        assert!(!found.is_address("nixpkgs"));
        let address = search(&[], &[("NIX_PATH", "nixpkgs=channel:nixos-25.05")], Path::new("/"));
        assert!(address.is_address("nixpkgs"));
    }

    #[test]
    fn relative_entries_start_from_the_current_directory_and_flags_come_first() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("here/nixos")).unwrap();
        let found = search(&["nixpkgs=here"], &[("NIX_PATH", "nixpkgs=/")], root.path());
        assert_eq!(found.find("nixpkgs"), Some(root.path().join("here")));
    }

    /// `--option nix-path` counts before `NIX_PATH`, which counts before a `nix.conf`.
    #[test]
    fn what_is_typed_counts_most() {
        let root = tempfile::tempdir().unwrap();
        let at = root.path().to_str().unwrap();
        let around = Surroundings::with(&[
            ("NIX_PATH", &format!("env={at}")),
            ("NIX_CONFIG", &format!("nix-path = conf={at}")),
        ]);
        let settings = NixSettings::read(&around);
        let found = SearchPath::of(&[], &around, &settings);
        assert!(found.find("env").is_some() && found.find("conf").is_none());
        let settings = settings.with_options(&["nix-path".into(), format!("typed={at}")]);
        let found = SearchPath::of(&[], &around, &settings);
        assert!(found.find("env").is_none() && found.find("typed").is_some());
        let settings = NixSettings::default().with_options(&["extra-nix-path".into(), format!("more={at}")]);
        let found = SearchPath::of(&[], &around, &settings);
        assert!(found.find("env").is_some() && found.find("more").is_some());
    }

    /// These count: the setting, what is added to it, and the channels wherever the settings place them.
    #[test]
    fn settings_of_the_search_path_count() {
        let root = tempfile::tempdir().unwrap();
        let path = |name: &str| root.path().join(name);
        for directory in [
            "own/nixpkgs",
            "home/.nix-defexpr/channels/a",
            "state/nix/defexpr/channels/a",
        ] {
            std::fs::create_dir_all(path(directory)).unwrap();
        }
        let (home, state, own) = (path("home"), path("state"), path("own"));
        let config = |text: &str| {
            let text = text.replace("OWN", own.to_str().unwrap());
            let variables = [
                ("HOME", home.to_str().unwrap()),
                ("XDG_STATE_HOME", state.to_str().unwrap()),
                ("NIX_CONFIG", text.as_str()),
            ];
            search(&[], &variables, Path::new("/"))
        };
        assert_eq!(config("nix-path = x=OWN").find("x"), Some(own.clone()));
        let added = config("extra-nix-path = OWN");
        assert_eq!(added.find("nixpkgs"), Some(path("own/nixpkgs")));
        assert_eq!(added.find("a"), Some(path("home/.nix-defexpr/channels/a")));
        let xdg = config("use-xdg-base-directories = true");
        assert_eq!(xdg.find("a"), Some(path("state/nix/defexpr/channels/a")));
    }
}
