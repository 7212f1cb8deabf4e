//! Nix's search path: what `<name>` means on this machine (manual: "Lookup path").

use std::path::{Path, PathBuf};

/// The channels that Nix looks into of itself, after everything else.
const ROOT_CHANNELS: &str = "/nix/var/nix/profiles/per-user/root/channels";

/// The entries in order; the first that has a name decides what it means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchPath {
    entries: Vec<Entry>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    prefix: String,
    /// Nothing for an address (`https:`, `channel:`, `flake:`), which is nothing of this machine's: the evaluator
    /// fetches it.
    path: Option<PathBuf>,
}

impl SearchPath {
    /// The search path of a command run in `directory`: its `-I` flags, then `NIX_PATH` or else the setting `nix-path`,
    /// then Nix's own default.
    #[must_use]
    pub fn new(
        include: &[String],
        nix_path: Option<&str>,
        setting: Option<&str>,
        home: &Path,
        directory: &Path,
    ) -> Self {
        let mut texts: Vec<String> = include.to_vec();
        match (nix_path, setting) {
            (Some(text), _) => texts.extend(split(text)),
            (None, Some(text)) => texts.extend(text.split_whitespace().map(str::to_owned)),
            (None, None) => texts.extend([
                home.join(".nix-defexpr/channels").to_string_lossy().into_owned(),
                format!("nixpkgs={ROOT_CHANNELS}/nixpkgs"),
            ]),
        }
        texts.push(ROOT_CHANNELS.to_owned());
        let entries = texts.iter().filter_map(|text| Entry::parse(text, directory)).collect();
        Self { entries }
    }

    /// One on which nothing is found.
    #[must_use]
    pub fn none() -> Self {
        Self { entries: Vec::new() }
    }

    /// The path that `<name>` stands for, if this machine has it.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<PathBuf> {
        self.entries.iter().find_map(|entry| entry.find(name))
    }

    /// Whether the user has given the name a meaning of its own (`-I NAME=PATH`).
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

    /// The places of this machine that it names, be there something or not.
    pub fn places(&self) -> impl Iterator<Item = &Path> {
        self.entries.iter().filter_map(|entry| entry.path.as_deref())
    }

    /// Whether an address has this name for a prefix; the evaluator will look there.
    #[must_use]
    pub fn is_address(&self, name: &str) -> bool {
        self.entries
            .iter()
            .any(|entry| entry.prefix == name && entry.path.is_none())
    }
}

impl Entry {
    fn parse(text: &str, directory: &Path) -> Option<Self> {
        let (prefix, path) = text.split_once('=').unwrap_or(("", text));
        (!path.is_empty()).then(|| Self {
            prefix: prefix.to_owned(),
            path: (!is_address(path)).then(|| directory.join(path)),
        })
    }

    fn find(&self, name: &str) -> Option<PathBuf> {
        let own = self.path.as_ref()?;
        let rest = if self.prefix.is_empty() {
            name
        } else {
            let rest = name.strip_prefix(&self.prefix)?;
            rest.strip_prefix('/').or_else(|| rest.is_empty().then_some(rest))?
        };
        let mut path = own.clone().into_os_string();
        if !rest.is_empty() {
            // As text, as Nix does: a rest that begins with a slash leads nowhere else.
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

/// Splits `NIX_PATH` at its colons, but not at those of an address.
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
        let search = SearchPath::new(&[], Some(&text), None, Path::new("/home"), Path::new("/"));
        assert_eq!(search.find("nixpkgs"), Some(path("one")));
        assert_eq!(search.find("nixpkgs/nixos"), Some(path("one/nixos")));
        assert_eq!(search.find("home-manager"), Some(path("two/home-manager")));
        assert_eq!(search.find("nixpkgs2"), None);
        assert_eq!(search.find("gone"), None);
        assert!(!search.is_address("nixpkgs"));
        let address = SearchPath::new(
            &[],
            Some("nixpkgs=channel:nixos-25.05"),
            None,
            Path::new("/h"),
            Path::new("/"),
        );
        assert!(address.is_address("nixpkgs"));
    }

    #[test]
    fn relative_entries_start_from_the_current_directory_and_flags_come_first() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("here/nixos")).unwrap();
        let search = SearchPath::new(
            &["nixpkgs=here".into()],
            Some("nixpkgs=/"),
            None,
            Path::new("/h"),
            root.path(),
        );
        assert_eq!(search.find("nixpkgs"), Some(root.path().join("here")));
    }
}
