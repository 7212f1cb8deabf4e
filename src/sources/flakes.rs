//! What of this machine a flake consists of: the directory or the git repository that it is in, and those of its inputs
//! that are here.
//!
//! What Nix can fetch from elsewhere, the evaluator fetches: the lock file says what it has to be.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::collect::Collection;

/// Adds the flake that `reference` stands for in `directory`, with its inputs, as far as they are on this machine. Gives
/// the directory of its `flake.nix`.
pub fn add_flake(collection: &mut Collection, reference: &str, directory: &Path) -> Option<PathBuf> {
    let place = Place::of(reference, directory)?;
    let flake = match &place {
        Place::Somewhere(path) => with_flake_file(path),
        Place::Directory(path) | Place::Repository(path) => path.clone(),
    };
    // Nix reads the links on the way, and then only where they lead.
    collection.add_asked(&flake);
    let flake = fs::canonicalize(&flake).unwrap_or(flake);
    let is_new = match place {
        Place::Somewhere(_) | Place::Repository(_) => match repository_of(&flake) {
            Some(root) => collection.add_repository(&root),
            None => collection.add_everything(&flake),
        },
        Place::Directory(_) => collection.add_everything(&flake),
    };
    if is_new {
        for (reference, base) in inputs(&flake) {
            add_flake(collection, &reference, &base);
        }
    }
    Some(flake)
}

/// Where a reference leads on this machine.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    /// As on a command line: in a repository or not, in this directory or above it.
    Somewhere(PathBuf),
    /// `path:`, a directory as it is.
    Directory(PathBuf),
    /// `git+file:`.
    Repository(PathBuf),
}

impl Place {
    fn of(reference: &str, directory: &Path) -> Option<Self> {
        let (address, query) = reference.split_once('?').unwrap_or((reference, ""));
        let inside = query
            .split('&')
            .find_map(|part| part.strip_prefix("dir="))
            .unwrap_or("");
        let at = |path: &str| directory.join(path.strip_prefix("//").unwrap_or(path)).join(inside);
        if let Some(path) = address.strip_prefix("path:") {
            return Some(Self::Directory(at(path)));
        }
        if let Some(path) = address.strip_prefix("git+file:") {
            return Some(Self::Repository(at(path)));
        }
        let is_path = address.is_empty() || address.starts_with(['.', '/']);
        is_path.then(|| Self::Somewhere(at(address)))
    }
}

/// The directory itself or the first above it that has a `flake.nix`; above a repository, Nix does not look.
fn with_flake_file(path: &Path) -> PathBuf {
    let above = path.ancestors().take_while(|directory| {
        let parent_is_repository = directory.join(".git").exists() && !directory.join("flake.nix").exists();
        !parent_is_repository
    });
    let mut found = above.filter(|directory| directory.join("flake.nix").exists());
    found.next().unwrap_or(path).to_owned()
}

fn repository_of(directory: &Path) -> Option<PathBuf> {
    let mut above = directory.ancestors();
    above
        .find(|directory| directory.join(".git").exists())
        .map(Path::to_path_buf)
}

/// The references of a flake's inputs, of which this machine may have some, each with the directory that it starts from:
/// those that its lock file has, and those that stand in `flake.nix`.
fn inputs(flake: &Path) -> Vec<(String, PathBuf)> {
    let lock = fs::read(flake.join("flake.lock")).unwrap_or_default();
    let lock: Value = serde_json::from_slice(&lock).unwrap_or_default();
    let nodes = lock["nodes"].as_object().into_iter().flat_map(|nodes| nodes.values());
    let locked = nodes
        .flat_map(|node| [&node["locked"], &node["original"]])
        .filter_map(|input| {
            let word = |name: &str| input[name].as_str();
            Some(match word("type")? {
                "path" => format!("path:{}", word("path")?),
                "git" => format!("git+{}", word("url").filter(|url| url.starts_with("file:"))?),
                _ => return None,
            })
        });
    let text = fs::read_to_string(flake.join("flake.nix")).unwrap_or_default();
    let written = super::literals::Literals::of(&text).strings.into_iter();
    let written = written.filter(|text| text.starts_with("path:") || text.starts_with("git+file:"));
    locked
        .chain(written)
        .map(|reference| (reference, flake.to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::mirror::Entry;
    use crate::sources::search_path::SearchPath;

    #[test]
    fn where_a_reference_leads() {
        let place = |reference: &str| Place::of(reference, Path::new("/here"));
        for (reference, expected) in [
            ("", Some(Place::Somewhere("/here/".into()))),
            (".", Some(Place::Somewhere("/here/./".into()))),
            ("/x?dir=sub&ref=y", Some(Place::Somewhere("/x/sub".into()))),
            ("path:/x?lastModified=1", Some(Place::Directory("/x/".into()))),
            ("path:./sub", Some(Place::Directory("/here/./sub/".into()))),
            ("git+file:///x?dir=sub", Some(Place::Repository("/x/sub".into()))),
            ("git+file:/x", Some(Place::Repository("/x/".into()))),
            ("github:a/b", None),
            ("nixpkgs", None),
            ("git+https://x/y", None),
        ] {
            assert_eq!(place(reference), expected, "{reference}");
        }
    }

    #[test]
    fn a_flake_in_a_repository_with_inputs_on_this_machine() {
        let root = tempfile::Builder::new().prefix("flake").tempdir_in("/var/tmp").unwrap();
        let path = |name: &str| root.path().join(name);
        let write = |name: &str, text: &str| {
            fs::create_dir_all(path(name).parent().unwrap()).unwrap();
            fs::write(path(name), text).unwrap();
        };
        write("config/.git/HEAD", "ref: refs/heads/main");
        write("config/.git/objects/12/34", "x");
        write(
            "config/sub/flake.nix",
            &format!("{{ inputs.a.url = \"path:{}\"; }}", path("a").display()),
        );
        write(
            "config/sub/flake.lock",
            &format!(
                r#"{{"nodes":{{"b":{{"locked":{{"type":"git","url":"file://{}"}}}},
                   "c":{{"locked":{{"type":"github","owner":"o"}}}}}}}}"#,
                path("b").display()
            ),
        );
        write("config/other/module.nix", "{ }");
        write("a/flake.nix", "{ }");
        write("a/deep/file", "1");
        write("b/.git/HEAD", "x");
        write("b/flake.nix", "{ }");
        write("unrelated/file", "2");
        let mut collection = Collection::new(SearchPath::none(), path("home"));
        let found = add_flake(&mut collection, ".", &path("config/sub"));
        assert_eq!(found, Some(path("config/sub")));
        let entries = &collection.mirror().entries;
        for name in ["config/.git/objects/12/34", "a/deep/file", "b/.git/HEAD"] {
            assert!(
                matches!(entries.get(&path(name)), Some(Entry::Content { .. })),
                "{name}"
            );
        }
        // Which of a repository's files are tracked, the evaluation asks for.
        assert!(matches!(entries.get(&path("config/other")), Some(Entry::Open { .. })));
        assert!(matches!(
            entries.get(&path("config/other/module.nix")),
            Some(Entry::Shut(_))
        ));
        assert!(!entries.contains_key(&path("unrelated/file")));
    }
}
